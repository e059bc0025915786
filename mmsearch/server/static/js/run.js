// Index runs: starting one, its progress by server-sent events, stopping it, and what it did.

import { address, post } from "./api.js";
import { button, byId, el, replace } from "./dom.js";
import { announce, attempt, toast } from "./say.js";
import { fileName, number, plural } from "./words.js";

const STEPS = {
  pictures: "Reading photos", regions: "Looking at photos again", captions: "Describing photos", facts: "Reading what files say",
  text: "Reading text in photos", tags: "Tagging", index: "Building the index", duplicates: "Comparing",
};

const EVERY = 4000; // milliseconds between two looks at what is there by now

let source = null;
let ended = () => {};
let progressed = () => {};
let told = 0; // when `progressed` was called last
let announced = "";
let current = 0; // number of the run that was started here

/** `onEnd` is called when a run is over, so that the page shows what is new; `onProgress` now and then until then. */
export function startRuns({ onProgress, onEnd, running }) {
  [progressed, ended] = [onProgress, onEnd];
  if (running) follow();
}

export async function startRun(paths) {
  ({ run: current } = await post("index", paths?.length ? { paths } : {}));
  follow();
  show({ step: "pictures", done: 0, total: 0, path: "" });
}

/** Listens to the run that goes on. */
export function follow() {
  if (source) return;
  source = new EventSource(address("index/events"));
  for (const [name, action] of Object.entries({ progress: show, done: finish, failed: fail })) {
    source.addEventListener(name, (event) => {
      const said = JSON.parse(event.data);
      if ((said.run ?? current) >= current) action(said); // an earlier run is told of again at the start
    });
  }
  source.addEventListener("error", () => source?.readyState === EventSource.CLOSED && stopListening());
}

export const running = () => Boolean(source);

function stopListening() {
  source?.close();
  source = null;
  byId("run").hidden = true;
  byId("run").replaceChildren();
}

function show({ step, done, total, path }) {
  const box = byId("run");
  const name = STEPS[step] ?? step;
  if (!box.firstChild) {
    const stop = button({ text: "Stop", class: "link" }, () => attempt(() => post("index/stop", {})));
    replace(box, el("progress", { id: "run-bar", "aria-label": "Progress of the index run" }), el("span", { id: "run-text" }), el("span", { id: "run-file", class: "hint" }), stop);
  }
  box.hidden = false;
  const bar = byId("run-bar");
  if (total) {
    bar.max = total;
    bar.value = done;
  } else bar.removeAttribute("value");
  byId("run-text").textContent = total ? `${name}: ${number(done)} of ${number(total)}` : `${name}…`;
  byId("run-file").textContent = path ? fileName(path) : "";
  if (announced !== name) announce(name); // not at every photo
  announced = name;
  if (Date.now() - told < EVERY) return;
  told = Date.now();
  progressed();
}

function finish(report) {
  stopListening();
  const parts = [
    report.added && `${plural(report.added, "new photo")}`,
    report.updated && `${number(report.updated)} changed`,
    report.removed && `${number(report.removed)} gone`,
    report.skipped?.length && `${number(report.skipped.length)} could not be read`,
  ].filter(Boolean);
  toast(parts.length ? `Done: ${parts.join(", ")}.` : "Done: nothing was new.");
  for (const note of report.notes ?? []) toast(typeof note === "string" ? note : note.message);
  ended();
}

function fail(problem) {
  stopListening();
  toast(problem.detail || "The index run failed.", { error: problem.code !== "index-stopped" });
  ended();
}
