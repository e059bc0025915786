// Where photos were taken, on an outline of the world that comes with the page: no tiles, nothing from elsewhere.

import { get, thumb } from "./api.js";
import { el, replace } from "./dom.js";
import { plural } from "./words.js";

const CELL = 72; // pixels: photos that are nearer to each other than this stand together
const MOST = 200; // photos of one place that are opened
const DEEPEST = 16;

let leaflet = null;
let world = null;

/** The map in an element; `open(ids)` shows photos. Gives {update(q), close()}. */
export async function mapView(root, open) {
  const said = el("p", { class: "hint", role: "status", text: "Drawing the map…" });
  const place = el("div", { class: "map", id: "map", role: "group", "aria-label": "Map of the photos" });
  replace(root, said, place);
  await load();
  const map = leaflet.map(place, {
    attributionControl: false, worldCopyJump: true, minZoom: 1, maxZoom: DEEPEST, zoomSnap: 0.5, maxBounds: [[-85, -720], [85, 720]],
  });
  map.setView([25, 10], 2);
  for (const turn of [-360, 0, 360]) {
    leaflet
      .geoJSON(world, {
        style: ({ properties }) => ({ className: `world-${properties.kind}` }),
        coordsToLatLng: ([longitude, latitude]) => leaflet.latLng(latitude, longitude + turn),
        interactive: false,
      })
      .addTo(map);
  }
  leaflet.control.scale({ imperial: false }).addTo(map);
  const marks = leaflet.layerGroup().addTo(map);
  let places = [];
  const draw = () => {
    marks.clearLayers();
    for (const cell of cells(map, places)) marks.addLayer(mark(cell, map, open));
  };
  map.on("moveend", draw);
  const resize = new ResizeObserver(() => map.invalidateSize());
  resize.observe(place);
  return {
    async update(q) {
      const found = await get("places", { q });
      places = found.places;
      said.textContent = places.length
        ? `${plural(places.length, "photo")} ${places.length === 1 ? "has" : "have"} a place${found.more ? "; more are not shown" : ""}. Outline: Natural Earth.`
        : "No photo here says where it was taken.";
      if (places.length) map.fitBounds(places.map((one) => [one.latitude, one.longitude]), { padding: [60, 60], maxZoom: 8, animate: false });
      draw();
    },
    close() {
      resize.disconnect();
      map.remove();
      root.replaceChildren();
    },
  };
}

async function load() {
  if (leaflet) return;
  await stylesheet(new URL("static/vendor/leaflet/leaflet.css", document.baseURI).href);
  await import("../vendor/leaflet/leaflet.js"); // sets window.L
  const answer = await fetch(new URL("static/vendor/world-atlas/world.json", document.baseURI));
  world = await answer.json();
  leaflet = window.L;
}

function stylesheet(href) {
  return new Promise((resolve, reject) => {
    const link = el("link", { rel: "stylesheet", href, on: { load: resolve, error: reject } });
    document.head.prepend(link); // ours comes later and wins
  });
}

/** The photos in sight, gathered by squares of the screen. */
function cells(map, places) {
  const bounds = map.getBounds().pad(0.1);
  const found = new Map();
  for (const one of places) {
    if (!bounds.contains([one.latitude, one.longitude])) continue;
    const point = map.project([one.latitude, one.longitude]);
    const key = `${Math.floor(point.x / CELL)} ${Math.floor(point.y / CELL)}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(one);
  }
  return found.values();
}

function mark(cell, map, open) {
  const [first] = cell;
  const middle = [average(cell, "latitude"), average(cell, "longitude")];
  const label = cell.length === 1 ? "Open the photo taken here" : `${plural(cell.length, "photo")} taken here`;
  const content = el("span", {}, el("img", { src: thumb(first, 160), alt: "" }), cell.length > 1 ? el("span", { class: "number", text: cell.length }) : null);
  const shape = leaflet.divIcon({ className: "place", html: content, iconSize: [56, 56] });
  const made = leaflet.marker(middle, { icon: shape, title: label, alt: label, keyboard: true, riseOnHover: true });
  made.on("add", () => made.getElement().setAttribute("aria-label", label));
  made.on("click keypress", (event) => {
    if (event.type === "keypress" && event.originalEvent.key !== "Enter") return;
    const spread = leaflet.latLngBounds(cell.map((one) => [one.latitude, one.longitude]));
    const together = spread.getNorthEast().distanceTo(spread.getSouthWest()) < 30 || map.getZoom() >= DEEPEST;
    if (cell.length === 1 || together) open(cell.slice(0, MOST).map((one) => one.id));
    else map.fitBounds(spread, { padding: [80, 80], maxZoom: DEEPEST });
  });
  return made;
}

const average = (cell, name) => cell.reduce((sum, one) => sum + one[name], 0) / cell.length;
