// The search box: the query language, and a list of completions for the word the cursor is in.

import { get } from "./api.js";
import { byId, el, replace, settled } from "./dom.js";
import { current } from "./querytext.js";
import { go, state } from "./state.js";

const box = () => byId("box");
const list = () => byId("completions");

let offered = []; // {insert, label, kind}
let begins = 0; // where the text that they replace begins
let chosen = -1;
let shown = null; // query that the box was filled with
let asked = 0;

export function startSearchBox() {
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  box().addEventListener("input", settled(offer, 120));
  box().addEventListener("keydown", pressed);
  box().addEventListener("blur", () => setTimeout(close, 150)); // after a click on a completion
  restore();
}

/** Shows the query of the state where it is another one; what somebody types meanwhile stays. */
export function showQuery() {
  if (state().q === shown) return;
  restore();
}

function restore() {
  close();
  shown = state().q;
  box().value = shown;
}

function submit() {
  close();
  shown = box().value.trim();
  if (matchMedia("(pointer: coarse)").matches) box().blur(); // its keyboard hides the photos
  go({ q: shown, view: state().view === "duplicates" ? "photos" : state().view, photo: 0 });
}

async function offer() {
  const turn = (asked += 1);
  const text = box().value;
  const at = box().selectionStart ?? text.length;
  if (!current(text, at).text || text.trim() === state().q) return close(); // nothing to complete, or searched already
  try {
    const answer = await get("complete", { text, at });
    if (turn !== asked || document.activeElement !== box()) return;
    show(answer);
  } catch {
    close(); // typing goes on without completions
  }
}

function show({ completions, start }) {
  offered = completions.slice(0, 10);
  begins = start;
  if (!offered.length) return close();
  chosen = -1;
  const options = offered.map((one, at) =>
    el(
      "li",
      { id: `completion-${at}`, role: "option", "aria-selected": "false", on: { mousedown: (event) => take(event, at) } },
      el("span", { text: one.label ?? one.insert }),
      el("span", { class: "kind", text: one.kind ?? "" }),
    ),
  );
  replace(list(), options);
  list().hidden = false;
  box().setAttribute("aria-expanded", "true");
}

function close() {
  asked += 1;
  offered = [];
  chosen = -1;
  list().hidden = true;
  list().replaceChildren();
  box().setAttribute("aria-expanded", "false");
  box().removeAttribute("aria-activedescendant");
}

function choose(at) {
  chosen = at;
  [...list().children].forEach((option, index) => option.setAttribute("aria-selected", String(index === at)));
  if (at < 0) box().removeAttribute("aria-activedescendant");
  else box().setAttribute("aria-activedescendant", `completion-${at}`);
  list().children[at]?.scrollIntoView({ block: "nearest" });
}

function take(event, at) {
  event.preventDefault(); // keeps the focus in the box
  const text = box().value;
  const word = current(text, box().selectionStart ?? text.length);
  const insert = offered[at].insert;
  const rest = text.slice(word.end);
  const space = insert.endsWith(":") || rest.startsWith(" ") ? "" : " ";
  box().value = text.slice(0, begins) + insert + space + rest;
  const end = begins + insert.length + space.length;
  box().setSelectionRange(end, end);
  close();
  if (insert.endsWith(":")) offer();
}

function pressed(event) {
  const open = !list().hidden;
  if (event.key === "Escape") {
    if (open) close();
    else if (box().value !== state().q) restore();
    else box().blur();
    event.preventDefault();
    event.stopPropagation();
  } else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const step = event.key === "ArrowDown" ? 1 : -1;
    choose(((chosen + 1 + step + offered.length + 1) % (offered.length + 1)) - 1);
    event.preventDefault();
  } else if (open && chosen >= 0 && (event.key === "Enter" || event.key === "Tab")) {
    take(event, chosen);
  } else if (!open && event.key === "ArrowDown") {
    byId("grid").querySelector("a[tabindex='0']")?.focus();
    event.preventDefault();
  }
}
