// A map of photos with its tools, its list of clusters, and what is told of a photo. A file and the server's page use it.

import { AtlasCanvas } from "./atlascanvas.js";
import { Points } from "./atlasdata.js";
import { countText, make, severalText, signButton } from "./atlasdom.js";
import { listen } from "./atlasinput.js";

const HELP = "Drag to move, turn the wheel or pinch to zoom. Keys: arrows move, plus and minus zoom, 0 shows all, Enter tells of the photo in the middle, Escape clears.";

/**
 * A map in an element. `source` knows the photos:
 * - pictures: {points, draw(context, point, x, y, side) -> whether it was drawn}
 * - tell(point) -> {picture, name, lines, actions}, elements and texts, or a promise of it
 * - paths(points) -> their paths, or a promise of them; those without are left out
 * - find(text) -> points whose file names have it; null where files cannot be looked for
 * Gives {view, redraw(), close()}.
 */
export function startAtlas(root, data, source) {
  const points = new Points(data);
  const canvas = make("canvas", { class: "atlas-canvas", tabindex: "0", role: "application", "aria-label": `Map of ${severalText(points.count, "photo")}`, "aria-describedby": "atlas-help" });
  const card = make("div", { class: "atlas-card", role: "status", hidden: true });
  const counted = make("span", {});
  const bar = make("div", { class: "atlas-bar", role: "group", "aria-label": "Selected photos", hidden: true }, counted,
    make("button", { type: "button", class: "atlas-main", text: "Copy paths", on: { click: () => copy() } }),
    make("button", { type: "button", class: "atlas-plain", text: "Clear", on: { click: () => clear() } }));
  let lassoing = false;
  const lasso = signButton("lasso", "Select by drawing around photos (or hold Shift)", () => {
    lassoing = !lassoing;
    lasso.setAttribute("aria-pressed", String(lassoing));
    canvas.classList.toggle("lassoing", lassoing);
  }, { "aria-pressed": "false" });
  const tools = make("div", { class: "atlas-tools", role: "group", "aria-label": "Map" },
    signButton("plus", "Zoom in", () => view.zoomBy(1.5)), signButton("minus", "Zoom out", () => view.zoomBy(1 / 1.5)),
    signButton("fit", "Show all", () => view.fit()), lasso);
  const box = make("input", { type: "search", id: "atlas-search", class: "atlas-search", spellcheck: "false", autocomplete: "off", placeholder: source.find ? "Cluster or file name" : "Cluster name" });
  const said = make("p", { class: "atlas-said", role: "status" });
  const list = make("ul", { class: "atlas-list" });
  const side = make("section", { class: "atlas-side", "aria-label": "Clusters" },
    make("label", { class: "atlas-label", for: "atlas-search", text: "Search the map" }), box, said, list);
  const stage = make("div", { class: "atlas-stage" }, canvas, tools, card, bar, make("p", { class: "atlas-hidden", id: "atlas-help", text: HELP }));
  root.replaceChildren(make("div", { class: "atlas" }, stage, side));

  const view = new AtlasCanvas(canvas, points, source.pictures);
  let [pinned, turn, chosen] = [false, 0, []];

  function choose(some, { zoom = false } = {}) {
    chosen = some;
    view.chosen = some.length ? new Uint8Array(points.count) : null;
    for (const at of some) view.chosen[at] = 1;
    counted.textContent = `${severalText(some.length, "photo")} selected`;
    bar.hidden = !some.length;
    if (zoom) view.show(some);
    view.draw();
  }

  function clear() {
    pinned = false;
    hover(-1);
    choose([]);
  }

  async function copy() {
    const paths = await source.paths(chosen);
    const without = chosen.length - paths.length;
    const done = paths.length ? await toClipboard(paths.join("\n"), stage) : false;
    counted.textContent = (done ? `${severalText(paths.length, "path")} copied` : "Nothing was copied") + (without ? `; ${countText(without)} have none in this file` : "");
  }

  async function hover(at) {
    if (pinned && at !== view.hovered) return;
    if (at === view.hovered && at >= 0) return;
    view.hovered = at;
    view.draw();
    await tell(at);
  }

  async function tell(at) {
    const mine = (turn += 1);
    if (at < 0) {
      card.hidden = true;
      return;
    }
    const told = await source.tell(at);
    if (mine !== turn) return;
    const cluster = points.clusters[points.of[at]];
    const close = pinned ? signButton("close", "Close", () => ((pinned = false), hover(-1), canvas.focus()), { class: "atlas-sign atlas-close" }) : null;
    card.replaceChildren(...[told.picture, make("p", { class: "atlas-name", text: told.name }), ...told.lines.map((text) => make("p", { text })),
      cluster && make("p", { class: "atlas-cluster", text: cluster.name }), ...(pinned ? told.actions : []), close].filter(Boolean));
    card.classList.toggle("pinned", pinned);
    card.hidden = false;
  }

  function pick(at) {
    pinned = false;
    view.hovered = -2;
    pinned = at >= 0;
    view.hovered = at;
    view.draw();
    tell(at);
  }

  function fill() {
    const found = points.named(box.value);
    list.replaceChildren(...found.filter(({ size }) => size).map((cluster) => {
      const dot = make("span", { class: "atlas-dot", "aria-hidden": "true" });
      dot.style.setProperty("background", view.css(cluster.number - 1));
      const members = () => Array.from({ length: cluster.size }, (_, step) => cluster.first + step);
      return make("li", {}, make("button", { type: "button", class: "atlas-item", on: { click: () => choose(members(), { zoom: true }) } },
        dot, make("span", { class: "atlas-item-name", text: cluster.name }), make("span", { class: "atlas-size", text: countText(cluster.size) })));
    }));
    const files = box.value.trim() && source.find ? source.find(box.value.trim()) : [];
    const parts = [severalText(found.filter(({ size }) => size).length, "cluster")];
    if (box.value.trim() && source.find) parts.push(severalText(files.length, "file name"));
    said.textContent = parts.join(", ");
    if (files.length) choose(files);
    else if (box.value.trim()) choose([]);
    return { found, files };
  }
  let settled = 0;
  box.addEventListener("input", () => {
    clearTimeout(settled);
    settled = setTimeout(() => (box.value.trim() ? fill() : (fill(), choose([]))), 150);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const { found, files } = fill();
    const first = found.find(({ size }) => size);
    if (files.length) choose(files, { zoom: true });
    else if (first && box.value.trim()) choose(Array.from({ length: first.size }, (_, step) => first.first + step), { zoom: true });
  });

  listen(view, { hover, pick, select: (some) => choose(some), clear, lassoing: () => lassoing });
  const sized = new ResizeObserver(() => view.resize());
  sized.observe(stage);
  const shade = matchMedia("(prefers-color-scheme: dark)");
  const repaint = () => (view.drawNow(), fill());
  shade.addEventListener("change", repaint);
  const themed = new MutationObserver(repaint);
  themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  repaint();
  return {
    view,
    redraw: () => view.draw(),
    close() {
      sized.disconnect();
      themed.disconnect();
      shade.removeEventListener("change", repaint);
      root.replaceChildren();
    },
  };
}

/** Copies a text; where the browser does not let a page do it, by a field that is selected. Whether it was done. */
async function toClipboard(text, beside) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", { class: "atlas-hidden", "aria-label": "Paths", readonly: true });
    field.value = text;
    beside.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
