// Colours of the lanes: of the notes, safe for the colour-blind (Okabe and Ito 2008), or none at all.

const SAFE = ["#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#0072b2", "#d55e00", "#bbbbbb"];
const MARKS = ["●", "▲", "■", "◆", "✚", "★", "▼", "⬟"];
const PITCH = [[0x8a, 0x4b, 0x38], [0xc4, 0x6f, 0x40], [0xe8, 0xb0, 0x63], [0xf6, 0xe3, 0xae]];
const PITCH_SAFE = [[0x1f, 0x3b, 0x73], [0x4f, 0x74, 0x9c], [0xb9, 0xae, 0x72], [0xfd, 0xe7, 0x4c]];

let mode = "notes";
const known = new Map(); // name -> place in SAFE, in the order in which names were met

export function setColours(wanted) { mode = wanted; }
export const colours = () => mode;

function place(name) {
  if (!known.has(name)) known.set(name, known.size);
  return known.get(name);
}

export function lift(hex, amount) { // towards white: dark notes must be seen at night
  const parts = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
  return `rgb(${parts.map(v => Math.round(v + (255 - v) * amount)).join(" ")})`;
}

export function colourOf(name, own) {
  if (mode === "safe") return SAFE[place(name) % SAFE.length];
  return lift(/^#[0-9a-f]{6}$/i.test(own) ? own : "#9a8fb0", 0.26);
}

export const markOf = name => mode === "notes" ? "" : MARKS[place(name) % MARKS.length];

export function pitch(hertz) { // 20 to 300 Hz, logarithmic
  const ramp = mode === "safe" ? PITCH_SAFE : PITCH;
  const at = Math.min(1, Math.max(0, Math.log(Math.max(hertz, 1) / 20) / Math.log(15))) * 3;
  const i = Math.min(2, Math.floor(at)), part = at - i;
  return `rgb(${ramp[i].map((v, k) => Math.round(v + (ramp[i + 1][k] - v) * part)).join(" ")})`;
}

export function warmth(celsius) { // cold blue, neutral, warm red
  const t = Math.min(1, Math.max(0, (celsius + 5) / 45));
  if (mode === "safe") return `rgb(${Math.round(60 + 190 * t)} ${Math.round(120 + 90 * t)} ${Math.round(220 - 170 * t)})`;
  return t < 0.5 ? `rgb(${Math.round(96 + 160 * t)} ${Math.round(150 + 40 * t)} ${Math.round(205 - 90 * t)})`
    : `rgb(${Math.round(176 + 70 * (t - 0.5) * 2)} ${Math.round(170 - 70 * (t - 0.5) * 2)} ${Math.round(160 - 95 * (t - 0.5) * 2)})`;
}

export const SENSE = { smell: "#a9c3a0", taste: "#d9a7bd", touch: "#e0b48a" };
