// Keys of the whole page; those of the grid, the box and the open photo are in their modules.

import { byId } from "./dom.js";
import { showHelp } from "./help.js";
import { lightboxOpen } from "./lightbox.js";
import { selection } from "./selection.js";

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

export function startKeys({ grid, selectAll }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || lightboxOpen() || document.querySelector("dialog[open]")) return;
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "/" && plain && !typing(event.target)) {
      byId("box").focus();
      byId("box").select();
    } else if (event.key === "?" && plain && !typing(event.target)) showHelp();
    else if (event.key === "Escape" && selection.size) selection.clear();
    else if (event.key === "a" && (event.ctrlKey || event.metaKey) && !typing(event.target)) selectAll();
    else if (event.key.startsWith("Arrow") && plain && event.target === document.body && grid.results?.hits.length) {
      grid.focus(grid.firstVisible());
    } else return;
    event.preventDefault();
  });
}
