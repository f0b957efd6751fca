// The log: follows its end while it is there, stays where it is while somebody reads, and stays bounded.
"use strict";

(() => {
  const MOST = 2000;
  const log = document.getElementById("log");
  if (!log) return;

  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  let follows = true;

  log.addEventListener("scroll", () => {
    follows = atEnd();
  });

  function mark() {
    const line = location.hash.startsWith("#L") && document.getElementById(location.hash.slice(1));
    if (!line) return false;
    line.scrollIntoView({ block: "center" });
    follows = false;
    return true;
  }

  if (!mark()) log.scrollTop = log.scrollHeight;
  addEventListener("hashchange", mark);

  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id !== "log_lines") return;
    document.querySelector("[data-log-empty]")?.remove();
    const lines = event.detail.target;
    while (follows && lines.childElementCount > MOST) lines.firstElementChild.remove();
    if (follows) log.scrollTop = log.scrollHeight;
  });

  // The number of a line is its address: a click copies it as well.
  log.addEventListener("click", (event) => {
    const link = event.target.closest("a.n");
    if (!link || !navigator.clipboard) return;
    navigator.clipboard.writeText(link.href).then(
      () => document.dispatchEvent(new CustomEvent("toast", { detail: { text: "Link copied", tone: "good" } })),
      () => {},
    );
    event.preventDefault();
    history.replaceState(null, "", link.href);
    mark();
    log.querySelector(".is-target")?.classList.remove("is-target");
    link.parentElement.classList.add("is-target");
  });
})();
