/** The time slider: dragged back, and the conversation shows the chat as it was after that event. */

import { PastChat } from "../lib/past.js";
import { exactTime, dayLabel, fullMoment } from "../lib/time.js";
import { Subscriptions, coalesce, fill, h } from "./dom.js";

const SETTLE_MS = 120; // one who drags past an event does not need it
const PAGE = 100;

export class TimeTravel {
  past = null; // the PastChat that shows; null for now
  banner = h("div", { class: "past-banner", role: "group", "aria-label": "Time travel" });

  #client;
  #shell;
  #chat = null; // as it is
  #settling = null;
  #onMove = null;
  #subscriptions = new Subscriptions();
  #said = h("p", { class: "past-said" });
  #output = h("output", { class: "slider-output" });
  #range;

  constructor({ client, shell }) {
    this.#client = client;
    this.#shell = shell;
    this.#range = h("input", {
      type: "range",
      step: "1",
      "aria-label": "The chat as it was after event",
      on: { input: () => this.goTo(Number(this.#range.value)) },
    });
    this.element = h("div", { class: "time-slider" }, h("span", {}, "As it was"), this.#output, this.#range);
    const button = h(
      "button",
      { type: "button", class: "link-button", on: { click: () => this.back({ focus: true }) } },
      "Back to now",
    );
    fill(this.banner, this.#said, button, this.element);
    const refresh = coalesce(() => this.#refresh());
    this.#subscriptions.add(client.store.on("chat", (chatId) => chatId === this.#chat?.id && refresh()));
  }

  /** Of this chat, which is on the screen as it is; null for none. */
  show(chat) {
    this.#leave();
    this.#chat = chat;
    this.#refresh();
  }

  shows(chat) {
    return this.#chat === chat;
  }

  /** Put the slider into `home`, an element, and call `onMove` when the moment changed; null: into the banner. */
  settle(home, onMove = null) {
    this.#onMove = onMove;
    (home ?? this.banner).append(this.element);
  }

  /** A first step back. */
  lookBack() {
    this.goTo((this.#chat?.head ?? 0) - 1);
    this.#range.focus();
  }

  /** Show the chat as it was after event `seq`; from the newest one on it is as it is. */
  goTo(seq) {
    if (!this.#chat || Math.max(seq, this.#chat.timeline.first) >= this.#chat.head) {
      this.back();
      return;
    }
    this.past ??= new PastChat(this.#chat, seq);
    this.past.moveTo(seq);
    this.#refresh();
    this.#shell.showPast({ chat: this.past, banner: this.banner });
    this.#onMove?.();
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#load().catch((error) => this.#shell.tell(error)), SETTLE_MS);
  }

  /** To what is now; `focus`: where the reader stood is gone, so on to where one writes. */
  back({ focus = false } = {}) {
    if (!this.past) return;
    this.#leave();
    this.#refresh();
    this.#shell.showPast(null);
    this.#onMove?.();
    if (focus) this.#shell.focus();
  }

  destroy() {
    this.#leave();
    this.#subscriptions.end();
  }

  #leave() {
    clearTimeout(this.#settling);
    this.past = null;
  }

  #refresh() {
    const chat = this.#chat;
    this.#range.disabled = !chat || chat.timeline.length < 2;
    if (!chat) return;
    const { first, head } = chat.timeline;
    this.past?.moveTo(this.past.seq); // what may be seen can begin later than was thought
    const seq = this.past?.seq ?? head;
    this.#range.min = String(first);
    this.#range.max = String(head);
    this.#range.value = String(seq);
    const when = this.past ? moment(this.past.at, this.#client.now()) : "now";
    this.#output.textContent = this.past ? `#${seq} of ${head} · ${when}` : "now";
    this.#range.setAttribute("aria-valuetext", this.past ? `${seq} of ${head}, ${exactly(this.past.at)}` : "now");
    this.#said.textContent = this.past ? `As it was on ${exactly(this.past.at)}, after event ${seq}` : "";
  }

  /** Fetch that event, then what tells the title and the members of then, page by page while nobody moves on. */
  async #load() {
    const { past } = this;
    const chat = this.#chat;
    const { seq } = past;
    await this.#client.loader.events(chat.id, seq, seq);
    let last = null;
    for (let hole = past.missing(); hole; hole = past.missing()) {
      const isStuck = last?.from === hole.from && last.to === hole.to;
      if (isStuck || this.past !== past || past.seq !== seq) return;
      last = hole;
      await this.#client.loader.events(chat.id, hole.from, Math.min(hole.to, hole.from + PAGE - 1));
    }
  }
}

function moment(at, now) {
  if (!at) return "…";
  const date = new Date(at);
  return `${dayLabel(date, now)} ${exactTime(date)}`;
}

function exactly(at) {
  return at ? fullMoment(new Date(at)) : "…";
}
