// The list of the page's last requests, and how long the first byte took for hits and for misses.

import { $, median, ms, scaled } from "./format.js";

const SHOWN = 16; // rows
const REMEMBERED = 101; // first-byte times of each kind

export class Requests {
  constructor() { this.times = { HIT: [], MISS: [] }; this.#watchVideo(); }

  note(entry) {
    const times = this.times[entry.cache];
    if (times && entry.status < 400) { times.push(entry.first); if (times.length > REMEMBERED) times.shift(); this.#bars(); }
    this.#row(entry);
  }

  #row({ name, range, status, cache, detail, first, bytes, seconds }) {
    const table = $("requests");
    table.querySelector(".empty")?.remove();
    const row = table.insertRow(0);
    const rate = bytes && seconds ? scaled(bytes * 8 / seconds, "bit/s") : "-";
    const cells = [range ? `${name} (${range})` : name, status || "none", cache || "-", first ? ms(first) : "-", scaled(bytes, "B"), rate, detail];
    for (const text of cells) row.insertCell().textContent = text;
    row.cells[2].className = cache.toLowerCase();
    row.cells[5].className = "rate";
    row.cells[6].className = "long";
    if (!status || status >= 400) row.className = "bad";
    while (table.rows.length > SHOWN) table.deleteRow(-1);
  }

  #bars() {
    const [hit, miss] = [median(this.times.HIT), median(this.times.MISS)];
    const most = Math.max(hit || 0, miss || 0);
    for (const [name, value, times] of [["hit", hit, this.times.HIT], ["miss", miss, this.times.MISS]]) {
      $("first-" + name).textContent = value === null ? "-" : `${ms(value)} (${times.length})`;
      $("bar-" + name).style.width = value === null ? "0" : `max(3px, ${100 * value / most}%)`;
    }
  }

  // What the <video> element fetches by itself: the browser tells times and sizes, but not the fields of the answer.
  #watchVideo() {
    if (!PerformanceObserver.supportedEntryTypes.includes("resource")) return;
    new PerformanceObserver((list) => {
      for (const one of list.getEntries()) {
        if (one.initiatorType !== "video" || !one.name.includes("/film/")) continue;
        this.#row({
          name: new URL(one.name).pathname.split("/").pop(), range: "the browser's own", status: one.responseStatus || 0, cache: "",
          detail: "not shown to scripts", first: (one.responseStart - one.requestStart) / 1000, bytes: one.transferSize,
          seconds: (one.responseEnd - one.requestStart) / 1000,
        });
      }
    }).observe({ type: "resource", buffered: true });
  }
}
