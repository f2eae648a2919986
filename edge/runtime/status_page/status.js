"use strict";
// Everything is written as text, never as markup: names come from configurations.

const POINTS = 300; // seconds that the picture shows
const egress = [];

const bits = (bytes) => {
  const value = bytes * 8;
  for (const [unit, size] of [["Gbit/s", 1e9], ["Mbit/s", 1e6], ["kbit/s", 1e3]]) {
    if (value >= size) return `${(value / size).toFixed(1)} ${unit}`;
  }
  return `${value.toFixed(0)} bit/s`;
};
const share = (value) => (value === null ? "-" : `${(value * 100).toFixed(1)} %`);
const wait = (seconds) =>
  seconds === null ? "-" : seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`;
const number = (value, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

const FACTS = [
  ["requests/s", (seen) => number(seen.requests)],
  ["egress", (seen) => bits(seen.egress)],
  ["from upstream", (seen) => bits(seen.ingress)],
  ["hit ratio", (seen) => share(seen.hit_ratio)],
  ["byte hit ratio", (seen) => share(seen.byte_hit_ratio)],
  ["5xx/s", (seen) => number(seen.errors, 1)],
  ["connections", (seen) => number(seen.connections)],
  ["in flight", (seen) => number(seen.inflight)],
  ["fills", (seen) => number(seen.flights)],
  ["hit p50 / p99", (seen) => `${wait(seen.ttfb_hit_p50)} / ${wait(seen.ttfb_hit_p99)}`],
  ["miss p50 / p99", (seen) => `${wait(seen.ttfb_miss_p50)} / ${wait(seen.ttfb_miss_p99)}`],
  ["loop lag p99", (seen) => wait(seen.loop_lag_p99)],
  ["starved/s", (seen) => number(seen.starved, 1)],
  ["restarts", (seen) => number(seen.restarts)],
  ["log lines lost", (seen) => number(seen.dropped_lines)],
];
const name = ["", (row) => row.name];
const rates = [name, ["req/s", (row) => number(row.requests, 1)], ["rate", (row) => bits(row.bytes)]];
const TABLES = {
  volumes: [
    name,
    ["full", (row) => share(row.max_bytes ? row.size_bytes / row.max_bytes : null)],
    ["size", (row) => `${number(row.size_bytes / 1e9, 1)} GB`],
    ["objects", (row) => number(row.objects)],
    ["written", (row) => bits(row.written)],
    ["evicted", (row) => bits(row.evicted)],
  ],
  sites: [...rates, ["hits", (row) => share(row.hit_ratio)], ["5xx/s", (row) => number(row.errors, 1)]],
  upstreams: [...rates, ["failed/s", (row) => number(row.errors, 1)], ["first byte", (row) => wait(row.seconds)]],
  kinds: rates,
};

const element = (tag, text, ...children) => {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  made.append(...children);
  return made;
};
const byId = (id) => document.getElementById(id);

function say(state, look) {
  byId("state").textContent = state;
  byId("state").className = `state ${look}`;
}

function draw() {
  const most = Math.max(...egress, 1);
  const points = egress.map((value, at) => {
    const x = ((POINTS - egress.length + at) / (POINTS - 1)) * 600;
    return `${x.toFixed(1)},${(78 - (value / most) * 76).toFixed(1)}`;
  });
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", `M${points.join("L")}`);
  byId("egress").replaceChildren(path);
  byId("peak").textContent = bits(Math.max(...egress, 0));
}

function show(seen) {
  say(seen.state, seen.state === "ready" ? "ready" : "");
  byId("facts").replaceChildren(
    ...FACTS.map(([label, tell]) => element("div", null, element("dt", label), element("dd", tell(seen)))),
  );
  for (const [id, columns] of Object.entries(TABLES)) {
    const head = element("tr", null, ...columns.map(([label]) => element("th", label)));
    const rows = seen[id].map((row) => element("tr", null, ...columns.map(([, tell]) => element("td", tell(row)))));
    byId(id).replaceChildren(head, ...rows);
  }
  egress.push(seen.egress);
  if (egress.length > POINTS) egress.shift();
  draw();
}

const events = new EventSource("/events");
events.onmessage = (event) => show(JSON.parse(event.data));
events.onerror = () => say("no connection", "lost");
