/** The one polite live region. What is said within half a second is said together. */

import { h } from "./dom.js";

const GATHER_MS = 500;

export class Announcer {
  #lines = [];
  #timer = null;

  constructor() {
    this.element = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
  }

  say(line) {
    this.#lines.push(line);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      const lines = this.#lines.splice(0);
      const more = lines.length > 3 ? `${lines.length} new messages. ` : "";
      this.element.textContent = more + lines.slice(-3).join(". ");
    }, GATHER_MS);
  }
}
