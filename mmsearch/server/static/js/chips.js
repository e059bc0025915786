// What a search is made of besides words: conditions, photos it should look like or not, and a picture of one's own.

import { thumb } from "./api.js";
import { button, byId, el, replace } from "./dom.js";
import { pictureAddress } from "./picture.js";
import { conditions, withoutPiece } from "./querytext.js";
import { go, state } from "./state.js";

export function updateChips() {
  const now = state();
  const drop = (name, id) => () => go({ [name]: now[name].filter((one) => one !== id) });
  const chips = [
    now.picture && picture(now.picture),
    ...now.like.map((id) => photo(id, "More like this", drop("like", id))),
    ...now.unlike.map((id) => photo(id, "Less like this", drop("unlike", id))),
    ...conditions(now.q).map((piece) => chip(el("code", { text: piece }), piece, () => go({ q: withoutPiece(state().q, piece) }))),
  ].filter(Boolean);
  if (chips.length > 1) chips.push(button({ text: "Clear all", class: "link" }, () => go({ q: "", like: [], unlike: [], picture: "", min: 0 })));
  replace(byId("chips"), chips);
  byId("chips").hidden = !chips.length;
}

function chip(content, name, onRemove) {
  return el("span", { class: "chip" }, content, button({ icon: "close", label: `Take out ${name}`, class: "tool small" }, onRemove));
}

function photo(id, text, onRemove) {
  const image = el("img", { src: thumb({ id }, 160), alt: "" });
  return chip([image, el("span", { text })], text.toLowerCase(), onRemove);
}

function picture(key) {
  const image = el("img", { alt: "" });
  pictureAddress(key).then((address) => (image.src = address)).catch(() => image.remove());
  return chip([image, el("span", { text: "Like your picture" })], "your picture", () => go({ picture: "" }));
}
