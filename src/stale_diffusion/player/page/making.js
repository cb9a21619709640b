// Asking for a movie, and watching it fall out of the noise.

import { $, get, picture, post } from "./api.js";

const IDEAS = [
  ["shore at dusk", "waves roll in at dusk, salt on the lips"],
  ["rain on glass", "slow rain on a window at night, the street far below"],
  ["forest stream", "a stream in the forest in the morning, moss and cold water"],
  ["campfire", "a campfire under the stars, resin cracks in the heat"],
  ["thunderstorm", "a thunderstorm comes near, the smell of ozone and wet earth"],
  ["kettle", "a kettle begins to sing, fresh coffee in a small kitchen"],
];
const POLL = 160; // milliseconds
export const BUSY = ["loading", "dreaming", "rendering"];
const GRAIN = 8; // pixels of the preview a bit

export class Making {
  // on: {start(job), sampled(job, felt), slot(n, job), playable(job), done(job), end(job)}
  constructor(on) {
    Object.assign(this, { on, since: 0, job: null, still: null, bits: null, staleness: 1, timer: 0, wanted: -1 });
    this.context = $("preview").getContext("2d");
    $("ideas").append(...IDEAS.map(([name, plot]) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button"; button.textContent = name;
      button.addEventListener("click", () => { $("plot").value = plot; $("plot").focus(); });
      item.append(button);
      return item;
    }));
    $("make").addEventListener("submit", e => { e.preventDefault(); this.start(); });
    $("plot").addEventListener("keydown", e => { if (e.key === "Enter" && !e.shiftKey) { e.preventDefault(); $("make").requestSubmit(); } });
    $("hold").addEventListener("click", () => this.order(this.job?.paused ? "resume" : "pause"));
    $("cancel").addEventListener("click", () => this.order("cancel"));
  }

  get busy() { return BUSY.includes(this.job?.phase); }

  async start() {
    const seed = $("seed").value.trim(), wish = { plot: $("plot").value, seconds: Number($("seconds").value) };
    if (seed) wish.seed = Number(seed);
    $("make-error").textContent = "";
    try { this.begin(await post("/api/making", wish)); } catch (error) { $("make-error").textContent = error.message; }
  }

  async order(order) {
    try { this.take(await post(`/api/making/${order}`)); } catch (error) { $("progress-text").textContent = error.message; }
  }

  begin(job) { // also where the page is loaded again while a movie is made
    Object.assign(this, { job: null, since: 0, still: null, bits: null, staleness: 1, wanted: -1, told: {} });
    $("progress").hidden = false;
    this.on.start(job);
    this.take(job);
    clearTimeout(this.timer);
    this.poll(job.id);
  }

  async poll(id) {
    try { this.take(await get(`/api/making?since=${this.since}`)); } catch (error) { $("progress-text").textContent = error.message; }
    if (this.job?.id === id && (this.busy || this.job.news?.length)) this.timer = setTimeout(() => this.poll(id), POLL);
  }

  take(job) {
    if (!job) return;
    const before = this.job?.phase;
    this.job = job;
    for (const news of job.news) if (news.number > this.since) { this.since = news.number; this.hear(news, job); }
    this.say(job);
    if (job.phase === "done" && before !== "done") this.on.done(job);
    else if (["failed", "cancelled"].includes(job.phase) && before !== job.phase) this.on.end(job);
  }

  hear(news, job) {
    if (news.kind === "step") {
      this.step = news;
      this.staleness = news.staleness;
      this.bits = unpacked(news.bits, news.count);
      this.on.step(news, job);
      if (news.still > this.wanted) {
        this.wanted = news.still;
        picture(`/api/making/still/${news.still}`).then(image => { this.still = image; }).catch(() => {});
      }
    } else if (news.kind === "sampled") get("/api/making/lanes").then(felt => this.on.sampled(job, felt)).catch(() => {});
    else if (news.kind === "slot") {
      if (!this.told.playable) { this.told.playable = true; this.on.playable(job); }
      this.on.slot(news, job);
    }
  }

  say(job) {
    const step = this.step, two = n => String(Math.floor(n)).padStart(2, "0");
    let text = "waking the network", share = 0.01;
    if (job.phase === "dreaming" && step) {
      text = `dreaming: segment ${step.segment + 1} of ${step.segments}, step ${step.step} of ${step.steps}, stale ${step.staleness.toFixed(2)}, `
        + `sure ${step.certainty.toFixed(2)}: ${step.place}, ${two(step.hour)}:${two(step.hour % 1 * 60)}`;
      share = (step.segment + step.step / step.steps) / step.segments * 0.4;
    } else if (job.phase === "rendering") {
      text = `rendering: ${Math.min(job.seconds, job.written * 2).toFixed(0)} of ${job.seconds.toFixed(0)} seconds are there`;
      share = 0.4 + 0.6 * job.written / job.slots;
    } else if (job.phase === "done") { text = `${job.name} is in the folder`; share = 1; }
    else if (job.phase === "failed") text = job.error;
    else if (job.phase === "cancelled") text = "cancelled; nothing was kept";
    $("progress-text").textContent = job.paused && this.busy ? `paused; ${text}` : text;
    $("progress-bar").value = share;
    $("hold").textContent = job.paused ? "Go on" : "Pause";
    $("hold").hidden = $("cancel").hidden = !this.busy;
    $("progress").dataset.phase = job.phase;
  }

  draw() { // the picture as it is so far, under the bits that are still undecided
    const { context: c, bits } = this, { width: w, height: h } = c.canvas;
    c.globalAlpha = 1;
    c.fillStyle = "#08090c";
    c.fillRect(0, 0, w, h);
    if (this.still) {
      c.globalAlpha = 1 - this.staleness * 0.75;
      c.filter = `blur(${(this.staleness * 9).toFixed(1)}px)`;
      c.drawImage(this.still, -8, -8, w + 16, h + 16);
      c.filter = "none";
    }
    if (!bits || this.staleness < 0.01) return;
    const across = Math.ceil(w / GRAIN), down = Math.ceil(h / GRAIN);
    for (let i = 0, n = across * down; i < n; i++) {
      const bit = bits[(i * 7) % bits.length];
      c.globalAlpha = this.staleness * (bit ? 0.30 : 0.22);
      c.fillStyle = bit ? "#e6c08a" : "#0b0c10";
      c.fillRect((i % across) * GRAIN, Math.floor(i / across) * GRAIN, GRAIN - 1, GRAIN - 1);
    }
    c.globalAlpha = 1;
  }
}

function unpacked(text, count) {
  const bytes = Uint8Array.from(atob(text), ch => ch.charCodeAt(0)), bits = new Uint8Array(count);
  for (let i = 0; i < count; i++) bits[i] = bytes[i >> 3] >> (7 - (i & 7)) & 1;
  return bits;
}
