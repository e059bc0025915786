// Light or dark, before anything is drawn: as this browser chose last, else as the system has it. No module: these wait.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // no storage: as the system has it
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
