// More panels, and the feed that moves them.

const BUCKETS = ["0.1", "0.3", "1", "3", "10", "30", "100", "300", "1 s", "3 s", "more"];
const LATENCIES = { events: "Events", commits: "Commits", sends: "Sends" };
const page = { figures: null, history: [], source: null, paused: false, hiding: null };

function showLatency(figures) {
  keep($("lat"), Object.entries(LATENCIES), ([key]) => key, ([, name]) => make("div", { class: "lat" },
    make("h3", {}, name),
    make("dl", { class: "lat-figs" }, ...["Median", "95 %", "Longest"].map((word) => make("div", {}, make("dt", {}, word), make("dd", {}, "–")))),
    draw("svg", { class: "bars", viewBox: "0 0 320 112", role: "img" },
      draw("line", { x1: 0, x2: 320, y1: 90.5, y2: 90.5, class: "base" }),
      ...BUCKETS.flatMap((label, i) => [draw("rect", { x: i * 29 + 4, width: 22, rx: 2.5 }), draw("text", { x: i * 29 + 15, class: "n" }), draw("text", { x: i * 29 + 15, y: 106 }, label)]))),
  (view, [key, name]) => {
    const seen = figures.latency[key];
    const [, figs, svg] = view.children;
    [seen.p50, seen.p95, seen.max].forEach((value, i) => setText(figs.children[i].lastChild, seconds(value)));
    const most = Math.max(1, ...seen.buckets);
    seen.buckets.forEach((n, i) => {
      const height = n ? Math.max(2.5, (n / most) * 70) : 0;
      const [bar, top] = [svg.children[1 + i * 3], svg.children[2 + i * 3]];
      setAttribute(bar, "y", 90 - height); setAttribute(bar, "height", height);
      setAttribute(top, "y", 85 - height); setText(top, n || "");
    });
    const parts = seen.buckets.map((n, i) => (n ? `${n} up to ${BUCKETS[i]}${i < 8 ? " ms" : ""}` : "")).filter(Boolean);
    setAttribute(svg, "aria-label", `${name}, ${plural(seen.count, "sample")}: ${parts.join(", ") || "none yet"}`);
  });
}

function showTables(figures) {
  $("tables-panel").hidden = !figures.tables.length;
  keep($("tables"), figures.tables, (table) => table.name, (table) => make("article", { class: "card" },
    make("div", { class: "card-head" }, make("h3", {}, table.name), make("p", { class: "num" }, make("span"), make("small"))),
    make("p", { class: "sub" }), make("p", { class: "facts" }, ...["read", "written", "deleted"].map((word) => make("span", {}, make("b"), ` ${word}`))),
    make("div", { class: "progress", hidden: true }, make("p"), make("div", { class: "track" }, make("div"))),
    make("ul", { class: "cells", "aria-label": `Partitions of ${table.name}` })),
  (card, table) => {
    const [head, sub, facts, progress, cells] = card.children;
    setText(head.lastChild.firstChild, `${table.estimated ? "≈ " : ""}${count(table.entries)}`);
    const word = table.kind === "SetTable" ? "member" : "key";
    setText(head.lastChild.lastChild, table.entries === 1 ? word : `${word}s`);
    setText(sub, [table.kind, `${table.store}://`, table.window, table.help.split("\n")[0]].filter(Boolean).join(" · "));
    [table.read, table.written, table.deleted].forEach((value, i) => setText(facts.children[i].firstChild, count(value)));
    const moving = table.partitions.filter((row) => known(row.recovered));
    progress.hidden = !moving.length;
    if (moving.length) {
      const done = table.partitions.filter((row) => !row.standby);
      const share = done.reduce((s, row) => s + (row.recovered ?? (row.ready ? 1 : 0)), 0) / Math.max(1, done.length);
      setText(progress.firstChild, `Recovering: ${Math.floor(share * 100)} %, ${count(sum(moving.map((row) => row.to_go)))} records to go`);
      progress.lastChild.firstChild.style.width = `${share * 100}%`;
    }
    keep(cells, table.partitions, (row) => row.partition, () => make("li"), (cell, row) => {
      const role = known(row.recovered) ? "recovering" : row.standby ? "standby" : row.ready ? "active" : "waiting";
      setAttribute(cell, "class", `cell ${role}`);
      setAttribute(cell, "title", `Partition ${row.partition}: ${role}, ${plural(row.entries, "entr").replace(/entrs$/, "entries").replace(/entr$/, "entry")}${row.standby && row.to_go ? `, ${count(row.to_go)} behind` : ""}`);
      setText(cell, row.partition);
    });
  });
}

function showWorkers(figures) {
  const peers = new Map(figures.peers.map((peer) => [peer.url, peer]));
  const all = figures.workers.map((worker) => ({ ...worker, ...(worker.here ? { state: figures.app.state, reasons: figures.app.reasons || [] } : peers.get(worker.url) || { state: "asked", reasons: [] }) }));
  for (const peer of figures.peers) if (!figures.workers.some((worker) => worker.url === peer.url)) all.push({ ...peer, owns: {}, here: false, leader: false });
  keep($("workers"), all, (worker) => worker.url, (worker) => make("article", { class: "card worker", "data-url": worker.url },
    make("div", { class: "card-head" }, make("h3", {}, host(worker.url)), make("span", { class: "tag" })),
    make("p", { class: "is" }, make("span", { class: "dot", "aria-hidden": "true" }), make("span")),
    make("p", { class: "facts" }), make("div", { class: "owns" })),
  (card, worker) => {
    setAttribute(card, "data-state", worker.state);
    const [head, is, facts, owns] = card.children;
    const tags = [worker.here && "this worker", worker.leader && "leader"].filter(Boolean).join(" · ");
    setText(head.lastChild, tags); head.lastChild.hidden = !tags;
    setText(is.lastChild, workerWords(worker));
    const rows = figures.partitions.filter((row) => row.worker === worker.url);
    const words = worker.state === "left" ? [] : [[count(rows.length), rows.length === 1 ? "partition" : "partitions"], [count(sum(rows.map((row) => row.lag))), "lag"], [`${rate(sum(rows.map((row) => row.rate)))}/s`, ""]];
    keep(facts, words.entries(), ([i]) => i, () => make("span", {}, make("b"), make("span")), (view, [, [value, name]]) => { setText(view.firstChild, value); setText(view.lastChild, name && ` ${name}`); });
    facts.hidden = !words.length;
    const changelogs = new Set(figures.tables.map((table) => table.changelog));
    const topics = Object.entries(worker.owns).filter(([topic]) => !changelogs.has(topic));
    owns.hidden = !topics.length;
    keep(owns, topics, ([topic]) => `${topic} ${labelOf(topic)}`, ([topic]) => make("div", {}, make("p", { class: "sub", title: topic }, labelOf(topic)), make("ul", { class: "cells", "aria-label": `Partitions of ${topic}` })), (view, [, numbers]) => {
      keep(view.lastChild, numbers, (n) => n, (n) => make("li", {}, `${n}`), (cell) => setAttribute(cell, "class", worker.state === "silent" ? "cell" : "cell active"));
    });
  });
  const silent = all.filter((worker) => worker.state === "silent").length;
  const present = all.filter((worker) => worker.state !== "left").length;
  setText($("workers-aside"), silent ? `${plural(silent, "worker")} without an answer` : plural(present, "worker"));
}

function workerWords(worker) {
  if (worker.state === "silent") return `No answer for ${ago(worker.silent_for)}`;
  if (worker.state === "left") return `Left the group ${ago(worker.left_for)} ago`;
  const why = worker.reasons.length ? `: ${worker.reasons[0]}` : "";
  return `${STATES[worker.state] || worker.state}${worker.state === "ready" ? "" : why}`;
}

function showErrors(figures) {
  const errors = [...(figures.errors || [])].reverse();
  $("no-errors").hidden = Boolean(errors.length);
  keep($("errors"), errors, (error) => error.number, (error) => make("li", { "data-state": error.level },
    make("time", { datetime: new Date(error.at * 1000).toISOString() }, new Date(error.at * 1000).toLocaleTimeString("en-GB")),
    make("span", { class: "level" }, sentence(error.level)),
    make("div", { class: "text" }, error.message, make("div", { class: "logger" }, error.logger))), () => {});
}

function show(figures) {
  page.figures = figures;
  showTop(figures);
  showState(figures.app.state);
  if (!figures.totals || !figures.latency) return;
  showHeads(figures, page.history);
  showGraphFigures(figures);
  showPartitions(figures);
  showLatency(figures);
  showTables(figures);
  showWorkers(figures);
  showErrors(figures);
  setText($("foot"), `Updated ${new Date(figures.at * 1000).toLocaleTimeString("en-GB")}. Rates and lag are of the whole group, latencies, tables and errors of this worker.`);
}

function listen() {
  if (page.source || page.paused) return;
  const source = page.source = new EventSource("events");
  source.addEventListener("history", (event) => { page.history = JSON.parse(event.data); });
  source.addEventListener("graph", (event) => {
    const { nodes, edges } = JSON.parse(event.data);
    Object.assign(graph, { nodes, edges });
    drawGraph();
    if (page.figures) showGraphFigures(page.figures);
  });
  source.addEventListener("figures", (event) => {
    const figures = JSON.parse(event.data);
    const last = page.history[page.history.length - 1];
    if (!last || last[0] !== figures.at) page.history = [...page.history, [figures.at, figures.totals.events_s, figures.totals.sent_s, figures.totals.lag, figures.totals.active]].slice(-180);
    show(figures);
  });
  source.addEventListener("error", () => {
    showState("lost");
    if (source.readyState === EventSource.CLOSED) { hush(); setTimeout(listen, 3000); }
  });
}

function hush() {
  if (page.source) page.source.close();
  page.source = null;
}

function begin() {
  const legend = [["topic", "Topics"], ["repartition", "Repartitions"], ["agent", "Agents"], ["table", "Tables"], ["task", "Tasks"]];
  $("legend").append(...legend.map(([kind, name]) => make("li", { "data-kind": kind }, icon(kind, 15), name)));
  $("pause").addEventListener("click", () => {
    page.paused = !page.paused;
    setAttribute($("pause"), "aria-pressed", String(page.paused));
    setText($("pause"), page.paused ? "Resume" : "Pause");
    if (page.paused) hush(); else listen();
  });
  dress();
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (width === window.innerWidth) return;
    width = window.innerWidth;
    drawGraph();
    if (page.figures) showGraphFigures(page.figures);
  });
  document.addEventListener("visibilitychange", () => { // nobody looks: the worker need not tell
    clearTimeout(page.hiding);
    if (document.hidden) page.hiding = setTimeout(hush, 10000); else listen();
  });
  listen();
}

function dress() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const themes = ["system", "light", "dark"];
  let theme = "system";
  try { theme = localStorage.getItem("faust-theme") || theme; } catch { /* private windows may refuse */ }
  const put = () => {
    document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
    setText($("theme"), `Theme: ${theme}`);
  };
  $("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try { localStorage.setItem("faust-theme", theme); } catch { /* as above */ }
    put();
  });
  dark.addEventListener("change", put);
  put();
}

begin();
