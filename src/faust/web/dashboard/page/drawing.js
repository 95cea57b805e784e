"use strict";
// Small tools: elements that are made once and changed in place, and numbers as people read them.

const SVG = "http://www.w3.org/2000/svg";

function $(id) { return document.getElementById(id); }

function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children);
  return element;
}

function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
}

function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

// Keep the children of a place in step with a list: one child per key, made once, updated each time, in the order of the list.
function keep(place, items, keyOf, create, update) {
  const kept = place.kept || (place.kept = new Map());
  const wanted = new Set();
  let previous = null;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let child = kept.get(key);
    if (!child) kept.set(key, child = create(item));
    update(child, item);
    const next = previous ? previous.nextSibling : place.firstChild;
    if (next !== child) place.insertBefore(child, next);
    previous = child;
  }
  for (const [key, child] of kept) if (!wanted.has(key)) { child.remove(); kept.delete(key); }
}

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const known = (value) => value !== null && value !== undefined;

function count(value) {
  if (!known(value)) return "–";
  return Math.abs(value) >= 1e6 ? short.format(value) : whole.format(Math.round(value));
}

function rate(value) {
  if (!known(value)) return "–";
  return value > 0 && value < 9.95 ? value.toFixed(1) : count(value);
}

function seconds(value) {
  if (!known(value)) return "–";
  if (value < 0.001) return `${digits(value * 1e6)} µs`;
  if (value < 1) return `${digits(value * 1e3)} ms`;
  return `${digits(value)} s`;
}

function digits(value) { return value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2); }

function ago(value) {
  if (value < 60) return `${Math.floor(value)} s`;
  return value < 3600 ? `${Math.floor(value / 60)} min` : `${Math.floor(value / 3600)} h`;
}

function plural(number, word) { return `${count(number)} ${word}${number === 1 ? "" : "s"}`; }

function sum(values) {
  const all = values.filter(known);
  return all.length || !values.length ? all.reduce((a, b) => a + b, 0) : null;
}

const ICONS = {
  topic: "M2 4h11M2 8h11M2 12h7",
  repartition: "M2 4h3l5 8h3M2 12h3l1.5-2.4M8.5 6.4 10 4h3M11.5 2.5 13 4l-1.5 1.5M11.5 10.5 13 12l-1.5 1.5",
  channel: "M2 5h11v6H2zM5 8h5",
  agent: "M8 1.8l5.2 3v6.4L8 14.2l-5.2-3V4.8zM8 5.6v4.8M5.9 6.8l4.2 2.4M10.1 6.8L5.9 9.2",
  table: "M2 3h12v10H2zM2 6.4h12M2 9.7h12M6.5 6.4V13",
  task: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 5v3.2l2.2 1.4",
};

function icon(kind, size) {
  return draw("svg", { viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true" },
    draw("path", { d: ICONS[kind], class: "icon" }));
}
