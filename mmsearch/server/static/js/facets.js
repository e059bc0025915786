// Filters with counts beside the grid. Each value writes a condition into the query; a second click takes it out.

import { get } from "./api.js";
import { button, byId, el, replace } from "./dom.js";
import { condition, FIELDS, use, withUse, withoutField } from "./querytext.js";
import { remember, remembered } from "./settings.js";
import { go, state } from "./state.js";
import { number } from "./words.js";

const NAMES = {
  year: "Year", camera: "Camera", folder: "Folder", tag: "Tag", type: "Type", person: "Person", city: "Place",
};
const SHORT = 8; // values that are shown at first

const longer = new Set(); // facets of which all values are shown
let shown = [];
let best = 0; // photos that were counted, where these are the best ones and not all
let turn = 0;
let asked = null; // query that the values are of

export const facetsOpen = () => !byId("facets").hidden;

export function startFacets() {
  const wanted = remembered("facets", "no") === "yes" && matchMedia("(min-width: 900px)").matches;
  byId("facets").hidden = !wanted;
}

export function toggleFacets() {
  const panel = byId("facets");
  panel.hidden = !panel.hidden;
  remember("facets", panel.hidden ? "no" : "yes");
  if (!panel.hidden) {
    updateFacets();
    panel.querySelector("button")?.focus();
  }
  return !panel.hidden;
}

/** Shows the values of the query that is looked at; `anew` where the library changed. */
export async function updateFacets(anew = false) {
  if (!facetsOpen()) return;
  const { q } = state();
  if (q === asked && !anew) return;
  const mine = (turn += 1);
  asked = q;
  try {
    const facets = await fetched(q);
    if (mine === turn) show(facets);
  } catch (error) {
    if (mine === turn) replace(byId("facets"), head(), el("p", { class: "hint", text: error.message }));
  }
}

/** Facets of a query; one that is in use counts what there would be without it, so that others can be added. */
async function fetched(q) {
  const { facets, counted, complete } = await get("facets", { q, min_relevance: state().min || "" });
  best = complete ? 0 : counted;
  const inUse = facets.filter(({ values }) => values.some((value) => use(q, value.query)) || usedField(q, values));
  const others = await Promise.all(inUse.map(({ values }) => withoutOwn(q, values)));
  const all = new Map(facets.map((facet) => [facet.field, facet]));
  inUse.forEach(({ field }, at) => {
    const found = others[at].find((facet) => facet.field === field);
    if (found) all.set(field, found);
  });
  return [...all.values()];
}

const fieldOf = (values) => (values.length ? condition(values[0].query, FIELDS)?.field : null);

function usedField(q, values) {
  const field = fieldOf(values);
  return field && withoutField(q, field) !== q.trim().replace(/\s+/g, " ");
}

async function withoutOwn(q, values) {
  const field = fieldOf(values);
  return field ? (await get("facets", { q: withoutField(q, field) })).facets : [];
}

function show(facets) {
  shown = facets;
  const groups = facets.filter(({ values }) => values.length).map(group);
  const limit = best && el("p", { class: "hint", text: `Of the best ${number(best)} photos.` });
  replace(byId("facets"), head(), limit || null, groups.length ? groups : el("p", { class: "hint", text: "Nothing to filter by here." }));
}

function head() {
  const close = button({ icon: "close", label: "Hide the filters", class: "tool" }, () => byId("filter-switch").click());
  return el("div", { class: "facets-head" }, el("h2", { text: "Filters" }), close);
}

function group({ field, values }) {
  const q = state().q;
  const used = values.filter((value) => use(q, value.query));
  const rest = values.filter((value) => !used.includes(value));
  const all = [...used, ...rest];
  const count = longer.has(field) ? all.length : Math.max(SHORT, used.length);
  const name = NAMES[field] ?? field;
  const more =
    all.length > count &&
    button({ text: `${number(all.length - count)} more`, class: "link" }, () => {
      longer.add(field);
      show(shown);
    });
  return el(
    "section",
    { class: "facet", "aria-label": name },
    el("h3", { text: name }),
    el("ul", {}, all.slice(0, count).map((value) => row(value, q, field))),
    more,
  );
}

/** The end of a folder's path, which tells it from others. */
function shortened(path) {
  const parts = path.split(/[\\/]/).filter(Boolean);
  return parts.length > 2 ? `…/${parts.slice(-2).join("/")}` : path;
}

function row(value, q, field) {
  const how = use(q, value.query);
  const whole = String(value.value);
  const label = field === "folder" ? shortened(whole) : whole;
  const write = (wanted) => go({ q: withUse(state().q, value.query, wanted), photo: 0 });
  const take = el(
    "button",
    { type: "button", class: "value", "aria-pressed": String(how === "wanted"), on: { click: () => write(how === "wanted" ? "" : "wanted") } },
    el("span", { class: "label", text: label, title: whole }),
    el("span", { class: "number", text: number(value.count) }),
  );
  const leave = button({ icon: "less", class: "tool small", label: `Leave out ${label}` }, () => write(how === "excluded" ? "" : "excluded"));
  leave.setAttribute("aria-pressed", String(how === "excluded"));
  return el("li", { class: how }, take, leave);
}
