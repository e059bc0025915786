// All photos on one map by what they show, in clusters with names; made by the server, drawn as in the file of a map.

import { startAtlas } from "../map/atlas.js";
import { make } from "../map/atlasdom.js";
import { address, get, post, thumb } from "./api.js";
import { button, el, replace } from "./dom.js";
import { attempt, toast } from "./say.js";
import { has, readOnly, refreshStatus } from "./server.js";
import { alternative, date, fileName, number } from "./words.js";

const AT_ONCE = 1000; // photos asked for at once
const KEPT = 600; // small pictures kept while the map is moved
const PICTURED = 4000; // points that may have a small picture
const STEPS = { layout: "Laying out", placing: "Placing", naming: "Naming clusters" };

/** The map in an element; `open(photos)` shows photos. Gives what closes it. */
export async function clustersView(root, open) {
  let [atlas, source] = [null, null];
  const said = el("p", { class: "hint", role: "status", text: "Reading the map\u2026" });
  const place = el("div", { class: "clusters", id: "clusters" });
  const head = el("div", { class: "view-head" }, said);
  replace(root, head, place);

  const show = async () => {
    atlas?.close();
    atlas = null;
    await refreshStatus();
    const data = has("map") ? await get("map") : null;
    if (!data) {
      replace(place, el("div", { class: "message" }, el("h2", { text: "No map has been made yet" }),
        el("p", { text: "A map lays all photos out by what they show, and names the clusters." }), readOnly() ? null : button({ text: "Make the map", class: "main" }, () => run(false))));
      said.textContent = "";
      return;
    }
    const text = `${number(data.points)} photos in ${number(data.clusters.filter(({ size }) => size).length)} clusters.`;
    replace(head, said);
    said.textContent = data.current ? text : `${text} The library has changed since.`;
    if (!readOnly()) {
      if (!data.current) head.append(button({ text: "Add what is new", class: "tool text bordered" }, () => run(false)));
      head.append(button({ text: "Lay out anew", class: "tool text bordered" }, () => run(true)));
    }
    atlas = startAtlas(place, data, photosOf(data, () => atlas?.redraw(), open));
  };

  const run = (fresh) => attempt(async () => {
    await post("map", { fresh });
    listen();
  });

  const listen = () => {
    const bar = el("progress", { class: "clusters-run", "aria-label": "Progress of the map" });
    const stop = button({ text: "Stop", class: "link" }, () => attempt(() => post("map/stop", {})));
    replace(head, said, bar, stop);
    said.textContent = "Making the map\u2026";
    source?.close();
    source = new EventSource(address("map/events"));
    const told = (name, action) => source.addEventListener(name, (event) => action(JSON.parse(event.data)));
    told("progress", ({ step, done, total }) => {
      bar.max = total || 1;
      bar.value = done;
      said.textContent = `${STEPS[step] ?? step}\u2026`;
    });
    told("done", () => (source.close(), attempt(show)));
    told("failed", ({ detail, code }) => {
      source.close();
      toast(detail, { error: code !== "map-stopped" });
      attempt(show);
    });
  };

  await show();
  return () => {
    source?.close();
    atlas?.close();
    root.replaceChildren();
  };
}

/** What the atlas asks of photos: facts by points, small pictures as they come into sight. */
function photosOf({ points: count, generation }, redraw, open) {
  const known = new Map(); // point -> a promise of its photo, or null
  const images = new Map(); // point -> its small picture
  let wanted = new Set();
  let asked = 0;

  const photos = async (some) => {
    const found = [];
    for (let start = 0; start < some.length; start += AT_ONCE) {
      const block = some.slice(start, start + AT_ONCE);
      found.push(...(await post("map/photos", { generation, points: block })).photos);
    }
    return found;
  };
  const photo = (at) => {
    if (!known.has(at)) known.set(at, photos([at]).then(([one]) => one).catch(() => (known.delete(at), null)));
    return known.get(at);
  };

  /** Asks for the photos that came into sight since, all at once, then for their small pictures. */
  const fetchWanted = async () => {
    asked = 0;
    const some = [...wanted].slice(-200);
    wanted = new Set();
    const found = await photos(some).catch(() => []);
    found.forEach((one, place) => {
      known.set(some[place], Promise.resolve(one));
      if (!one) return;
      const image = new Image();
      image.addEventListener("load", redraw);
      image.src = thumb(one, 160);
      images.set(some[place], image);
    });
    while (images.size > KEPT) images.delete(images.keys().next().value);
  };

  const draw = (context, at, x, y, side) => {
    const image = images.get(at);
    if (image === undefined) {
      wanted.add(at);
      asked ||= setTimeout(fetchWanted, 120);
      return false;
    }
    if (!image.complete || !image.naturalWidth) return false;
    const square = Math.min(image.naturalWidth, image.naturalHeight);
    context.drawImage(image, (image.naturalWidth - square) / 2, (image.naturalHeight - square) / 2, square, square, x, y, side, side);
    return true;
  };

  const tell = async (at) => {
    const one = await photo(at);
    if (!one) return { picture: null, name: "A photo", lines: ["It is no longer in the library."], actions: [] };
    const picture = make("img", { class: "atlas-picture", src: thumb(one, 320), alt: alternative(one) });
    const lines = [date(one.date), `${number(one.width)} \u00d7 ${number(one.height)}`, one.caption ?? one.description ?? ""].filter(Boolean);
    const show = make("button", { type: "button", class: "atlas-main", text: "Open", on: { click: () => open([one]) } });
    return { picture, name: fileName(one.path), lines, actions: [show] };
  };

  const every = Math.max(1, Math.ceil(count / PICTURED));
  const some = Array.from({ length: Math.ceil(count / every) }, (_, step) => step * every);
  some.sort((a, b) => (Math.imul(a + 1, 2654435761) >>> 0) - (Math.imul(b + 1, 2654435761) >>> 0));
  return {
    pictures: { points: some, draw },
    tell,
    paths: async (chosen) => (await photos(chosen)).filter(Boolean).map(({ path }) => path),
    find: null,
  };
}
