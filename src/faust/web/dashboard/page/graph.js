// The graph of the app in layers (after Sugiyama): cycles broken, longest paths, dummies on long edges, fewer crossings by medians.

const graph = { nodes: [], edges: [], views: new Map(), lines: [], chosen: null, narrow: null };
const WORDS = { topic: "Topic", repartition: "Repartition", channel: "Channel", agent: "Agent", table: "Table", task: "Task" };

function layers(nodes, edges) {
  const out = new Map(nodes.map((node) => [node.id, []]));
  for (const edge of edges) out.get(edge.source).push(edge);
  const into = new Map(nodes.map((node) => [node.id, 0]));
  for (const edge of edges) into.set(edge.target, into.get(edge.target) + 1);
  const colour = new Map();
  const back = new Set();
  const visit = (id) => {
    colour.set(id, 1);
    for (const edge of out.get(id)) {
      if (colour.get(edge.target) === 1) back.add(edge);
      else if (!colour.has(edge.target)) visit(edge.target);
    }
    colour.set(id, 2);
  };
  [...nodes].sort((a, b) => into.get(a.id) - into.get(b.id)).forEach((node) => colour.has(node.id) || visit(node.id));
  const forward = edges.map((edge) => back.has(edge)
    ? { ...edge, a: edge.target, b: edge.source, back: true } : { ...edge, a: edge.source, b: edge.target, back: false });
  const level = new Map(nodes.map((node) => [node.id, 0]));
  for (let round = 0; round < nodes.length; round += 1) {
    let moved = false;
    for (const { a, b } of forward) if (level.get(b) < level.get(a) + 1) { level.set(b, level.get(a) + 1); moved = true; }
    if (!moved) break;
  }
  for (const node of nodes) { // what has nothing before it stands next to what comes after it
    const after = forward.filter((edge) => edge.a === node.id);
    if (after.length && !forward.some((edge) => edge.b === node.id)) {
      level.set(node.id, Math.min(...after.map((edge) => level.get(edge.b))) - 1);
    }
  }
  return { forward, level };
}

// At most so many beside each other: what is more goes to a layer below, before the next one begins.
function wrap(nodes, level, most) {
  const rows = [];
  for (const node of nodes) (rows[level.get(node.id)] || (rows[level.get(node.id)] = [])).push(node.id);
  let at = 0;
  for (const row of rows) {
    row.forEach((id, i) => level.set(id, at + Math.floor(i / most)));
    at += Math.ceil(row.length / most);
  }
}

function arrange(nodes, edges, narrow, room) {
  const { forward, level } = layers(nodes, edges);
  if (narrow) wrap(nodes, level, 2);
  const deep = Math.max(...level.values()) + 1;
  const ease = Math.min(1, Math.max(0, (room - deep * 150 - (deep - 1) * 34) / (deep * 46 + (deep - 1) * 40 || 1)));
  const box = narrow ? { w: 150, h: 54 } : { w: 150 + 46 * ease, h: 58 };
  const places = new Map(nodes.map((node) => [node.id, { id: node.id, level: level.get(node.id), real: true }]));
  const links = [];
  for (const edge of forward) {
    const chain = [places.get(edge.a)];
    for (let l = level.get(edge.a) + 1; l < level.get(edge.b); l += 1) {
      const id = `${edge.source}|${edge.target}|${l}`;
      if (!places.has(id)) places.set(id, { id, level: l, real: false });
      chain.push(places.get(id));
    }
    chain.push(places.get(edge.b));
    edge.chain = chain;
    for (let i = 1; i < chain.length; i += 1) links.push([chain[i - 1], chain[i]]);
  }
  const rows = [];
  for (const place of places.values()) (rows[place.level] || (rows[place.level] = [])).push(place);
  for (const place of places.values()) place.near = [];
  for (const [a, b] of links) { a.near.push(b); b.near.push(a); }
  const number = () => rows.forEach((row) => row.forEach((place, i) => { place.order = i; }));
  number();
  for (let sweep = 0; sweep < 12; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const row of down ? rows : [...rows].reverse()) {
      for (const place of row) {
        const others = place.near.filter((other) => (down ? other.level < place.level : other.level > place.level));
        place.wish = others.length ? others.reduce((s, other) => s + other.order, 0) / others.length : place.order;
      }
      row.sort((a, b) => a.wish - b.wish || a.order - b.order);
      row.forEach((place, i) => { place.order = i; });
    }
  }
  const across = (place) => (place.real ? (narrow ? box.w : box.h) : 10);
  const gap = narrow ? 16 : 22;
  for (const row of rows) { let at = 0; for (const place of row) { place.at = at + across(place) / 2; at += across(place) + gap; } }
  for (let round = 0; round < (nodes.length < 80 ? 120 : 30); round += 1) {
    for (const row of round % 2 ? [...rows].reverse() : rows) settle(row, across, gap);
  }
  for (const row of rows) { // what stands alone in its layer stands straight behind the one it follows
    const before = row[0].near.filter((other) => other.level < row[0].level);
    if (row.length === 1 && before.length === 1) row[0].at = before[0].at;
  }
  const low = Math.min(...[...places.values()].map((place) => place.at - across(place) / 2));
  const high = Math.max(...[...places.values()].map((place) => place.at + across(place) / 2));
  const step = narrow ? box.h + 34 : box.w + 34 + 40 * ease;
  for (const place of places.values()) {
    const along = place.level * step;
    const off = place.at - low;
    Object.assign(place, narrow ? { x: off, y: along + box.h / 2 } : { x: along + box.w / 2, y: off });
  }
  const length = (rows.length - 1) * step + (narrow ? box.h : box.w);
  return { box, forward, places, width: narrow ? high - low : length, height: narrow ? length : high - low };
}

function settle(row, across, gap) {
  const wish = row.map((place) => (place.near.length ? place.near.reduce((s, other) => s + other.at, 0) / place.near.length : place.at));
  row.forEach((place, i) => { place.at = wish[i]; });
  for (let pass = 0; pass < 6; pass += 1) {
    for (let i = 1; i < row.length; i += 1) {
      const least = (across(row[i - 1]) + across(row[i])) / 2 + gap;
      const lack = least - (row[i].at - row[i - 1].at);
      if (lack > 0) { row[i].at += lack / 2; row[i - 1].at -= lack / 2; }
    }
  }
  for (let i = 1; i < row.length; i += 1) {
    row[i].at = Math.max(row[i].at, row[i - 1].at + (across(row[i - 1]) + across(row[i])) / 2 + gap);
  }
  const drift = row.reduce((s, place, i) => s + place.at - wish[i], 0) / row.length;
  for (const place of row) place.at -= drift;
}

function route(edge, plan, narrow) {
  const { box } = plan;
  const half = narrow ? box.h / 2 : box.w / 2;
  const points = edge.chain.map((place) => (narrow ? [place.y, place.x] : [place.x, place.y]));
  const shift = edge.back ? 12 : edge.twin ? -12 : 0; // there and back beside each other
  const ends = points.map(([a, b], i) => [a + (i === 0 ? half : i === points.length - 1 ? -half : 0), b + shift]);
  if (edge.back) ends.reverse();
  const last = ends.length - 1;
  const tip = edge.how === "uses" ? 0 : 7;
  ends[last][0] -= tip * Math.sign(ends[last][0] - ends[last - 1][0]);
  const show = ([a, b]) => (narrow ? `${b.toFixed(1)} ${a.toFixed(1)}` : `${a.toFixed(1)} ${b.toFixed(1)}`);
  let d = `M${show(ends[0])}`;
  for (let i = 1; i < ends.length; i += 1) {
    const [a0, b0] = ends[i - 1];
    const [a1, b1] = ends[i];
    const middle = (a0 + a1) / 2;
    d += ` C${show([middle, b0])} ${show([middle, b1])} ${show([a1, b1])}`;
  }
  return d;
}

function drawGraph() {
  const place = $("flow");
  const room = place.clientWidth - (window.innerWidth <= 640 ? 24 : 52);
  const narrow = window.innerWidth <= 640;
  graph.narrow = narrow;
  graph.views.clear();
  graph.lines = [];
  place.replaceChildren();
  if (!graph.nodes.length) return;
  const pairs = new Set(graph.edges.map((edge) => `${edge.target}|${edge.source}`));
  const edges = graph.edges.map((edge) => ({ ...edge, twin: pairs.has(`${edge.source}|${edge.target}`) }));
  const plan = arrange(graph.nodes, edges, narrow, room - 28);
  const edge = 14;
  const full = plan.width + 2 * edge;
  const scale = Math.min(1, Math.max(room / full, narrow ? 0.66 : 0.8));
  const height = plan.height + 2 * edge;
  const svg = draw("svg", { width: Math.round(full * scale), height: Math.round(height * scale), viewBox: `${-edge} ${-edge} ${full} ${height}`, role: "presentation" });
  svg.append(draw("defs", {}, draw("marker", { id: "tip", viewBox: "0 0 8 8", refX: 1, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse" },
    draw("path", { d: "M0 .6 7 4 0 7.4z", class: "arrow" }))));
  for (const one of plan.forward) {
    const d = route(one, plan, narrow);
    const line = draw("path", { d, class: `edge ${one.how}`, "marker-end": one.how === "uses" ? null : "url(#tip)" });
    const pulse = draw("path", { d, class: "pulse" });
    svg.append(line, pulse);
    graph.lines.push({ source: one.source, target: one.target, how: one.how, line, pulse });
  }
  for (const node of graph.nodes) svg.append(drawNode(node, plan));
  place.append(svg);
  choose(graph.views.has(graph.chosen) ? graph.chosen : null);
}

function drawNode(node, plan) {
  const { box } = plan;
  const at = plan.places.get(node.id);
  const x = at.x - box.w / 2;
  const y = at.y - box.h / 2;
  const most = Math.floor((box.w - 50) / 7);
  const label = node.label.length > most ? `${node.label.slice(0, most - 1)}…` : node.label;
  const sign = icon(node.kind, 17);
  setAttribute(sign, "x", x + 15); setAttribute(sign, "y", y + box.h / 2 - 8.5);
  const sub = draw("text", { x: x + 43, y: y + box.h / 2 + 15, class: "sub" });
  const alarm = draw("circle", { cx: x + box.w - 13, cy: y + 13, r: 4, class: "alarm", visibility: "hidden" });
  const group = draw("g", { class: "node", role: "button", tabindex: 0, "data-kind": node.kind, "data-id": node.id, "aria-pressed": "false" },
    draw("title", {}, node.name), draw("rect", { x, y, width: box.w, height: box.h, rx: 11, class: "box" }),
    draw("rect", { x, y, width: box.w, height: box.h, rx: 11, class: "wash" }), sign,
    draw("text", { x: x + 43, y: y + box.h / 2 - 3 }, label), sub, alarm);
  const toggle = () => choose(graph.chosen === node.id ? null : node.id);
  group.addEventListener("click", toggle);
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
    if (event.key === "Escape") choose(null);
  });
  graph.views.set(node.id, { node, group, sub, alarm });
  return group;
}

function choose(id) {
  graph.chosen = id;
  const near = new Set([id]);
  for (const line of graph.lines) {
    const touches = id && (line.source === id || line.target === id);
    if (touches) { near.add(line.source); near.add(line.target); }
    line.line.classList.toggle("near", Boolean(touches));
    line.pulse.classList.toggle("near", Boolean(touches));
  }
  for (const [key, view] of graph.views) {
    view.group.classList.toggle("near", near.has(key));
    setAttribute(view.group, "aria-pressed", String(key === id));
  }
  const svg = $("flow").firstElementChild;
  if (svg) svg.classList.toggle("dimmed", Boolean(id));
  const place = $("chosen");
  place.replaceChildren();
  const view = graph.views.get(id);
  if (!view) { setText(place, "Choose a node to see what it is joined with."); return; }
  const names = (lines, end) => lines.map((line) => graph.views.get(line[end]).node.label).join(", ");
  const from = names(graph.lines.filter((line) => line.target === id && line.how !== "uses"), "source");
  const to = names(graph.lines.filter((line) => line.source === id && line.how !== "uses"), "target");
  const uses = graph.lines.filter((line) => line.how === "uses" && (line.source === id || line.target === id));
  const with_ = uses.map((line) => graph.views.get(line.source === id ? line.target : line.source).node.label).join(", ");
  const words = [view.node.help.split("\n")[0], from && `from ${from}`, to && `to ${to}`, with_ && `with ${with_}`].filter(Boolean);
  place.append(make("b", {}, `${WORDS[view.node.kind]} ${view.node.name}`), words.length ? ` · ${words.join(" · ")}` : "");
}
