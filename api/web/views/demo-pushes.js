/** What the phones of the demo's users show: a row of notifications, empty while nobody is away. */

import { exactTime } from "../lib/time.js";
import { h, iconButton } from "./dom.js";

const ASK_MS = 1_500;
const MOST = 3; // on each phone

const RESULTS = {
  sent: "sent",
  logged: "not sent: no push provider is set up",
  gone: "the phone's token is dead",
  busy: "tried again later",
  refused: "refused by the provider",
};

const keyOf = (push) => `${push.chat_id}:${push.seq}:${push.at}`;

/** `panes`: the users' frames. Shows in `element` what is pushed while the page is open. */
export function showPushes(element, panes) {
  const phones = panes.map((pane) => new Phone(pane));
  element.append(...phones.map((phone) => phone.element));
  const ask = async () => {
    if (!document.hidden) await Promise.all(phones.map((phone) => phone.ask()));
    setTimeout(ask, ASK_MS);
  };
  ask();
}

class Phone {
  #pane;
  #shown = new Set(); // keys, also of what was dismissed

  constructor(pane) {
    this.#pane = pane;
    this.element = h("ol", { class: "phone", "aria-label": `${pane.title}'s phone` });
  }

  async ask() {
    const client = this.#pane.contentWindow.tidings;
    if (!client) return; // not signed in
    let pushes;
    try {
      pushes = (await client.account.http.request("GET", "/v1/demo/pushes")).data.items;
    } catch {
      return; // the frame itself says what is wrong; asked again soon
    }
    for (const push of pushes) {
      // Server and page are on one machine, so their clocks agree.
      if (this.#shown.has(keyOf(push)) || Date.parse(push.at) < performance.timeOrigin) continue;
      this.element.prepend(this.#card(push));
    }
    this.#shown = new Set(pushes.map(keyOf));
    while (this.element.children.length > MOST) this.element.lastElementChild.remove();
  }

  #card(push) {
    const result = RESULTS[push.result] + (push.detail ? ` (${push.detail})` : "");
    const card = h(
      "li",
      { class: "push" },
      h(
        "p",
        { class: "push-head" },
        h("span", {}, `Push to ${this.#pane.title}'s phone`),
        h("time", { datetime: push.at }, exactTime(new Date(push.at))),
        h("span", { class: "pill" }, h("span", { class: "visually-hidden" }, "badge "), String(push.badge)),
        iconButton("close", "Dismiss", () => card.remove()),
      ),
      push.title && h("p", { class: "push-title", dir: "auto" }, push.title),
      h("p", { class: "push-body", dir: "auto" }, push.body),
      h("p", { class: "push-result", title: result }, result),
    );
    return card;
  }
}
