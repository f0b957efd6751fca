// What the pages do by themselves: poll, keep ages true, open and close the dialog, announce. htmx does the exchange.
"use strict";

(() => {
  const POLL = 1750;
  const SLOW_EVERY = 3; // every third poll asks for what changes seldom
  const HIDDEN_EVERY = 10; // a hidden tab polls this much slower
  const dialog = document.getElementById("dialog");

  // --- Polling ------------------------------------------------------------------------------------------

  let beats = 0;
  let isSlow = false; // this beat asks for what changes seldom, too
  let lastAnswer = Date.now();
  let over = false; // no poll can be answered any more

  function beat() {
    beats += 1;
    if (over) return;
    if (document.hidden && beats % HIDDEN_EVERY) return;
    // A page with a hub asks for everything at once: the rest then rides on its poll.
    const hub = document.querySelector("[data-live-hub]");
    isSlow = beats % SLOW_EVERY === 0;
    document.querySelectorAll("[data-live]").forEach((element) => {
      if (hub && hub !== element) return;
      const slow = element.getAttribute("hx-trigger") === "slow-tick";
      if (!slow) htmx.trigger(element, "tick");
      else if (beats % SLOW_EVERY === 0) htmx.trigger(element, "slow-tick");
    });
    sayWhetherItAnswers();
  }

  // A poll names what it shows with its versions, so that only what changed comes back.
  function shownBy(element) {
    const inner = [...element.querySelectorAll("[data-version]")];
    const own = element.hasAttribute("data-version") ? [element] : inner;
    const hub = element.dataset.liveHub;
    const others = isSlow ? (hub ?? "").split(" ").map((id) => document.getElementById(id)) : [];
    const shown = hub === undefined ? own : [...inner, ...others.filter(Boolean)];
    return shown.map((one) => `${one.id}.${one.dataset.version}`).join(",");
  }

  document.addEventListener("htmx:configRequest", (event) => {
    const element = event.detail.elt;
    if (element.hasAttribute("data-live")) event.detail.parameters.set("v", shownBy(element));
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const status = event.detail.xhr.status;
    if (status > 0 && status < 500) lastAnswer = Date.now();
    if (event.detail.elt.matches("[data-live-rows], [data-live-regions]") && event.detail.successful) {
      document.querySelectorAll("[data-as-of]").forEach((stamp) => {
        stamp.textContent = `${new Date().toISOString().slice(11, 19)} UTC`;
      });
    }
  });

  // A session that ended answers each request with the sign-in page: that must not land in the middle of this one.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!new URL(event.detail.xhr.responseURL || location.href).pathname.startsWith("/accounts/login/")) return;
    event.detail.shouldSwap = false;
    event.preventDefault();
    giveUp("You are signed out, so nothing here is up to date. Load the page again to sign in.");
    if (isAskedByHand(event)) complain("You are signed out, so nothing was done. Load the page again to sign in.");
  });

  function giveUp(sentence) {
    over = true;
    say(sentence);
    if (dialog.open) complain(sentence);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) beat();
  });

  // --- Exchanging a row ---------------------------------------------------------------------------------

  // Text being copied from a row stays; its version stays too, so the next poll brings the change.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    const selection = getSelection();
    if (!selection.isCollapsed && selection.containsNode(target, true) && target.closest("[data-live]")) {
      event.detail.shouldSwap = false;
      return;
    }
    if (target.id === "alert_badge") {
      const count = [...fragment.querySelectorAll("[data-open-alerts]")].map((one) => one.title).join(", ");
      announce(`Alerts: ${count || "none open"}`);
    }
    const next = fragment.querySelector("[data-status]");
    const now = target.matches("[data-status]") ? target : target.querySelector("[data-status]");
    if (next && now && next.dataset.status !== now.dataset.status) {
      announce(`${next.dataset.task}: ${next.querySelector(".badge")?.textContent ?? next.dataset.status}`);
    }
  });

  // For those who don't see the badge change its colour.
  function announce(sentence) {
    const line = document.createElement("p");
    line.textContent = sentence;
    document.getElementById("announcer").append(line);
    setTimeout(() => line.remove(), 5000);
  }

  function say(sentence) {
    const silence = document.getElementById("silence");
    if (!silence) return;
    silence.hidden = !sentence;
    if (sentence && silence.textContent !== sentence) silence.textContent = sentence;
  }

  function sayWhetherItAnswers() {
    const seconds = Math.round((Date.now() - lastAnswer) / 1000);
    if (!document.querySelector("[data-live]") || seconds < 8) return say("");
    const since = new Date(lastAnswer).toISOString().slice(11, 19);
    return say(`The console does not answer since ${since} UTC: what is shown here may be out of date.`);
  }

  setInterval(beat, POLL);

  // --- Ages ---------------------------------------------------------------------------------------------

  function duration(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    if (whole < 120) return `${whole} s`;
    if (whole < 7200) return `${Math.floor(whole / 60)} min`;
    if (whole < 172800) return `${Math.floor(whole / 3600)} h`;
    return `${Math.floor(whole / 86400)} d`;
  }

  const WORDS = {
    ago: (seconds) => `${duration(seconds)} ago`,
    for: (seconds) => duration(seconds),
    in: (seconds) => (seconds < 0 ? `in ${duration(-seconds)}` : "now"),
  };

  setInterval(() => {
    document.querySelectorAll("time[data-time]").forEach((time) => {
      const words = WORDS[time.dataset.time]((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== words) time.textContent = words;
    });
  }, 1000);

  // The exact time on hover and focus, in the reader's own zone; the server knows UTC only.
  const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  document.addEventListener("pointerover", (event) => {
    const time = event.target.closest?.("time[datetime]");
    if (!time || time.dataset.exact) return;
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    time.dataset.exact = "1";
    time.title = `${EXACT.format(at)}\n${time.title}`;
  });

  // --- Dialog -------------------------------------------------------------------------------------------

  let opener = "";

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target === dialog && !dialog.open) opener = event.detail.elt.id;
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target === dialog && !dialog.open) dialog.showModal();
  });

  document.addEventListener("closeDialog", () => dialog.close());

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-close-dialog]")) dialog.close();
  });

  dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    // The row may have been exchanged meanwhile: the button is found again by its id.
    document.getElementById(opener)?.focus();
  });

  // --- Saying things ------------------------------------------------------------------------------------

  function toast(text, tone) {
    const line = document.createElement("p");
    line.className = `toast ${tone}`;
    line.textContent = text;
    document.getElementById("toasts").append(line);
    setTimeout(() => line.remove(), tone === "bad" ? 15000 : 6000);
  }

  document.addEventListener("toast", (event) => toast(event.detail.text, event.detail.tone));

  // What lies behind a modal dialog is dimmed, and no screen reader gets there: an open one says itself what went wrong.
  function complain(sentence) {
    if (!dialog.open) {
      toast(sentence, "bad");
      return;
    }
    dialog.querySelector("[data-complaint]")?.remove();
    const line = document.createElement("p");
    line.className = "problem";
    line.dataset.complaint = "";
    line.setAttribute("role", "alert");
    line.textContent = sentence;
    dialog.prepend(line);
    dialog.scrollTop = 0;
  }

  function isAskedByHand(event) {
    return !event.detail.requestConfig.elt.hasAttribute("data-live");
  }

  // The answer is lost, not the request: its key makes sure that the same one is never done twice.
  function whatIsLost(event) {
    return event.detail.requestConfig.verb === "get"
      ? "Nothing was done; try again in a moment."
      : "What you asked for may have been accepted or not; sent again, it is never done twice.";
  }

  // Nobody asked for a poll: when one can't be sent, the banner says so in time.
  document.addEventListener("htmx:sendError", (event) => {
    if (isAskedByHand(event)) complain(`The console can’t be reached. ${whatIsLost(event)}`);
  });

  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (!isAskedByHand(event)) {
      if (status === 403) giveUp("You may no longer see this, so nothing here is up to date.");
      return;
    }
    if (status >= 500) {
      complain(`The console failed (${status}). ${whatIsLost(event)}`);
      return;
    }
    const why = { 403: "You may not do this", 404: "This is gone" }[status] || `The console refused (${status})`;
    complain(`${why}. Nothing was done; load the page again.`);
  });

  // The button that was pressed was disabled meanwhile, which took the focus from it.
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful || !dialog.contains(event.detail.elt) || dialog.contains(document.activeElement)) return;
    dialog.querySelector("[data-confirm]")?.focus({ preventScroll: true });
  });

  // --- Keys and theme -----------------------------------------------------------------------------------

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    }
  });

  const toggle = document.querySelector("[data-theme-toggle]");

  function showTheme() {
    const label = document.createElement("span");
    label.className = "label"; // where it is narrow, for those only who do not see the value beside it
    label.textContent = "Theme: ";
    toggle.replaceChildren(label, document.documentElement.dataset.theme || "system");
    toggle.hidden = false;
  }

  toggle.addEventListener("click", () => {
    const next = { "": "light", light: "dark", dark: "" }[document.documentElement.dataset.theme || ""];
    if (next) document.documentElement.dataset.theme = next;
    else delete document.documentElement.dataset.theme;
    if (next) localStorage.setItem("theme", next);
    else localStorage.removeItem("theme");
    showTheme();
  });

  showTheme();

  // On a phone the main navigation is one line that scrolls: it begins at the page that one is on.
  const nav = document.querySelector(".top-nav");
  const current = nav?.querySelector("[aria-current]");
  if (current) nav.scrollLeft = current.offsetLeft - nav.offsetLeft - (nav.clientWidth - current.clientWidth) / 2;
})();
