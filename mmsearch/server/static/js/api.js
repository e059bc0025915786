// Talks to the server: JSON in and out, problems as errors with the server's own sentence.

const BASE = new URL("api/v1/", document.baseURI);

/** What the server answered instead of a result; `code` tells kinds apart, `message` is for people. */
export class Problem extends Error {
  constructor(status, code, message, fields = {}) {
    super(message);
    Object.assign(this, { status, code, fields });
  }
}

export const events = new EventTarget(); // "unauthorized": the session is lost; "offline" / "online": of the server

export function address(path, parameters = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(parameters)) {
    if (Array.isArray(value)) value.forEach((one) => url.searchParams.append(name, one));
    else if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

async function send(url, options) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    events.dispatchEvent(new Event("offline"));
    throw new Problem(0, "offline", "The server does not answer. Is `mmsearch serve` still running?");
  }
  events.dispatchEvent(new Event("online"));
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const code = problem.code ?? `http_${response.status}`;
  if (response.status === 401) events.dispatchEvent(new Event("unauthorized"));
  const wait = response.headers.get("Retry-After");
  const busy = response.status === 503 || response.status === 429;
  const fallback = busy ? `The server is busy. Try again in ${wait ?? "a few"} seconds.` : `The server answered ${response.status}.`;
  throw new Problem(response.status, code, problem.detail || problem.title || fallback, problem.fields);
}

export async function get(path, parameters, signal) {
  return (await send(address(path, parameters), { signal })).json();
}

export async function post(path, body, { parameters = {}, signal, method = "POST" } = {}) {
  const headers = { "Content-Type": "application/json" };
  const response = await send(address(path, parameters), { method, headers, body: JSON.stringify(body), signal });
  return response.status === 204 ? null : response.json();
}

export async function postPicture(path, picture, parameters, signal) {
  const headers = { "Content-Type": picture.type || "application/octet-stream" };
  return (await send(address(path, parameters), { method: "POST", headers, body: picture, signal })).json();
}

export async function postForFile(path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await send(address(path), { method: "POST", headers, body: JSON.stringify(body) });
  return response.blob();
}

export async function remove(path, parameters) {
  await send(address(path, parameters), { method: "DELETE" });
}

/** A thumbnail, of one part of a film or a document where it is given; with the photo's version it is kept for as long as the file does not change. */
export const thumb = ({ id, version }, size, part) => address(`photos/${id}/thumb`, { size, v: version, part });
export const file = (id) => address(`photos/${id}/file`);

/** The smallest thumbnail size that the server makes and that fills so many pixels of the screen. */
export function thumbSize(pixels) {
  const wanted = pixels * Math.min(window.devicePixelRatio || 1, 2);
  return [160, 320, 640].find((size) => size >= wanted * 0.9) ?? 1280;
}
