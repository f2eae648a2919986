// The edge's own counters, polled from the demo's endpoint. When it is silent the old figures are marked as old.

import { $, scaled, whole } from "./format.js";

const EVERY = 1000; // ms

export class Counters {
  constructor() { this.port = null; this.last = null; }

  async start() {
    try {
      const where = await (await fetch("where.json", { cache: "no-store" })).json();
      this.port = where.counters || null;
      if (where.origin_delay_ms) $("distance").textContent = `The demo's origin answers after ${where.origin_delay_ms} ms, as one on another continent would.`;
    } catch { this.port = null; }
    if (!this.port) return this.#silent("There are no counters here: they come with `edge demo`.");
    this.#poll();
  }

  async #poll() {
    try {
      const got = await fetch(`${location.protocol}//${location.hostname}:${this.port}/`, { signal: AbortSignal.timeout(4 * EVERY) });
      const told = await got.json();
      if (told.error) throw new Error(told.error);
      this.#show(told);
    } catch (error) { this.#silent(this.last ? `No answer since ${this.last.toLocaleTimeString()}: ${error.message}` : error.message); }
    setTimeout(() => this.#poll(), EVERY);
  }

  #show(told) {
    this.last = new Date();
    $("counters").classList.remove("stale");
    $("c-requests").textContent = whole(told.requests);
    $("c-hits").textContent = whole(told.hits);
    $("c-misses").textContent = whole(told.misses);
    $("c-ratio").textContent = told.hit_ratio === null ? "-" : (100 * told.hit_ratio).toFixed(1) + " %";
    $("c-out").textContent = scaled(told.egress_bytes, "B");
    $("c-in").textContent = scaled(told.origin_bytes, "B");
    $("c-origin").textContent = whole(told.origin_requests);
    $("c-objects").textContent = whole(told.objects);
    const others = Object.entries(told.by_status).filter(([name, count]) => count && name !== "hit" && name !== "miss");
    $("c-note").textContent = others.map(([name, count]) => `${whole(count)} ${name}`).join(", ");
  }

  #silent(why) { $("counters").classList.add("stale"); $("c-note").textContent = why; }
}
