/** The one polite live region. What is said within half a second is said together. */

import { h } from "./dom.js";

const GATHER_MS = 500;
const STAY_MS = 2_000; // then it is gone from the page: what was said may be erased

export class Announcer {
  #lines = [];
  #timer = null;
  #silence = null;

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
      clearTimeout(this.#silence);
      this.#silence = setTimeout(() => (this.element.textContent = ""), STAY_MS);
    }, GATHER_MS);
  }
}
