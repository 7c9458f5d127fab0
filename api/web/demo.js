/** Two users side by side, each in a frame with a storage namespace of its own. Codes leave the address at once. */

import { h } from "./views/dom.js";

const KEY = "tidings:demo";

/** `{slot: code}` from the fragment; the slots of last time, without codes, on a reload. */
function slots() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  history.replaceState(null, "", location.pathname);
  if (Object.keys(given).length) {
    localStorage.setItem(KEY, JSON.stringify(Object.keys(given)));
    return given;
  }
  const last = JSON.parse(localStorage.getItem(KEY) ?? '["ana", "ben"]');
  return Object.fromEntries(last.map((slot) => [slot, null]));
}

function frame(slot, code) {
  const query = new URLSearchParams({ demo: "1", slot });
  const fragment = code ? `#${new URLSearchParams({ code })}` : "";
  return h("iframe", {
    class: "demo-pane",
    src: `/?${query}${fragment}`,
    title: nameOf(slot),
    allow: "clipboard-write",
    data: { slot },
  });
}

function nameOf(slot) {
  return slot.charAt(0).toUpperCase() + slot.slice(1);
}

const given = Object.entries(slots());
const panes = document.getElementById("panes");
const views = document.getElementById("views");
panes.append(...given.map(([slot, code]) => frame(slot, code)));
for (const [value, label] of [["", "Both"], ...given.map(([slot]) => [slot, nameOf(slot)])]) {
  const change = () => {
    for (const pane of panes.children) {
      pane.hidden = value !== "" && pane.dataset.slot !== value;
      // Whose page does not show is away, and gets pushes.
      pane.contentWindow.tidings?.setStatus(pane.hidden ? "away" : "online");
    }
  };
  const input = h("input", { type: "radio", name: "view", checked: value === "", on: { change } });
  views.append(h("label", { class: "segment" }, input, h("span", {}, label)));
}
const { showPushes } = await import("./views/demo-pushes.js"); // nothing is pushed before the panes are there
showPushes(document.getElementById("phones"), [...panes.children]);
