// Dialogs: one at a time, closed by Esc or a button, the focus goes back where it was (the <dialog> element does it).

import { button, el } from "./dom.js";

/** Opens a dialog; gives the element, to which more can be added. `wide` for lists and pictures. */
export function dialog(title, { wide = false, onClose = null } = {}, ...children) {
  const heading = el("h2", { id: "dialog-title", text: title });
  const shut = button({ icon: "close", label: "Close", class: "tool" }, () => box.close());
  const box = el("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": "dialog-title" });
  box.append(el("div", { class: "dialog-head" }, heading, shut), ...children);
  box.addEventListener("close", () => {
    box.remove();
    onClose?.();
  });
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close(); // beside it
  });
  box.addEventListener("keydown", (event) => event.stopPropagation()); // keys of the page rest
  document.body.append(box);
  box.showModal();
  return box;
}

/** Asks for one line of text; null where the dialog is closed without one. */
export function ask(title, { label, value = "", hint = "", action = "OK" }) {
  return new Promise((resolve) => {
    let answer = null;
    const input = el("input", { type: "text", id: "dialog-input", value, required: true, spellcheck: false });
    if (hint) input.setAttribute("aria-describedby", "dialog-hint");
    const form = el(
      "form",
      { class: "form", method: "dialog" },
      el("label", { for: "dialog-input", text: label }),
      input,
      hint && el("p", { class: "hint", id: "dialog-hint", text: hint }),
      el("div", { class: "dialog-foot" }, el("button", { type: "submit", class: "main", text: action })),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer = input.value.trim();
      if (answer) box.close();
    });
    const box = dialog(title, { onClose: () => resolve(answer) }, form);
    input.select();
  });
}
