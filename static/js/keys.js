// Keys: j and k walk, x selects, Enter opens, / searches, ? helps, ctrl-k finds tasks and operations.
"use strict";

(() => {
  const rows = () => [...document.querySelectorAll("#task_list tbody tr[data-task]")];
  let here = ""; // the id of the row that the keys stand on: it survives the row's exchange

  function typing(event) {
    return event.target.closest?.("input:not([type=checkbox], [type=radio]), select, textarea, dialog, [role=slider]");
  }

  function walk(step) {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.id === here);
    const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, now + step));
    here = all[next].id;
    const link = all[next].querySelector("th a");
    link.focus({ preventScroll: true });
    all[next].scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("focusin", (event) => {
    const row = event.target.closest?.("#task_list tbody tr[data-task]");
    if (row) here = row.id;
  });

  function pick(range) {
    const row = document.getElementById(here);
    if (row) document.dispatchEvent(new CustomEvent("pick", { detail: { row, range } }));
  }

  const KEYS = [
    ["j", "The next task", () => walk(1)],
    ["k", "The task before", () => walk(-1)],
    ["x", "Select it, or not", () => pick(false)],
    ["X", "Select from the last one selected to here", () => pick(true)],
    ["Enter", "Open it", null],
    ["/", "Search", null],
    ["g o", "Overview", () => go("/")],
    ["g t", "Tasks", () => go("/tasks/")],
    ["g a", "Alerts", () => go("/alerts/")],
    ["g h", "History", () => go("/history/")],
    ["?", "These keys", () => help()],
    ["ctrl k", "Find a task or an operation", () => palette()],
    ["Esc", "Close", null],
  ];
  let before = "";

  function go(address) {
    location.href = address;
  }

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event)) return;
    const chord = before === "g" ? `g ${event.key}` : event.key;
    before = event.key;
    const found = KEYS.find(([key]) => key === chord);
    if (!found?.[2]) return;
    event.preventDefault();
    before = "";
    found[2]();
  });

  // --- Help and palette: one dialog each, made when it is wanted -------------------------------------------

  function open(name, label) {
    document.getElementById(name)?.remove();
    const box = document.createElement("dialog");
    box.id = name;
    box.className = "keys-dialog";
    box.setAttribute("aria-label", label);
    document.body.append(box);
    const from = document.activeElement;
    box.addEventListener("close", () => {
      box.remove();
      from?.focus?.();
    });
    box.addEventListener("click", (event) => {
      if (event.target === box) box.close();
    });
    return box;
  }

  function help() {
    const box = open("keys", "Keys");
    const title = document.createElement("h1");
    title.textContent = "Keys";
    const list = document.createElement("dl");
    list.className = "keys";
    for (const [key, words] of KEYS) {
      const term = document.createElement("dt");
      for (const part of key.split(" ")) {
        const cap = document.createElement("kbd");
        cap.textContent = part;
        term.append(cap);
      }
      const meaning = document.createElement("dd");
      meaning.textContent = words;
      const line = document.createElement("div");
      line.append(term, meaning);
      list.append(line);
    }
    const close = document.createElement("button");
    close.type = "button";
    close.className = "primary";
    close.textContent = "Close";
    close.addEventListener("click", () => box.close());
    box.append(title, list, close);
    box.showModal();
    close.focus();
  }

  // --- The palette: what is typed is asked for, what was found last stands below it ---------------------------

  const WHAT_TO_TYPE = "Type a part of a task’s name, or an operation and a task: pause orders";

  async function found(typed) {
    const address = `/palette/?q=${encodeURIComponent(typed)}`;
    const answer = await fetch(address, { headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer) return { words: "The console does not answer." };
    if (answer.status === 401 || new URL(answer.url).pathname.startsWith("/accounts/login/")) {
      return { words: "You are signed out; load the page again to sign in." };
    }
    if (answer.status === 403) return { words: "You may not see tasks." };
    const items = answer.ok && (await answer.json().then((json) => json.items).catch(() => null));
    if (!items) return { words: `The console failed (${answer.status}).` };
    if (!typed.trim()) return { items, words: WHAT_TO_TYPE };
    return { items, words: items.length ? "" : "Nothing found." };
  }

  function option(item, place) {
    const line = document.createElement("li");
    line.id = `palette-${place}`;
    line.setAttribute("role", "option");
    line.dataset.url = item.url;
    if (item.dialog) line.dataset.dialog = "1";
    const note = document.createElement("span");
    note.className = "minor";
    note.textContent = item.note;
    line.append(item.label, " ", note);
    return line;
  }

  function paletteParts() {
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "Task, or operation and task: pause orders";
    field.autocomplete = "off";
    const list = document.createElement("ul");
    list.id = "palette-list";
    list.hidden = true;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Found");
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-label", "Find a task or an operation");
    field.setAttribute("aria-expanded", "false");
    field.setAttribute("aria-controls", list.id);
    field.setAttribute("aria-autocomplete", "list");
    const told = document.createElement("p");
    told.className = "minor";
    told.setAttribute("role", "status");
    told.textContent = WHAT_TO_TYPE;
    return { field, list, told };
  }

  function palette() {
    if (document.getElementById("palette")?.open) return;
    const box = open("palette", "Find a task or an operation");
    const { field, list, told } = paletteParts();
    box.append(field, list, told);
    let asked = 0;
    let answered = null; // what was typed when the list that stands there was asked for
    let hasty = null; // Enter, when it came before the answer: it waits for it
    let timer = 0;

    function choose(place) {
      const all = [...list.children];
      if (!all.length) return field.removeAttribute("aria-activedescendant");
      const next = Math.max(0, Math.min(all.length - 1, place));
      all.forEach((item, n) => item.setAttribute("aria-selected", String(n === next)));
      field.setAttribute("aria-activedescendant", all[next].id);
      return all[next].scrollIntoView({ block: "nearest" });
    }

    const chosen = () => [...list.children].findIndex((item) => item.getAttribute("aria-selected") === "true");

    function take(event) {
      const item = list.children[chosen()];
      if (!item) return;
      const { url, dialog } = item.dataset;
      if (event.ctrlKey || event.metaKey || event.button === 1) {
        window.open(url, "_blank", "noopener");
        return;
      }
      box.close();
      if (dialog) htmx.ajax("GET", url, { target: "#dialog", swap: "innerHTML" });
      else go(url);
    }

    async function ask() {
      clearTimeout(timer);
      const number = ++asked;
      const typed = field.value;
      const { items, words } = await found(typed);
      if (number !== asked || !box.open) return;
      answered = items ? typed : null;
      list.replaceChildren(...(items ?? []).map(option));
      list.hidden = !list.childElementCount;
      field.setAttribute("aria-expanded", String(!list.hidden));
      told.textContent = words;
      choose(0);
      const event = hasty;
      hasty = null;
      if (event) take(event);
    }

    function enter(event) {
      if (answered === field.value) {
        take(event);
        return;
      }
      if (hasty) return; // a key that is held down
      hasty = event;
      ask();
    }

    field.addEventListener("input", () => {
      hasty = null;
      clearTimeout(timer);
      timer = setTimeout(ask, 120);
    });
    field.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "ArrowDown") choose(chosen() + 1);
      else if (event.key === "ArrowUp") choose(chosen() - 1);
      else if (event.key === "Enter") enter(event);
      else if (event.key === "Escape") {
        // A search field would take it to empty itself, and the next key to type as long as the box takes to close.
        field.blur();
        box.close();
      } else return;
      event.preventDefault();
    });
    const press = (event) => {
      const place = [...list.children].indexOf(event.target.closest("[role=option]"));
      if (place < 0 || event.button > 1) return;
      choose(place);
      take(event);
    };
    list.addEventListener("click", press);
    list.addEventListener("auxclick", press);
    list.addEventListener("mousedown", (event) => {
      if (event.target.closest("[role=option]")) event.preventDefault(); // the field keeps the focus
    });
    box.showModal();
    field.focus();
    ask();
  }

  for (const opener of document.querySelectorAll("[data-opens-palette]")) {
    opener.hidden = false;
    opener.addEventListener("click", palette);
  }
})();
