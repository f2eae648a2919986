// The page: wires player, lists and counters together. The rest is in the modules that it imports.

import { Counters } from "./counters.js";
import { Engine } from "./engine.js";
import { $, ms, scaled } from "./format.js";
import { dashPresentation, hlsPresentation } from "./playlists.js";
import { Ranger } from "./ranger.js";
import { Requests } from "./requests.js";
import { Wire } from "./wire.js";

const SLOW = 3; // s without an answer that are worth a word
const AGAIN = 2000; // ms before a failed start is tried again
const READERS = { hls: [hlsPresentation, "master.m3u8"], dash: [dashPresentation, "film.mpd"] };
const NAMES = { hls: "HLS", dash: "DASH", mp4: "MP4 with byte ranges" };
const video = $("video");
const requests = new Requests();
const wire = new Wire((entry) => requests.note(entry));
const engine = new Engine(video, wire, { state, level: (level) => { $("now").textContent = level.label; }, segment: cell });
let run = 0, stalls = 0;

function state(text, bad = false) {
  const how = video.paused ? "ready to play" : video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA ? "waiting for" : "playing";
  const shown = text === "playing" ? `${how} ${NAMES[$("source").value]}` : text;
  $("state").className = bad ? "bad" : "";
  if ($("state").textContent !== shown) $("state").textContent = shown;
}

async function start() {
  const mine = ++run;
  engine.stop();
  state("starting");
  $("strip").replaceChildren();
  const kind = $("source").value;
  try {
    if (kind === "mp4") playMp4();
    else await playSegments(mine, ...READERS[kind]);
  } catch (error) {
    if (mine !== run) return;
    state("cannot start: " + error.message, true);
    setTimeout(() => { if (mine === run) start(); }, AGAIN);
  }
}

async function playSegments(mine, read, name) {
  if (!window.MediaSource) throw new Error("this browser has no Media Source Extensions; choose MP4");
  const presentation = await read((uri) => wire.text(uri), name);
  if (mine !== run) return;
  const options = presentation.video.map((level, at) => new Option(level.label, at));
  $("rendition").replaceChildren(new Option("auto", "auto"), ...options);
  $("rendition").disabled = false;
  engine.wanted = "auto";
  strip(presentation.video[0].segments);
  await engine.play(presentation);
}

function playMp4() {
  $("rendition").replaceChildren(new Option("one for all", "auto"));
  $("rendition").disabled = true;
  $("now").textContent = "240p, one file";
  video.src = wire.url("film.mp4");
  video.play().catch((error) => { if (error.name === "NotAllowedError") state("ready: press play"); });
}

// The segments as buttons: what came from where, and a way to seek.
function strip(segments) {
  $("strip").replaceChildren(...segments.map((segment) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.dataset.start = segment.start;
    button.innerHTML = "<b></b><span>-</span>";
    button.firstChild.textContent = segment.number;
    button.setAttribute("aria-label", `segment ${segment.number}, from second ${segment.start}`);
    button.addEventListener("click", () => { video.currentTime = segment.start + 0.01; });
    item.append(button);
    return item;
  }));
}

function cell(level, segment, entry) {
  const button = level.mime.startsWith("video") && $("strip").children[segment.number - 1]?.firstChild;
  if (!button) return;
  button.className = entry.cache.toLowerCase();
  button.lastChild.textContent = level.label.split(",")[0];
  button.setAttribute("aria-label", `segment ${segment.number}, from second ${segment.start}: ${level.label}, ${entry.cache || "no cache status"}, first byte ${ms(entry.first)}`);
}

function look() {
  const { buffered, currentTime } = video;
  let ahead = 0;
  for (let i = 0; i < buffered.length; i++) if (buffered.start(i) <= currentTime + 0.2) ahead = Math.max(0, buffered.end(i) - currentTime);
  $("buffer").textContent = ahead.toFixed(1) + " s";
  $("rate").textContent = wire.rate ? scaled(wire.rate, "bit/s") : "-";
  $("stalls").textContent = stalls;
  for (const { firstChild: button } of $("strip").children) {
    const start = +button.dataset.start;
    if (currentTime >= start && currentTime < start + 4) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
  }
  if (wire.waiting > SLOW) state(`the edge has not answered for ${Math.floor(wire.waiting)} s`, true);
  else if ($("source").value === "mp4" && !video.error && video.readyState > 2) state("playing");
}

function theme(next) {
  const themes = ["auto", "light", "dark"];
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("theme") || "auto";
    if (next) localStorage.setItem("theme", chosen = themes[(themes.indexOf(chosen) + 1) % 3]);
  } catch { chosen = "auto"; } // storage may be forbidden: then the system decides
  document.documentElement.dataset.theme = chosen;
  $("theme").textContent = "Theme: " + chosen;
}

const ranger = new Ranger(wire);
$("ranger").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("verdict").className = "note";
  $("verdict").textContent = "asking";
  try {
    const { good, text } = await ranger.ask($("range").value);
    $("verdict").classList.add(good ? "good" : "bad");
    $("verdict").textContent = text;
  } catch (error) {
    $("answer").textContent = "";
    $("verdict").classList.add("bad");
    $("verdict").textContent = "No answer: " + error.message;
  }
});
$("source").addEventListener("change", start);
$("rendition").addEventListener("change", ({ target }) => engine.choose(target.value === "auto" ? "auto" : +target.value));
for (const choice of document.querySelectorAll("[name=cache]")) choice.addEventListener("change", () => {
  wire.fresh = choice.value === "miss" && choice.checked;
  if ($("source").value === "mp4") start();
});
$("theme").addEventListener("click", () => theme(true));
video.addEventListener("waiting", () => { if (video.currentTime > 0.5 && !video.seeking) stalls++; });
video.addEventListener("error", () => { if (video.error && video.getAttribute("src")) state("the browser cannot play on: " + (video.error.message || "code " + video.error.code), true); });
theme(false);
setInterval(look, 250);
new Counters().start();
start();
