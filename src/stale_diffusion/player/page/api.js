// Requests to the player's own server. The token stands behind the # of the address: no browser sends that anywhere.

export const token = location.hash.slice(1);

export class Refused extends Error {
  constructor(said) { super([said.what, said.why && `(${said.why})`, said.mend].filter(Boolean).join(" ")); }
}

async function answered(promise) {
  let response;
  try { response = await promise; } catch { throw new Refused({ what: "The player does not answer.", mend: "Start it again in the terminal." }); }
  if (response.ok) return response;
  throw new Refused(await response.json().catch(() => ({ what: `The player said ${response.status}.` })));
}

export async function get(path) {
  return (await answered(fetch(path, { headers: { "x-token": token } }))).json();
}

export async function picture(path) {
  const response = await answered(fetch(path, { headers: { "x-token": token } }));
  return createImageBitmap(await response.blob());
}

export async function post(path, body = {}, keepalive = false) {
  const headers = { "x-token": token, "content-type": "application/json" };
  return (await answered(fetch(path, { method: "POST", headers, body: JSON.stringify(body), keepalive }))).json();
}

// for what a browser fetches by itself, without headers of ours: video
export const url = path => `${path}?token=${encodeURIComponent(token)}`;
export const named = (kind, name) => `/${kind}/${encodeURIComponent(name)}`;

export const $ = id => document.getElementById(id);

export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds + 1e-6)), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  const two = n => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}
