// Which photos are selected. Ids, not places: a selection lasts while one searches for others.

class Selection extends EventTarget {
  // Events: "change".

  constructor() {
    super();
    this._ids = new Set();
    this.anchor = null; // where a range begins: index of the photo that was marked last
  }

  get size() {
    return this._ids.size;
  }

  get ids() {
    return [...this._ids];
  }

  has(id) {
    return this._ids.has(id);
  }

  toggle(id, at) {
    if (!this._ids.delete(id)) this._ids.add(id);
    this.anchor = at;
    this._tell();
  }

  /** Adds the photos from one index to another, both included. */
  range(hits, from, to) {
    for (let at = Math.min(from, to); at <= Math.max(from, to); at += 1) if (hits[at]) this._ids.add(hits[at].id);
    this.anchor ??= from;
    this._tell();
  }

  add(ids) {
    for (const id of ids) this._ids.add(id);
    this._tell();
  }

  clear() {
    this._ids.clear();
    this.anchor = null;
    this._tell();
  }

  _tell() {
    this.dispatchEvent(new Event("change"));
  }
}

export const selection = new Selection();
