// What a screen cannot do by itself: smell and taste as words that fade as a scent does, touch on devices or drawn.

import { colourOf, markOf, pitch, warmth } from "./colours.js";
import { $ } from "./api.js";

const RISE = 0.5, FADE = 3.2; // seconds: a scent comes quickly and lingers
const TASTE_FADE = 1.8;
const FAINT = 0.045;

export function valueAt(track, channel, time) { // between samples a straight line
  const at = (time - track.start) * track.rate, values = channel.values;
  if (!values.length) return 0;
  const i = Math.max(0, Math.min(values.length - 1, Math.floor(at)));
  const next = values[Math.min(values.length - 1, i + 1)], part = Math.min(1, Math.max(0, at - i));
  return values[i] + (next - values[i]) * part;
}

export const trackOf = (lanes, sense) => lanes?.tracks.find(t => t.sense === sense);

// ------------------------------------------------------------------------------------------------ smell and taste

export class Air {
  constructor(list, sense, fade) {
    Object.assign(this, { list, sense, fade, felt: new Map(), items: new Map() });
  }

  reset() { this.felt.clear(); this.items.clear(); this.list.replaceChildren(); }

  // elapsed: seconds since the last call; 0 after a seek: what is there is there at once
  update(lanes, time, elapsed, still) {
    const track = trackOf(lanes, this.sense);
    if (!track) return;
    for (const channel of track.channels) {
      const level = Math.max(0, Math.min(1, valueAt(track, channel, time)));
      const felt = this.felt.get(channel.name) ?? 0;
      const slow = level > felt ? RISE : this.fade;
      const now = elapsed <= 0 ? level : felt + (level - felt) * (1 - Math.exp(-elapsed / slow));
      this.felt.set(channel.name, now);
      this.show(channel, now, level, still);
    }
  }

  show(channel, felt, level, still) {
    let item = this.items.get(channel.name);
    if (felt < FAINT) {
      if (item) { item.remove(); this.items.delete(channel.name); }
      return;
    }
    if (!item) {
      item = document.createElement("li");
      item.append(document.createTextNode(channel.name.replaceAll("_", " ")));
      this.items.set(channel.name, item);
      this.list.append(item);
    }
    const leaving = felt > level + 0.02 ? Math.min(1, (felt - level) / felt) : 0;
    const mark = markOf(channel.name);
    if (item.dataset.mark !== mark) {
      item.dataset.mark = mark;
      item.querySelector(".mark")?.remove();
      if (mark) item.prepend(Object.assign(document.createElement("span"), { className: "mark", textContent: mark }));
    }
    item.style.setProperty("--of", colourOf(channel.name, channel.colour));
    item.style.opacity = Math.min(1, 0.18 + 1.25 * Math.sqrt(felt)) * (1 - 0.35 * leaving);
    item.style.fontSize = `${(17 + 23 * Math.sqrt(felt)).toFixed(1)}px`;
    item.style.filter = still || leaving < 0.05 ? "" : `blur(${(2.6 * leaving).toFixed(1)}px)`;
    item.style.transform = still ? "" : `translateY(${(-10 * leaving).toFixed(1)}px)`;
  }
}

export const smells = new Air($("smells"), "smell", FADE);
export const tastes = new Air($("tastes"), "taste", TASTE_FADE);

// the colour in the air: light of the picture, and clouds of the notes
export class Glow {
  constructor(canvas) {
    this.canvas = canvas;
    canvas.width = 320; canvas.height = 200;
    this.context = canvas.getContext("2d");
    this.small = Object.assign(document.createElement("canvas"), { width: 8, height: 5 });
    this.light = this.small.getContext("2d", { willReadFrequently: false });
  }

  draw(film, frame, still, time) {
    const { context: c, canvas: { width: w, height: h } } = this;
    c.globalCompositeOperation = "source-over";
    c.fillStyle = "#0b0c10";
    c.fillRect(0, 0, w, h);
    const left = frame.left / innerWidth * w, top = frame.top / innerHeight * h;
    const wide = frame.width / innerWidth * w, high = frame.height / innerHeight * h;
    if (film.readyState >= 2 && film.videoWidth) {
      this.light.globalAlpha = 0.3; // light changes, but does not flicker
      this.light.drawImage(film, 0, 0, 8, 5);
      c.globalAlpha = 0.55;
      c.filter = "blur(24px) saturate(1.4)";
      c.drawImage(this.small, left - wide * 0.1, top - high * 0.1, wide * 1.2, high * 1.2);
      c.filter = "none";
    }
    c.globalCompositeOperation = "lighter";
    this.clouds(smells, left * 0.45, top + high * 0.55, left * 1.1 + 30, still, time, 0);
    this.clouds(tastes, left + wide + (w - left - wide) * 0.55, top + high * 0.55, left * 1.1 + 30, still, time, 2);
    c.globalAlpha = 1;
  }

  clouds(air, x, y, reach, still, time, turn) {
    let k = 0;
    for (const [name, felt] of air.felt) {
      const item = air.items.get(name);
      if (!item || felt < 0.06) continue;
      const angle = turn + k++ * 2.4 + (still ? 0 : time * 0.13);
      const cx = x + Math.cos(angle) * reach * 0.3, cy = y + Math.sin(angle * 1.3) * reach * 0.35;
      const light = this.context.createRadialGradient(cx, cy, 0, cx, cy, reach * (0.5 + felt * 0.6));
      light.addColorStop(0, item.style.getPropertyValue("--of"));
      light.addColorStop(1, "transparent");
      this.context.globalAlpha = 0.15 * Math.sqrt(felt);
      this.context.fillStyle = light;
      this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    }
  }
}

// ---------------------------------------------------------------------------------------------------------- touch

export function feltAt(lanes, time) {
  const track = trackOf(lanes, "touch");
  if (!track) return null;
  const felt = {};
  for (const channel of track.channels) felt[channel.name] = valueAt(track, channel, time);
  return felt;
}

// a string that trembles as the seat does; the wind bends it, warmth colours it
export class Skin {
  constructor(canvas) { this.canvas = canvas; this.context = canvas.getContext("2d"); this.phase = 0; }

  draw(felt, elapsed, still) {
    const canvas = this.canvas, box = canvas.getBoundingClientRect(), dpr = Math.min(2, devicePixelRatio || 1);
    const w = Math.round(box.width * dpr), h = Math.round(box.height * dpr), c = this.context;
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    c.clearRect(0, 0, w, h);
    if (!felt) return;
    const seat = Math.sqrt(Math.max(0, felt.seat_amplitude ?? 0)), back = Math.sqrt(Math.max(0, felt.back_amplitude ?? 0));
    const hertz = felt.frequency ?? 60;
    c.lineWidth = 2 * dpr;
    c.lineCap = "round";
    if (still) { // no trembling: two bars from the middle, seat and back
      c.strokeStyle = pitch(hertz);
      for (const [level, side] of [[seat, 1], [back, -1]]) {
        c.globalAlpha = 0.35 + 0.6 * level;
        c.beginPath(); c.moveTo(w / 2, h / 2); c.lineTo(w / 2 + side * level * w * 0.48, h / 2); c.stroke();
      }
      return;
    }
    this.phase += elapsed * Math.min(11, 2.2 + hertz / 22) * 2 * Math.PI; // slowed down: 60 Hz cannot be seen
    const waves = 3 + hertz / 14;
    for (const [level, way, alpha] of [[seat, 1, 0.95], [back, -1, 0.5]]) {
      c.strokeStyle = alpha > 0.6 ? pitch(hertz) : warmth(felt.temperature ?? 18);
      c.globalAlpha = alpha * (0.25 + 0.75 * Math.min(1, level * 1.6));
      c.beginPath();
      for (let x = 0; x <= w; x += 3 * dpr) {
        const u = x / w, ends = Math.sin(Math.PI * u);
        const y = h / 2 + way * level * ends * (h * 0.44) * Math.sin(u * waves * 2 * Math.PI) * Math.cos(this.phase);
        if (x) c.lineTo(x, y); else c.moveTo(x, y);
      }
      c.stroke();
    }
    this.wind(felt.wind ?? 0, elapsed, w, h, dpr);
  }

  wind(speed, elapsed, w, h, dpr) { // motes that go by as fast as the air
    const c = this.context, n = Math.min(26, Math.round(speed * 2));
    this.blown = ((this.blown ?? 0) + elapsed * speed * 0.035) % 1;
    c.fillStyle = "#dfe8ea";
    for (let i = 0; i < n; i++) {
      const u = (i * 0.618 + this.blown * (1 + (i % 5) * 0.22)) % 1;
      c.globalAlpha = 0.32 * Math.sin(Math.PI * u);
      c.fillRect(u * w, h * (0.12 + 0.76 * ((i * 0.377) % 1)), (5 + speed) * dpr, dpr);
    }
  }
}

const PULSE = 0.1; // seconds between two orders to a device

export class Devices {
  constructor() { this.on = true; this.last = 0; this.gentle = false; }

  names() {
    const found = [];
    if (navigator.vibrate && matchMedia("(pointer: coarse)").matches) found.push("this phone");
    for (const pad of this.pads()) found.push(pad.id.replace(/\(.*\)/, "").trim() || "gamepad");
    return found;
  }

  pads() {
    const pads = navigator.getGamepads ? [...navigator.getGamepads()] : [];
    return pads.filter(pad => pad?.connected && (pad.vibrationActuator || pad.hapticActuators?.length));
  }

  feel(felt, now) {
    if (!this.on || !felt || now - this.last < PULSE) return;
    this.last = now;
    const half = this.gentle ? 0.5 : 1;
    const seat = Math.min(1, felt.seat_amplitude ?? 0) * half, back = Math.min(1, felt.back_amplitude ?? 0) * half;
    for (const pad of this.pads()) {
      const low = (felt.frequency ?? 60) < 110; // the heavy motor is the slow one
      const strong = low ? Math.max(seat, back) : Math.min(seat, back), weak = low ? back : Math.max(seat, back);
      pad.vibrationActuator?.playEffect?.("dual-rumble", {
        duration: PULSE * 2200, strongMagnitude: strong, weakMagnitude: weak, // a little longer: no gap between two
      })?.catch?.(() => {});
    }
    const level = Math.max(seat, back);
    if (navigator.vibrate && navigator.userActivation?.hasBeenActive !== false && level > 0.06) {
      const spent = Math.round(PULSE * 1000 * Math.min(1, level * 1.3)); // a phone knows on and off: strength is share of time
      navigator.vibrate([Math.max(8, spent)]);
    }
  }

  stop() {
    if (navigator.vibrate && navigator.userActivation?.hasBeenActive) navigator.vibrate(0);
    for (const pad of this.pads()) pad.vibrationActuator?.reset?.()?.catch?.(() => {});
  }
}

// ------------------------------------------------------------------------------------------------------- captions

export class Captions {
  constructor(box) { this.box = box; this.lines = []; this.shown = ""; this.on = true; }

  set(lines) { this.lines = lines; this.shown = ""; this.box.replaceChildren(); }

  update(time) {
    const now = this.on ? this.lines.filter(l => l.start <= time && time < l.end) : [];
    const key = now.map(l => `${l.sense}@${l.start}`).join();
    if (key === this.shown) return;
    this.shown = key;
    this.box.replaceChildren(...now.map(line => {
      const p = document.createElement("p"), b = document.createElement("b");
      b.textContent = line.sense;
      b.style.setProperty("--of", { smell: "#b9d3b0", taste: "#e6b6ca", touch: "#efc49b" }[line.sense] ?? "");
      p.append(b, document.createTextNode(line.text)); // text, never markup
      return p;
    }));
  }
}
