// Plays a presentation by Media Source Extensions: fetches what comes next for each track, appends it, forgets what
// is long past, chooses the rendition.

const AHEAD = 12; // seconds of film to keep before the playhead
const BEHIND = 10; // and behind it; the film loops, so what is forgotten is asked for again
const TICK = 150; // ms between two looks
const AGAIN = 1000; // ms before a failed request is tried again
const SAFETY = 0.7; // the share of the measured throughput that a rendition may need
const SLACK = 0.2; // s: audio frames do not end exactly where pictures do

export class Engine {
  // `on`: state(text, bad), level(level), segment(level, segment, entry)
  constructor(video, wire, on) {
    this.video = video; this.wire = wire; this.on = on;
    this.wanted = "auto"; this.tracks = []; this.timer = 0; this.level = null; this.run = 0;
    video.addEventListener("seeking", () => { for (const track of this.tracks) track.seek(video.currentTime); });
  }

  stop() {
    this.run++;
    clearTimeout(this.timer);
    for (const track of this.tracks) track.giveUp();
    this.tracks = [];
  }

  async play(presentation) {
    this.stop();
    const run = this.run;
    const source = new MediaSource();
    this.source = source;
    this.video.src = URL.createObjectURL(source);
    await new Promise((open) => source.addEventListener("sourceopen", open, { once: true }));
    if (run !== this.run) return;
    URL.revokeObjectURL(this.video.src);
    source.duration = presentation.duration;
    this.levels = presentation.video;
    const add = (mime, choose) => this.tracks.push(new Track(this, source.addSourceBuffer(mime), choose));
    add(presentation.video[0].mime, () => this.#chosen());
    if (presentation.audio) add(presentation.audio.mime, () => presentation.audio);
    this.video.play().catch((error) => { if (run === this.run && error.name === "NotAllowedError") this.on.state("ready: press play"); });
    this.#tick(run);
  }

  // "auto" or an index into the levels; what was fetched beyond the present segment is fetched anew.
  choose(wanted) {
    this.wanted = wanted;
    if (wanted !== "auto" && this.tracks.length) this.tracks[0].refetch(this.video.currentTime);
  }

  #chosen() {
    const fits = this.levels.findLastIndex((level) => level.bandwidth < this.wire.rate * SAFETY);
    const level = this.levels[this.wanted === "auto" ? Math.max(0, fits) : this.wanted];
    if (level !== this.level) { this.level = level; this.on.level(level); }
    return level;
  }

  async #tick(run) {
    let wait = TICK;
    try {
      await Promise.all(this.tracks.map((track) => track.step()));
      if (run === this.run) { this.on.state("playing"); this.#end(); }
    } catch (error) {
      if (run === this.run && error.name !== "AbortError") { this.on.state(error.message, true); wait = AGAIN; }
    }
    if (run === this.run) this.timer = setTimeout(() => this.#tick(run), wait);
  }

  #end() {
    const done = this.tracks.every((track) => !track.buffer.updating && track.ended);
    if (done && this.source.readyState === "open") this.source.endOfStream();
  }
}

class Track {
  constructor(engine, buffer, choose) {
    this.engine = engine; this.buffer = buffer; this.choose = choose;
    this.init = null; this.fetching = null; this.busy = false; this.ended = false; this.cut = null;
    this.last = null; // { number, reach }: what was appended last, and how far the film was buffered then
  }

  giveUp() { if (this.fetching) this.fetching.abort(); }

  // A seek out of what is buffered: what is being fetched is for elsewhere.
  seek(time) { this.ended = false; this.last = null; if (this.#reach(time) <= time) this.giveUp(); }

  // Drop what lies beyond the segment that is playing.
  refetch(time) {
    const playing = this.choose().segments.find((segment) => segment.end > time + 0.3);
    if (playing) { this.cut = playing.end; this.giveUp(); }
  }

  async step() {
    if (this.busy) return;
    this.busy = true;
    try { await this.#advance(this.engine.video.currentTime); } finally { this.busy = false; }
  }

  async #advance(time) {
    if (this.cut !== null) {
      await this.#change(() => this.buffer.remove(this.cut, Infinity));
      this.cut = this.last = null;
    }
    const buffered = this.buffer.buffered;
    if (buffered.length && buffered.start(0) < time - 2 * BEHIND) await this.#change(() => this.buffer.remove(0, time - BEHIND));
    const reach = this.#reach(time);
    const level = this.choose();
    let next = level.segments.find((segment) => segment.end > reach + SLACK);
    // A segment that is shorter than its manifest says is not asked for again: what follows is.
    if (next && this.last && this.last.number === next.number && this.last.reach === reach) next = level.segments[next.number];
    this.ended = !next;
    if (!next || reach - time > AHEAD) return;
    await this.#fetch(level, next);
  }

  async #fetch(level, segment) {
    const { wire, on } = this.engine;
    this.fetching = new AbortController();
    const { signal } = this.fetching;
    try {
      if (this.init !== level.init) {
        const { body } = await wire.get(level.init, { signal });
        await this.#change(() => this.buffer.appendBuffer(body));
        this.init = level.init;
      }
      const { body, entry } = await wire.get(segment.uri, { signal });
      await this.#append(body);
      this.last = { number: segment.number, reach: this.#reach(this.engine.video.currentTime) };
      on.segment(level, segment, entry);
    } finally { this.fetching = null; }
  }

  async #append(body) {
    try { await this.#change(() => this.buffer.appendBuffer(body)); } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      await this.#change(() => this.buffer.remove(0, Math.max(0.1, this.engine.video.currentTime - 1)));
      await this.#change(() => this.buffer.appendBuffer(body));
    }
  }

  #change(act) {
    return new Promise((done, failed) => {
      const ended = () => { this.buffer.removeEventListener("error", wrong); done(); };
      const wrong = () => { this.buffer.removeEventListener("updateend", ended); failed(new Error("the browser refuses a segment")); };
      act();
      this.buffer.addEventListener("updateend", ended, { once: true });
      this.buffer.addEventListener("error", wrong, { once: true });
    });
  }

  // How far the film is buffered without a gap from `time` on; `time` itself if it is not.
  #reach(time) {
    const ranges = this.buffer.buffered;
    for (let i = 0; i < ranges.length; i++) if (ranges.start(i) <= time + SLACK && ranges.end(i) > time) return ranges.end(i);
    return time;
  }
}
