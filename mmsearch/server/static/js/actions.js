// What can be done with the selected photos: paths, a zip, a copy in a folder, tags.

import { get, post, postForFile } from "./api.js";
import { ask, dialog } from "./dialogs.js";
import { button, byId, el, replace } from "./dom.js";
import { attempt, toast } from "./say.js";
import { selection } from "./selection.js";
import { has, readOnly } from "./server.js";
import { tagSelected } from "./tagging.js";
import { number, plural } from "./words.js";

const AT_ONCE = 8; // photos whose paths are asked for side by side

export function startActions(known) {
  selection.addEventListener("change", () => show(known));
}

function show(known) {
  const bar = byId("actions");
  bar.hidden = !selection.size;
  document.body.classList.toggle("has-actions", selection.size > 0);
  if (!selection.size) return;
  const tools = [
    button({ icon: "copies", text: "Copy paths", class: "tool text" }, () => attempt(() => copyPaths(known))),
    button({ icon: "download", text: "Zip", class: "tool text" }, () => attempt(zip)),
    has("export-folder") && !readOnly() && button({ icon: "folder", text: "Copy to folder", class: "tool text" }, () => attempt(copyToFolder)),
    !readOnly() && button({ icon: "tag", text: "Tag…", class: "tool text" }, tagSelected),
    button({ icon: "close", label: "End the selection", class: "tool" }, () => selection.clear()),
  ];
  const count = el("strong", { id: "selected", text: `${number(selection.size)} selected` });
  if (bar.firstChild) bar.querySelector("#selected").replaceWith(count); // buttons keep their focus
  else replace(bar, count, tools);
}

/** `known` gives the path of a photo that is in the list; others are asked for. */
async function copyPaths(known) {
  const ids = selection.ids;
  const paths = [];
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE).map(async (id) => known(id) ?? (await get(`photos/${id}`)).path);
    paths.push(...(await Promise.all(some)));
  }
  await copyText(paths.join("\n"), plural(paths.length, "path"));
}

/** To the clipboard; where the browser has none for this page, into a dialog to copy from. */
export async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied ${what}.`);
  } catch {
    const area = el("textarea", { class: "paths", value: text, readOnly: true, rows: 12, "aria-label": what });
    dialog("Copy from here", { wide: true }, area);
    area.select();
  }
}

async function zip() {
  const said = toast(`Packing ${plural(selection.size, "photo")}…`);
  try {
    const blob = await postForFile("export", { ids: selection.ids, kind: "zip" });
    const url = URL.createObjectURL(blob);
    el("a", { href: url, download: "photos.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } finally {
    said.remove();
  }
}

async function copyToFolder() {
  const folder = await ask(`Copy ${plural(selection.size, "photo")}`, {
    label: "Folder on this machine",
    hint: "The whole path, such as /home/ann/selected. It is made where it is not there; files in it are never replaced.",
    action: "Copy",
  });
  if (!folder) return;
  const report = await post("export", { ids: selection.ids, kind: "folder", folder });
  const skipped = report.skipped.length ? ` ${plural(report.skipped.length, "photo")} could not be copied.` : "";
  toast(`Copied ${plural(report.copied, "photo")} to ${report.folder}.${skipped}`);
}
