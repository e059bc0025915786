// The help dialog: keys, and the query language on half a page.

import { dialog } from "./dialogs.js";
import { el } from "./dom.js";

const KEYS = [
  ["/", "to the search box"],
  ["← → ↑ ↓", "from photo to photo"],
  ["Enter", "open the photo, search"],
  ["Esc", "close, end the selection, leave the box"],
  ["Space", "select the photo; with Shift all from the last one on"],
  ["Ctrl A", "select all that are found"],
  ["I", "in an open photo: show or hide what is known of it"],
  ["H", "in an open photo: where the words of the query are found"],
  ["?", "this help"],
];

const QUERIES = [
  ["a dog on a beach", "what it describes"],
  ["dog -people", "dogs, without people"],
  ["dog +snow", "both"],
  ["is there a dog?", "a question, answered for each photo"],
  ["words:invoice", "this very word, in names, captions, tags or the picture"],
  ["date:2024-06..2024-08", "taken in these months; also date:last-summer"],
  ["camera:fujifilm", "taken with it"],
  ["tag:beach  person:ann  city:paris", "by tag, person, town"],
  ["near:48.85,2.35,10km", "within 10 km of a place"],
  ["type:jpeg width:>2000", "by format and size"],
  ["in:/photos/2024", "below a folder"],
];

const table = (caption, rows, cell) =>
  el(
    "table",
    { class: "help" },
    el("caption", { text: caption }),
    el("tbody", {}, rows.map(([name, meaning]) => el("tr", {}, el("th", { scope: "row" }, el(cell, { text: name })), el("td", { text: meaning })))),
  );

export function showHelp() {
  const note = "Drop a picture on the page, or paste one, to search by it. Several conditions stand side by side; " +
    "a minus before one turns it round; values between commas are alternatives.";
  dialog("Keys and queries", { wide: true }, el("div", { class: "help-body", tabIndex: 0, role: "group", "aria-label": "Help" },
    table("Keys", KEYS, "kbd"), table("Queries", QUERIES, "code"), el("p", { class: "hint", text: note })));
}
