// The crosshair of the charts: by pointer or arrow keys; all charts show the same moment, the legends its values.
"use strict";

(() => {
  let place = null; // of the step that is shown; null: the latest

  function data() {
    const element = document.getElementById("chart-data");
    return element ? JSON.parse(element.textContent) : null;
  }

  function time(seconds) {
    return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  }

  function show(found) {
    document.querySelectorAll(".chart").forEach((chart) => {
      const canvas = chart.querySelector(".canvas");
      if (!canvas) return;
      const words = [];
      chart.querySelectorAll("[data-measure]").forEach((value) => {
        value.textContent = place === null ? value.dataset.latest : found.values[value.dataset.measure][place];
        words.push(`${value.previousSibling.textContent.trim()} ${value.textContent}`);
      });
      const x = place === null ? -9 : ((place + 1) / found.length) * 1000;
      canvas.querySelector(".crosshair").setAttribute("d", `M${x.toFixed(1)} 0V100`);
      canvas.setAttribute("aria-valuenow", place === null ? found.length : place);
      const when = place === null ? "the latest" : time(found.begin + place * found.step);
      canvas.setAttribute("aria-valuetext", `${when}: ${words.join(", ")}`);
      canvas.title = place === null ? "" : when;
      chart.querySelector(".x-axis").dataset.at = place === null ? "" : when;
    });
  }

  function go(next) {
    const found = data();
    if (!found) return;
    place = next === null ? null : Math.max(0, Math.min(found.length - 1, next));
    show(found);
  }

  document.addEventListener("pointermove", (event) => {
    const canvas = event.target.closest?.(".canvas");
    if (!canvas) return;
    const found = data();
    if (!found) return;
    const box = canvas.getBoundingClientRect();
    go(Math.ceil(((event.clientX - box.left) / box.width) * found.length) - 1);
  });

  document.addEventListener("pointerout", (event) => {
    if (event.target.closest?.(".canvas") && !event.relatedTarget?.closest?.(".canvas")) go(null);
  });

  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.(".canvas")) return;
    const found = data();
    if (!found) return;
    const from = place === null ? found.length - 1 : place;
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
    if (event.key in steps) go(from + steps[event.key]);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(found.length - 1);
    else if (event.key === "Escape") go(null);
    else return;
    event.preventDefault();
  });

  // New samples move everything on: a moment that is being read stays the same moment.
  let shownBegin = data()?.begin;
  document.addEventListener("htmx:afterSettle", () => {
    const found = data();
    if (!found) return;
    if (place !== null && shownBegin !== undefined) place += Math.round((shownBegin - found.begin) / found.step);
    shownBegin = found.begin;
    go(place);
  });
})();
