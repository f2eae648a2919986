// Figures as people read them.

export const $ = (id) => document.getElementById(id);

export function scaled(value, unit) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size * 0.9995) return `${(value / size).toFixed(value >= size * 100 ? 0 : 1)} ${letter}${unit}`;
  }
  return `${Math.round(value)} ${unit}`;
}

export const ms = (seconds) => (seconds >= 0.1 ? `${Math.round(seconds * 1000)} ms` : `${(seconds * 1000).toFixed(1)} ms`);

export const whole = (value) => Math.round(value).toLocaleString("en");

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor((sorted.length - 1) / 2)] : null;
}
