// The views beside the photos: the map of places, the map of clusters, the duplicates. Each is made when it is first looked at.

import { get } from "./api.js";
import { clustersView } from "./clustersview.js";
import { duplicatesView } from "./duplicates.js";
import { byId, el, replace } from "./dom.js";
import { mapView } from "./mapview.js";
import { attempt } from "./say.js";

const MOST = 24; // photos of one place that are opened

let map = null; // a promise of it, while it is the view
let clusters = null; // what closes the map of clusters, while it is the view
let turn = 0;

/** Shows the view that the state names, or none; `open(photos, index)` opens photos. */
export async function showView(state, open) {
  const mine = (turn += 1);
  byId("view").hidden = state.view === "photos";
  try {
    if (state.view !== "map") await closeMap();
    clusters?.();
    clusters = null;
    if (mine !== turn) return;
    if (state.view === "map") {
      map ??= mapView(stage(), (ids) => openIds(ids, open));
      const made = await map;
      if (mine === turn) await made.update(state.q);
    } else if (state.view === "clusters") {
      const close = await clustersView(stage(), open);
      if (mine === turn) clusters = close;
      else close();
    } else if (state.view === "duplicates") await duplicatesView(stage(), open);
    else byId("view").replaceChildren();
  } catch (error) {
    if (mine === turn) replace(byId("view"), el("p", { class: "hint", role: "alert", text: error.message }));
  }
}

/** An element of its own for a view: one that was left before it was ready draws and clears there, and nowhere else. */
function stage() {
  const own = el("div");
  replace(byId("view"), own);
  return own;
}

async function closeMap() {
  const old = map;
  map = null;
  (await old?.catch(() => null))?.close();
}

function openIds(ids, open) {
  return attempt(async () => open(await Promise.all(ids.slice(0, MOST).map((id) => get(`photos/${id}`)))));
}
