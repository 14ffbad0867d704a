// The plots of the server's last hour and day, by uPlot.
"use strict";
(() => {
  const box = document.getElementById("plots");
  if (!box) return;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  function size(n) {
    let i = 0;
    while (Math.abs(n) >= 1024 && i < units.length - 1) { n /= 1024; i++; }
    return `${n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
  }
  const count = (n) => n.toLocaleString();
  // Bytes since the start become bytes a second. A restart makes them fall.
  const rate = (field) => (s, before) => {
    const seconds = before ? (Date.parse(s.time) - Date.parse(before.time)) / 1000 : 0;
    return seconds > 0 && s[field] >= before[field] ? (s[field] - before[field]) / seconds : null;
  };
  const is = (field) => (s) => s[field];
  const plots = [
    { title: "Pins", show: count, series: [["pinned", is("pinned"), "--good"], ["pinning", is("pinning"), "--move"], ["queued", is("queued"), "--wait"], ["failed", is("failed"), "--bad"]] },
    { title: "Blocks in and out", show: (n) => `${size(n)}/s`, series: [["in", rate("received"), "--move"], ["out", rate("served"), "--accent"]] },
    { title: "Disk", show: size, series: [["database", is("disk"), "--accent"], ["free", is("free"), "--dim"]] },
    { title: "Memory", show: size, series: [["heap", is("memory"), "--move"]] },
    { title: "Peers", show: count, series: [["connected", is("peers"), "--accent"]] },
  ];
  let span = "hour", drawn = [];

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const sizes = Array.from({ length: 60 }, (_, i) => 2 ** i);
  const minute = 60;
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360].map((n) => n * minute); // the clock shows no seconds
  const counts = Array.from({ length: 12 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

  const sizeIn = (element) => ({ width: Math.max(200, element.clientWidth), height: 180 });

  function draw(samples) {
    for (const plot of drawn) plot.destroy();
    const times = samples.map((s) => Date.parse(s.time) / 1000);
    // All figures first: how wide one is depends on how many there are.
    const figures = plots.map((p) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = p.title;
      const target = document.createElement("div");
      target.setAttribute("role", "img");
      figure.append(caption, target);
      return figure;
    });
    box.replaceChildren(...figures);
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
    drawn = plots.map((p, n) => {
      const target = figures[n].lastChild;
      const data = [times, ...p.series.map(([, value]) => samples.map((s, i) => value(s, samples[i - 1])))];
      const last = data.map((values) => values.findLast((v) => v !== null) ?? 0);
      target.setAttribute("aria-label", `${p.title}: now ${p.series.map(([name], i) => `${name} ${p.show(last[i + 1])}`).join(", ")}`);
      // The legend has what is under the pointer, and else what is last.
      const legend = (show) => (u, v, i) => {
        if (u.cursor.idx == null) return samples.length ? show(last[i]) : "";
        return v == null ? "" : show(v);
      };
      const at = (t) => clock.format(new Date(t * 1000));
      return new uPlot({
        ...sizeIn(target), cursor: { drag: { x: false, y: false } },
        scales: { x: { range: (u, low, high) => [Math.min(low, high - 5 * minute), high] }, y: { range: (u, low, high) => [0, Math.max(high * 1.05, 1)] } },
        axes: [
          { ...axis, space: 70, incrs: steps, values: (u, ticks) => ticks.map(at) },
          { ...axis, size: 80, incrs: p.show === count ? counts : sizes, values: (u, ticks) => ticks.map(p.show) },
        ],
        series: [
          { label: "at", value: legend(at) },
          ...p.series.map(([name, , c]) => ({ label: name, stroke: color(c), width: 1.5, points: { size: 4 }, value: legend(p.show) })),
        ],
      }, data, target);
    });
  }

  async function load() {
    if (document.hidden) return;
    try {
      const answer = await fetch(`${box.dataset.history}?of=${span}`, { headers: { Accept: "application/json" } });
      if (answer.ok) draw((await answer.json()).samples);
    } catch { /* the next time */ }
  }

  for (const button of document.querySelectorAll("[data-span]")) {
    button.addEventListener("click", () => {
      span = button.dataset.span;
      for (const b of document.querySelectorAll("[data-span]")) b.setAttribute("aria-pressed", String(b === button));
      load();
    });
  }
  addEventListener("resize", () => { for (const plot of drawn) plot.setSize(sizeIn(plot.root.parentElement)); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", load);
  document.addEventListener("visibilitychange", load);
  setInterval(load, 10000);
  load();
})();
