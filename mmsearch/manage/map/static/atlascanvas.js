// Draws points, small pictures and names on a canvas.

import { EDGE } from "./atlasdata.js";

const MANY = 20_000; // points in sight from which they are set pixel by pixel
const PICTURED = 500; // small pictures drawn at most
const PICTURES_FROM = 1.8; // times the whole from which small pictures are drawn
const DEEPEST = 400; // times the whole
const FONT = '600 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

export class AtlasCanvas {
  /** `pictures`: {points in the order in which they are drawn, draw(context, point, x, y, side) -> whether it was}. */
  constructor(canvas, points, pictures) {
    Object.assign(this, { canvas, points, pictures, chosen: null, hovered: -1, lasso: null });
    this.context = canvas.getContext("2d");
    this.dark = false;
    this.waiting = 0;
    this.resize();
    this.fit();
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    this.width = Math.max(1, box.width);
    this.height = Math.max(1, box.height);
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.pixels = null;
    if (this.whole) {
      const before = this.scale / this.whole;
      this.scale = this.#whole() * before;
      this.whole = this.#whole();
    }
    this.draw();
  }

  #whole() {
    return Math.min(this.width, this.height) / (EDGE * 1.02);
  }

  /** All of it. */
  fit() {
    this.whole = this.#whole();
    this.scale = this.whole;
    [this.x, this.y] = [EDGE / 2, EDGE / 2];
    this.draw();
  }

  get zoom() {
    return this.scale / this.whole;
  }

  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  toMap(x, y) {
    return [(x - this.width / 2) / this.scale + this.x, (y - this.height / 2) / this.scale + this.y];
  }

  pan(right, down) {
    this.x = clamp(this.x - right / this.scale, 0, EDGE);
    this.y = clamp(this.y - down / this.scale, 0, EDGE);
    this.draw();
  }

  /** Zooms by a factor; what is at a place of the screen stays there. */
  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const [mapX, mapY] = this.toMap(x, y);
    this.scale = clamp(this.scale * factor, this.whole * 0.8, this.whole * DEEPEST);
    this.x = clamp(mapX - (x - this.width / 2) / this.scale, 0, EDGE);
    this.y = clamp(mapY - (y - this.height / 2) / this.scale, 0, EDGE);
    this.draw();
  }

  /** Shows the middle nine tenths of some points. */
  show(chosen) {
    if (!chosen.length) return;
    const middle = (values) => {
      values.sort((a, b) => a - b);
      return [values[Math.floor(values.length * 0.05)], values[Math.ceil(values.length * 0.95) - 1]];
    };
    const [left, right] = middle(Array.from(chosen, (at) => this.points.x(at)));
    const [top, bottom] = middle(Array.from(chosen, (at) => this.points.y(at)));
    [this.x, this.y] = [(left + right) / 2, (top + bottom) / 2];
    const side = Math.max((right - left) / this.width, (bottom - top) / this.height, 1e-3);
    this.scale = clamp(0.7 / side, this.whole, this.whole * 24);
    this.draw();
  }

  /** The point under a place of the screen, -1 where there is none. */
  at(x, y) {
    const pictured = this.drawn?.findLast((one) => Math.abs(one.x - x) <= one.half && Math.abs(one.y - y) <= one.half);
    return pictured ? pictured.at : this.points.nearest(...this.toMap(x, y), 12 / this.scale);
  }

  /** Draws it before the next frame. */
  draw() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => ((this.waiting = 0), this.drawNow()));
  }

  drawNow() {
    const { context } = this;
    const style = getComputedStyle(this.canvas);
    this.ink = style.getPropertyValue("--ink").trim() || "#16181d";
    this.paper = style.getPropertyValue("--paper").trim() || "#ffffff";
    this.accent = style.getPropertyValue("--accent").trim() || "#2856c9";
    this.dark = style.colorScheme.includes("dark") && luminance(this.paper) < 0.5;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const shown = this.#inSight();
    if (shown.length > MANY) this.#pixels(shown);
    else this.#dots(shown);
    this.#pictures();
    if (this.hovered >= 0) this.#ring(this.hovered);
    this.#names();
    if (this.lasso) this.#outline();
  }

  #inSight() {
    const [left, top] = this.toMap(-8, -8);
    const [right, bottom] = this.toMap(this.width + 8, this.height + 8);
    const found = [];
    this.points.within(left, top, right, bottom, (at) => found.push(at));
    return found;
  }

  /** Quiet colours, neighbours in number far apart in hue; grey for no cluster. */
  colour(cluster) {
    if (cluster >= this.points.clusters.length) return [0, 0, this.dark ? 55 : 62];
    const shade = [0, 7, -7][cluster % 3];
    return [(cluster * 137.508 + 215) % 360, this.dark ? 42 : 44, (this.dark ? 64 : 54) + shade];
  }

  css(cluster) {
    const [hue, strength, light] = this.colour(cluster);
    return `hsl(${hue.toFixed(0)} ${strength}% ${light}%)`;
  }

  #radius(count) {
    const byNumber = count > 3000 ? 1.7 : count > 600 ? 2.4 : 3.4;
    return clamp(byNumber * Math.sqrt(Math.sqrt(this.zoom)), 1.2, 5);
  }

  #dots(shown) {
    const { context, points } = this;
    const radius = this.#radius(shown.length);
    const groups = new Map();
    for (const at of shown) {
      const faint = this.chosen && !this.chosen[at];
      const key = points.of[at] * 2 + (faint ? 0 : 1);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(at);
    }
    for (const key of [...groups.keys()].sort((a, b) => (a % 2) - (b % 2) || a - b)) {
      context.globalAlpha = key % 2 ? 0.85 : 0.14;
      context.fillStyle = this.css(key >> 1);
      context.beginPath();
      for (const at of groups.get(key)) {
        const [x, y] = this.toScreen(points.x(at), points.y(at));
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 7);
      }
      context.fill();
    }
    context.globalAlpha = 1;
  }

  /** Many points: each a square of pixels. */
  #pixels(shown) {
    const { canvas, context, points } = this;
    this.pixels ??= context.createImageData(canvas.width, canvas.height);
    const words = new Uint32Array(this.pixels.data.buffer);
    words.fill(0);
    const palette = [];
    for (let cluster = 0; cluster <= points.clusters.length; cluster += 1) {
      const [r, g, b] = rgb(...this.colour(cluster));
      palette.push([24, 220].map((alpha) => ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0));
    }
    const side = Math.max(1, Math.round((shown.length > 300_000 ? 1 : 1.6) * this.ratio));
    const { width, height } = canvas;
    const scale = this.scale * this.ratio;
    const [left, top] = [width / 2 - this.x * scale - side / 2, height / 2 - this.y * scale - side / 2];
    for (const pass of this.chosen ? [0, 1] : [1]) {
      for (const at of shown) {
        if (this.chosen && this.chosen[at] !== pass) continue;
        const x = Math.round(points.x(at) * scale + left);
        const y = Math.round(points.y(at) * scale + top);
        const colour = palette[points.of[at]][pass];
        for (let row = Math.max(0, y); row < Math.min(height, y + side); row += 1) {
          for (let column = Math.max(0, x); column < Math.min(width, x + side); column += 1) words[row * width + column] = colour;
        }
      }
    }
    context.putImageData(this.pixels, 0, 0);
  }

  /** Small pictures where there is room for them, the same ones while the map is moved. */
  #pictures() {
    this.drawn = [];
    if (this.zoom < PICTURES_FROM) return;
    const side = clamp(16 + 9 * Math.log2(this.zoom), 20, 64);
    const reach = (side * 1.12) / this.scale;
    const taken = new Map();
    const [left, top] = this.toMap(-side, -side);
    const [right, bottom] = this.toMap(this.width + side, this.height + side);
    for (const at of this.pictures.points) {
      const [x, y] = [this.points.x(at), this.points.y(at)];
      if (this.chosen && !this.chosen[at]) continue;
      const [column, row] = [Math.floor(x / reach), Math.floor(y / reach)];
      let free = true;
      for (let i = -1; free && i <= 1; i += 1) {
        for (let j = -1; free && j <= 1; j += 1) {
          const other = taken.get((row + i) * 100_003 + column + j);
          if (other && Math.abs(other[0] - x) < reach && Math.abs(other[1] - y) < reach) free = false;
        }
      }
      if (!free) continue;
      taken.set(row * 100_003 + column, [x, y]);
      if (x < left || x > right || y < top || y > bottom || this.drawn.length >= PICTURED) continue;
      const [sx, sy] = this.toScreen(x, y);
      if (this.pictures.draw(this.context, at, sx - side / 2, sy - side / 2, side)) {
        this.context.lineWidth = 1.5;
        this.context.strokeStyle = this.css(this.points.of[at]);
        this.context.strokeRect(sx - side / 2, sy - side / 2, side, side);
        this.drawn.push({ at, x: sx, y: sy, half: side / 2 });
      }
    }
  }

  #ring(at) {
    const { context } = this;
    const pictured = this.drawn.find((one) => one.at === at);
    const [x, y] = this.toScreen(this.points.x(at), this.points.y(at));
    context.lineWidth = 2.5;
    context.strokeStyle = this.accent;
    context.beginPath();
    if (pictured) context.rect(x - pictured.half, y - pictured.half, 2 * pictured.half, 2 * pictured.half);
    else context.arc(x, y, 7, 0, 7);
    context.stroke();
  }

  /** Names of clusters, the largest first, as many as do not touch each other. */
  #names() {
    const { context } = this;
    context.font = FONT;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const boxes = [];
    for (const { name, size, x, y } of [...this.points.clusters].sort((a, b) => b.size - a.size)) {
      if (!size) continue;
      const [sx, sy] = this.toScreen(x, y);
      const half = context.measureText(name).width / 2 + 7;
      if (sx + half < 0 || sx - half > this.width || sy < -12 || sy > this.height + 12) continue;
      const middle = clamp(sx, half + 2, this.width - half - 2);
      if (boxes.some((box) => Math.abs(box.x - middle) < box.half + half + 4 && Math.abs(box.y - sy) < 27)) continue;
      boxes.push({ x: middle, y: sy, half });
      context.globalAlpha = 0.86;
      context.fillStyle = this.paper;
      context.beginPath();
      context.roundRect(middle - half, sy - 11, 2 * half, 22, 11);
      context.fill();
      context.globalAlpha = 1;
      context.fillStyle = this.ink;
      context.fillText(name, middle, sy + 0.5);
    }
  }

  #outline() {
    const { context } = this;
    context.beginPath();
    for (const [x, y] of this.lasso) context.lineTo(...this.toScreen(x, y));
    context.closePath();
    context.lineWidth = 2;
    context.strokeStyle = this.accent;
    context.stroke();
    context.globalAlpha = 0.08;
    context.fillStyle = this.accent;
    context.fill();
    context.globalAlpha = 1;
  }
}

const clamp = (value, least, most) => Math.min(Math.max(value, least), Math.max(least, most));

function rgb(hue, strength, light) {
  const [s, l] = [strength / 100, light / 100];
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

/** Of a colour #rrggbb, in [0, 1]. */
function luminance(colour) {
  const value = /^#([0-9a-f]{6})$/i.exec(colour);
  if (!value) return 1;
  const number = parseInt(value[1], 16);
  return ((number >> 16) * 0.3 + ((number >> 8) & 255) * 0.59 + (number & 255) * 0.11) / 255;
}
