// Asks the edge for any range of the progressive film and proves the answer against the whole file.

import { $, scaled } from "./format.js";

const NAME = "film.mp4";

export class Ranger {
  constructor(wire) { this.wire = wire; this.whole = null; }

  async ask(range) {
    const { response, body } = await this.wire.ask(NAME, { range });
    const told = response.headers.get("Content-Range");
    $("answer").textContent = [response.status, told || "no Content-Range", `${body.byteLength} bytes`, response.headers.get("X-Cache") || "-"].join(", ");
    if (!this.whole) this.whole = (await this.wire.get(NAME)).body;
    return verdict(range, response.status, told, new Uint8Array(body), new Uint8Array(this.whole));
  }
}

// { good, text }: whether status, Content-Range and every byte are what RFC 9110 section 14 asks for.
export function verdict(range, status, told, body, whole) {
  const found = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(told || "");
  const wanted = stretch(range, whole.length);
  if (status === 416) {
    const right = wanted === "none" && told === `bytes */${whole.length}`;
    return { good: right, text: right ? "Right: nothing of the file is in this range." : "Wrong: 416 for a range that can be given." };
  }
  if (status === 200) {
    const right = body.length === whole.length && same(body, whole, 0);
    return { good: right, text: right ? "The whole file, byte for byte: the range was ignored, as a server may." : "Wrong: not the whole file." };
  }
  if (status !== 206) return { good: false, text: `Neither a part nor the whole: status ${status}.` };
  if (!found && wanted) return { good: false, text: "Wrong: a part without Content-Range." };
  if (!found) return { good: true, text: "Several parts in one answer (multipart/byteranges); not proved here." };
  const [start, end, total] = found.slice(1).map(Number);
  if (total !== whole.length || end - start + 1 !== body.length) return { good: false, text: "Wrong: Content-Range does not fit the body." };
  if (typeof wanted === "object" && (wanted.start !== start || wanted.end !== end)) return { good: false, text: "Wrong: not the range that was asked for." };
  const right = same(body, whole, start);
  return { good: right, text: right ? `Right: ${scaled(body.length, "B")}, each the same as in the whole file.` : "Wrong: these are not the file's bytes." };
}

// The first and last byte that a single range asks for, "none" if there is no such byte, null if it is not one range.
export function stretch(range, size) {
  const found = /^bytes=(\d*)-(\d*)$/.exec(range.trim());
  if (!found || (!found[1] && !found[2])) return null;
  if (!found[1]) return +found[2] ? { start: Math.max(0, size - found[2]), end: size - 1 } : "none";
  if (found[2] && +found[2] < +found[1]) return null;
  return +found[1] >= size ? "none" : { start: +found[1], end: found[2] ? Math.min(size - 1, +found[2]) : size - 1 };
}

function same(part, whole, start) {
  return start + part.length <= whole.length && part.every((byte, at) => byte === whole[start + at]);
}
