/** A circle with initials, in a colour that belongs to the id; with a dot for who is here. */

import { hueOf, initials } from "../lib/text.js";
import { h } from "./dom.js";

const COLOURS = 8; // as many as style.css has

/** The number of an id's colour, for `data-colour`. */
export function colourOf(id) {
  return hueOf(id, COLOURS);
}

export function avatar({ id, name, presence = null, small = false }) {
  return h(
    "span",
    { class: small ? "avatar avatar-small" : "avatar", "aria-hidden": "true", data: { colour: colourOf(id) } },
    h("span", {}, initials(name)),
    presence && presence !== "offline" && h("span", { class: "presence-dot", data: { status: presence } }),
  );
}
