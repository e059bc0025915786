// The library: what it holds, its folders, and indexing. Also what a library without photos shows.

import { dialog } from "./dialogs.js";
import { button, el } from "./dom.js";
import { running, startRun } from "./run.js";
import { attempt, message } from "./say.js";
import { readOnly } from "./server.js";
import { bytes, number } from "./words.js";

export function showLibrary(status) {
  const rows = [
    ["Photos", number(status.photos)],
    ["Size of the photos", bytes(status.photo_bytes)],
    ["Years", span(Object.keys(status.years ?? {}))],
    ["With a place", number(status.located ?? 0)],
    ["With a caption", number(status.captions ?? 0)],
    ["Not readable", number(status.failed ?? 0)],
    ["Away", number(status.missing ?? 0)],
    ["Model", status.model],
    ["Library", status.library],
    ["Version", status.version],
  ].filter(([, value]) => value && value !== "0");
  const facts = el("dl", { class: "facts" }, rows.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
  const roots = status.roots ?? [];
  const folders = el("section", {}, el("h3", { text: "Folders" }), roots.length ? el("ul", { class: "paths" }, roots.map((text) => el("li", { text }))) : el("p", { class: "hint", text: "None yet." }));
  const failures = status.failures ?? [];
  const unread = failures.length > 0 && el("details", {}, el("summary", { text: "Files that could not be read" }), el("ul", { class: "paths" }, failures.map((one) => el("li", { text: `${one.path}: ${one.reason}` }))));
  const box = dialog("Library", { wide: true }, facts, folders, unread || "", ...(readOnly() ? [] : [indexing(roots.length > 0, () => box.close())]));
}

function span(years) {
  const sorted = years.map(Number).sort((one, other) => one - other);
  return sorted.length > 1 ? `${sorted[0]} to ${sorted.at(-1)}` : sorted.join("");
}

/** Looks for new photos in the folders that are known, or in one more. */
function indexing(known, done = () => {}) {
  const start = (paths) => attempt(async () => {
    await startRun(paths);
    done();
  });
  const input = el("input", { type: "text", id: "folder", placeholder: "/home/ann/Pictures", spellcheck: false, required: true });
  const form = el("form", { class: "form row" }, el("label", { for: "folder", text: known ? "Add a folder" : "Folder of photos on this machine" }), input, el("button", { type: "submit", class: "main", text: known ? "Add" : "Read the photos" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) start([input.value.trim()]);
  });
  const again = known && button({ text: "Look for new photos", class: "tool text bordered", id: "look-again" }, () => start());
  return el("section", { class: "indexing" }, again || "", form);
}

/** Shown in the place of photos while there are none. */
export function emptyLibrary() {
  if (running()) {
    message("Reading the first photos", ["They can be searched as soon as the first are read."]);
  } else if (readOnly()) {
    message("This library has no photos yet", ["It is served read-only. Fill it with: mmsearch index FOLDER"]);
  } else {
    message("This library has no photos yet", ["Photos stay where they are, and nothing leaves this machine.", "In a terminal the same is: mmsearch index FOLDER"], indexing(false));
  }
}
