// Films, audio files and documents: where their best part is, a strip of their best parts, and a player.

import { file, thumb } from "./api.js";
import { el } from "./dom.js";
import { filmTime } from "./words.js";

export const isFilm = (hit) => typeof hit.length === "number";

/** An audio file: it plays as a film does, and there is nothing to see. */
export const isSound = (hit) => isFilm(hit) && !hit.width;

/** The part that a query found, by its number; undefined where nothing was looked for, or the file is one picture. */
export const bestPart = (hit) => hit.moments?.[0]?.part;

/** Where a moment or a page is: "1:23", "p. 3". */
export const placeOf = (moment) => (typeof moment.start === "number" ? filmTime(moment.start) : `p. ${moment.page}`);

/** What a tile says of a film or a document; empty for photos. */
export function badge(hit) {
  const place = hit.moments?.length ? placeOf(hit.moments[0]) : "";
  return isFilm(hit) ? `${isSound(hit) ? "♪" : "▶"} ${place || filmTime(hit.length)}` : place;
}

/** The best parts in the order of the file; `onPick` gets the moment that is chosen. */
export function strip(hit, onPick) {
  if (!hit.moments?.length) return null;
  const inOrder = [...hit.moments].sort((one, other) => one.part - other.part);
  const name = isFilm(hit) ? "Best moments" : "Best pages";
  return el("section", { class: "strip-of-parts" }, el("h3", { text: name }), el("ol", { class: "strip" }, inOrder.map((moment) => frame(hit, moment, onPick))));
}

function frame(hit, moment, onPick) {
  const place = placeOf(moment);
  const told = moment.text ? `${place}: ${moment.text}` : place;
  const image = isSound(hit) ? null : el("img", { src: thumb(hit, 160, moment.part), alt: "", loading: "lazy", decoding: "async" });
  const best = moment.part === bestPart(hit);
  const props = { class: best ? "frame best" : "frame", type: "button", title: told, "aria-label": `${isFilm(hit) ? "Play from" : "Show"} ${told}`, on: { click: () => onPick(moment) } };
  return el("li", {}, el("button", props, image, el("span", { text: place })));
}

/** A player that begins at the best moment, or what it says instead of a film that this browser cannot play. */
export function player(hit) {
  const start = hit.moments?.[0]?.start ?? 0;
  const sound = isSound(hit);
  const video = sound
    ? el("audio", { controls: true, preload: "metadata", "aria-label": "The audio file" })
    : el("video", { class: "film", controls: true, preload: "metadata", playsInline: true, poster: thumb(hit, 1280, bestPart(hit)), "aria-label": "The film" });
  video.src = `${file(hit.id)}#t=${start}`;
  const box = el("div", { class: "film-box" }, video);
  video.addEventListener("error", () => {
    const text = `This browser cannot play the ${sound ? "audio file" : "film"}. Open the original in a player.`;
    const still = sound ? null : el("img", { class: "film", src: thumb(hit, 1280, bestPart(hit)), alt: "" });
    box.replaceChildren(...[still, el("p", { class: "film-note", role: "status", text })].filter(Boolean));
  });
  return box;
}

/** Plays from there; does nothing where there is no player. */
export function seek(box, seconds) {
  const video = box?.querySelector?.("video, audio");
  if (!video) return;
  video.currentTime = seconds;
  video.play?.().catch(() => {}); // it may want a click first, and stands at the right place
}
