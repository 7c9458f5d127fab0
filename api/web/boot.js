// A classic script in the head, so that the page never paints in the wrong theme first.
try {
  const theme = localStorage.getItem("tidings:theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden here: the system's theme it is.
}
