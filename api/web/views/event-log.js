/**
 * The right pane's event log: the immutable events of the open chat, as they arrive, each with its envelope to look at,
 * and the slider that shows the chat as it was after any of them.
 */

import { Ahead } from "../lib/ahead.js";
import { jsonParts } from "../lib/text.js";
import { exactTime, fullMoment } from "../lib/time.js";
import { counted } from "../lib/words.js";
import { Subscriptions, coalesce, h, icon, iconButton } from "./dom.js";
import { TimeTravel } from "./time-travel.js";
import { VirtualList } from "./virtual-list.js";

const ESTIMATE_PX = 45;

export class EventLog {
  #client;
  #shell;
  #chat = null;
  #first = 1;
  #freshAfter = 0; // what arrived while the panel was open lights up once
  #open = new Set(); // seqs whose envelope shows
  #ahead;
  #subscriptions = new Subscriptions();
  #count = h("span", { class: "panel-count" });
  #list;

  constructor({ client, shell }) {
    this.#client = client;
    this.#shell = shell;
    this.#ahead = new Ahead(
      (chatId, from, to) => client.loader.events(chatId, from, to),
      (error) => shell.tell(error),
    );
    this.#list = new VirtualList({
      estimate: ESTIMATE_PX,
      describe: (index) => this.#describe(this.#first + index),
      onView: (view) => this.#load(view),
      role: "log",
      "aria-live": "off",
      "aria-label": "Events",
    });
    shell.travel ??= new TimeTravel({ client, shell });
    const slider = h("div", { class: "slider-place" });
    shell.travel.settle(slider, () => this.#travelled());
    const end = h(
      "button",
      { type: "button", class: "link-button", on: { click: () => this.#list.toEnd() } },
      "Newest",
      icon("down"),
    );
    this.element = h(
      "aside",
      { class: "pane pane-side event-log", "aria-label": "Event log" },
      h(
        "header",
        { class: "pane-header" },
        h("h2", { class: "pane-title" }, "Event log", this.#count),
        iconButton("close", "Close the event log", () => shell.toggle("log")),
      ),
      h("p", { class: "panel-lead" }, "What happened here, in order. Nothing in it ever changes. ", end),
      slider,
      this.#list.element,
    );
    const refresh = coalesce(() => this.#refresh());
    this.#subscriptions.add(
      client.store.on("chat", (chatId) => chatId === this.#chat?.id && refresh()),
      client.people.on("users", refresh),
    );
  }

  show(chat) {
    this.#chat = chat;
    this.#open.clear();
    this.#ahead.forget();
    this.#list.reset();
    if (!this.#shell.travel.shows(chat)) this.#shell.travel.show(chat);
    if (!chat) return;
    this.#first = chat.timeline.first;
    this.#freshAfter = chat.head;
    this.#refresh();
  }

  destroy() {
    this.#ahead.forget();
    this.#shell.travel.settle(null);
    this.#subscriptions.end();
    this.#list.destroy();
  }

  #travelled() {
    const { past } = this.#shell.travel;
    this.#refresh();
    if (past) this.#list.toRow(past.seq - this.#first, 0.5);
    else this.#list.toEnd();
  }

  #refresh() {
    if (!this.#chat) return;
    const { timeline } = this.#chat;
    const dropped = Math.max(0, timeline.first - this.#first);
    this.#first = timeline.first;
    this.#count.textContent = counted(timeline.length, "event");
    this.#list.update(timeline.length, dropped);
  }

  #load(view) {
    const { timeline, id } = this.#chat;
    const { from, to } = this.#ahead.range(view);
    const hole = timeline.hole(this.#first + from, this.#first + to);
    if (hole) this.#ahead.want(id, hole.from, this.#first + to);
  }

  #describe(seq) {
    const item = this.#chat.timeline.get(seq);
    if (!item) {
      const build = () => h("div", { class: "event event-hole" }, h("div", { class: "skeleton" }));
      return { key: `hole ${seq}`, sign: "", build };
    }
    const isOpen = this.#open.has(seq);
    const actor = this.#client.people.nameOf(item.event.actor_id);
    const here = this.#shell.travel.past?.seq ?? Infinity;
    const when = seq > here ? "is-later" : seq === here ? "is-here" : "";
    const sign = `${isOpen}|${actor}`;
    return {
      key: seq,
      sign,
      build: () => this.#row(item, actor, isOpen),
      note: when,
      annotate: (element) => {
        element.classList.toggle("is-later", when === "is-later");
        if (when === "is-here") element.setAttribute("aria-current", "true");
        else element.removeAttribute("aria-current");
      },
    };
  }

  #row(item, actor, isOpen) {
    const { seq, n, event } = item;
    const at = new Date(event.at);
    const toggle = () => {
      if (isOpen) this.#open.delete(seq);
      else this.#open.add(seq);
      this.#refresh();
      this.#list.elementOf(seq)?.querySelector("button").focus();
    };
    const envelope = { chat_id: this.#chat.id, ...item };
    return h(
      "div",
      { class: seq > this.#freshAfter ? "event is-fresh" : "event" },
      h(
        "button",
        { type: "button", class: "event-head", "aria-expanded": String(isOpen), on: { click: toggle } },
        h("span", { class: "event-seq", title: "seq: the event's number in this chat" }, `#${seq}`),
        h("span", { class: "event-type", data: { family: event.type.split(".")[0] } }, event.type),
        h("time", { class: "event-time", datetime: event.at, title: fullMoment(at) }, exactTime(at)),
        h(
          "span",
          { class: "event-actor" },
          h("bdi", {}, actor),
          Number.isInteger(n) && h("span", { class: "event-n" }, `message ${n}`),
        ),
      ),
      isOpen && [
        h("pre", { class: "envelope", tabindex: "0", "aria-label": `Envelope of event ${seq}` }, highlight(envelope)),
        h(
          "button",
          { type: "button", class: "link-button as-of", on: { click: () => this.#shell.travel.goTo(seq) } },
          "The chat as it was here",
        ),
      ],
    );
  }
}

/** JSON, indented, keys and values in spans of their own. */
function highlight(value) {
  const parts = jsonParts(JSON.stringify(value, null, 2));
  return parts.map(({ text, kind }) => (kind ? h("span", { class: `json-${kind}` }, text) : text));
}
