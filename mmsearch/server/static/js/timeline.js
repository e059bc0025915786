// When the photos were taken: a bar for each month, or for each year where there are many. A click writes `date:`.

import { get } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { use, withUse, withoutField } from "./querytext.js";
import { remember, remembered } from "./settings.js";
import { go, state } from "./state.js";
import { month, plural } from "./words.js";

const MOST = 72; // bars; more months are shown as years
const HEIGHT = 56; // pixels of the highest

let asked = null;
let turn = 0;

export const timelineOpen = () => !byId("timeline").hidden;

export function startTimeline() {
  byId("timeline").hidden = remembered("timeline", "no") !== "yes";
}

export function toggleTimeline() {
  const box = byId("timeline");
  box.hidden = !box.hidden;
  remember("timeline", box.hidden ? "no" : "yes");
  if (!box.hidden) updateTimeline(true);
  return !box.hidden;
}

export async function updateTimeline(anew = false) {
  if (!timelineOpen()) return;
  const q = withoutField(state().q, "date"); // all of time stays to choose from
  if (q === asked && !anew) return mark();
  const mine = (turn += 1);
  asked = q;
  try {
    const { months } = await get("timeline", { q });
    if (mine === turn) show(months);
  } catch (error) {
    if (mine === turn) replace(byId("timeline"), el("p", { class: "hint", text: error.message }));
  }
}

function show(months) {
  const bars = spans(months);
  if (!bars.length) return replace(byId("timeline"), el("p", { class: "hint", text: "No dates are known here." }));
  const most = Math.max(...bars.map((bar) => bar.count));
  const list = el("ol", { class: "bars", "aria-label": "Photos over time" }, bars.map((bar, at) => item(bar, at, bars, most)));
  replace(byId("timeline"), list);
  return mark();
}

/** Bars from the first to the last month, also those without photos. */
function spans(months) {
  if (!months.length) return [];
  const counts = new Map(months.map((one) => [one.month, one.count]));
  const names = [...counts.keys()].sort();
  const all = [];
  let [year, number] = names[0].split("-").map(Number);
  const end = names.at(-1);
  for (let name = names[0]; name <= end && all.length < 12_000; ) {
    all.push({ name, label: month(`${name}-01`), count: counts.get(name) ?? 0 });
    [year, number] = number === 12 ? [year + 1, 1] : [year, number + 1];
    name = `${String(year).padStart(4, "0")}-${String(number).padStart(2, "0")}`;
  }
  return all.length <= MOST ? all : years(all);
}

function years(months) {
  const counts = new Map();
  for (const { name, count } of months) counts.set(name.slice(0, 4), (counts.get(name.slice(0, 4)) ?? 0) + count);
  return [...counts].map(([name, count]) => ({ name, label: name, count }));
}

function item(bar, at, bars, most) {
  const column = el("span", { class: "column", css: { height: `${bar.count ? Math.max(3, (HEIGHT * bar.count) / most) : 0}px` } });
  const first = at === 0 || bars[at - 1].name.slice(0, 4) !== bar.name.slice(0, 4);
  const piece = `date:${bar.name}`;
  const pressed = () => go({ q: withUse(state().q, piece, use(state().q, piece) ? "" : "wanted"), photo: 0 });
  const label = `${bar.label}: ${plural(bar.count, "photo")}`;
  const made = el("button", { type: "button", title: label, "aria-label": label, data: { piece }, disabled: !bar.count, on: { click: pressed } }, column);
  return el("li", {}, made, el("span", { class: "year", "aria-hidden": "true", text: first ? bar.name.slice(0, 4) : "" }));
}

function mark() {
  for (const one of byId("timeline").querySelectorAll("button[data-piece]"))
    one.setAttribute("aria-pressed", String(use(state().q, one.dataset.piece) === "wanted"));
}
