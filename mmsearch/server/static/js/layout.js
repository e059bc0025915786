// Where photos stand: rows of one height each that fill the width, with a heading where a new section begins.

const NARROWEST = 0.5; // width / height; panoramas and strips are cropped to these by the tile
const BROADEST = 3;
const HEADING = 44; // pixels

export class Layout {
  constructor({ width, height, gap }) {
    Object.assign(this, { width, height, gap });
    this.rows = []; // {top, height, start, end, heading, widths}
    this.count = 0;
    this._section = null;
  }

  get total() {
    const last = this.rows.at(-1);
    return last ? last.top + last.height : 0;
  }

  /** Lays out the photos from `this.count` on; a last row that was not full is laid out anew. `section` names one's. */
  extend(hits, section = () => null) {
    let start = this.count;
    const last = this.rows.at(-1);
    if (last && !last.full) {
      this.rows.pop();
      start = last.start;
      this._section = start ? section(hits[start - 1]) : null;
    }
    let ratios = [];
    const close = (end, full) => {
      if (end > start) this._row(start, end, ratios, full, section(hits[start]));
      [start, ratios] = [end, []];
    };
    for (let at = start; at < hits.length; at += 1) {
      if (at > start && section(hits[at]) !== section(hits[start])) close(at, true);
      ratios.push(ratio(hits[at]));
      const sum = ratios.reduce((one, other) => one + other, 0);
      if (sum * this.height + this.gap * (ratios.length - 1) >= this.width) close(at + 1, true);
    }
    close(hits.length, false);
    this.count = hits.length;
  }

  _row(start, end, ratios, full, section) {
    const sum = ratios.reduce((one, other) => one + other, 0);
    const space = this.width - this.gap * (ratios.length - 1);
    const height = Math.round(Math.min(space / sum, this.height * 1.25));
    const fills = Math.abs(space - sum * height) < ratios.length * 2;
    const widths = ratios.map((one) => Math.floor(one * height));
    if (fills) widths[widths.length - 1] += space - widths.reduce((one, other) => one + other, 0);
    const heading = section !== this._section ? section : null;
    this._section = section;
    let top = this.rows.length ? this.total + this.gap : 0;
    if (heading) top += HEADING;
    this.rows.push({ top, height, start, end, heading, widths, full });
  }

  /** The rows between two heights, as indices [first, last). */
  between(from, to) {
    const first = this._first((row) => row.top + row.height >= from);
    return [first, this._first((row) => row.top - (row.heading ? HEADING : 0) > to)];
  }

  rowOf(at) {
    return this._first((row) => row.end > at);
  }

  /** The first row that meets a condition which all rows after it meet too. */
  _first(meets) {
    let [low, high] = [0, this.rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (meets(this.rows[middle])) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Left edge and width of a photo in its row. */
  place(row, at) {
    let left = 0;
    for (let one = 0; one < at - row.start; one += 1) left += row.widths[one] + this.gap;
    return { left, width: row.widths[at - row.start] };
  }

  /** The photo above (-1) or below (1) another one: the one whose middle is nearest. */
  beside(at, step) {
    const index = this.rowOf(at);
    const target = this.rows[index + step];
    if (!target) return at;
    const { left, width } = this.place(this.rows[index], at);
    const middle = left + width / 2;
    let best = target.start;
    let distance = Infinity;
    for (let one = target.start; one < target.end; one += 1) {
      const place = this.place(target, one);
      const away = Math.abs(place.left + place.width / 2 - middle);
      if (away < distance) [best, distance] = [one, away];
    }
    return best;
  }
}

function ratio({ width, height }) {
  return width > 0 && height > 0 ? Math.min(Math.max(width / height, NARROWEST), BROADEST) : 1;
}
