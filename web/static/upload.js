// Uploads of the page that adds pins: by drop, with progress, and to be cancelled. Without this
// the form is sent as any other.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const form = $("upload"), drop = $("drop");
  if (!form) return;
  const say = (text) => { $("say").textContent = text; };
  const size = (n) => {
    let unit = 0;
    while (n >= 1024 && unit < 5) { n /= 1024; unit++; }
    return `${n < 10 && unit ? n.toFixed(1) : Math.round(n)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
  };
  const count = (n) => (n === 1 ? "1 file" : `${n} files`);

  // What was dropped or chosen, as a list of {path, file}.
  async function walk(entry, at, list) {
    const path = at ? `${at}/${entry.name}` : entry.name;
    if (entry.isFile) {
      list.push({ path, file: await new Promise((ok, bad) => entry.file(ok, bad)) });
      return;
    }
    const reader = entry.createReader();
    for (;;) { // it gives a hundred at a time
      const some = await new Promise((ok, bad) => reader.readEntries(ok, bad));
      if (some.length === 0) return;
      for (const e of some) await walk(e, path, list);
    }
  }
  async function dropped(items, files) {
    const entries = [...items].map((i) => i.webkitGetAsEntry && i.webkitGetAsEntry()).filter(Boolean);
    const list = [];
    if (entries.length === 0) for (const file of files) list.push({ path: file.name, file });
    for (const e of entries) await walk(e, "", list);
    return list;
  }
  // What is chosen so far, in place of the first hint.
  const hint = $("drop-hint"), first = hint.textContent;
  function tell() {
    const n = chosen().length;
    hint.textContent = n ? `${count(n)} chosen. Press Upload to send them.` : first;
  }
  function chosen() {
    const list = [];
    for (const file of $("files").files) list.push({ path: file.name, file });
    for (const file of $("folder").files) list.push({ path: file.webkitRelativePath || file.name, file });
    return list;
  }

  let request;
  function send(list) {
    if (request) return;
    if (list.length === 0) {
      show("", "No file was chosen: choose some, or drop them here. A folder without files is nothing to pin.");
      return;
    }
    // Files of one directory one after the other.
    list.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
    const tops = new Set(list.map((f) => f.path.split("/")[0]));
    const body = new FormData();
    body.append("name", $("upload-name").value);
    if (form.elements.car.checked && list.length === 1) body.append("car", "yes");
    if (tops.size > 1) {
      body.append("wrap", "yes");
      body.append("tops", tops.size); // the server knows only the first, when it names the pin
    }
    for (const f of list) body.append("path", f.file, encodeURIComponent(f.path));
    const total = list.reduce((n, f) => n + f.file.size, 0);
    const what = tops.size === 1 ? [...tops][0] : count(list.length), are = tops.size === 1 ? "is" : "are";

    request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    const began = performance.now();
    request.upload.onprogress = (e) => {
      const rate = e.loaded / ((performance.now() - began) / 1000);
      $("sending-bar").value = e.total ? (e.loaded / e.total) * 100 : 0;
      $("sending-state").textContent = `${size(Math.min(e.loaded, total))} of ${size(total)}, ${size(rate)}/s`;
    };
    request.upload.onload = () => {
      $("sending-bar").removeAttribute("value");
      $("sending-state").textContent = "All is sent. The server stores and checks it.";
    };
    request.onload = () => {
      const answer = request.response || {};
      if (request.status === 200 && answer.cid) show(answer.page, "", answer.cid, what, are);
      else show("", answer.error || `The server answers ${request.status}.`);
    };
    request.onerror = () => show("", "The connection broke: only files that were pinned before that are kept. Try again.");
    request.onabort = () => show("", "Cancelled. Nothing of it is kept.");
    request.onloadend = () => {
      request = null;
      $("sending").hidden = true;
      form.hidden = false;
    };
    $("sent").hidden = true;
    $("sending-what").textContent = what;
    $("sending-state").textContent = "";
    $("sending-bar").value = 0;
    $("sending").hidden = false;
    form.hidden = true;
    $("sending-cancel").focus();
    say(`Uploading ${what}`);
    request.send(body);
  }

  // show says how it ended: an error, or the CID.
  function show(page, error, cid, what, are) {
    const box = $("sent");
    box.textContent = "";
    const p = document.createElement("p");
    p.className = error ? "notice bad" : "notice good";
    p.setAttribute("role", error ? "alert" : "status");
    if (error) p.append(error);
    else {
      const link = document.createElement("a"), code = document.createElement("code"), copy = document.createElement("button");
      link.href = page;
      link.textContent = what;
      code.textContent = cid;
      copy.type = "button";
      copy.className = "copy quiet";
      copy.dataset.copy = cid;
      copy.setAttribute("aria-label", "Copy the CID");
      copy.textContent = "Copy";
      p.append(link, ` ${are} pinned: `, code, " ", copy);
      form.reset();
      tell();
    }
    box.append(p);
    box.hidden = false;
    if (!error) setTimeout(() => $("sent").querySelector("a").focus());
  }

  form.addEventListener("submit", (e) => { e.preventDefault(); send(chosen()); });
  $("sending-cancel").addEventListener("click", () => request && request.abort());
  for (const id of ["files", "folder"]) $(id).addEventListener("change", tell);
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (e) => { e.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (e) => {
    e.preventDefault();
    try {
      send(await dropped(e.dataTransfer.items, e.dataTransfer.files));
    } catch (err) {
      show("", `The browser cannot read what was dropped: ${err.message}`);
    }
  });
  // What is dropped beside the zone is not opened in place of the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (e) => e.preventDefault());
})();
