// One photo of the grid: a link that opens it, a mark to select it, and what the search says of it.

import { thumb, thumbSize } from "./api.js";
import { el, icon } from "./dom.js";
import { bestPart, badge, isSound } from "./film.js";
import { alternative, fileName, percent } from "./words.js";

export function tile(hit, { href, onMark }) {
  const image = el("img", { alt: alternative(hit), decoding: "async", draggable: false });
  image.addEventListener("load", () => image.classList.add("ready"), { once: true });
  image.addEventListener("error", () => failed(image, hit), { once: true });
  const open = el("a", { class: "open", href, tabIndex: -1 }, image);
  if (isSound(hit)) failed(image, hit); // its name stands where a picture would
  const mark = el("button", {
    class: "mark",
    type: "button",
    role: "checkbox",
    tabIndex: -1,
    "aria-checked": "false",
    "aria-label": `Select ${fileName(hit.path)}`,
    on: { click: onMark },
  });
  mark.append(icon("check"));
  return el(
    "div",
    { class: "tile", role: "listitem", data: { id: hit.id } },
    open,
    mark,
    el("div", { class: "said" }, answer(hit), moment(hit), relevance(hit)),
    hit.similar?.length ? el("span", { class: "similar", text: `+${hit.similar.length}`, title: "Near-duplicates" }) : null,
  );
}

function answer(hit) {
  return hit.answer ? el("span", { class: "answer", text: hit.answer }) : null;
}

function moment(hit) {
  const text = badge(hit);
  return text ? el("span", { class: "moment", text }) : null;
}

function relevance(hit) {
  if (typeof hit.relevance !== "number" || hit.relevance < 0.005) return null; // no number says as much as "0 %"
  return el("span", { class: "relevance", text: percent(hit.relevance), title: "How likely it is what you mean" });
}

function failed(image, hit) {
  image.classList.add("failed");
  image.parentElement?.append(el("span", { class: "missing", "aria-hidden": "true", text: fileName(hit.path) }));
}

/** Puts a tile where the layout has it, and asks for a thumbnail of the right size. */
export function place(element, hit, { left, top, width, height, at, count }) {
  element.style.transform = `translate(${left}px, ${top}px)`;
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  element.setAttribute("aria-posinset", at + 1);
  element.setAttribute("aria-setsize", count);
  element.dataset.size = thumbSize(Math.max(width, height));
}

/** Asks for the thumbnail, or for a larger one where the tile has grown. */
export function load(element, hit) {
  if (isSound(hit)) return;
  const image = element.querySelector("img");
  const size = Number(element.dataset.size);
  if (Number(image.dataset.size ?? 0) >= size) return;
  image.dataset.size = size;
  image.src = thumb(hit, size, bestPart(hit));
}

/** Takes a tile away; a thumbnail that is still awaited is not fetched any more. */
export function discard(element) {
  const image = element.querySelector("img");
  if (!image.complete) image.removeAttribute("src");
  element.remove();
}
