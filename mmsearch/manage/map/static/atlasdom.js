// Makes elements. All text goes in as text nodes: no name of a file is ever read as HTML.

/** An element with attributes and children; `on` are its listeners, `text` what it says. */
export function make(tag, { on = {}, text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  if (text !== undefined) element.textContent = text;
  element.append(...children.filter(Boolean));
  return element;
}

const SHAPES = {
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  lasso: "M12 4c5 0 8.5 2.4 8.5 5.6S17 15.2 12 15.2 3.5 12.800 3.500 9.600 7 4 12 4ZM8 14.700c-2 1-2 3.300 0 3.600 1.600.200 2.200 1.200 1.400 2.200",
  close: "M6 6l12 12M18 6L6 18",
};

/** A button with a sign, whose name is read out and shown as a tip. */
export function signButton(shape, label, action, attributes = {}) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[shape]);
  svg.append(path);
  return make("button", { type: "button", class: "atlas-sign", title: label, "aria-label": label, ...attributes, on: { click: action } }, svg);
}

const COUNT = new Intl.NumberFormat("en");
export const countText = (value) => COUNT.format(value);
export const severalText = (value, one) => `${countText(value)} ${one}${value === 1 ? "" : "s"}`;
