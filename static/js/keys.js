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

  function palette() {
    const box = open("palette", "Find a task or an operation");
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "Task, or operation and task: pause orders";
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-label", "Find a task or an operation");
    field.setAttribute("aria-expanded", "true");
    field.setAttribute("aria-controls", "palette-list");
    field.autocomplete = "off";
    const list = document.createElement("ul");
    list.id = "palette-list";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Found");
    const told = document.createElement("p");
    told.className = "minor";
    told.setAttribute("role", "status");
    box.append(field, list, told);
    let asked = 0;
    let timer = 0;

    function choose(place) {
      const all = [...list.children];
      if (!all.length) return;
      const next = Math.max(0, Math.min(all.length - 1, place));
      all.forEach((item, n) => item.setAttribute("aria-selected", String(n === next)));
      field.setAttribute("aria-activedescendant", all[next].id);
      all[next].scrollIntoView({ block: "nearest" });
    }

    const chosen = () => [...list.children].findIndex((item) => item.getAttribute("aria-selected") === "true");

    function take() {
      const link = list.children[chosen()]?.querySelector("a");
      if (!link) return;
      box.close();
      if (link.dataset.dialog) {
        htmx.ajax("GET", link.href, { target: "#dialog", swap: "innerHTML" });
      } else {
        location.href = link.href;
      }
    }

    async function ask() {
      const number = ++asked;
      const answer = await fetch(`/palette/?q=${encodeURIComponent(field.value)}`, { headers: { Accept: "application/json" } });
      if (number !== asked) return;
      const found = answer.ok ? await answer.json() : { items: [] };
      list.replaceChildren(
        ...found.items.map((item, n) => {
          const line = document.createElement("li");
          line.id = `palette-${n}`;
          line.setAttribute("role", "option");
          const link = document.createElement("a");
          link.href = item.url;
          link.tabIndex = -1;
          link.textContent = item.label;
          if (item.dialog) link.dataset.dialog = "1";
          const more = document.createElement("span");
          more.className = "minor";
          more.textContent = item.note;
          link.append(" ", more);
          line.append(link);
          line.addEventListener("click", (event) => {
            if (event.ctrlKey || event.metaKey) return;
            event.preventDefault();
            choose(n);
            take();
          });
          return line;
        }),
      );
      told.textContent = found.items.length ? "" : "Nothing found.";
      choose(0);
    }

    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, 120);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") choose(chosen() + 1);
      else if (event.key === "ArrowUp") choose(chosen() - 1);
      else if (event.key === "Enter") take();
      else return;
      event.preventDefault();
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
