// The page: one movie at a time, its senses, its clock, the keys.

import { $, clock, get, named, picture, post, token, url } from "./api.js";
import { setColours } from "./colours.js";
import { BUSY, Making } from "./making.js";
import { Captions, Devices, Glow, Skin, feltAt, smells, tastes } from "./senses.js";
import { Timeline } from "./timeline.js";

const film = $("film"), body = document.body;
const CLOSE = 36; // seconds of touch around the playhead, of movies whose lanes come reduced
const FRAME = 1 / 24;
const STRIP = 24;

const state = {
  first: null, clock: false, name: null, seconds: 0, lanes: null, near: null, about: null,
  growing: false, grown: 0, pending: null, issued: null, scrubbing: false, resume: false, felt: null, bedtimeSince: 0,
};
const captions = new Captions($("captions")), devices = new Devices(), skin = new Skin($("skin")), glow = new Glow($("glow"));
const timeline = new Timeline($("lanes"), { onSeek: seekTo, onView: viewChanged });
const making = new Making({ start: makingStarted, step: stepTaken, sampled, slot: slotGrown, playable, done: made, end: makingEnded });

// --------------------------------------------------------------------------------------------------------- a movie

async function open(name) {
  note("opening");
  try {
    const about = await get(named("api/movies", name));
    leaveMaking();
    Object.assign(state, { name, about, seconds: about.seconds, growing: false, grown: about.seconds, pending: null, near: null });
    state.lanes = await get(named("api/lanes", name));
    setMovie(about, url(named("media", name)));
    note("");
    pictures(name);
    sounds(name);
  } catch (error) { note(error.message); }
}

function setMovie(about, source) {
  body.classList.remove("empty");
  $("title").textContent = about.title;
  document.title = `${about.title} · Stale Diffusion`;
  $("length").textContent = ` / ${clock(about.seconds)}`;
  const [wide, high] = about.size ?? [16, 9];
  $("frame").style.setProperty("--shape", `${wide} / ${high}`);
  $("stage").style.setProperty("--wide", wide / high);
  captions.set(about.captions);
  smells.reset(); tastes.reset();
  timeline.set({ seconds: about.seconds, lanes: state.lanes });
  recipe(about);
  film.src = source;
  film.load();
  $("big-play").hidden = false;
}

async function pictures(name) {
  try {
    const sheet = await picture(named("api/strip", name)), wide = sheet.width / STRIP;
    const stills = await Promise.all([...Array(STRIP).keys()].map(i => createImageBitmap(sheet, i * wide, 0, wide, sheet.height)));
    if (state.name === name) timeline.change({ strip: stills });
  } catch { /* a movie without pictures has an empty lane */ }
}

async function sounds(name) {
  try {
    const heard = await get(named("api/heard", name));
    if (state.name === name) timeline.change({ heard });
  } catch { /* the same */ }
}

let asked = 0;
async function viewChanged(view) { // a closer look at a movie whose lanes came reduced
  const reduced = state.lanes?.tracks.some(t => t.sense === "touch" && t.rate < 63);
  if (!reduced || state.growing || view.end - view.start > state.seconds / 2) return;
  const mine = ++asked, margin = (view.end - view.start) / 2;
  await new Promise(wake => setTimeout(wake, 120));
  if (mine !== asked) return;
  const from = Math.max(0, view.start - margin), to = Math.min(state.seconds, view.end + margin);
  try {
    const detail = await get(`${named("api/lanes", state.name)}?from=${from}&to=${to}`);
    if (mine === asked) timeline.change({ detail });
  } catch { /* the coarse look stays */ }
}

let fetching = false;
function closeBy(time) { // lanes at full rate around the playhead
  if (!state.lanes?.tracks.some(t => t.sense === "touch" && t.rate < 63)) return state.lanes;
  const near = state.near, has = near && time >= near.start && (time < near.end - 5 || near.end >= state.seconds - 0.01);
  if (!has && !fetching && state.name) {
    fetching = true;
    const name = state.name, from = Math.max(0, time - 5);
    get(`${named("api/lanes", name)}?from=${from}&to=${from + CLOSE}&columns=2400`).then(found => {
      if (state.name === name) state.near = found;
    }).catch(() => {}).finally(() => { setTimeout(() => { fetching = false; }, 500); });
  }
  return near && time >= near.start && time <= near.end ? near : state.lanes;
}

// -------------------------------------------------------------------------------------------------------- playing

const playing = () => !film.paused && !film.ended;

async function play() {
  if (!film.src || making.busy && !state.growing) return;
  if (film.ended) film.currentTime = 0;
  try { await film.play(); } catch (error) { if (error.name !== "AbortError") note("This browser cannot play it: " + error.message); }
}
const toggle = () => playing() ? film.pause() : play();

function seekTo(time, moving) {
  if (!film.src || !state.seconds) return;
  if (state.growing) time = Math.min(time, Math.max(0, state.grown - 0.25));
  time = Math.min(time, Math.max(0, state.seconds - 0.001));
  if (moving && !state.scrubbing) { state.scrubbing = true; state.resume = playing(); film.pause(); }
  state.pending = time;
  if (!film.seeking) goTo(time);
  if (!moving && state.scrubbing) { state.scrubbing = false; if (state.resume) play(); }
}
function goTo(time) { state.issued = time; film.currentTime = time; }
const step = by => seekTo(now() + by, false);
const now = () => state.pending ?? film.currentTime;

film.addEventListener("seeked", () => {
  if (state.pending !== null && state.pending !== state.issued) return goTo(state.pending); // it has been moved on meanwhile
  state.pending = null;
  settle();
  tell("seek");
});
film.addEventListener("loadeddata", () => settle());
film.addEventListener("play", () => { body.classList.add("playing"); label(); tell("play"); });
for (const name of ["pause", "ended"]) film.addEventListener(name, () => {
  body.classList.remove("playing");
  label();
  devices.stop();
  tell("pause");
  if (state.finished && !state.scrubbing) takeFinished();
});
film.addEventListener("waiting", () => { if (state.growing) note(state.grown < state.seconds ? "still growing" : ""); tell("pause"); devices.stop(); });
film.addEventListener("playing", () => { note(""); tell("play"); });
film.addEventListener("error", () => { if (film.error && film.src) note("This movie cannot be played: " + (film.error.message || "the picture or sound is damaged")); });

function settle() { // what is in the air here is there at once
  const lanes = closeBy(now());
  smells.update(lanes, now(), 0, true);
  tastes.update(lanes, now(), 0, true);
}

function label() {
  for (const id of ["play", "big-play"]) $(id).setAttribute("aria-label", playing() ? "Pause" : "Play");
}

// the clock that devices in the room follow
let beat = 0;
function tell(action, last = false) {
  if (!state.clock || state.name !== state.first) return;
  post("/api/transport", { action, position: film.currentTime, movie: state.name }, last).catch(() => {});
}
setInterval(() => { if (playing() && film.readyState > 2 && ++beat) tell("beat"); }, 1000);
addEventListener("pagehide", () => { devices.stop(); tell("pause", true); });

// ---------------------------------------------------------------------------------------------------------- frames

let last = 0, lastTime = -1, lastGlow = 0, lastPreview = 0, awake = 0, smooth = 0;
function frame(stamp) {
  const elapsed = Math.min(0.1, (stamp - last) / 1000);
  last = stamp;
  const time = now(), still = body.classList.contains("still");
  if (body.classList.contains("making") && stamp - lastPreview > 80) { lastPreview = stamp; making.draw(); }
  if (state.lanes && !body.classList.contains("making")) {
    const lanes = closeBy(time), moving = playing() && film.readyState > 2;
    state.felt = feltAt(lanes, time);
    if (moving) {
      smells.update(lanes, time, elapsed * film.playbackRate, still);
      tastes.update(lanes, time, elapsed * film.playbackRate, still);
      devices.feel(state.felt, stamp / 1000);
      timeline.follow(time);
    }
    captions.update(time);
    smooth = moving ? 1 : Math.max(0, smooth - elapsed * 2);
    const rest = state.felt && (smooth > 0 || still || time !== lastTime || stamp - awake < 3000) && { ...state.felt, seat_amplitude: state.felt.seat_amplitude * (still ? 1 : smooth), back_amplitude: state.felt.back_amplitude * (still ? 1 : smooth), wind: state.felt.wind * smooth };
    if (rest) skin.draw(rest, elapsed, still);
    else if (!state.felt) skin.draw(null, 0, true);
    lastTime = time;
    feels(state.felt);
  } else if (state.lanes) skin.draw(null, 0, true);
  timeline.draw(time);
  showTime(time);
  if (playing() || state.pending !== null || body.classList.contains("making")) awake = stamp;
  if (stamp - lastGlow > 90 && stamp - awake < 3000) { // a movie that stands still costs nothing
    lastGlow = stamp;
    glow.draw(film, $("frame").getBoundingClientRect(), still, time);
    bedtime(stamp);
  }
  requestAnimationFrame(frame);
}

let shownTime = "";
function showTime(time) {
  body.classList.toggle("begun", playing() || time > 0.05 && !film.ended);
  const text = clock(time);
  if (text === shownTime) return;
  shownTime = text;
  $("now").textContent = text;
  $("lanes").setAttribute("aria-valuenow", time.toFixed(1));
  $("lanes").setAttribute("aria-valuetext", `${text} of ${clock(state.seconds)}`);
}

let shownFeels = "";
function feels(felt) {
  let text = "";
  if (felt) {
    const parts = [`${Math.round(felt.temperature)} °C`, `wind ${felt.wind.toFixed(1)} m/s`, `${Math.round(felt.frequency)} Hz`];
    text = parts.join("  ·  ");
  }
  if (text === shownFeels) return;
  shownFeels = text;
  $("feels").textContent = text;
}

function note(text) { $("note").textContent = text; }

// ---------------------------------------------------------------------------------------------------------- making

function askForMovie(first = false) {
  $("make").hidden = false;
  $("make-close").hidden = first && !state.name;
  body.classList.add("asking");
  film.pause();
  note("");
  $("plot").focus();
}
function stopAsking() {
  if (!state.name && !making.busy) return;
  $("make").hidden = true;
  body.classList.remove("asking");
}

function makingStarted(job) {
  film.pause();
  film.removeAttribute("src"); film.load();
  Object.assign(state, { name: null, finished: null, seconds: job.seconds, growing: true, grown: 0, near: null, pending: 0 });
  $("make").hidden = true;
  body.classList.remove("asking", "empty");
  body.classList.add("making");
  $("preview").hidden = false;
  $("title").textContent = job.plot || "anything at all";
  $("length").textContent = ` / ${clock(job.seconds)}`;
  $("frame").style.setProperty("--shape", "16 / 9");
  $("stage").style.setProperty("--wide", 16 / 9);
  captions.set([]); smells.reset(); tastes.reset();
  state.lanes = null;
  timeline.set({ seconds: job.seconds });
  timeline.change({ grown: 0 });
  note("");
}

let dreamt = {}; // values of each segment, as the network has them so far

function stepTaken(news, job) {
  if (news.segment === 0 && news.step === 1) dreamt = {};
  for (const sense in news.lanes) (dreamt[sense] ??= [])[news.segment] = news.lanes[sense];
  const tracks = Object.entries(dreamt).map(([sense, segments]) => {
    const each = news.lanes[sense][0].length, held = news.lanes[sense];
    const channels = held.map((_, c) => {
      const { name = `${sense} ${c + 1}`, colour = "#9a8fb0", low = 0, high = 1 } = making.names?.[sense]?.[c] ?? {};
      return { name, colour, low, high, values: [...Array(news.segments).keys()].flatMap(s => segments[s]?.[c] ?? Array(each).fill(high > 1 ? held[c].at(-1) : 0)) };
    });
    return { sense, start: 0, rate: each / 4, channels };
  });
  timeline.change({ lanes: { start: 0, end: job.seconds, tracks }, grown: 0 });
}

function sampled(job, felt) {
  if (making.job?.id !== job.id) return;
  state.lanes = felt.lanes;
  state.about = felt.about;
  $("title").textContent = felt.about.title;
  captions.set(felt.about.captions);
  recipe(felt.about);
  timeline.change({ lanes: felt.lanes, strip: Array(Math.max(1, Math.ceil(job.seconds / 2))).fill(null), heard: [] });
}

function playable(job) { // the first seconds are there: it plays while it grows
  film.src = url("/api/making/movie.mp4");
  film.load();
  state.pending = null;
  body.classList.remove("making");
  setTimeout(() => { $("preview").hidden = !body.classList.contains("making"); }, 50);
  if (!document.hidden) play();
}

async function slotGrown(news, job) {
  state.grown = Math.min(job.seconds, (news.slot + 1) * 2);
  const heard = [...timeline.heard];
  news.heard.forEach((h, i) => { heard[news.slot * news.heard.length + i] = h; });
  const full = Math.ceil(job.seconds / 2) * news.heard.length;
  while (heard.length < full) heard.push([0, 0]);
  timeline.change({ grown: state.grown, heard });
  try {
    const still = await picture(`/api/making/slot/${news.slot}`), strip = [...timeline.strip];
    strip[news.slot] = still;
    timeline.change({ strip });
  } catch { /* the lane waits */ }
}

function made(job) {
  state.finished = job.name;
  movies();
  if (!playing()) takeFinished();
}

async function takeFinished() { // from the movie that grew to the file that it became
  const name = state.finished, time = film.ended ? 0 : film.currentTime;
  state.finished = null;
  await open(name);
  if (time > 0.1) film.addEventListener("loadedmetadata", () => { film.currentTime = time; }, { once: true });
}

function makingEnded(job) {
  leaveMaking();
  body.classList.remove("playing");
  state.growing = false;
  film.pause();
  film.removeAttribute("src"); film.load();
  if (job.phase === "failed") note(job.error);
  else if (state.first) { open(state.first); return; }
  state.name = null;
  askForMovie(true);
}

function leaveMaking() {
  body.classList.remove("making");
  $("preview").hidden = true;
  stopAsking();
  $("make").hidden = true;
  body.classList.remove("asking");
}

// ------------------------------------------------------------------------------------------------- lists and boxes

async function movies() {
  try {
    const found = await get("/api/state");
    $("movie-list").replaceChildren(...found.movies.map(name => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button"; button.textContent = name;
      if (name === state.name) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => { $("movies").close(); if (making.busy) note("a movie is being made; cancel it first"); else open(name); });
      item.append(button);
      return item;
    }));
    if (!found.movies.length) $("movie-list").textContent = "There is none yet.";
    $("version").textContent = `stale-diffusion ${found.version}, playing from the folder ${found.folder}`;
    return found;
  } catch (error) { note(error.message); return null; }
}

function pairs(list, rows) {
  list.replaceChildren(...rows.flatMap(([term, text]) => [
    Object.assign(document.createElement("dt"), { textContent: term }), Object.assign(document.createElement("dd"), { textContent: text }),
  ]));
}

function recipe(about) {
  const made = about.recipe, rows = [];
  if (made.plot) rows.push(["plot", made.plot]);
  if (made.seed !== undefined) rows.push(["seed, steps", `${made.seed}, ${made.steps}`]);
  if (made.source) rows.push(["completed from", made.source]);
  const origins = Object.entries(about.origins).map(([sense, origin]) => `${sense} ${origin}`);
  rows.push(["senses", [made.picture && `picture ${made.picture}`, ...origins].filter(Boolean).join(", ") || "sight and hearing only"]);
  if (made.keshas) rows.push(["price", `${Math.round(made.keshas).toLocaleString("en")} Ke$ha for $${made.cost_dollars.toPrecision(2)}`]);
  if (made.model) rows.push(["weights", made.model.slice(0, 16)]);
  pairs($("recipe"), rows);
}

// ------------------------------------------------------------------------------------------------- view and moods

const kept = (key, value) => { try { value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); return localStorage.getItem(key); } catch { return null; } };

function setMood(name, on) {
  if (name === "bedtime") {
    body.classList.toggle("bedtime", on);
    $("bedtime-on").setAttribute("aria-pressed", on);
    $("bedtime-box").checked = on;
    state.bedtimeSince = on ? performance.now() : 0;
    devices.gentle = on;
    if (!on) { film.volume = 1; $("frame").style.removeProperty("--dim"); for (const id of ["smells", "tastes", "lanes"]) $(id).style.removeProperty("--dim"); }
  } else if (name === "captions") {
    captions.on = on;
    $("captions-on").setAttribute("aria-pressed", on);
    $("captions-box").checked = on;
  } else if (name === "still") {
    body.classList.toggle("still", on);
    $("still-on").checked = on;
  } else if (name === "touch") {
    devices.on = on;
    if (!on) devices.stop();
    $("touch-on").setAttribute("aria-pressed", on);
  } else if (name === "sound") {
    film.muted = !on;
    $("sound-on").setAttribute("aria-pressed", on);
  }
}
const mood = { bedtime: () => body.classList.contains("bedtime"), captions: () => captions.on, still: () => body.classList.contains("still"), touch: () => devices.on, sound: () => !film.muted };
const flip = name => { setMood(name, !mood[name]()); kept(name, mood[name]() ? "1" : "0"); };

function bedtime(stamp) { // ever darker, ever quieter, over ten minutes
  if (!state.bedtimeSince) return;
  const share = Math.min(1, (stamp - state.bedtimeSince) / 600_000), dim = (0.62 - 0.4 * share).toFixed(3);
  for (const id of ["frame", "smells", "tastes", "lanes"]) $(id).style.setProperty("--dim", dim);
  film.volume = 0.6 - 0.35 * share;
}

function setView(name) {
  setColours(name);
  body.classList.toggle("grey", name === "grey");
  document.querySelector(`[name="colours"][value="${name}"]`).checked = true;
  timeline.change({});
  settle();
  kept("colours", name);
}

function show(id) {
  if (id === "movies") movies();
  if (id === "view") $("devices").textContent = devices.names().length ? `Touch goes to ${devices.names().join(", ")}.`
    : "No phone that trembles and no gamepad is there, so touch is drawn: the string under the picture. Press a button of a gamepad to wake it.";
  $(id).showModal();
}

const KEYS = [
  ["space, K", "play, pause"], ["← →", "5 seconds; with shift 1"], [", .", "a frame"], ["Home, End", "start, end"], ["0 … 9", "tenths of the movie"],
  ["+ − Z", "zoom; the whole"], ["C", "captions"], ["H", "touch on devices"], ["M ↑ ↓", "sound"], ["B", "bedtime"],
  ["G", "colours, safe, grey"], ["R", "reduced motion"], ["F", "whole screen"], ["N", "new movie"], ["L V ?", "movies, view, about"],
];
const wholeScreen = () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.().catch(() => {});
const ACTS = {
  " ": toggle, k: toggle, ",": () => step(-FRAME), ".": () => step(FRAME), Home: () => seekTo(0, false), End: () => seekTo(state.seconds, false),
  "+": () => timeline.zoom(0.6, now()), "=": () => timeline.zoom(0.6, now()), "-": () => timeline.zoom(1.6, now()), z: () => timeline.whole(),
  c: () => flip("captions"), h: () => flip("touch"), m: () => flip("sound"), b: () => flip("bedtime"), r: () => flip("still"), f: wholeScreen,
  n: () => { if (!making.busy) askForMovie(); }, l: () => show("movies"), v: () => show("view"), "?": () => show("about"),
  ArrowUp: () => { film.volume = Math.min(1, film.volume + 0.1); }, ArrowDown: () => { film.volume = Math.max(0, film.volume - 0.1); },
  g: () => { const all = ["notes", "safe", "grey"], i = all.findIndex(v => document.querySelector(`[name="colours"][value="${v}"]`).checked); setView(all[(i + 1) % 3]); },
};
addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
  if (e.target.matches("input, textarea")) { if (e.key === "Escape") { e.target.blur(); stopAsking(); } return; }
  if (e.key === "Escape") return stopAsking();
  if (e.key === " " && e.target.matches("button")) return; // a button that has the focus is pressed
  const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
  if (key === "ArrowLeft" || key === "ArrowRight") step((key === "ArrowLeft" ? -1 : 1) * (e.shiftKey ? 1 : 5));
  else if (/^[0-9]$/.test(key)) seekTo(state.seconds * Number(key) / 10, false);
  else if (ACTS[key]) ACTS[key]();
  else return;
  e.preventDefault();
});

// a tap on the picture plays and pauses; a drag along it scrubs, as on the timeline
let held = null;
$("frame").addEventListener("pointerdown", e => { if (!e.target.closest("form, button") && e.button === 0) held = { x: e.clientX, time: now(), moved: false, id: e.pointerId }; });
addEventListener("pointermove", e => {
  if (!held || e.pointerId !== held.id) return;
  const by = e.clientX - held.x;
  if (!held.moved && Math.abs(by) < 12) return;
  held.moved = true;
  seekTo(Math.max(0, held.time + by / $("frame").clientWidth * Math.min(state.seconds, timeline.span)), true);
});
addEventListener("pointerup", e => {
  if (!held || e.pointerId !== held.id) return;
  if (held.moved) seekTo(now(), false);
  else if (!e.target.closest?.("button, form")) toggle();
  held = null;
});
addEventListener("pointercancel", () => { if (held?.moved) seekTo(now(), false); held = null; });

const press = (id, act) => $(id).addEventListener("click", act);
press("play", toggle); press("big-play", toggle); press("whole", wholeScreen);
press("brand", () => show("about")); press("movies-open", () => show("movies")); press("view-open", () => show("view"));
press("make-open", () => { if (!making.busy) askForMovie(); }); press("make-close", stopAsking);
for (const name of ["touch", "captions", "sound", "bedtime"]) press(`${name}-on`, () => flip(name));
for (const name of ["still", "captions", "bedtime"]) $(name === "still" ? "still-on" : `${name}-box`).addEventListener("change", () => flip(name));
for (const radio of document.querySelectorAll('[name="colours"]')) radio.addEventListener("change", () => setView(radio.value));
for (const box of document.querySelectorAll("dialog")) box.addEventListener("click", e => { if (e.target === box) box.close(); });

// ----------------------------------------------------------------------------------------------------------- begin

async function begin() {
  pairs($("keys"), KEYS);
  setMood("captions", kept("captions") !== "0");
  setMood("touch", kept("touch") !== "0");
  setMood("still", kept("still") ? kept("still") === "1" : matchMedia("(prefers-reduced-motion: reduce)").matches);
  setMood("bedtime", kept("bedtime") === "1");
  setView(kept("colours") ?? "notes");
  body.classList.add("empty");
  requestAnimationFrame(frame);
  if (!token) return note("Open the address that the terminal shows: it ends in a # and a secret.");
  const found = await movies();
  if (!found) return;
  Object.assign(state, { first: found.movie, clock: found.clock });
  making.names = found.channels;
  if (found.making && BUSY.includes(found.making.phase)) making.begin(found.making);
  else if (found.movie) await open(found.movie);
  else askForMovie(true);
}
begin();
