/** Short notices that go away by themselves. */

import { explain } from "../lib/words.js";
import { h } from "./dom.js";

const STAY_MS = 6_000;

export class Toasts {
  constructor() {
    this.element = h("div", { class: "toasts", role: "alert" });
  }

  say(text) {
    const toast = h("div", { class: "toast" }, text);
    this.element.append(toast);
    setTimeout(() => toast.remove(), STAY_MS);
  }

  tell(error) {
    this.say(explain(error));
  }
}
