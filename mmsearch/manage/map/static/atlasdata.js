// The points of a map, as manage/map/points.py writes them.

export const EDGE = 65535;
const CELLS = 256; // in a row of the grid that finds points by place

/** Numbers of base64, in the order of bytes that all browsers' machines have. */
export function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return new Kind(bytes.buffer);
}

/** Points by number: they stand in the order of their clusters. */
export class Points {
  constructor({ points, places, clusters }) {
    this.count = points;
    this.places = unpack(places, Uint16Array); // x and y in turn
    this.clusters = clusters;
    this.of = new Uint16Array(points); // place of the cluster in `clusters`, or as many as there are for none
    this.of.fill(clusters.length);
    clusters.forEach(({ first, size }, at) => this.of.fill(at, first, first + size));
    this.#index();
  }

  x(at) {
    return this.places[2 * at];
  }

  y(at) {
    return this.places[2 * at + 1];
  }

  #cell(at) {
    return (this.y(at) >> 8) * CELLS + (this.x(at) >> 8);
  }

  /** Points by cells of a grid, by counting. */
  #index() {
    this.starts = new Uint32Array(CELLS * CELLS + 1);
    for (let at = 0; at < this.count; at += 1) this.starts[this.#cell(at) + 1] += 1;
    for (let cell = 0; cell < CELLS * CELLS; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.byCell = new Uint32Array(this.count);
    for (let at = 0; at < this.count; at += 1) this.byCell[next[this.#cell(at)]++] = at;
  }

  /** Calls `action` with each point in a rectangle. */
  within(left, top, right, bottom, action) {
    const [x0, x1] = [left, right].map((value) => Math.min(CELLS - 1, Math.max(0, Math.floor(value / 256))));
    const [y0, y1] = [top, bottom].map((value) => Math.min(CELLS - 1, Math.max(0, Math.floor(value / 256))));
    for (let row = y0; row <= y1; row += 1) {
      for (let i = this.starts[row * CELLS + x0]; i < this.starts[row * CELLS + x1 + 1]; i += 1) {
        const at = this.byCell[i];
        const [x, y] = [this.x(at), this.y(at)];
        if (x >= left && x <= right && y >= top && y <= bottom) action(at, x, y);
      }
    }
  }

  /** The point nearest to a place, no farther than `reach`; -1 where there is none. */
  nearest(x, y, reach) {
    let [found, best] = [-1, reach * reach];
    this.within(x - reach, y - reach, x + reach, y + reach, (at, px, py) => {
      const apart = (px - x) ** 2 + (py - y) ** 2;
      if (apart <= best) [found, best] = [at, apart];
    });
    return found;
  }

  /** The points inside a polygon of [x, y]. */
  inside(polygon) {
    const [xs, ys] = [polygon.map(([x]) => x), polygon.map(([, y]) => y)];
    const found = [];
    this.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (at, x, y) => {
      let odd = false;
      for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i, i += 1) {
        const crosses = ys[i] > y !== ys[j] > y && x < ((xs[j] - xs[i]) * (y - ys[i])) / (ys[j] - ys[i]) + xs[i];
        if (crosses) odd = !odd;
      }
      if (odd) found.push(at);
    });
    return found.sort((a, b) => a - b);
  }

  /** The clusters of whose name each word of a text begins a word. */
  named(text) {
    const wanted = plainWords(text);
    if (!wanted.length) return this.clusters;
    return this.clusters.filter(({ name, number }) => {
      const own = plainWords(name);
      return String(number) === text.trim() || wanted.every((word) => own.some((one) => one.startsWith(word)));
    });
  }
}

const plainWords = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
