// Readers of HLS playlists and DASH manifests, as far as the film needs them. Pure but for the browser's XML parser.
//
// Both give a presentation: { duration, video: [level], audio: level | null }, video sorted by bandwidth, where a
// level is { label, bandwidth, mime, init, segments: [{ number, start, end, uri }] } (seconds, names as written).

export function readMaster(text) {
  const lines = linesOf(text);
  if (lines[0] !== "#EXTM3U") throw new Error("no HLS playlist");
  const levels = [];
  lines.forEach((line, at) => {
    if (!line.startsWith("#EXT-X-STREAM-INF:")) return;
    const given = attributes(line);
    const codecs = (given.CODECS || "").split(",");
    levels.push({
      label: label(given.RESOLUTION.split("x")[1], +given.BANDWIDTH),
      bandwidth: +given.BANDWIDTH,
      mime: `video/mp4; codecs="${codecs.find((codec) => !codec.startsWith("mp4a"))}"`,
      audioMime: `audio/mp4; codecs="${codecs.find((codec) => codec.startsWith("mp4a"))}"`,
      uri: lines.slice(at + 1).find((next) => next && !next.startsWith("#")),
    });
  });
  const audio = lines.filter((line) => line.startsWith("#EXT-X-MEDIA:")).map(attributes).find((one) => one.TYPE === "AUDIO");
  return { levels: levels.sort((a, b) => a.bandwidth - b.bandwidth), audio: audio ? audio.URI : null };
}

export function readMedia(text) {
  const segments = [];
  let at = 0, duration = 0, init = null;
  for (const line of linesOf(text)) {
    if (line.startsWith("#EXT-X-MAP:")) init = attributes(line).URI;
    else if (line.startsWith("#EXTINF:")) duration = parseFloat(line.slice(8));
    else if (line && !line.startsWith("#")) {
      segments.push({ number: segments.length + 1, start: at, end: at + duration, uri: line });
      at += duration;
    }
  }
  return { init, segments, duration: at };
}

export async function hlsPresentation(get, name) {
  const master = readMaster(await get(name));
  const video = await Promise.all(master.levels.map(async (level) => ({ ...level, ...readMedia(await get(level.uri)) })));
  const audio = master.audio && { label: "audio", mime: master.levels[0].audioMime, ...readMedia(await get(master.audio)) };
  return { duration: video[0].duration, video, audio };
}

export async function dashPresentation(get, name) {
  const mpd = new DOMParser().parseFromString(await get(name), "application/xml").documentElement;
  if (mpd.localName !== "MPD") throw new Error("no DASH manifest");
  const duration = seconds(mpd.getAttribute("mediaPresentationDuration"));
  const levels = [...mpd.getElementsByTagName("Representation")].map((one) => dashLevel(one, duration));
  const video = levels.filter((level) => level.mime.startsWith("video")).sort((a, b) => a.bandwidth - b.bandwidth);
  return { duration, video, audio: levels.find((level) => level.mime.startsWith("audio")) || null };
}

function dashLevel(representation, duration) {
  const inherited = (name) => representation.getAttribute(name) || representation.parentNode.getAttribute(name);
  const template = representation.getElementsByTagName("SegmentTemplate")[0]
    || representation.parentNode.getElementsByTagName("SegmentTemplate")[0];
  const each = +template.getAttribute("duration") / +(template.getAttribute("timescale") || 1);
  const first = +(template.getAttribute("startNumber") || 1);
  const fill = (pattern, number) => fillTemplate(template.getAttribute(pattern), { RepresentationID: inherited("id"), Number: number });
  const segments = Array.from({ length: Math.ceil(duration / each - 0.001) }, (_, at) => ({
    number: at + 1, start: at * each, end: Math.min(duration, (at + 1) * each), uri: fill("media", first + at),
  }));
  const bandwidth = +inherited("bandwidth");
  const mime = `${inherited("mimeType")}; codecs="${inherited("codecs")}"`;
  return { label: label(inherited("height"), bandwidth), bandwidth, mime, init: fill("initialization", first), segments };
}

export function fillTemplate(pattern, values) {
  return pattern.replace(/\$(\w+)(?:%0(\d+)d)?\$/g, (_, name, width) => String(values[name]).padStart(+width || 0, "0"));
}

// An ISO 8601 duration with hours, minutes and seconds.
export function seconds(text) {
  const found = /^PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?$/.exec(text);
  if (!found) throw new Error("no duration: " + text);
  return (+found[1] || 0) * 3600 + (+found[2] || 0) * 60 + (+found[3] || 0);
}

function attributes(line) {
  const found = {};
  for (const [, name, quoted, plain] of line.matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,]*))/g)) found[name] = quoted ?? plain;
  return found;
}

const linesOf = (text) => text.split("\n").map((line) => line.trim());
const label = (height, bandwidth) => `${height}p, ${Math.round(bandwidth / 1000)} kbit/s`;
