// The line above the grid: how many there are, order, relevance, size, and the switches of filters and timeline.

import { button, byId, el, replace, settled } from "./dom.js";
import { words } from "./querytext.js";
import { remember, remembered } from "./settings.js";
import { go, isEmpty, state } from "./state.js";
import { number, percent, plural } from "./words.js";

const SORTS = [["", "Best first"], ["newest", "Newest first"], ["oldest", "Oldest first"]];

let parts = null;

export const rowHeight = () => Number(remembered("rows", "220")) || 220;

export function startBar({ onRows, onFacets, onTimeline, onAll, onSave }) {
  const sort = el("select", { id: "sort", "aria-label": "Order" }, SORTS.map(([value, text]) => el("option", { value, text })));
  sort.addEventListener("change", () => go({ sort: sort.value }));

  const least = el("input", { type: "range", id: "relevance", min: 0, max: 0.95, step: 0.05 });
  const said = el("output", { for: "relevance", id: "relevance-said" });
  const search = settled(() => go({ min: Number(least.value) }, { replace: true }), 250);
  least.addEventListener("input", () => {
    sayLeast(Number(least.value));
    search();
  });
  const slider = el("label", { class: "slider", title: "Hide photos that are less likely what you mean" }, el("span", { text: "Relevance" }), least, said);

  const rows = el("input", { type: "range", id: "rows", min: 120, max: 420, step: 20, value: rowHeight() });
  rows.addEventListener("input", () => {
    remember("rows", rows.value);
    onRows(Number(rows.value));
  });
  const size = el("label", { class: "slider size", title: "Size of the photos" }, el("span", { text: "Size" }), rows);

  const filters = toggle("filter", "Filters", "filter-switch", onFacets);
  const time = toggle("chart", "Timeline", "timeline-switch", onTimeline);
  const all = button({ icon: "check", text: "Select all", class: "tool text", id: "select-all" }, onAll);
  const save = button({ icon: "star", text: "Save search", class: "tool text", id: "save-search" }, onSave);
  parts = { sort, least, slider, said, size, filters, time, all, save };
  replace(byId("controls"), filters, time, sort, slider, size, all, save);
}

function toggle(icon, text, id, action) {
  const made = button({ icon, text, class: "tool text", id }, () => made.setAttribute("aria-pressed", String(action())));
  made.setAttribute("aria-pressed", "false");
  return made;
}

function sayLeast(least) {
  parts.said.textContent = least ? `from ${percent(least)}` : "all";
  parts.least.setAttribute("aria-valuetext", parts.said.textContent);
}

/** Shows what the state says, and hides what has no sense in it. */
export function updateBar(readOnly) {
  const now = state();
  const meant = Boolean(words(now.q) || now.like.length || now.picture);
  const photos = now.view === "photos";
  parts.sort.value = now.sort || (isEmpty(now) ? "newest" : "");
  if (now.sort === "relevance") parts.sort.value = "";
  parts.sort.options[0].disabled = !meant;
  parts.least.value = now.min;
  sayLeast(now.min);
  parts.slider.hidden = !meant || !photos;
  for (const one of [parts.sort, parts.size, parts.all, parts.time]) one.hidden = !photos;
  parts.filters.hidden = now.view === "duplicates" || now.view === "clusters";
  parts.save.hidden = readOnly || isEmpty(now) || Boolean(now.picture) || !photos;
}

export function updateCount(results) {
  const text = results ? counted(results) : "";
  if (byId("count").textContent !== text) byId("count").textContent = text;
  return text;
}

/** How many there are: exact where it is known, else as far as one has looked. */
export function counted(results) {
  if (results.done || typeof results.found === "number")
    return plural(results.done ? results.hits.length : results.found, "photo");
  return results.hits.length ? `more than ${number(results.hits.length)} photos` : "";
}
