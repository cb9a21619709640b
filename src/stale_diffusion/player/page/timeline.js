// Lanes on one timeline with a playhead: drawn on one canvas, scrubbed by dragging, zoomed by wheel and pinch.

import { clock } from "./api.js";
import { colourOf, markOf, pitch, warmth } from "./colours.js";
import { trackOf } from "./senses.js";

const OWN = [["sight", 46], ["hearing", 34], ["touch", 46], ["smell", 72], ["taste", 32]];
const RULER = 20, FURTHER = 32; // heights of the ruler and of each additional sense
const PRESENT = 0.05; // a note or taste that never rises above this has no band
const MIN_SPAN = 0.5; // seconds across the whole timeline at the closest

export class Timeline {
  constructor(canvas, { onSeek, onView }) {
    Object.assign(this, { canvas, onSeek, onView });
    this.context = canvas.getContext("2d");
    this.base = document.createElement("canvas");
    this.hover = null;
    this.set({ seconds: 0 });
    new ResizeObserver(() => { this.stale = true; }).observe(canvas);
    new Gestures(canvas, this);
  }

  // seconds; lanes, detail: as the server sends them; strip: pictures in equal steps; heard: [loudness, brightness]
  set({ seconds, lanes = null, strip = [], heard = [] }) {
    Object.assign(this, { seconds, lanes, strip, heard, detail: null, grown: seconds, view: { start: 0, end: seconds } });
    this.canvas.setAttribute("aria-valuemax", seconds.toFixed(1));
    this.stale = true;
  }

  change(parts) { Object.assign(this, parts); this.stale = true; }

  get rows() { // a lane more for each additional sense that the movie has
    const further = (this.lanes?.tracks ?? []).map(t => t.sense).filter(name => !OWN.some(([own]) => own === name));
    return [...OWN, ...further.map(name => [name, FURTHER]), ["", RULER]];
  }

  get total() { return this.rows.reduce((sum, [, height]) => sum + height, 0); }

  get gutter() { return this.canvas.clientWidth < 620 ? 56 : 84; }
  get span() { return Math.max(1e-6, this.view.end - this.view.start); }

  timeAt(x) { // x: pixels from the left edge of the canvas
    const inner = this.canvas.clientWidth - this.gutter;
    return Math.min(this.seconds, Math.max(0, this.view.start + (x - this.gutter) / inner * this.span));
  }

  xAt(time) { return this.gutter + (time - this.view.start) / this.span * (this.canvas.clientWidth - this.gutter); }

  look(start, span) { // show a stretch of time, kept inside the movie
    span = Math.min(this.seconds, Math.max(Math.min(MIN_SPAN, this.seconds), span));
    start = Math.min(this.seconds - span, Math.max(0, start));
    this.view = { start, end: start + span };
    this.stale = true;
    this.onView?.(this.view);
  }

  zoom(factor, around) { // factor < 1: closer
    const span = Math.min(this.seconds, Math.max(Math.min(MIN_SPAN, this.seconds), this.span * factor));
    this.look(around - (around - this.view.start) / this.span * span, span);
  }

  whole() { this.look(0, this.seconds); }

  follow(time) { // keep the playhead in sight
    if (this.span < this.seconds - 1e-6 && (time > this.view.end || time < this.view.start)) this.look(time - this.span * 0.1, this.span);
  }

  // ------------------------------------------------------------------------------------------------------ drawing

  draw(time) {
    const { canvas, context: c } = this, dpr = Math.min(2.5, devicePixelRatio || 1);
    const w = Math.round(canvas.clientWidth * dpr), h = Math.round(canvas.clientHeight * dpr);
    if (!w || !h) return;
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; this.stale = true; }
    const key = `${time} ${this.hover} ${this.view.start} ${this.view.end}`;
    if (!this.stale && key === this.drawn) return;
    this.drawn = key;
    if (this.stale) this.drawBase(dpr);
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, w, h);
    c.drawImage(this.base, 0, 0);
    c.setTransform(dpr, 0, 0, dpr, 0, 0);
    if (!this.seconds) return;
    const width = canvas.clientWidth, lanes = canvas.clientHeight * (this.total - RULER) / this.total, x = this.xAt(time);
    c.fillStyle = "rgb(11 12 16 / 0.36)"; // what is to come lies in the dark
    c.fillRect(Math.max(this.gutter, x), 0, width, lanes);
    if (this.grown < this.seconds - 1e-3) this.drawUngrown(c, width, lanes);
    const marked = this.hover ?? Math.min(width, Math.max(0, x));
    this.drawRuler(c, { x: this.gutter, y: lanes + 2, w: width - this.gutter }, marked);
    if (this.hover !== null) {
      c.fillStyle = "#ffffff38";
      c.fillRect(this.hover, 0, 1, lanes);
      this.flag(c, this.hover, lanes, this.timeAt(this.hover), "#b9b3a6");
    }
    if (x >= this.gutter - 1 && x <= width + 1) this.playhead(c, Math.min(width - 1, x), lanes, time);
  }

  playhead(c, x, lanes, time) {
    const light = c.createLinearGradient(x - 26, 0, x, 0);
    light.addColorStop(0, "transparent");
    light.addColorStop(1, "rgb(230 192 138 / 0.16)");
    c.fillStyle = light;
    c.fillRect(Math.max(this.gutter, x - 26), 0, x - Math.max(this.gutter, x - 26), lanes);
    c.fillStyle = "#f3d9b1";
    c.fillRect(x - 0.75, 0, 1.5, lanes + 1);
    c.beginPath(); c.arc(x, lanes + 2, 4.5, 0, 7); c.fill();
    if (this.hover === null) this.flag(c, x, lanes, time, "#f3d9b1");
  }

  flag(c, x, lanes, time, ink) {
    const text = this.span < 20 ? `${clock(time)}.${Math.floor(time * 10 + 1e-6) % 10}` : clock(time);
    c.font = "500 11px Inter, sans-serif";
    const wide = c.measureText(text).width + 12, left = Math.min(this.canvas.clientWidth - wide, Math.max(this.gutter, x - wide / 2));
    c.fillStyle = ink;
    c.textBaseline = "middle"; c.textAlign = "center";
    c.fillText(text, left + wide / 2, lanes + 14);
  }

  drawUngrown(c, width, lanes) {
    const from = Math.max(this.gutter, this.xAt(this.grown));
    c.strokeStyle = "#ffffff12";
    c.lineWidth = 1;
    c.save();
    c.beginPath(); c.rect(from, 0, width - from, lanes); c.clip();
    for (let x = from - lanes; x < width; x += 9) { c.beginPath(); c.moveTo(x, lanes); c.lineTo(x + lanes, 0); c.stroke(); }
    c.restore();
  }

  drawBase(dpr) {
    const { base, canvas } = this, c = base.getContext("2d");
    base.width = canvas.width; base.height = canvas.height;
    c.setTransform(dpr, 0, 0, dpr, 0, 0);
    const width = canvas.clientWidth, scale = canvas.clientHeight / this.total, left = this.gutter;
    let y = 0;
    for (const [name, height] of this.rows) {
      const row = { x: left, y: y + 2, w: width - left, h: height * scale - 4 };
      if (name) {
        c.fillStyle = "#ffffff08";
        c.fillRect(row.x, row.y, row.w, row.h);
        c.fillStyle = "#8f8b82";
        c.font = "400 12px Inter, sans-serif";
        c.textBaseline = "middle"; c.textAlign = "left";
        c.fillText(name, 0, row.y + row.h / 2);
        if (this.seconds) {
          c.save();
          c.beginPath(); c.rect(row.x, row.y, row.w, row.h); c.clip();
          if (this[`draw_${name}`]) this[`draw_${name}`](c, row);
          else this.curves(c, row, name);
          c.restore();
        }
      }
      y += height * scale;
    }
    this.stale = false;
  }

  drawRuler(c, row, marked) { // no label where the playhead has its own
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];
    const step = steps.find(s => s / this.span * row.w > 64) ?? 14400;
    c.font = "400 11px Inter, sans-serif"; c.textBaseline = "middle";
    for (let t = Math.ceil(this.view.start / step - 1e-6) * step; t <= this.view.end + 1e-6; t += step) {
      const x = this.xAt(t);
      c.fillStyle = "#ffffff2b"; c.fillRect(Math.min(x, row.x + row.w - 1), row.y, 1, 4);
      c.fillStyle = "#7d7a73";
      c.textAlign = x < row.x + 14 ? "left" : x > row.x + row.w - 18 ? "right" : "center";
      if (Math.abs(x - marked) < 44) continue;
      const text = step < 1 ? `${clock(t)}.${Math.round(t * 10) % 10}` : clock(t);
      c.fillText(text, Math.min(row.x + row.w, Math.max(row.x, x)), row.y + 12);
    }
  }

  draw_sight(c, row) {
    if (!this.strip.length) return;
    const some = this.strip.find(Boolean);
    if (!some) return;
    const wide = row.h * some.width / some.height, n = Math.ceil(row.w / wide);
    for (let i = 0; i < n; i++) {
      const middle = this.timeAt(row.x + (i + 0.5) * wide);
      const k = Math.min(this.strip.length - 1, Math.floor(middle / this.seconds * this.strip.length));
      if (this.strip[k]) c.drawImage(this.strip[k], row.x + i * wide, row.y, wide + 0.5, row.h);
    }
  }

  draw_hearing(c, row) {
    const { heard } = this, middle = row.y + row.h / 2;
    if (!heard.length) return this.nothing(c, row, "");
    const loudest = Math.max(0.3, ...heard.map(h => h?.[0] ?? 0));
    for (let x = 0; x < row.w; x += 2) {
      const at = this.timeAt(row.x + x) / this.seconds * heard.length;
      const i = Math.min(heard.length - 1, Math.floor(at)), next = heard[Math.min(heard.length - 1, i + 1)];
      if (!heard[i]) continue;
      const part = at - i, loud = heard[i][0] + ((next ?? heard[i])[0] - heard[i][0]) * part, bright = heard[i][1];
      const size = loud / loudest, high = Math.max(0.8, size * size * row.h * 0.94);
      c.fillStyle = `rgb(${Math.round(112 + 100 * bright)} ${Math.round(140 + 70 * bright)} ${Math.round(186 + 24 * bright)} / ${(0.5 + 0.45 * size).toFixed(2)})`;
      c.fillRect(row.x + x, middle - high / 2, 1.4, high);
    }
  }

  // the samples of a channel under each pixel: [lowest, highest] of them
  columns(track, channel, width, each = 1) {
    const found = [], { values } = channel, last = values.length - 1;
    for (let x = 0; x < width; x += each) {
      const a = (this.timeAt(this.gutter + x) - track.start) * track.rate, b = (this.timeAt(this.gutter + x + each) - track.start) * track.rate;
      const i = Math.max(0, Math.min(last, Math.floor(a))), j = Math.max(i, Math.min(last, Math.floor(b)));
      let low = values[i] + ((values[Math.min(last, i + 1)] ?? values[i]) - values[i]) * Math.min(1, Math.max(0, a - i)), high = low;
      for (let k = i + 1; k <= j; k++) { low = Math.min(low, values[k]); high = Math.max(high, values[k]); }
      found.push([low, high]);
    }
    return found;
  }

  track(sense) { // the closest look that there is
    const { detail, view } = this;
    const close = detail && detail.start <= view.start + 1e-6 && detail.end >= view.end - 1e-6;
    return trackOf(close ? detail : this.lanes, sense);
  }

  nothing(c, row, text) {
    c.fillStyle = "#6a675f"; c.font = "italic 400 14px Garamond, serif"; c.textAlign = "left";
    c.fillText(text, row.x + 10, row.y + row.h / 2);
  }

  draw_touch(c, row) {
    const track = this.track("touch");
    if (!track) return this.nothing(c, row, "nothing to feel");
    const channel = name => track.channels.find(ch => ch.name === name) ?? { values: [] };
    const middle = row.y + row.h / 2, hertz = this.columns(track, channel("frequency"), row.w, 2);
    for (const [name, way] of [["seat_amplitude", -1], ["back_amplitude", 1]]) {
      this.columns(track, channel(name), row.w, 2).forEach(([, high], i) => {
        const size = Math.sqrt(Math.max(0, high)) * row.h * 0.49;
        c.fillStyle = pitch(hertz[i]?.[1] ?? 60);
        c.globalAlpha = 0.5 + 0.5 * Math.sqrt(Math.max(0, high));
        c.fillRect(row.x + i * 2, way < 0 ? middle - size : middle, 2, Math.max(0.5, size));
      });
    }
    c.globalAlpha = 0.85;
    c.lineWidth = 1.3;
    this.line(c, row, track, channel("temperature"), 0.2, v => warmth(v));
    c.globalAlpha = 0.6;
    c.setLineDash([2, 3]);
    this.line(c, row, track, channel("wind"), 0, () => "#b9d0cd");
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  line(c, row, track, channel, base, ink) { // a curve over the whole height of the lane
    if (!channel.values.length) return;
    const spots = this.columns(track, channel, row.w, 4);
    let sum = 0;
    c.beginPath();
    spots.forEach(([low, high], i) => {
      const v = (low + high) / 2, part = (v - channel.low) / (channel.high - channel.low);
      sum += v;
      c[i ? "lineTo" : "moveTo"](row.x + i * 4, row.y + row.h * (1 - base / 2 - part * (1 - base)) - 1);
    });
    c.strokeStyle = ink(sum / spots.length);
    c.stroke();
  }

  curves(c, row, sense) { // an additional sense: all its channels over one another, each on its own scale
    const track = this.track(sense), moved = (track?.channels ?? []).filter(ch => ch.values.some(v => v));
    if (!moved.length) return this.nothing(c, row, "at rest");
    moved.forEach((channel, i) => {
      c.globalAlpha = 0.85;
      c.lineWidth = 1.2;
      this.line(c, row, track, channel, 0, () => `hsl(${(260 + i * 47) % 360} 42% 70%)`);
    });
    c.globalAlpha = 1;
  }

  draw_smell(c, row) { this.bands(c, row, "smell", "nothing in the air"); }
  draw_taste(c, row) { this.bands(c, row, "taste", "nothing on the tongue"); }

  bands(c, row, sense, none) {
    const track = this.track(sense), all = trackOf(this.lanes, sense);
    const present = (all?.channels ?? []).filter(ch => Math.max(...ch.values) >= PRESENT).map(ch => ch.name);
    if (!track || !present.length) return this.nothing(c, row, none);
    const first = name => { // in order of when each is strongest, so that one flows into the next
      const { values } = all.channels.find(ch => ch.name === name);
      return values.indexOf(Math.max(...values));
    };
    present.sort((a, b) => first(a) - first(b));
    const each = row.h / present.length;
    present.forEach((name, k) => this.band(c, row, track, track.channels.find(ch => ch.name === name), row.y + each * (k + 0.5), each));
    c.font = "500 10px Inter, sans-serif"; c.textAlign = "left"; c.textBaseline = "middle";
    let free = -1; // no label on another one
    present.forEach((name, k) => {
      if (row.y + each * (k + 0.5) < free) return;
      free = row.y + each * (k + 0.5) + 9.6;
      const text = [markOf(name), name.replaceAll("_", " ")].filter(Boolean).join(" "), y = row.y + each * (k + 0.5);
      c.strokeStyle = "#0b0c10c0"; c.lineWidth = 3; c.lineJoin = "round";
      c.strokeText(text, row.x + 8, y + 0.5);
      c.fillStyle = "#efe9dc"; c.globalAlpha = 0.92;
      c.fillText(text, row.x + 8, y + 0.5);
      c.globalAlpha = 1;
    });
  }

  band(c, row, track, channel, middle, height) { // as thick and as clear as the scent is strong
    const spots = this.columns(track, channel, row.w + 2, 2), ink = colourOf(channel.name, channel.colour);
    c.fillStyle = ink;
    for (let i = 0; i < spots.length; i++) {
      const level = Math.min(1, Math.max(0, (spots[i][0] + spots[i][1]) / 2));
      if (level < 0.01) continue;
      c.globalAlpha = 0.16 + 0.84 * Math.sqrt(level);
      const thick = Math.max(0.8, Math.sqrt(level) * height * 0.92);
      c.fillRect(row.x + i * 2, middle - thick / 2, 2.05, thick);
    }
    c.globalAlpha = 1;
  }
}

// ------------------------------------------------------------------------------------------------------- gestures

class Gestures {
  constructor(canvas, timeline) {
    Object.assign(this, { canvas, timeline, points: new Map(), pinch: null });
    const on = (name, act, options) => canvas.addEventListener(name, act, options);
    on("pointerdown", e => this.down(e));
    on("pointermove", e => this.move(e));
    on("pointerup", e => this.up(e));
    on("pointercancel", e => this.up(e));
    on("pointerleave", () => { timeline.hover = null; });
    on("wheel", e => this.wheel(e), { passive: false });
    on("dblclick", () => timeline.whole());
  }

  at(e) { const box = this.canvas.getBoundingClientRect(); return e.clientX - box.left; }

  down(e) {
    if (e.button > 0) return;
    this.canvas.setPointerCapture(e.pointerId);
    this.points.set(e.pointerId, this.at(e));
    if (this.points.size === 2) this.pinch = this.measure();
    else if (this.points.size === 1) this.timeline.onSeek(this.timeline.timeAt(this.at(e)), true);
  }

  measure() { // two fingers: how far apart, and the time between them
    const [a, b] = [...this.points.values()];
    return { apart: Math.max(12, Math.abs(a - b)), time: this.timeline.timeAt((a + b) / 2), span: this.timeline.span };
  }

  move(e) {
    const { timeline } = this;
    if (!this.points.has(e.pointerId)) {
      if (e.pointerType === "mouse") timeline.hover = this.at(e) >= timeline.gutter ? this.at(e) : null;
      return;
    }
    this.points.set(e.pointerId, this.at(e));
    if (this.pinch && this.points.size === 2) {
      const [a, b] = [...this.points.values()], apart = Math.max(12, Math.abs(a - b));
      const span = Math.min(timeline.seconds, this.pinch.span * this.pinch.apart / apart);
      const inner = this.canvas.clientWidth - timeline.gutter;
      timeline.look(this.pinch.time - ((a + b) / 2 - timeline.gutter) / inner * span, span);
    } else if (!this.pinch) timeline.onSeek(timeline.timeAt(this.at(e)), true);
  }

  up(e) {
    if (!this.points.delete(e.pointerId)) return;
    if (!this.pinch && e.type === "pointerup") this.timeline.onSeek(this.timeline.timeAt(this.at(e)), false);
    if (!this.points.size) this.pinch = null; // the finger that is left after a pinch does not scrub
  }

  wheel(e) {
    const { timeline } = this;
    if (!timeline.seconds) return;
    e.preventDefault();
    const inner = this.canvas.clientWidth - timeline.gutter;
    if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      timeline.look(timeline.view.start + (e.deltaX || e.deltaY) / inner * timeline.span, timeline.span);
    } else timeline.zoom(Math.exp(e.deltaY * (e.ctrlKey ? 0.012 : 0.0022)), timeline.timeAt(this.at(e)));
  }
}
