"use strict";
// Plays the film through the edge with Media Source Extensions: a small HLS reader of our own.
const $ = (id) => document.getElementById(id);
const FILM = "/film/";
const AHEAD = 14; // seconds of buffer to keep
const video = $("video");
const countersPort = new URLSearchParams(location.search).get("counters");
const state = { level: 0, auto: true, rate: 0, stalls: 0, serial: 0, run: 0 };

function say(text, bad = false) { $("state").textContent = text; $("state").className = bad ? "bad" : ""; }
const kilo = (n, unit = "") => n >= 1e9 ? (n / 1e9).toFixed(2) + " G" + unit : n >= 1e6 ? (n / 1e6).toFixed(1) + " M" + unit : n >= 1e3 ? (n / 1e3).toFixed(1) + " k" + unit : Math.round(n) + " " + unit;
const named = (name) => FILM + name + ($("cache").value === "miss" ? "?miss=" + Date.now() + "-" + state.serial++ : "");

function note(name, response, first, bytes, seconds) {
  const row = document.createElement("tr");
  const cache = response.headers.get("X-Cache") || "-";
  const cells = [name, response.status, cache, (first * 1000).toFixed(1) + " ms", kilo(bytes, "B"), seconds > 0 ? kilo(bytes * 8 / seconds, "bit/s") : "-"];
  cells.forEach((text, at) => { const cell = row.insertCell(); cell.textContent = text; if (at === 2) cell.className = cache; if (at === 1 && response.status >= 400) cell.className = "bad"; });
  row.title = response.headers.get("Cache-Status") || "";
  $("requests").prepend(row);
  while ($("requests").rows.length > 14) $("requests").deleteRow(-1);
}

async function get(name, headers = {}) {
  const begun = performance.now();
  const response = await fetch(named(name), { headers, cache: "no-store" });
  const first = (performance.now() - begun) / 1000;
  const body = await response.arrayBuffer();
  const seconds = (performance.now() - begun) / 1000;
  note(name, response, first, body.byteLength, seconds);
  if (!response.ok) throw new Error(name + ": " + response.status);
  if (body.byteLength > 20000) state.rate = state.rate ? 0.7 * state.rate + 0.3 * body.byteLength * 8 / seconds : body.byteLength * 8 / seconds;
  return body;
}

const text = async (name) => new TextDecoder().decode(await get(name));

function readMaster(playlist) {
  const lines = playlist.split("\n").map((line) => line.trim());
  const levels = [];
  lines.forEach((line, at) => {
    if (!line.startsWith("#EXT-X-STREAM-INF:")) return;
    const [video_, audio] = /CODECS="([^"]+)"/.exec(line)[1].split(",");
    levels.push({ bandwidth: +/BANDWIDTH=(\d+)/.exec(line)[1], size: /RESOLUTION=(\d+x\d+)/.exec(line)[1], video: video_, audio, uri: lines[at + 1] });
  });
  const audio = /TYPE=AUDIO.*URI="([^"]+)"/.exec(playlist);
  return { levels, audio: audio && audio[1] };
}

function readMedia(playlist) {
  const segments = [];
  let at = 0, duration = 0;
  for (const line of playlist.split("\n").map((l) => l.trim())) {
    if (line.startsWith("#EXTINF:")) duration = parseFloat(line.slice(8));
    else if (line && !line.startsWith("#")) { segments.push({ start: at, end: at + duration, uri: line }); at += duration; }
  }
  return { init: /EXT-X-MAP:URI="([^"]+)"/.exec(playlist)[1], segments, duration: at };
}

class Track {
  constructor(buffer, choose) { this.buffer = buffer; this.choose = choose; this.inited = null; this.busy = false; }
  append(data) {
    return new Promise((done, failed) => {
      this.buffer.addEventListener("updateend", done, { once: true });
      this.buffer.addEventListener("error", () => failed(new Error("the browser refused a segment")), { once: true });
      this.buffer.appendBuffer(data);
    });
  }
  edge(time) {
    const ranges = this.buffer.buffered;
    for (let i = 0; i < ranges.length; i++) if (ranges.start(i) <= time + 0.2 && ranges.end(i) > time) return ranges.end(i);
    return time;
  }
  async step(run) {
    if (this.busy || this.buffer.updating) return;
    const end = this.edge(video.currentTime);
    const list = this.choose();
    const next = list.segments.find((segment) => segment.end > end + 0.1 && segment.end - segment.start > 0.2);
    if (!next || end - video.currentTime > AHEAD) return;
    this.busy = true;
    try {
      if (this.inited !== list.init) { const init = await get(list.init); if (run !== state.run) return; await this.append(init); this.inited = list.init; }
      const data = await get(next.uri);
      if (run === state.run) await this.append(data);
    } finally { this.busy = false; }
  }
}

async function playHls(run) {
  const master = readMaster(await text("master.m3u8"));
  master.levels.sort((a, b) => a.bandwidth - b.bandwidth);
  const lists = await Promise.all(master.levels.map(async (level) => readMedia(await text(level.uri))));
  const audio = master.audio && readMedia(await text(master.audio));
  if (run !== state.run) return;
  const chooser = $("rendition");
  chooser.replaceChildren(new Option("auto", "auto"), ...master.levels.map((level, at) => new Option(level.size + ", " + kilo(level.bandwidth, "bit/s"), at)));
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise((open) => source.addEventListener("sourceopen", open, { once: true }));
  source.duration = lists[0].duration;
  const tracks = [new Track(source.addSourceBuffer(`video/mp4; codecs="${master.levels[0].video}"`), () => lists[state.level])];
  if (audio) tracks.push(new Track(source.addSourceBuffer(`audio/mp4; codecs="${master.levels[0].audio}"`), () => audio));
  video.play().catch(() => say("ready: press play"));
  say("playing by Media Source Extensions");
  while (run === state.run) {
    const wanted = chooser.value;
    state.level = wanted !== "auto" ? +wanted : Math.max(0, master.levels.findLastIndex((level) => level.bandwidth < state.rate * 0.7));
    $("now").textContent = master.levels[state.level].size;
    try { await Promise.all(tracks.map((track) => track.step(run))); if (run === state.run && $("state").className) say("playing by Media Source Extensions"); }
    catch (error) { say("the edge does not answer: " + error.message, true); await new Promise((r) => setTimeout(r, 1000)); }
    await new Promise((r) => setTimeout(r, 150));
  }
}

function playMp4() {
  $("rendition").replaceChildren(new Option("426x240", "auto"));
  video.src = named("film.mp4");
  video.play().catch(() => say("ready: press play"));
  $("now").textContent = "426x240";
  say("playing MP4 by byte ranges");
}

function start() {
  const run = ++state.run;
  say("starting");
  if ($("source").value === "mp4") playMp4();
  else playHls(run).catch((error) => say("cannot play: " + error.message, true));
}

function show() {
  const ranges = video.buffered;
  const end = ranges.length ? ranges.end(ranges.length - 1) : 0;
  $("buffer").textContent = Math.max(0, end - video.currentTime).toFixed(1) + " s";
  $("rate").textContent = state.rate ? kilo(state.rate, "bit/s") : "-";
  $("stalls").textContent = state.stalls;
}

async function count() {
  if (!countersPort) return;
  try {
    const response = await fetch(`http://${location.hostname}:${countersPort}/`);
    const samples = await response.json();
    if (samples.error) throw new Error(samples.error);
    const sum = (name, label = "") => Object.entries(samples).reduce((n, [key, value]) => key.startsWith(name) && key.includes(label) ? n + value : n, 0);
    const requests = sum("edge_cache_requests_total"), hits = sum("edge_cache_requests_total", 'status="hit"');
    $("c-requests").textContent = requests;
    $("c-hits").textContent = hits;
    $("c-misses").textContent = sum("edge_cache_requests_total", 'status="miss"');
    $("c-ratio").textContent = requests ? (100 * hits / requests).toFixed(1) + " %" : "-";
    $("c-out").textContent = kilo(sum("edge_cache_response_bytes_total"), "B");
    $("c-in").textContent = kilo(sum("edge_upstream_bytes_total"), "B");
    $("c-origin").textContent = sum("edge_upstream_requests_total");
    $("c-objects").textContent = sum("edge_cache_objects");
  } catch (error) { say("no counters: " + error.message, true); }
}

$("ranger").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const response = await fetch(FILM + "film.mp4", { headers: { Range: $("range").value }, cache: "no-store" });
    const bytes = (await response.arrayBuffer()).byteLength;
    $("answer").textContent = `${response.status}, ${response.headers.get("Content-Range") || "no Content-Range"}, ${bytes} bytes, ${response.headers.get("X-Cache")}`;
  } catch (error) { $("answer").textContent = "failed: " + error.message; }
});
for (const button of document.querySelectorAll("[data-seek]")) button.addEventListener("click", () => { video.currentTime = +button.dataset.seek; });
$("source").addEventListener("change", start);
video.addEventListener("waiting", () => { if (video.currentTime > 0.1 && !video.seeking) state.stalls++; });
video.addEventListener("error", () => say("the player says: " + (video.error ? video.error.message : "error"), true));
setInterval(show, 250);
setInterval(count, 1000);
start();
count();
