// The panels: each takes the figures as they came and brings one part of the page up to date.

const HEADS = [
  { key: "events", name: "Events", unit: "/s", column: 1, value: (f) => rate(f.totals.events_s), more: (f) => `${count(f.totals.events)} since the start` },
  { key: "sent", name: "Messages sent", unit: "/s", column: 2, value: (f) => rate(f.totals.sent_s), more: (f) => (f.totals.send_errors ? `${count(f.totals.send_errors)} not delivered` : `${count(f.totals.sent)} since the start`) },
  { key: "lag", name: "Lag of the group", unit: "", column: 3, value: (f) => count(f.totals.lag), more: (f) => plural(f.partitions.length, "partition") },
  { key: "active", name: "In hand", unit: "", column: 4, value: (f) => count(f.totals.active), more: (f) => plural(f.totals.rebalances ?? 0, "rebalance") },
];

function showHeads(figures, history) {
  keep($("heads"), HEADS, (head) => head.key, (head) => make("div", { class: "head" },
    make("h2", {}, head.name), make("p", { class: "big", id: `head-${head.key}` }, make("span"), make("small", {}, head.unit)),
    make("p", { class: "more" }),
    draw("svg", { class: "spark", viewBox: "0 0 100 40", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("path", { class: "area" }), draw("path", { class: "line" }))),
  (view, head) => {
    setText(view.children[1].firstChild, head.value(figures));
    setText(view.children[2], head.more(figures));
    spark(view.lastChild, history.map((sample) => sample[head.column]));
  });
}

function spark(svg, values) {
  const step = 100 / Math.max(59, values.length - 1);
  const points = values.map((value, i) => [100 - (values.length - 1 - i) * step, known(value) ? value : 0]);
  const most = Math.max(1, ...points.map(([, value]) => value));
  const line = points.map(([x, value]) => `${x.toFixed(2)} ${(37 - (value / most) * 31).toFixed(2)}`);
  setAttribute(svg.lastChild, "d", points.length > 1 ? `M${line.join("L")}` : "");
  setAttribute(svg.firstChild, "d", points.length > 1 ? `M${points[0][0].toFixed(2)} 40L${line.join("L")}L100 40z` : "");
}

const STATES = {
  ready: "Ready", recovery: "Recovering", rebalance: "Rebalancing", starting: "Starting", stalled: "Stalled", dead: "Failed", blocked: "Blocked",
  "not ready": "Not ready", silent: "No answer", left: "Left the group", asked: "Asking",
};

function showTop(figures) {
  const { app } = figures;
  setText($("app"), app.id);
  document.title = `${app.id} · faust`;
  const about = [`faust ${app.faust}`, ...(app.broker || []), app.url, `process ${app.pid}`];
  keep($("about"), about.entries(), ([i]) => i, () => make("span"), (view, [, words]) => setText(view, words));
  const reasons = app.state === "blocked" ? ["The event loop of this worker is blocked: the figures are the last ones it gave."] : app.reasons || [];
  const silent = (figures.peers || []).filter((peer) => peer.state === "silent").map((peer) => `worker ${host(peer.url)} has not answered for ${ago(peer.silent_for)}`);
  const lines = [...reasons, ...(app.recovery && app.state === "recovery" ? [app.recovery] : []), ...silent];
  const notice = $("notice");
  notice.hidden = !lines.length;
  setAttribute(notice, "data-state", silent.length ? "silent" : app.state);
  keep(notice, lines.entries(), ([i]) => i, () => make("p"), (view, [, words]) => setText(view, sentence(words)));
}

function showState(state) {
  setAttribute($("state"), "data-state", state);
  setText($("state-text"), state === "lost" ? "Connection lost, trying again" : STATES[state] || state);
}

function sentence(words) { return words.charAt(0).toUpperCase() + words.slice(1); }

function host(url) { return url.replace(/^\w+:\/\//, "").replace(/\/$/, ""); }

// Workers of one machine differ by their ports only.
function worker(url) {
  const machines = new Set(page.figures.workers.map((other) => host(other.url).replace(/:\d+$/, "")));
  return machines.size === 1 ? host(url).replace(/^.*(?=:\d+$)/, "") : host(url);
}

function labelOf(topic) {
  const view = graph.views.get(`topic:${topic}`);
  return view ? view.node.label : topic;
}

function showGraphFigures(figures) {
  const topics = new Map();
  for (const row of figures.partitions) {
    const topic = topics.get(row.topic) || { lag: [], rate: [], stalled: false };
    topics.set(row.topic, topic);
    topic.lag.push(row.lag); topic.rate.push(row.rate); topic.stalled = topic.stalled || Boolean(row.stalled);
  }
  const agents = new Map(figures.agents.map((agent) => [agent.name, agent]));
  const tables = new Map(figures.tables.map((table) => [table.name, table]));
  const flows = new Map();
  for (const [id, { node, group, sub, alarm }] of graph.views) {
    let words = ""; let moving = 0; let bad = false;
    if (node.kind === "agent") {
      const agent = agents.get(node.name);
      const read = agent ? agent.topics.map((name) => topics.get(name)).filter(Boolean) : [];
      const whole_ = read.length ? sum(read.map((topic) => sum(topic.rate))) : agent && agent.rate;
      moving = whole_ ?? 0; bad = read.some((topic) => topic.stalled);
      words = `${rate(whole_)}/s`;
      if (agent && agent.actors > 1) words += ` · ${agent.actors} actors`;
    } else if (node.kind === "table") {
      const table = tables.get(node.name);
      words = table ? `${table.estimated ? "about " : ""}${plural(table.entries, table.kind === "SetTable" ? "member" : "key")}` : "";
    } else if (node.kind === "task") { words = "task"; } else {
      const topic = topics.get(node.name);
      moving = topic ? sum(topic.rate) ?? 0 : figures.sent[node.name] ?? 0; bad = Boolean(topic && topic.stalled);
      words = topic ? `${rate(moving)}/s · lag ${count(sum(topic.lag))}` : node.kind === "channel" ? "this worker" : `${rate(moving)}/s sent`;
    }
    flows.set(id, moving);
    setText(sub, words);
    setAttribute(alarm, "visibility", bad ? "visible" : "hidden");
    setAttribute(group, "aria-label", `${WORDS[node.kind]} ${node.name}, ${words}${bad ? ", stalled" : ""}`);
  }
  for (const line of graph.lines) {
    const on = line.how !== "uses" && (flows.get(line.how === "reads" ? line.source : line.target) ?? 0) > 0;
    line.pulse.classList.toggle("on", on);
  }
}

const COLUMNS = [
  ["Partition", "", (row) => `${row.partition}`], ["Worker", "wide", (row) => worker(row.worker)],
  ["Delivered", "wide", (row) => count(row.delivered)], ["Committed", "wide", (row) => count(row.committed)],
  ["End", "wide", (row) => count(row.end)], ["Lag", "", (row) => count(row.lag)], ["Rate", "", (row) => `${rate(row.rate)}/s`],
];
const folded = new Map();

function showPartitions(figures) {
  const place = $("parts");
  if (!place.firstChild) {
    place.append(make("table", {}, make("thead", {}, make("tr", {}, ...COLUMNS.map(([name, cls]) => make("th", { class: cls || null, scope: "col" }, name))))),
      make("p", { class: "empty" }, "No partitions yet."));
  }
  const topics = new Map();
  for (const row of figures.partitions) (topics.get(row.topic) || topics.set(row.topic, []).get(row.topic)).push(row);
  const table = place.firstChild;
  table.hidden = !topics.size;
  place.lastChild.hidden = Boolean(topics.size);
  const few = figures.partitions.length <= 16;
  const bodies = table.bodies || (table.bodies = { insertBefore: (child, next) => table.insertBefore(child, next || null), get firstChild() { return table.children[1] || null; } });
  keep(bodies, [...topics].sort(([a], [b]) => a.localeCompare(b)), ([topic]) => topic, ([topic]) => topicBody(topic), (body, [topic, rows]) => {
    const open = folded.get(topic) ?? (few || rows.some((row) => row.stalled));
    const button = body.firstChild.querySelector("button");
    setAttribute(button, "aria-expanded", String(open));
    const cells = body.firstChild.children;
    ["", sum(rows.map((r) => r.delivered)), sum(rows.map((r) => r.committed)), sum(rows.map((r) => r.end)), sum(rows.map((r) => r.lag))]
      .forEach((value, i) => setText(cells[i + 1], i === 0 ? plural(new Set(rows.map((row) => row.worker)).size, "worker") : count(value)));
    setText(cells[6], `${rate(sum(rows.map((row) => row.rate)))}/s`);
    const lines = open ? rows.sort((a, b) => a.partition - b.partition).flatMap((row) => (row.stalled ? [row, { why: row.stalled, ...row }] : [row])) : [];
    const inner = body.inner || (body.inner = { insertBefore: (child, next) => body.insertBefore(child, next || null), get firstChild() { return body.children[1] || null; } });
    keep(inner, lines, (row) => `${row.partition} ${row.worker} ${row.why ? "why" : ""}`, (row) => (row.why
      ? make("tr", { class: "why" }, make("td", { colspan: COLUMNS.length }))
      : make("tr", { class: "part" }, ...COLUMNS.map(([, cls]) => make("td", { class: cls || null })))), (view, row) => {
      if (row.why) { setText(view.firstChild, sentence(row.why)); return; }
      COLUMNS.forEach(([, , value], i) => setText(view.children[i], value(row)));
      view.classList.toggle("stalled", Boolean(row.stalled));
      view.children[5].classList.toggle("lagging", row.lag > 0);
    });
  });
  setText($("parts-aside"), "Of the whole group");
}

function topicBody(topic) {
  const button = make("button", { type: "button", class: "fold", title: topic }, draw("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, draw("path", { d: "M4 2l4 4-4 4", class: "icon" })), make("span", {}, labelOf(topic)));
  button.addEventListener("click", () => { folded.set(topic, button.getAttribute("aria-expanded") !== "true"); if (page.figures) showPartitions(page.figures); });
  return make("tbody", {}, make("tr", { class: "sum" }, make("th", { scope: "rowgroup" }, button), ...COLUMNS.slice(1).map(([, cls]) => make("td", { class: cls || null }))));
}
