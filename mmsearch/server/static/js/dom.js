// Makes elements. All text goes in as text nodes: nothing that came from the server is ever read as HTML.

/**
 * An element with properties and children.
 * `props`: `class`, `text`, `on` ({event: handler}), `data` ({name: value}), `css` ({"--name" or property: value}),
 * names with a dash or "role" become attributes, others properties. Children that are null or false are left out.
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  append(element, children);
  return element;
}

function set(element, name, value) {
  if (value === undefined || value === null) return;
  if (name === "class") element.className = value;
  else if (name === "text") element.textContent = value;
  else if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "css") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
  else if (name === "role" || name === "for" || name === "list" || name.includes("-")) element.setAttribute(name, value);
  else element[name] = value;
}

export function append(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child);
  }
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

export const byId = (id) => document.getElementById(id);

/** A button with an icon and a name; `label` is read out and shown as a tip where there is no visible text. */
export function button({ label, icon: name, text, ...props }, onClick) {
  const made = el("button", { type: "button", ...props, on: { click: onClick } });
  if (name) made.append(icon(name));
  if (text) made.append(el("span", { text }));
  if (label) {
    made.title = label;
    if (!text) made.setAttribute("aria-label", label);
  }
  return made;
}

const PATHS = {
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13Zm5 11.5L20 20",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  picture: "M4 6h16v12H4zM4 16l4.5-4.5 4 4L15 13l5 4M15.5 9.5h.01",
  map: "M9 4L4 6v14l5-2 6 2 5-2V4l-5 2-6-2Zm0 0v14m6-12v14",
  clusters: "M7 5a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5Zm10 1a2 2 0 1 1 0 4 2 2 0 0 1 0-4ZM8 15.500a2 2 0 1 1 0 4 2 2 0 0 1 0-4Zm8-2a3 3 0 1 1 0 6 3 3 0 0 1 0-6Z",
  copies: "M8 8h12v12H8zM16 8V4H4v12h4",
  grid: "M4 5h7v6H4zM13 5h7v9h-7zM4 13h7v6H4zM13 16h7v3h-7z",
  star: "M12 4l2.4 5 5.6.8-4 3.9.9 5.5-4.9-2.6-4.9 2.6.9-5.5-4-3.9 5.6-.8L12 4Z",
  folder: "M3.5 6.5h6l2 2.5h9v10h-17z",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8Zm0-5v2m0 14v2M3 12h2m14 0h2M5.6 5.6L7 7m10 10l1.4 1.4M5.6 18.4L7 17M17 7l1.4-1.4",
  help: "M9 9.2a3 3 0 1 1 4.3 2.7c-.9.5-1.3 1-1.3 2.1M12 17.5h.01",
  filter: "M4 6h16M7 12h10M10 18h4",
  chart: "M4 19.5h16M6 17v-5m4 5V8m4 9v-7m4 7V5",
  more: "M12 5v14M5 12h14",
  less: "M5 12h14",
  download: "M12 4v11m0 0l-4.5-4.5M12 15l4.5-4.5M5 20h14",
  info: "M12 11v6m0-9.5h.01M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17Z",
  heat: "M12 3.5c.5 4 5.5 5.5 5.5 10.5a5.5 5.5 0 0 1-11 0c0-2.5 1.5-3.5 2-5.5 1 .5 1.7 1.3 2 2.5 1-1.5 1.7-4 1.5-7.5Z",
  clock: "M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17Zm0 4v5l3.5 2",
  tag: "M4 4h7l9 9-7 7-9-9V4Zm4 4h.01",
  trash: "M5 7h14M9.5 7V4.5h5V7M7 7l1 13h8l1-13",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Runs `action` once calls have ceased for `wait` milliseconds. */
export function settled(action, wait) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), wait);
  };
}
