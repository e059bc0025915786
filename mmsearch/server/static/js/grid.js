// The grid of photos: only tiles near the window are in the document; more are fetched as one scrolls.

import { el } from "./dom.js";
import { Layout } from "./layout.js";
import { selection } from "./selection.js";
import { link, state } from "./state.js";
import { discard, load, place, tile } from "./tile.js";
import { month } from "./words.js";

const MARGIN = 600; // pixels above and below the window that have tiles
const AHEAD = 2; // heights of the window that are fetched before one is there

export class Grid extends EventTarget {
  // Events: "open" (detail: index of a photo).

  constructor(root) {
    super();
    this.root = root;
    this.active = 0; // the photo that the keyboard is at
    this._tiles = new Map(); // index -> element
    this._headings = new Map(); // index of a row -> element
    this._layout = null;
    this._asked = 0; // an animation frame
    this._seen = 0; // how far down the page was when thumbnails were asked for
    root.addEventListener("click", (event) => this._clicked(event));
    root.addEventListener("keydown", (event) => this._pressed(event));
    root.addEventListener("focusin", (event) => this._focused(event));
    new ResizeObserver(() => this._resized()).observe(root);
    window.addEventListener("scroll", () => this.draw(), { passive: true });
    window.addEventListener("resize", () => this.draw(), { passive: true });
    selection.addEventListener("change", () => this._marks());
  }

  /** Shows a list from its start; `rowHeight` is what rows are near to, in pixels. */
  show(results, rowHeight) {
    this._clear();
    this.results = results;
    this.rowHeight = rowHeight;
    this.active = 0;
    selection.anchor = null; // an index of the list before
    this._newLayout();
    this.extend();
  }

  /** Takes in the hits that were added to the list. */
  extend() {
    if (!this.results || !this._layout) return;
    this._layout.extend(this.results.hits, this._section());
    this.root.style.height = `${this._layout.total}px`;
    this.drawNow();
  }

  _section() {
    const { sort } = this.results.search;
    const dated = sort === "newest" || sort === "oldest" || (!sort && this.results.byDate);
    return dated ? (hit) => month(hit.date) : () => null;
  }

  _newLayout() {
    const width = this.root.clientWidth;
    if (!width) {
      this._layout = null;
      return;
    }
    const narrow = width < 600;
    const height = narrow ? Math.min(this.rowHeight, width * 0.42) : this.rowHeight;
    this._layout = new Layout({ width, height, gap: narrow ? 3 : 6 });
  }

  _resized() {
    if (!this.results || this._layout?.width === this.root.clientWidth) return;
    const first = this.firstVisible();
    this._newLayout();
    if (!this._layout) return;
    this._drop();
    this.extend();
    if (first > 0) this.reveal(first, "start");
  }

  setRowHeight(height) {
    const first = this.firstVisible();
    this.rowHeight = height;
    this._newLayout();
    this._drop();
    this.extend();
    if (first > 0) this.reveal(first, "start");
  }

  /** Draws at the next frame. */
  draw() {
    this._asked ||= requestAnimationFrame(() => {
      this._asked = 0;
      this.drawNow();
    });
  }

  drawNow() {
    if (!this._layout || !this.root.clientWidth) return;
    const top = window.scrollY - this._offset();
    const [first, last] = this._layout.between(top - MARGIN, top + window.innerHeight + MARGIN);
    const wanted = new Set();
    for (let index = first; index < last; index += 1) {
      const row = this._layout.rows[index];
      if (row.heading) this._heading(index, row);
      for (let at = row.start; at < row.end; at += 1) wanted.add(at);
    }
    for (const [at, element] of this._tiles) {
      if (wanted.has(at) || element.contains(document.activeElement)) continue; // focus is never taken away
      discard(element);
      this._tiles.delete(at);
    }
    for (const [index, element] of this._headings) {
      if (index >= first && index < last) continue;
      element.remove();
      this._headings.delete(index);
    }
    for (const at of wanted) this._tile(at);
    this._pictures();
    if (!this.results.done && top + window.innerHeight * (1 + AHEAD) > this._layout.total && !this.results.failed)
      this.results.more();
  }

  /** Thumbnails of the tiles: at once, but of a page that is dragged past only those that stay. */
  _pictures() {
    const moved = Math.abs(window.scrollY - this._seen);
    this._seen = window.scrollY;
    clearTimeout(this._later);
    if (moved > window.innerHeight / 2) this._later = setTimeout(() => this._pictures(), 90);
    else for (const [at, element] of this._tiles) load(element, this.results.hits[at]);
  }

  _heading(index, row) {
    if (this._headings.has(index)) return;
    const element = el("h2", { class: "section", text: row.heading });
    element.style.transform = `translateY(${row.top - 34}px)`;
    this._headings.set(index, element);
    this.root.parentElement.querySelector(".sections").append(element);
  }

  _tile(at) {
    const hit = this.results.hits[at];
    let element = this._tiles.get(at);
    const row = this._layout.rows[this._layout.rowOf(at)];
    if (!element) {
      const href = link({ ...state(), photo: hit.id });
      element = tile(hit, { href, onMark: (event) => this._marked(event, at) });
      this._tiles.set(at, element);
      this._insert(element, at);
      this._mark(element, hit.id);
      this._tabStop(element, at === this.active);
    }
    const { left, width } = this._layout.place(row, at);
    const count = this.results.done ? this.results.hits.length : -1;
    place(element, hit, { left, top: row.top, width, height: row.height, at, count });
  }

  /** In the order of the list, for screen readers. */
  _insert(element, at) {
    element.dataset.at = at;
    let after = null;
    for (const other of this.root.children) {
      if (Number(other.dataset.at) > at) {
        after = other;
        break;
      }
    }
    this.root.insertBefore(element, after);
  }

  _offset() {
    return this.root.getBoundingClientRect().top + window.scrollY;
  }

  firstVisible() {
    if (!this._layout?.rows.length) return 0;
    const [first] = this._layout.between(window.scrollY - this._offset() + top(), Infinity);
    return this._layout.rows[Math.min(first, this._layout.rows.length - 1)]?.start ?? 0;
  }

  /** Scrolls as little as needed so that a photo is seen, or so that it is at the top ("start"). */
  reveal(at, where = "nearest") {
    const row = this._layout?.rows[this._layout.rowOf(at)];
    if (!row) return;
    const offset = this._offset() + row.top;
    const above = offset - top() - 8;
    const below = offset + row.height + 8 - window.innerHeight;
    if (where === "start" || window.scrollY > above) window.scrollTo(0, above);
    else if (window.scrollY < below) window.scrollTo(0, below);
    this.drawNow();
  }

  element(at) {
    return this._tiles.get(at) ?? null;
  }

  focus(at) {
    this._activate(at);
    this.reveal(at);
    this._tile(at);
    this.element(at)?.querySelector("a").focus({ preventScroll: true });
  }

  _activate(at) {
    const before = this.element(this.active);
    if (before) this._tabStop(before, false);
    this.active = at;
    const now = this.element(at);
    if (now) this._tabStop(now, true);
  }

  _tabStop(element, stop) {
    element.querySelector("a").tabIndex = stop ? 0 : -1;
    element.querySelector(".mark").tabIndex = stop ? 0 : -1;
  }

  _focused(event) {
    const at = Number(event.target.closest(".tile")?.dataset.at ?? -1);
    if (at >= 0 && at !== this.active) this._activate(at);
  }

  _clicked(event) {
    const open = event.target.closest("a.open");
    if (!open || event.ctrlKey || event.metaKey || event.button) return;
    event.preventDefault();
    const at = Number(open.closest(".tile").dataset.at);
    if (event.shiftKey) selection.range(this.results.hits, this.active, at);
    else this.dispatchEvent(new CustomEvent("open", { detail: at }));
  }

  _marked(event, at) {
    event.stopPropagation();
    if (event.shiftKey) selection.range(this.results.hits, selection.anchor ?? at, at);
    else selection.toggle(this.results.hits[at].id, at);
    this._activate(at);
  }

  _pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest(".tile")) return;
    const last = this.results.hits.length - 1;
    const to = {
      ArrowLeft: () => this.active - 1,
      ArrowRight: () => this.active + 1,
      ArrowUp: () => this._layout.beside(this.active, -1),
      ArrowDown: () => this._layout.beside(this.active, 1),
      Home: () => 0,
      End: () => last,
    }[event.key];
    if (to) {
      const from = this.active;
      const at = Math.min(Math.max(to(), 0), last);
      if (event.shiftKey) selection.range(this.results.hits, selection.anchor ?? from, at);
      this.focus(at);
    } else if (event.key === " ") {
      if (event.shiftKey) selection.range(this.results.hits, selection.anchor ?? this.active, this.active);
      else selection.toggle(this.results.hits[this.active].id, this.active);
    } else return;
    event.preventDefault();
  }

  _marks() {
    for (const [at, element] of this._tiles) this._mark(element, this.results.hits[at].id);
    this.root.classList.toggle("selecting", selection.size > 0);
  }

  _mark(element, id) {
    const on = selection.has(id);
    element.classList.toggle("selected", on);
    element.querySelector(".mark").setAttribute("aria-checked", String(on));
  }

  _drop() {
    for (const element of this._tiles.values()) discard(element);
    for (const element of this._headings.values()) element.remove();
    this._tiles.clear();
    this._headings.clear();
  }

  _clear() {
    this._drop();
    this.root.style.height = "0px";
  }
}

/** How much of the window's top the sticky header covers. */
function top() {
  return document.querySelector(".top").getBoundingClientRect().height;
}
