// All that the page asks of the edge goes through here, so that each request is timed, told and counted.

export const FILM = "/film/";
const LIMIT = 15000; // ms for a whole answer

export class Wire {
  // `told(entry)` is called for each answer: { name, range, status, cache, detail, first, bytes, seconds } (seconds).
  constructor(told) { this.told = told; this.fresh = false; this.serial = 0; this.rate = 0; this.open = new Set(); }

  // For how long (s) the oldest request has been waiting for its answer's end, 0 if none is.
  get waiting() { return this.open.size ? (performance.now() - Math.min(...this.open)) / 1000 : 0; }

  // The name to ask for: in `fresh` mode one that nobody has asked for before, so that the cache cannot have it.
  url(name) { return FILM + name + (this.fresh ? `?fresh=${Date.now().toString(36)}-${this.serial++}` : ""); }

  async ask(name, { range, signal, url = this.url(name) } = {}) {
    const begun = performance.now();
    this.open.add(begun);
    const limit = AbortSignal.timeout(LIMIT);
    const entry = { name, range: range || "", status: 0, cache: "", detail: "", first: 0, bytes: 0, seconds: 0 };
    try {
      // The browser's own cache stays out of it: each request reaches the edge.
      const response = await fetch(url, { headers: range ? { Range: range } : {}, cache: "no-store", signal: signal ? AbortSignal.any([signal, limit]) : limit });
      entry.first = (performance.now() - begun) / 1000;
      entry.status = response.status;
      entry.cache = response.headers.get("X-Cache") || "";
      entry.detail = response.headers.get("Cache-Status") || "";
      const body = await response.arrayBuffer();
      entry.bytes = body.byteLength;
      entry.seconds = (performance.now() - begun) / 1000;
      this.#measure(entry);
      return { response, body, entry };
    } catch (error) {
      if (error.name === "AbortError") { entry.detail = "given up by the page"; throw error; }
      entry.detail = entry.status ? "the answer broke off" : "no answer";
      throw new Error(`${name}: ${entry.status ? "the answer broke off" : "the edge does not answer"} (${error.message})`);
    } finally {
      this.open.delete(begun);
      this.told(entry);
    }
  }

  async get(name, options) {
    const { response, body, entry } = await this.ask(name, options);
    if (!response.ok) throw new Error(`${name}: status ${response.status}`);
    return { body, entry };
  }

  async text(name) { return new TextDecoder().decode((await this.get(name)).body); }

  // A moving mean in bit/s; small bodies measure the round trip and not the path.
  #measure({ bytes, seconds }) {
    if (bytes < 16000 || seconds <= 0) return;
    const now = bytes * 8 / seconds;
    this.rate = this.rate ? 0.6 * this.rate + 0.4 * now : now;
  }
}
