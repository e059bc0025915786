// The file of a map: points, paths and small pictures lie in it.

import { startAtlas } from "./atlas.js";
import { unpack } from "./atlasdata.js";
import { make } from "./atlasdom.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const MINUTE = 60_000;
const DATE = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit" });

function startPage() {
  const photos = read("photos");
  for (const [name, Kind] of Object.entries({ at: Uint32Array, folder: Uint32Array, dates: Int32Array, widths: Uint32Array, heights: Uint32Array })) photos[name] = unpack(photos[name], Kind);
  const rowOf = new Map(Array.from(photos.at, (at, row) => [at, row]));
  const sprites = read("pictures");
  const pictured = unpack(sprites.at, Uint32Array);
  const slotOf = new Map(Array.from(pictured, (at, slot) => [at, slot]));
  const each = sprites.across ** 2;
  let atlas = null;
  const sheets = sprites.sheets.map((address) => {
    const sheet = new Image();
    sheet.addEventListener("load", () => atlas?.redraw());
    sheet.src = address;
    return sheet;
  });

  function draw(context, at, x, y, side) {
    const slot = slotOf.get(at);
    const sheet = slot === undefined ? null : sheets[Math.floor(slot / each)];
    if (!sheet?.complete || !sheet.naturalWidth) return false;
    const within = slot % each;
    context.drawImage(sheet, (within % sprites.across) * sprites.side, Math.floor(within / sprites.across) * sprites.side, sprites.side, sprites.side, x, y, side, side);
    return true;
  }

  const path = (row) => joined(photos.folders[photos.folder[row]], photos.names[row]);

  function tell(at) {
    const row = rowOf.get(at);
    if (row === undefined) return { picture: null, name: "A photo", lines: ["Its path is not in this file, which holds those of a part."], actions: [] };
    const picture = make("canvas", { class: "atlas-picture", width: 192, height: 192, "aria-hidden": "true" });
    const there = draw(picture.getContext("2d"), at, 0, 0, 192);
    const lines = [DATE.format(photos.dates[row] * MINUTE), `${photos.widths[row]} \u00d7 ${photos.heights[row]}`];
    if (photos.said[at]) lines.push(photos.said[at]);
    const link = address(path(row));
    const actions = link ? [make("a", { href: link, class: "atlas-open", text: "Open the photo" })] : [];
    return { picture: there ? picture : null, name: photos.names[row], lines: [...lines, photos.folders[photos.folder[row]]], actions };
  }

  const lower = photos.names.map((name) => name.toLowerCase());
  const source = {
    pictures: { points: shuffled(pictured), draw },
    tell,
    paths: (points) => points.filter((at) => rowOf.has(at)).map((at) => path(rowOf.get(at))),
    find: (text) => lower.flatMap((name, row) => (name.includes(text.toLowerCase()) ? [photos.at[row]] : [])),
  };
  atlas = startAtlas(document.getElementById("map"), read("points"), source);
}

const joined = (folder, name) => (/[\\/]$/.test(folder) ? folder : folder + (folder.includes("\\") && !folder.includes("/") ? "\\" : "/")) + name;

/** The address of a file; null for a path with bytes that are no text, and for what no browser opens. */
function address(path) {
  if (/^https?:/.test(path)) return path;
  if (/^(s3|gs|az):/.test(path)) return null;
  try {
    const parts = path.replaceAll("\\", path.includes("/") ? "\\" : "/").split("/").map(encodeURIComponent).join("/");
    return `file://${parts.startsWith("/") ? "" : "/"}${parts}`;
  } catch {
    return null;
  }
}

/** In an order that favours no cluster, the same each time. */
function shuffled(points) {
  const keyed = Array.from(points, (at) => [Math.imul(at + 1, 2654435761) >>> 0, at]);
  return keyed.sort((a, b) => a[0] - b[0]).map(([, at]) => at);
}

startPage();
