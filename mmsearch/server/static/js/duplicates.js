// Files that show the same picture, side by side: which to keep, and what sets the others apart.

import { get, thumb } from "./api.js";
import { copyText } from "./actions.js";
import { button, el, replace } from "./dom.js";
import { attempt, toast } from "./say.js";
import { selection } from "./selection.js";
import { go, state } from "./state.js";
import { alternative, bytes, date, fileName, folderName, number, plural } from "./words.js";

const LEVELS = [["exact", "The same file"], ["near", "The same picture"], ["burst", "Taken in one burst"]];
const PAGE = 40; // groups that are drawn at once

/** Duplicates in an element; `open(photos, index)` shows one. */
export async function duplicatesView(root, open) {
  const level = el("select", { id: "level" }, LEVELS.map(([value, text]) => el("option", { value, text })));
  level.value = state().level;
  level.addEventListener("change", () => go({ level: level.value }));
  const said = el("p", { class: "hint", role: "status", text: "Comparing the photos…" });
  const list = el("div", { class: "groups" });
  replace(root, el("div", { class: "view-head" }, el("label", { for: "level", text: "Alike:" }), level, said), list);
  const { groups, more } = await get("duplicates", { level: state().level });
  const spare = groups.reduce((sum, group) => sum + group.bytes, 0);
  said.textContent = groups.length ? `${more ? "The largest " : ""}${plural(groups.length, "group")}; the others take ${bytes(spare)}.` : "No duplicates were found.";
  draw(list, groups, 0, open);
}

function draw(list, groups, from, open) {
  for (const group of groups.slice(from, from + PAGE)) list.append(card(group, open));
  if (from + PAGE >= groups.length) return;
  const more = button({ text: "More groups", class: "main" }, () => {
    more.remove();
    draw(list, groups, from + PAGE, open);
  });
  list.append(more);
}

function card({ photos, keep, bytes: size }, open) {
  const others = photos.filter((photo) => photo.id !== keep);
  const best = photos.find((photo) => photo.id === keep) ?? photos[0];
  const select = () => {
    selection.add(others.map((photo) => photo.id));
    toast(`Selected ${plural(others.length, "photo")}; the one to keep is not among them.`);
  };
  const paths = () => attempt(() => copyText(others.map((photo) => photo.path).join("\n"), plural(others.length, "path")));
  return el(
    "section",
    { class: "duplicates", "aria-label": `Copies of ${fileName(best.path)}` },
    el("div", { class: "side-by-side" }, photos.map((photo, at) => figure(photo, best, () => open(photos, at)))),
    el("div", { class: "duplicates-foot" }, el("span", { class: "hint", text: `${bytes(size)} in ${plural(others.length, "other")}` }),
      button({ icon: "check", text: "Select the others", class: "tool text" }, select),
      button({ icon: "copies", text: "Copy their paths", class: "tool text" }, paths)),
  );
}

function figure(photo, best, open) {
  const kept = photo.id === best.id;
  const image = el("img", { src: thumb(photo, 320), alt: alternative(photo), loading: "lazy" });
  const facts = [`${number(photo.width)} × ${number(photo.height)}`, (photo.format ?? "").toUpperCase(), bytes(photo.bytes)].join(" · ");
  const differs = !kept && (photo.width !== best.width || photo.height !== best.height || photo.format !== best.format);
  return el(
    "figure",
    { class: kept ? "copy keep" : "copy" },
    el("button", { type: "button", class: "plain", on: { click: open } }, image),
    el("figcaption", {}, kept ? el("strong", { class: "badge", text: "Keep" }) : null,
      el("span", { class: "name", text: fileName(photo.path), title: photo.path }),
      el("span", { class: differs ? "differs" : "", text: facts }), el("span", { text: date(photo.date) }), el("span", { class: "hint path", text: folderName(photo.path) })),
  );
}
