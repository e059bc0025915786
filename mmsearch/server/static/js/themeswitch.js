// The switch between light and dark.

import { button, icon } from "./dom.js";
import { remember } from "./settings.js";

const system = matchMedia("(prefers-color-scheme: dark)");

const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

export function themeButton() {
  const made = button({ class: "tool", id: "theme" }, () => {
    const wanted = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = wanted;
    remember("theme", wanted);
    show();
  });
  const show = () => {
    const label = dark() ? "Light mode" : "Dark mode";
    made.replaceChildren(icon(dark() ? "sun" : "moon"));
    made.title = label;
    made.setAttribute("aria-label", label);
  };
  system.addEventListener("change", show);
  show();
  return made;
}
