// Sentences for people: short messages, notes of a search, and what screen readers hear.

import { button, byId, el, replace } from "./dom.js";

const STAYS = 6000; // milliseconds

export function announce(text) {
  byId("live").textContent = text;
}

/** A message that goes away by itself; errors stay until they are closed. */
export function toast(text, { error = false, action = null } = {}) {
  const box = el("div", { class: error ? "toast error" : "toast", role: error ? "alert" : "status" }, el("span", { text }));
  if (action) {
    const run = () => {
      box.remove();
      action.run();
    };
    box.append(button({ text: action.text, class: "link" }, run));
  }
  box.append(button({ icon: "close", label: "Close the message", class: "tool small" }, () => box.remove()));
  byId("toasts").append(box);
  if (!error) setTimeout(() => box.remove(), STAYS);
  return box;
}

/** An error in plain words. */
export const failed = (error) => toast(error.message || String(error), { error: true });

/** Runs something a person asked for; what goes wrong is said. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") failed(error);
    return undefined;
  }
}

export function showNotes(notes) {
  const list = notes.map(({ code, message: text }) => el("p", { class: code?.endsWith("-unreachable") ? "notice" : "note", text }));
  replace(byId("notes"), list);
}

/** One sentence above everything, with what to do; null takes it away. */
export function banner(text, action = null) {
  const box = byId("banner");
  if (!text) {
    box.replaceChildren();
    return;
  }
  replace(box, el("div", { class: "notice" }, el("span", { text }), action && button({ text: action.text, class: "link" }, action.run)));
}

/** What stands in the place of photos where there are none: a heading, sentences, and perhaps more. */
export function message(title, sentences = [], ...more) {
  const box = byId("message");
  if (!title) box.replaceChildren();
  else replace(box, el("div", { class: "message" }, el("h2", { text: title }), sentences.map((text) => el("p", { text })), more));
}
