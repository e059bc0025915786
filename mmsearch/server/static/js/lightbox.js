// An open photo, with PhotoSwipe: zoom, swipe, arrows; the panel beside it and the heat over it are modules of their own.

import PhotoSwipe from "../vendor/photoswipe/photoswipe.esm.min.js";
import { file, thumb } from "./api.js";
import { bestPart, isFilm, isSound, player, seek } from "./film.js";
import { Heat } from "./heat.js";
import { Panel } from "./panel.js";
import { remember, remembered } from "./settings.js";
import { above, go, state } from "./state.js";
import { alternative, fileName, number } from "./words.js";

const SHOWN = new Set(["jpeg", "jpg", "mpo", "png", "webp", "gif", "avif"]); // originals that browsers can show
const EDGE = 8; // photos before the end of the list at which more are fetched
const PANEL = 360; // pixels
const WIDE = 800; // pixels of a window that has room for it beside the photo
const LARGEST = 3; // times that a small photo is enlarged when it is opened

let open = null;

export const lightboxOpen = () => Boolean(open);

/**
 * Opens one photo of a list ({hits, more?, done?, addEventListener?}).
 * `tileOf` gives the element that a photo grows out of; `onClosed` gets the index of the last one that was seen.
 */
export function openLightbox(list, index, { tileOf = () => null, onClosed = () => {}, text = () => "" }) {
  if (open) return;
  open = new Lightbox(list, index, { tileOf, onClosed, text });
}

/** Closes the open photo, as going back does. */
export const closeLightbox = () => open?.close();

class Lightbox {
  constructor(list, index, { tileOf, onClosed, text }) {
    Object.assign(this, { list, tileOf, onClosed, text });
    this.pswp = new PhotoSwipe(this._options(index));
    this.heat = new Heat(this.pswp);
    this.panel = new Panel({ heat: this.heat, text, onPart: (moment) => this._toPart(moment) });
    this._wire();
    this.pswp.init();
  }

  _options(index) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    return {
      index,
      loop: false,
      bgOpacity: 1,
      wheelToZoom: true,
      showHideAnimationType: still ? "none" : "zoom",
      initialPointerPos: { x: 0, y: 0 }, // else it takes the focus at the end of its animation, from what is typed in
      returnFocus: false, // the grid knows better: the tile may have been drawn anew
      initialZoomLevel: shownWhole,
      secondaryZoomLevel: (levels) => Math.max(1, 2 * shownWhole(levels)),
      maxZoomLevel: (levels) => Math.max(4, 3 * shownWhole(levels)),
      counter: false, // it would tell how many were fetched, not how many there are
      getViewportSizeFn: () => this._room(),
      errorMsg: "This photo cannot be shown. Is its drive connected?",
      closeTitle: "Close (Esc)",
      zoomTitle: "Zoom (Z)",
      arrowPrevTitle: "Previous photo",
      arrowNextTitle: "Next photo",
    };
  }

  /** Closes it; while it still opens, as soon as it is open. */
  close() {
    const { pswp } = this;
    if (pswp.opener.isOpening) pswp.on("openingAnimationEnd", () => pswp.close());
    else pswp.close();
  }

  /** The pixels that the photo has: the panel stands beside it, on phones below it, as css/lightbox.css has them. */
  _room() {
    const { innerWidth: width, innerHeight: height } = window;
    if (!this.panelOpen()) return { x: width, y: height };
    return width >= WIDE ? { x: width - PANEL, y: height } : { x: width, y: Math.round(height * 0.42) };
  }

  panelOpen() {
    this._panelOpen ??= remembered("panel", "yes") === "yes" && window.innerWidth >= WIDE;
    return this._panelOpen;
  }

  _wire() {
    const { pswp } = this;
    pswp.addFilter("numItems", () => this.list.hits.length);
    pswp.addFilter("itemData", (_, index) => slide(this.list.hits[index]));
    pswp.addFilter("thumbEl", (_, data, index) => this.tileOf(index));
    pswp.addFilter("placeholderSrc", (_, content) => content.data.msrc ?? false);
    pswp.on("contentLoad", (event) => filmLoaded(event));
    pswp.on("contentDeactivate", ({ content }) => content.element?.querySelector?.("video, audio")?.pause());
    pswp.on("uiRegister", () => this._buttons());
    pswp.on("firstUpdate", () => this._started());
    pswp.on("change", () => this._changed());
    pswp.on("keydown", (event) => typed(event.originalEvent) && event.preventDefault());
    const pressed = (event) => this._pressed(event); // PhotoSwipe listens only once it is open
    document.addEventListener("keydown", pressed);
    pswp.on("destroy", () => document.removeEventListener("keydown", pressed));
    pswp.on("close", () => this._closing());
    pswp.on("destroy", () => this._closed());
    const grown = () => this._grown();
    this.list.addEventListener?.("more", grown);
    pswp.on("destroy", () => this.list.removeEventListener?.("more", grown));
  }

  _buttons() {
    this.pswp.ui.registerElement({
      name: "place",
      order: 5,
      onInit: (element) => (this._place = element),
    });
    this.pswp.ui.registerElement({
      name: "info",
      title: "What is known of it (I)",
      ariaLabel: "What is known of it",
      order: 9,
      isButton: true,
      html: { isCustomSVG: true, inner: '<path d="M16 8.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15Zm-1 3h2v2h-2zm0 3.5h2v5.5h-2z" id="pswp__icn-info"/>', outlineID: "pswp__icn-info" },
      onClick: () => this._togglePanel(),
    });
  }

  _started() {
    const root = this.pswp.element;
    root.setAttribute("aria-modal", "true");
    root.append(this.panel.element);
    this._showPanel();
    root.focus({ preventScroll: true });
  }

  _changed() {
    const hit = this._hit();
    if (!hit) return;
    if (this._place) this._place.textContent = this._counted();
    this.pswp.element?.setAttribute("aria-label", `Photo ${fileName(hit.path)}`);
    this.panel.show(hit);
    this.heat.changed(hit.id, this.text(), bestPart(hit));
    if (state().photo && state().photo !== hit.id) go({ photo: hit.id }, { replace: true });
    if (this.pswp.currIndex + EDGE >= this.list.hits.length) this.list.more?.();
  }

  _counted() {
    const { done, found, hits } = this.list;
    const all = done === false ? found : hits.length;
    return all ? `${number(this.pswp.currIndex + 1)} of ${number(all)}` : number(this.pswp.currIndex + 1);
  }

  /** Plays a film from a moment, shows a page of a document. */
  _toPart(moment) {
    const hit = this._hit();
    const shown = this.pswp.currSlide?.content?.element;
    if (isFilm(hit)) seek(shown, moment.start);
    else if (shown instanceof HTMLImageElement) {
      Object.assign(shown, { srcset: "", src: thumb(hit, 1280, moment.part) });
      this.heat.changed(hit.id, this.text(), moment.part);
    }
  }

  _hit() {
    return this.list.hits[this.pswp.currIndex];
  }

  _grown() {
    const { pswp } = this;
    if (pswp.isDestroying) return;
    pswp.refreshSlideContent(pswp.currIndex + 1);
    pswp.dispatch("change"); // the arrow to the next one, and the count
  }

  _togglePanel() {
    this._panelOpen = !this.panelOpen();
    if (window.innerWidth >= WIDE) remember("panel", this._panelOpen ? "yes" : "no");
    this._showPanel();
    this.pswp.updateSize(true);
  }

  _showPanel() {
    this.panel.element.hidden = !this.panelOpen();
    this.pswp.element.classList.toggle("with-panel", this.panelOpen());
  }

  _pressed(event) {
    const special = event.ctrlKey || event.metaKey || event.altKey;
    if (event.key === "Escape") this.close();
    else if (special || typed(event)) return;
    else if (event.key === "i") this._togglePanel();
    else if (event.key === "h") this.panel.toggleHeat();
  }

  _closing() {
    this._last = this.pswp.currIndex;
    this.heat.stop();
    if (!state().photo) return; // it is going back that closes it
    if (above()) history.back();
    else go({ photo: 0 }, { replace: true });
  }

  _closed() {
    open = null;
    this.panel.stop();
    this.onClosed(this._last ?? this.pswp.currIndex);
  }
}

/** Keys that are typed into a field, or end it all, which is done here: PhotoSwipe leaves them alone. */
const typed = (event) => event.key === "Escape" || Boolean(event.target.closest?.("input, textarea, select, dialog"));

/** The zoom that shows all of a photo; small ones are enlarged, but not beyond recognition. */
function shownWhole({ elementSize, panAreaSize }) {
  return Math.min(panAreaSize.x / elementSize.x, panAreaSize.y / elementSize.y, LARGEST);
}

/** PhotoSwipe knows no films: their slide is a player. */
function filmLoaded(event) {
  if (event.content.type !== "film") return;
  event.preventDefault();
  event.content.element = player(event.content.data.hit);
  event.content.state = "loaded";
}

/** A photo as PhotoSwipe takes it; the original is fetched only where somebody zooms in. */
function slide(hit) {
  if (!hit) return {};
  const [width, height] = [hit.width || 1280, hit.height || 960];
  if (isFilm(hit)) return { type: "film", hit, msrc: isSound(hit) ? undefined : thumb(hit, 320, bestPart(hit)), alt: alternative(hit) };
  const longest = Math.max(width, height);
  const part = bestPart(hit);
  const wide = (size) => Math.round((width / longest) * Math.min(size, longest));
  const sources = [640, 1280].map((size) => `${thumb(hit, size, part)} ${wide(size)}w`);
  if (SHOWN.has(hit.format) && longest > 1280) sources.push(`${file(hit.id)} ${width}w`);
  return {
    src: thumb(hit, 1280, part),
    srcset: longest > 640 ? sources.join(", ") : undefined,
    msrc: thumb(hit, 320, part),
    width,
    height,
    alt: alternative(hit),
    thumbCropped: true,
  };
}

