// What is known of the open photo: why it was found, when and where it was taken, words; and what can be asked of it.

import { file, get } from "./api.js";
import { copyText } from "./actions.js";
import { button, el, replace } from "./dom.js";
import { bestPart, isFilm, isSound, strip } from "./film.js";
import { withUse } from "./querytext.js";
import { attempt } from "./say.js";
import { selection } from "./selection.js";
import { readOnly } from "./server.js";
import { go, state } from "./state.js";
import { changeTags, tagField } from "./tagging.js";
import { bytes, date, exposure, fileName, filmTime, folderName, number, percent } from "./words.js";

const quoted = (text) => (/[\s,"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

export class Panel {
  /** `onPart` gets the moment of a film or the page of a document that somebody chose. */
  constructor({ heat, text, onPart }) {
    Object.assign(this, { heat, text, onPart });
    this._reading = 0; // counts what is read of photos: of two answers the one that was asked for later is shown
    this.element = el("aside", { class: "panel", "aria-label": "What is known of the photo", tabIndex: -1 });
    this._top = el("div");
    this._heat = el("section", { class: "heat-words" });
    this._said = el("div");
    this._field = readOnly() ? null : tagField("photo-tag", { placeholder: "Add a tag", "aria-label": "Add a tag to this photo" });
    this._facts = el("div");
    this._ask = this._asking();
    this.element.append(this._top, this._heat, this._said, ...(this._field ? [this._tagging()] : []), this._facts, this._ask);
    heat.addEventListener("change", () => this._showHeat());
    this._marks = () => this.hit && this._showTop();
    selection.addEventListener("change", this._marks);
  }

  stop() {
    selection.removeEventListener("change", this._marks);
    this._stop?.abort();
  }

  /** Shows what the search said of it at once, then what the library knows. */
  async show(hit) {
    if (this.hit?.id === hit.id) return;
    this.hit = hit;
    this._stop?.abort();
    this._stop = new AbortController();
    const reading = (this._reading += 1);
    this._answers.replaceChildren();
    this._ask.hidden = isSound(hit); // there is nothing to look at
    this._showTop();
    this._showFacts(hit);
    this._showHeat();
    try {
      const photo = await get(`photos/${hit.id}`, {}, this._stop.signal);
      if (reading === this._reading) this._showFacts({ ...hit, tags: [], own_tags: [], ...photo });
    } catch (error) {
      if (reading === this._reading && error.name !== "AbortError") this._facts.prepend(el("p", { class: "hint", text: error.message }));
    }
  }

  _showTop() {
    const { hit } = this;
    const focused = document.activeElement?.dataset?.name;
    const like = (name) => () => {
      const other = name === "like" ? "unlike" : "like";
      const ids = [...new Set([...state()[name], hit.id])];
      // What the open photo was found by stays; it is closed to show what is found now.
      go({ [name]: ids, [other]: state()[other].filter((id) => id !== hit.id), photo: 0, view: "photos" });
    };
    const selected = selection.has(hit.id);
    const tool = (name, icon, text, action, extra = {}) => button({ icon, text, class: "tool text", data: { name }, ...extra }, action);
    const tools = [
      ...(isSound(hit) ? [] : [tool("more", "more", "More like this", like("like")), tool("less", "less", "Less like this", like("unlike"))]),
      tool("select", "check", selected ? "Selected" : "Select", () => selection.toggle(hit.id, selection.anchor), { "aria-pressed": String(selected) }),
      tool("path", "copies", "Copy path", () => attempt(() => copyText(hit.path, "the path"))),
      el("a", { class: "tool text", href: file(hit.id), target: "_blank", rel: "noopener", text: "Original" }),
    ];
    replace(this._top, el("h2", { text: fileName(hit.path) }), el("div", { class: "panel-tools" }, tools), strip(hit, this.onPart), this._why(hit));
    if (focused) this._top.querySelector(`[data-name="${focused}"]`)?.focus();
  }

  _why(hit) {
    const lines = [];
    if (hit.answer) lines.push(el("p", { class: "answer-line" }, el("strong", { text: hit.answer }), confidence(hit.answer_confidence)));
    if (typeof hit.relevance === "number") {
      lines.push(el("label", { class: "meter" }, el("span", { text: "Relevance" }), el("meter", { min: 0, max: 1, value: hit.relevance }), el("span", { text: percent(hit.relevance) })));
    }
    if (hit.reasons?.length) lines.push(el("ul", { class: "reasons" }, hit.reasons.map((text) => el("li", { text }))));
    if (typeof hit.score === "number" && !lines.length) lines.push(el("p", { class: "hint", text: `Found by what it looks like (score ${hit.score.toFixed(2)}).` }));
    return lines.length ? el("section", { class: "why" }, el("h3", { text: "Why it was found" }), lines) : null;
  }

  toggleHeat() {
    if (this.text()) this.heat.toggle();
  }

  _showHeat() {
    const { heat } = this;
    if (!this.text() || (this.hit && isFilm(this.hit))) return replace(this._heat); // of a film there is no still picture
    const focused = this._heat.contains(document.activeElement) ? document.activeElement.textContent : null;
    const toggle = button({ icon: "heat", text: "Where in the photo", class: "tool text", "aria-pressed": String(heat.on) }, () => heat.toggle());
    const word = (name, text) => button({ text, class: "word", "aria-pressed": String(heat.word === name) }, () => heat.show(name));
    const words = heat.on && heat.words.length ? [word(null, "all words"), ...heat.words.map((one) => word(one.word, one.word))] : [];
    const said = heat.problem ?? (heat.on && heat.busy ? "Looking…" : "");
    replace(this._heat, toggle, words.length ? el("div", { class: "word-list", role: "group", "aria-label": "Heat of" }, words) : null, said && el("p", { class: "hint", role: "status", text: said }));
    if (focused !== null) [...this._heat.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus();
    return undefined;
  }

  _showFacts(photo) {
    const size = photo.width && photo.height ? `${number(photo.width)} × ${number(photo.height)}` : "";
    const shot = [photo.focal && `${photo.focal} mm`, photo.aperture && `f/${photo.aperture}`, exposure(photo.exposure), photo.iso && `ISO ${photo.iso}`];
    const place = typeof photo.latitude === "number" ? `${photo.latitude.toFixed(4)}, ${photo.longitude.toFixed(4)}` : "";
    const rows = [
      ["Taken", photo.taken_at ? date(photo.taken_at) : `${date(photo.date)} (date of the file)`],
      ["Camera", photo.camera],
      ["Lens", photo.lens],
      ["Exposure", shot.filter(Boolean).join(" · ")],
      ["Size", [size, (photo.format ?? "").toUpperCase(), bytes(photo.bytes)].filter(Boolean).join(" · ")],
      ["Length", isFilm(photo) ? [filmTime(photo.length), photo.fps && `${number(Math.round(photo.fps))} fps`, photo.codec, isSound(photo) ? "" : photo.audio ? "with sound" : "no sound"].filter(Boolean).join(" · ") : ""],
      ["Place", [photo.city, place].filter(Boolean).join(" · ")],
      ["People", (photo.people ?? []).join(", ")],
      ["Rating", photo.rating > 0 ? "★".repeat(photo.rating) : photo.rating === -1 ? "rejected" : ""],
      ["Label", photo.label],
      ["Folder", folderName(photo.path)],
      ["Copies", (photo.similar ?? []).map(fileName).join(", ")],
    ].filter(([, value]) => value);
    replace(
      this._said,
      photo.present === false && el("p", { class: "notice", text: "The file is not there now. Is its drive connected?" }),
      said("Caption", photo.caption),
      said("Description", photo.description),
      said("Text in the picture", photo.text),
      this._tags(photo),
    );
    replace(
      this._facts,
      el("dl", { class: "facts" }, rows.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value })))),
    );
  }

  _tags({ tags = [], own_tags: own = [] }) {
    const narrow = (tag) => () => go({ q: withUse(state().q, `tag:${quoted(tag)}`, "wanted"), photo: 0, view: "photos" });
    const rows = tags.map((tag) => [
      button({ text: tag, class: own.includes(tag) ? "word own" : "word", title: `Only photos with the tag ${tag}` }, narrow(tag)),
      own.includes(tag) && !readOnly() && button({ icon: "close", class: "tool small", label: `Take away the tag ${tag}` }, () => attempt(() => this._change([], [tag]))),
    ]);
    return rows.length ? el("ul", { class: "tags", "aria-label": "Tags" }, rows.map((row) => el("li", {}, row))) : null;
  }

  /** The field for tags of the open photo. */
  _tagging() {
    const field = this._field;
    const form = el("form", { class: "ask" }, field.input, field.offers, el("button", { type: "submit", class: "tool text", text: "Add" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (field.names().length) attempt(() => this._change(field.names(), []));
    });
    field.input.addEventListener("keydown", (event) => event.key !== "Escape" && event.stopPropagation());
    return form;
  }

  async _change(add, remove) {
    const { hit } = this;
    await changeTags([hit.id], add, remove);
    const reading = this.hit === hit ? (this._reading += 1) : 0; // 0: another photo is shown by now
    const photo = await get(`photos/${hit.id}`);
    Object.assign(hit, { tags: photo.tags ?? [], own_tags: photo.own_tags ?? [] }); // as the list has it
    if (reading !== this._reading) return;
    this._showFacts({ ...hit, ...photo });
    this._field.input.value = "";
    this._field.input.focus();
  }

  _asking() {
    this._answers = el("div", { role: "status" });
    const input = el("input", { type: "text", placeholder: "Ask: how many dogs?", "aria-label": "Ask something of this photo", maxlength: 300 });
    const form = el("form", { class: "ask" }, input, el("button", { type: "submit", class: "tool text", text: "Ask" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (input.value.trim()) attempt(() => this._answer(input.value.trim()));
    });
    input.addEventListener("keydown", (event) => event.key !== "Escape" && event.stopPropagation());
    return el("section", { class: "asking" }, form, this._answers);
  }

  async _answer(question) {
    replace(this._answers, el("p", { class: "hint", text: "Looking…" }));
    try {
      const { answers } = await get(`photos/${this.hit.id}/ask`, { q: question, k: 3, part: bestPart(this.hit) }, this._stop.signal);
      replace(this._answers, el("ol", { class: "answers" }, answers.map((one) => el("li", {}, el("strong", { text: one.answer }), confidence(one.confidence)))));
    } catch (error) {
      this._answers.replaceChildren();
      throw error;
    }
  }
}

const confidence = (share) => (typeof share === "number" ? el("span", { class: "hint", text: ` ${percent(share)} sure` }) : null);

function said(name, text) {
  return text ? el("section", {}, el("h3", { text: name }), el("p", { class: "told", text })) : null;
}
