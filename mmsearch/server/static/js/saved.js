// Saved searches: kept beside the library, so that every browser has them.

import { get, post, remove } from "./api.js";
import { ask, dialog } from "./dialogs.js";
import { button, el, replace } from "./dom.js";
import { attempt, toast } from "./say.js";
import { readOnly } from "./server.js";
import { go, link, state } from "./state.js";

export async function saveSearch() {
  const now = state();
  const name = await ask("Save this search", { label: "Name", value: now.q || "Like these photos", action: "Save" });
  if (!name) return;
  await post("searches", { name, query: link({ ...now, photo: 0, picture: "" }) });
  toast(`Saved as “${name}”.`);
}

export async function showSaved() {
  const body = el("div", { class: "saved" }, el("p", { class: "hint", text: "Reading…" }));
  const box = dialog("Saved searches", {}, body);
  const draw = async () => {
    const { searches } = await get("searches");
    replace(body, searches.length ? el("ul", {}, searches.map(row)) : el("p", { class: "hint", text: "None yet. Search for something, then choose “Save search”." }));
  };
  const row = (search) =>
    el("li", {},
      button({ text: search.name, class: "plain name" }, () => {
        box.close();
        openSaved(search.query);
      }),
      !readOnly() && button({ icon: "trash", label: `Forget ${search.name}`, class: "tool small" }, () => attempt(async () => {
        await remove(`searches/${encodeURIComponent(search.name)}`);
        await draw();
      })));
  try {
    await draw();
  } catch (error) {
    replace(body, el("p", { class: "hint", text: error.message }));
  }
}

/** The stored text is the page's own address of a search; only what the state knows is taken from it. */
function openSaved(query) {
  const given = new URLSearchParams(query);
  const ids = (name) => (given.get(name) ?? "").split(",").map(Number).filter((id) => Number.isSafeInteger(id) && id > 0);
  go({
    q: given.get("q") ?? "",
    sort: given.get("sort") ?? "",
    min: Number(given.get("min")) || 0,
    like: ids("like"),
    unlike: ids("unlike"),
    picture: "",
    view: "photos",
    photo: 0,
  });
}
