// What this browser remembers of how the page is used: height of rows, whether the filters are shown, the theme.

export function remembered(name, usual) {
  try {
    return localStorage.getItem(name) ?? usual;
  } catch {
    return usual; // storage is turned off
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // storage is turned off or full: it is forgotten when the page is closed
  }
}
