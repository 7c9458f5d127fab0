/**
 * Light, dark or as the system. The choice is this device's, so it lives outside the account; boot.js applies it before
 * paint.
 */

const KEY = "tidings:theme";

export const THEMES = { system: "System", light: "Light", dark: "Dark" };

export function currentTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

export function setTheme(theme, storage) {
  storage.setItem(KEY, theme);
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** Follow a change that another tab made. */
export function followTheme(storage) {
  window.addEventListener("storage", ({ key, newValue }) => {
    if (key === KEY) setTheme(newValue ?? "system", storage);
  });
}
