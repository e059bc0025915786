// Tags that people give photos: a dialog for the selected ones, and the field for one in the panel of an open photo.

import { get, post } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, el, replace, settled } from "./dom.js";
import { selection } from "./selection.js";
import { plural } from "./words.js";

const AT_ONCE = 10_000; // photos of a request, as the server takes them
const OFFERED = 20;

export const tagging = new EventTarget(); // "change" (detail: the ids of the photos): tags were given or taken

/** Gives photos tags and takes others from them; gives what the server counted. */
export async function changeTags(ids, add, remove) {
  const done = { photos: 0, changed: 0, added: 0, removed: 0 };
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const part = await post("tags", { ids: ids.slice(at, at + AT_ONCE), add, remove });
    for (const name of Object.keys(done)) done[name] += part[name];
  }
  tagging.dispatchEvent(new CustomEvent("change", { detail: ids }));
  return done;
}

/** A field for tags, between commas, that offers those that photos have; `id` names it on the page. */
export function tagField(id, props = {}) {
  const offers = el("datalist", { id: `${id}-offers` });
  const input = el("input", { type: "text", id, required: true, maxlength: 400, autocomplete: "off", spellcheck: false, list: `${id}-offers`, ...props });
  let turn = 0;
  const offer = async () => {
    const mine = (turn += 1);
    const { before, last } = parts(input.value);
    try {
      const { tags } = await get("tags", { text: last, most: OFFERED });
      if (mine === turn) replace(offers, tags.map(({ tag }) => el("option", { value: before + tag })));
    } catch {
      offers.replaceChildren(); // typing goes on without
    }
  };
  input.addEventListener("input", settled(offer, 150));
  input.addEventListener("focus", () => offers.firstChild || offer());
  return { input, offers, names: () => [...new Set(input.value.split(",").map((name) => name.trim()).filter(Boolean))] };
}

/** What stands before the last comma, and after it. */
function parts(text) {
  const at = text.lastIndexOf(",") + 1;
  return { before: at ? `${text.slice(0, at)} ` : "", last: text.slice(at).trim() };
}

/** Asks for tags of the selected photos; it stays open, so that several can be given one after the other. */
export function tagSelected() {
  const { ids } = selection;
  const field = tagField("tag-input", { "aria-describedby": "tag-hint" });
  const said = el("p", { class: "hint", id: "tag-said", role: "status" });
  const act = async (add) => {
    const names = field.names();
    if (!names.length) return field.input.focus();
    try {
      const done = await changeTags(ids, add ? names : [], add ? [] : names);
      const tags = names.map((name) => `“${name}”`).join(", ");
      said.textContent = add
        ? `${tags}: given to ${plural(done.changed, "photo")}.`
        : `${tags}: taken from ${plural(done.changed, "photo")}.`;
      field.input.value = "";
      field.offers.replaceChildren();
    } catch (error) {
      said.textContent = error.message; // a message of the page would lie behind the dialog
    }
    return field.input.focus();
  };
  const form = el(
    "form",
    { class: "form", method: "dialog" },
    el("label", { for: "tag-input", text: "Tag" }),
    field.input,
    field.offers,
    el("p", { class: "hint", id: "tag-hint", text: "Several stand between commas. Only tags that people gave can be taken away. Photo files are not changed." }),
    said,
    el("div", { class: "dialog-foot" }, button({ text: "Take away", class: "tool text bordered" }, () => act(false)), el("button", { type: "submit", class: "main", text: "Add" })),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(true);
  });
  dialog(`Tag ${plural(ids.length, "photo")}`, {}, form);
  field.input.focus();
}
