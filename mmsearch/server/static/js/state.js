// What is being looked at, kept in the address: back, forward, reload and bookmarks work.

const DEFAULTS = { q: "", sort: "", min: 0, like: [], unlike: [], picture: "", view: "photos", photo: 0, level: "near" };
const VIEWS = new Set(["photos", "map", "clusters", "duplicates"]);

export const changes = new EventTarget(); // "change": the state is another one; detail {before, now, moved}

let now = read();

export const state = () => now;

function read() {
  const given = new URLSearchParams(location.search);
  const ids = (name) => (given.get(name) ?? "").split(",").map(Number).filter(Number.isSafeInteger).filter((id) => id > 0);
  const min = Number(given.get("min"));
  return {
    q: given.get("q") ?? "",
    sort: ["relevance", "newest", "oldest"].includes(given.get("sort")) ? given.get("sort") : "",
    min: min > 0 && min <= 1 ? min : 0,
    like: ids("like"),
    unlike: ids("unlike"),
    picture: given.get("picture") ?? "",
    view: VIEWS.has(given.get("view")) ? given.get("view") : "photos",
    photo: ids("photo")[0] ?? 0,
    level: ["exact", "near", "burst"].includes(given.get("level")) ? given.get("level") : "near",
  };
}

/** The address of a state. */
export function link(wanted) {
  const query = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = wanted[name];
    if (String(value) !== String(usual)) query.set(name, String(value));
  }
  const text = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return text ? `?${text}` : location.pathname;
}

/** Changes parts of the state. `replace`: the entry of the history is changed instead of a new one made. */
export function go(part, { replace = false } = {}) {
  const before = now;
  now = { ...now, ...part };
  if (link(before) === link(now)) return;
  const entry = replace ? history.state : { above: Boolean(now.photo && !before.photo) };
  history[replace ? "replaceState" : "pushState"](entry, "", link(now));
  tell(before, false);
}

/** Keeps with the entry of the history how far down the page is, and how many photos were there. */
export function keepPlace(place) {
  history.replaceState({ ...history.state, place }, "");
}

export const place = () => history.state?.place ?? null;

/** Whether the open photo was opened from the list, so that going back closes it. */
export const above = () => Boolean(history.state?.above);

function tell(before, moved) {
  changes.dispatchEvent(new CustomEvent("change", { detail: { before, now, moved } }));
}

/** The part of a state that decides which photos are found. */
export function searchKey({ q, sort, min, like, unlike, picture }) {
  return JSON.stringify([q.trim(), sort, min, like, unlike, picture]);
}

export const isEmpty = ({ q, like, unlike, picture }) => !q.trim() && !like.length && !unlike.length && !picture;

window.addEventListener("popstate", () => {
  const before = now;
  now = read();
  tell(before, true);
});
history.scrollRestoration = "manual";
