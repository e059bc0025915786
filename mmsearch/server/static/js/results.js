// The photos that a search found: pages by cursor, as far as anybody scrolled.

import { get, postPicture } from "./api.js";
import { picture } from "./picture.js";
import { isEmpty } from "./state.js";

const FIRST = 60;
const PAGE = 120;
const LONGEST = 10_000; // of a selection of all

export class Results extends EventTarget {
  // Events: "more" (hits were added), "problem" (detail: the error), "stale" (the library changed: begin anew).

  constructor(search) {
    super();
    this.search = search; // part of the state
    this.byDate = isEmpty(search); // all photos: the newest first
    this.hits = [];
    this.notes = [];
    this.unreachable = []; // parts of the library that did not answer: photos may be lacking
    this.question = null;
    this.generation = null;
    this.found = null; // how many there are in all, where that is known exactly
    this.done = false;
    this.started = false;
    this._cursor = null;
    this._loading = null;
    this._stop = new AbortController();
    this._at = new Map(); // photo id -> index
  }

  get loading() {
    return Boolean(this._loading);
  }

  indexOf(id) {
    return this._at.get(id) ?? -1;
  }

  /** Fetches the next page; a call while one is fetched waits for that one. */
  more() {
    if (this.done) return Promise.resolve();
    this._loading ??= this._fetch().finally(() => (this._loading = null));
    return this._loading;
  }

  /** Fetches until there are `count` hits, or no more. */
  async upTo(count) {
    while (!this.done && this.hits.length < Math.min(count, LONGEST)) {
      const before = this.hits.length;
      await this.more();
      if (this.hits.length === before && this.failed) return;
    }
  }

  close() {
    this._stop.abort();
  }

  async _fetch() {
    this.failed = null;
    try {
      this._take(await this._page());
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.code === "stale_cursor") {
        this.done = true;
        this.dispatchEvent(new Event("stale"));
        return;
      }
      this.failed = error;
      if (!this.hits.length) this.done = true;
      this.dispatchEvent(new CustomEvent("problem", { detail: error }));
    }
  }

  async _page() {
    const { q, sort, min, like, unlike } = this.search;
    if (this._cursor) return get("search", { cursor: this._cursor, k: PAGE }, this._stop.signal);
    const parameters = { q: q.trim(), sort, like, unlike, min_relevance: min || "", k: FIRST };
    if (this.search.picture) {
      return postPicture("search/image", await picture(this.search.picture), parameters, this._stop.signal);
    }
    return get("search", parameters, this._stop.signal);
  }

  _take(page) {
    this.started = true;
    for (const hit of page.hits) {
      if (this._at.has(hit.id)) continue; // a file that was moved between two pages
      this._at.set(hit.id, this.hits.length);
      this.hits.push(hit);
    }
    this.notes = page.notes?.length ? page.notes : this.notes;
    this.unreachable = page.unreachable ?? [];
    this.question = page.question ?? this.question;
    this.generation = page.generation;
    this.found = page.found >= this.hits.length ? page.found : null;
    this._cursor = page.next_cursor;
    this.done = !page.next_cursor;
    this.dispatchEvent(new Event("more"));
  }
}
