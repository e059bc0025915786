// Heat over the open photo: where the words of the query are found in it.

import { get } from "./api.js";

// "Inferno" of matplotlib at 0, 1/8, … 1 (van der Walt and Smith 2015; CC0): each step looks equally large.
const INFERNO = [
  [0, 0, 4], [33, 12, 74], [87, 16, 110], [138, 34, 106], [188, 55, 84], [228, 90, 49], [249, 142, 9], [249, 203, 53], [252, 255, 164],
];
const OPAQUE = 0.78; // of the hottest place; cold ones are seen through

export class Heat extends EventTarget {
  // Events: "change" (what is shown, or that it is fetched, is another).

  constructor(pswp) {
    super();
    this.pswp = pswp;
    this.on = false;
    this.words = []; // {word, heat}
    this.word = null; // the word whose heat is shown; null is the whole text
    this.problem = null;
    this._canvas = null;
    this._fetching = null;
    pswp.on("imageSizeChange", ({ slide }) => slide === pswp.currSlide && this._place());
  }

  /** Another photo, or another text; of a document the page that is shown. */
  changed(id, text, page) {
    if (id === this._id && text === this._text && page === this._page) return;
    [this._id, this._text, this._page] = [id, text, page];
    this._clear();
    if (this.on) this._fetch();
    else this._tell();
  }

  toggle() {
    this.on = !this.on;
    if (this.on) this._fetch();
    else {
      this._clear();
      this._tell();
    }
  }

  show(word) {
    this.word = word;
    this._draw();
    this._tell();
  }

  stop() {
    this.on = false;
    this._clear();
  }

  _clear() {
    this._fetching?.abort();
    this._fetching = null;
    this._canvas?.remove();
    this._canvas = null;
    this.words = [];
    this.word = null;
    this.problem = null;
  }

  async _fetch() {
    const mine = (this._fetching = new AbortController());
    this._tell();
    try {
      const found = await get(`photos/${this._id}/heat`, { q: this._text, part: this._page }, mine.signal);
      if (mine.signal.aborted) return;
      Object.assign(this, { words: found.words, _whole: found.overall, _part: found.part ?? [0, 0, 1, 1] });
      this._draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.problem = error.message;
    }
    this._fetching = null;
    this._tell();
  }

  get busy() {
    return Boolean(this._fetching);
  }

  _draw() {
    const heat = this.word === null ? this._whole : this.words.find((one) => one.word === this.word)?.heat;
    const slide = this.pswp.currSlide;
    if (!heat || !slide) return;
    this._canvas?.remove();
    this._canvas = painted(heat);
    slide.container.append(this._canvas);
    this._place();
  }

  /** Over the part of the photo that was looked at, at whatever size the photo is drawn now. */
  _place() {
    const image = this.pswp.currSlide?.content?.element;
    if (!this._canvas || !image) return;
    const [left, top, right, bottom] = this._part;
    const [width, height] = [parseFloat(image.style.width), parseFloat(image.style.height)];
    Object.assign(this._canvas.style, {
      left: `${left * width}px`,
      top: `${top * height}px`,
      width: `${(right - left) * width}px`,
      height: `${(bottom - top) * height}px`,
    });
  }

  _tell() {
    this.dispatchEvent(new Event("change"));
  }
}

/** A canvas with a pixel for each place, which the browser smooths when it is drawn larger. */
function painted(heat) {
  const side = heat.length;
  const canvas = document.createElement("canvas");
  canvas.className = "heat";
  canvas.width = side;
  canvas.height = side;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(side, side);
  heat.flat().forEach((value, at) => {
    const [red, green, blue] = colour(value);
    pixels.data.set([red, green, blue, Math.round(255 * OPAQUE * Math.min(1, value))], at * 4);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function colour(value) {
  const place = Math.min(Math.max(value, 0), 1) * (INFERNO.length - 1);
  const low = Math.min(Math.floor(place), INFERNO.length - 2);
  return INFERNO[low].map((part, at) => Math.round(part + (INFERNO[low + 1][at] - part) * (place - low)));
}
