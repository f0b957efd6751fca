// The list: select rows, a page, a range; the bulk form opens its preview in the dialog; filters apply as they change.
"use strict";

(() => {
  const picks = () => [...document.querySelectorAll("#task_list .pick input[name=task]")];
  const pickAll = () => document.getElementById("pick-all");
  let last = null; // the row that was ticked last: shift ticks from there

  function pickThePage(checked) {
    for (const pick of picks()) pick.checked = checked;
  }

  // Who takes a row out no longer means all that match.
  function dropAllUnlessWhole() {
    const all = pickAll();
    if (all && picks().some((pick) => !pick.checked)) all.checked = false;
  }

  function show() {
    const all = pickAll();
    const picked = picks().filter((pick) => pick.checked).length;
    const words = document.getElementById("picked");
    const page = document.querySelector("[data-pick-page]");
    if (!words) return;
    const text = all?.checked
      ? "All of them are selected"
      : picked
        ? `${picked} selected`
        : "Select tasks to operate several at once";
    if (words.textContent !== text) words.textContent = text;
    document.getElementById("bulk").classList.toggle("has-picks", Boolean(picked || all?.checked));
    if (page) {
      page.hidden = false;
      const box = page.querySelector("input");
      box.checked = picked > 0 && picked === picks().length;
      box.indeterminate = picked > 0 && picked < picks().length;
    }
  }

  function pickTo(pick, checked) {
    const rows = picks();
    const from = rows.findIndex((row) => row.value === last);
    const to = rows.indexOf(pick);
    if (from < 0 || to < 0) return;
    for (const row of rows.slice(Math.min(from, to), Math.max(from, to) + 1)) row.checked = checked;
  }

  document.addEventListener("click", (event) => {
    const pick = event.target.closest?.(".pick input[name=task]");
    if (!pick) return;
    if (event.shiftKey) pickTo(pick, pick.checked);
    last = pick.value;
    dropAllUnlessWhole();
    show();
  });

  document.addEventListener("change", (event) => {
    if (event.target.closest?.("[data-pick-page]") || event.target === pickAll()) {
      pickThePage(event.target.checked);
      dropAllUnlessWhole();
    }
    if (event.target.matches?.("[data-submits]")) {
      event.target.form.requestSubmit();
      return;
    }
    show();
  });

  // A row that is exchanged keeps its tick, one that came anew has none.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const now = event.detail.target.querySelector?.(".pick input");
    const next = event.detail.fragment.querySelector?.(".pick input");
    if (now && next) next.checked = now.checked;
  });

  // A click on a heading exchanges the whole list: rows that are still there keep their ticks, the heading the focus.
  let before = null;

  document.addEventListener("htmx:beforeSwap", (event) => {
    const heading = event.detail.requestConfig.elt;
    if (!heading.closest("#task_list thead") || !event.detail.shouldSwap) return;
    before = {
      ticked: new Set(picks().filter((pick) => pick.checked).map((pick) => pick.value)),
      all: pickAll()?.checked,
      focused: document.activeElement === heading ? heading.id : "",
    };
  });

  document.addEventListener("htmx:afterSwap", () => {
    if (!before) return;
    const { ticked, all, focused } = before;
    before = null;
    for (const pick of picks()) pick.checked = ticked.has(pick.value);
    if (pickAll()) pickAll().checked = all;
    if (all) pickThePage(true);
    document.getElementById(focused)?.focus({ preventScroll: true });
    show();
  });

  document.addEventListener("htmx:afterSettle", show);

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id === "bulk") {
      event.preventDefault();
      const query = new URLSearchParams(new FormData(form));
      const button = event.submitter ?? form.querySelector("[data-bulk]");
      htmx.ajax("GET", `${button.formAction}?${query}`, { target: "#dialog", swap: "innerHTML", source: button });
    } else if (form.matches(".filters")) {
      // An address without what was not asked for is one that people can read and share.
      for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
    }
  });

  addEventListener("pageshow", () => {
    for (const field of document.querySelectorAll(".filters [disabled]")) field.disabled = false;
    if (pickAll()?.checked) pickThePage(true); // a browser gives back the ticks of a page that it had left
    show();
  });

  document.addEventListener("pick", (event) => {
    const pick = event.detail.row.querySelector(".pick input");
    if (!pick) return;
    pick.checked = !pick.checked;
    if (event.detail.range) {
      pick.checked = true;
      pickTo(pick, true);
    }
    last = pick.value;
    dropAllUnlessWhole();
    show();
  });
})();
