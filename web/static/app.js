// What the pages of Holdfast do beside htmx: live updates, copying, times in the reader's zone,
// dialogs. Every page works without this.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const $ = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const say = (text) => { $("#say").textContent = text; };

  // Times, in the reader's zone. The exact one is the title.
  const near = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  function localTimes(from) {
    for (const t of all("time[datetime]", from)) {
      const at = new Date(t.dateTime);
      if (isNaN(at)) continue;
      t.textContent = near.format(at);
      t.title = `${exact.format(at)} (${t.dateTime})`;
    }
  }

  // One stream a page keeps what moves up to date. It is closed while nobody sees the page.
  let stream, streamed;
  function watch() {
    const host = document.hidden ? null : $("[data-live]");
    const url = host && host.dataset.live;
    if (url === streamed) return;
    if (stream) stream.close();
    stream = null;
    streamed = url;
    if (!url) return;
    stream = new EventSource(url);
    stream.addEventListener("element", (e) => replace(e.data));
    stream.addEventListener("newer", (e) => newer(Number(e.data)));
    stream.addEventListener("over", (e) => {
      stream.close();
      const note = document.createElement("p");
      note.className = "notice wait";
      note.textContent = `This page is not live any more: ${e.data}`;
      $("#main").prepend(note);
      say(note.textContent);
    });
  }

  // replace puts the elements of a piece of HTML in place of those with the same ids.
  const late = new Map();
  document.addEventListener("focusout", () => setTimeout(() => {
    const waiting = [...late.values()];
    late.clear();
    put(waiting);
  }));
  function replace(html) {
    const box = document.createElement("template");
    box.innerHTML = html;
    put([...box.content.children]);
  }
  function put(elements) {
    for (const fresh of elements) {
      const old = document.getElementById(fresh.id);
      if (!old || old.outerHTML === fresh.outerHTML) continue;
      // What has the focus keeps it, if it is still there. Else this waits until it has lost it.
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const next = focused && focused.id && fresh.querySelector(`#${CSS.escape(focused.id)}`);
      late.delete(old.id);
      if (focused && !next) {
        late.set(old.id, fresh);
        continue;
      }
      for (const d of all("details[id][open]", old)) {
        const same = fresh.querySelector(`#${CSS.escape(d.id)}`);
        if (same) same.open = true;
      }
      const was = $(".badge", old), is = $(".badge", fresh);
      old.replaceWith(fresh);
      if (next) next.focus();
      localTimes(fresh);
      htmx.process(fresh);
      if (was && is && was.textContent !== is.textContent) {
        const name = $("a", fresh.parentElement);
        say(`${name ? name.textContent : document.title}: ${is.textContent}`);
        if (fresh.dataset.reload !== undefined) reload();
      }
    }
  }

  // reload loads the page again. The server says a notice once, so the next page gets it from this one.
  function reload() {
    const note = $("#notice");
    if (note) sessionStorage.setItem("notice", note.textContent);
    location.reload();
  }
  function keepNotice() {
    const text = sessionStorage.getItem("notice");
    sessionStorage.removeItem("notice");
    if (!text || $("#notice")) return;
    const note = document.createElement("p");
    note.id = "notice";
    note.className = "notice good";
    note.setAttribute("role", "status");
    note.textContent = text;
    $("#main").prepend(note);
  }

  function newer(n) {
    const note = $(".newer");
    if (!note) return;
    note.hidden = n === 0;
    $(".number", note).textContent = n === 1 ? "1 pin was added" : `${n} pins were added`;
  }

  document.addEventListener("visibilitychange", watch);

  // Removals that can be undone.
  function countDown(from) {
    for (const note of all(".leaving[data-until]", from)) {
      let left = Number(note.dataset.until);
      delete note.dataset.until;
      const tick = setInterval(() => {
        left--;
        if (left > 0) {
          $(".countdown", note).textContent = ` in ${left} s`;
          return;
        }
        clearInterval(tick);
        note.remove();
      }, 1000);
    }
  }

  document.addEventListener("click", async (e) => {
    const copy = e.target.closest("[data-copy]");
    if (copy) {
      const done = await copyText(copy.dataset.copy);
      const was = copy.textContent;
      copy.textContent = done ? "Copied" : "Press Ctrl+C";
      say(done ? "Copied" : "The browser does not let this page copy");
      setTimeout(() => { copy.textContent = was; }, 1500);
      return;
    }
    const close = e.target.closest("[data-close]");
    if (close && close.closest("dialog")) {
      e.preventDefault();
      close.closest("dialog").close();
    }
  });

  // Without TLS browsers have no clipboard for pages, other than for what is selected.
  async function copyText(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const box = document.createElement("textarea");
      box.value = text;
      box.className = "unseen";
      ($("dialog[open]") || document.body).append(box);
      const back = document.activeElement;
      box.select();
      const done = document.execCommand("copy");
      box.remove();
      if (back) back.focus();
      return done;
    }
  }

  // Selecting pins.
  function selected() {
    const n = all("#bulk input[name=id]:checked").length;
    const note = $("#selected");
    if (note) note.textContent = n ? `${n} selected` : "";
    const boxes = all("#bulk input[name=id]").length, box = $("#all");
    if (box) {
      box.checked = n > 0 && n === boxes;
      box.indeterminate = n > 0 && n < boxes;
    }
  }
  document.addEventListener("change", (e) => {
    if (e.target.id === "all") {
      for (const box of all("#bulk input[name=id]")) box.checked = e.target.checked;
    }
    selected();
  });

  // Questions open in a dialog.
  document.addEventListener("htmx:afterSwap", (e) => {
    if (e.target.id === "ask-body") {
      localTimes(e.target);
      $("#ask").showModal();
      return;
    }
    start(e.target.isConnected ? e.target : document);
    const list = $("#list");
    if (list && e.detail.requestConfig && e.detail.requestConfig.target === e.target && list.dataset.say) say(list.dataset.say);
  });
  document.addEventListener("htmx:sendError", () => say("The server does not answer"));

  function start(from) {
    localTimes(from);
    countDown(from);
    selected();
    watch();
  }
  keepNotice();
  start(document);
})();
