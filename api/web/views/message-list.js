/**
 * The conversation's messages: a windowed list over a chat's rows, loading what comes into view, marking read what was
 * seen.
 */

import { Ahead } from "../lib/ahead.js";
import { Rows } from "../lib/rows.js";
import { counted } from "../lib/words.js";
import { describeRow } from "./message-row.js";
import { fill, h, icon } from "./dom.js";
import { VirtualList } from "./virtual-list.js";

const ESTIMATE_PX = 42;
const FLASH_MS = 1_200;
const NOTHING_TO_SEND = { of: () => [] };

export class MessageList {
  #client;
  #chat = null;
  #rows = null;
  #first = 1;
  #unfolded = new Set();
  #view = null;
  #ahead;
  #actions;
  #list;
  #down;

  /** `actions`: reply(message), edit(text), toComposer(), tell(error). */
  constructor({ client, actions }) {
    this.#client = client;
    this.#actions = actions;
    this.#ahead = new Ahead((chatId, from, to) => client.loader.events(chatId, from, to), actions.tell);
    this.#list = new VirtualList({
      estimate: ESTIMATE_PX,
      describe: (index) => describeRow(this.#rows.at(index), this.#scene()),
      onView: (view) => this.#seen(view),
      role: "log",
      "aria-live": "off", // the page's one live region speaks
      "aria-label": "Messages",
    });
    this.#list.element.addEventListener("keydown", (event) => this.#key(event));
    this.#down = h("button", { type: "button", class: "to-end", hidden: true, on: { click: () => this.toEnd() } });
    this.element = h("div", { class: "message-list" }, this.#list.element, this.#down);
  }

  show(chat) {
    this.#chat = chat;
    this.#unfolded.clear();
    this.#view = null;
    this.#ahead.forget();
    this.#list.reset();
    const newAfter = chat.unread > 0 ? chat.readSeq : null;
    const outbox = chat.isPast ? NOTHING_TO_SEND : this.#client.outbox;
    this.#rows = new Rows({ chat, outbox, meId: this.#client.me.user_id, newAfter });
    this.#first = chat.timeline.first;
    this.#list.update(this.#rows.count);
    if (newAfter !== null) this.#list.toRow(this.#rows.indexOf(Math.max(newAfter + 1, this.#first)), 0.3);
  }

  /** Something of the chat changed, or of its people. */
  refresh() {
    if (!this.#chat) return;
    const { timeline } = this.#chat;
    const isSeen = this.#isWatched() && this.#list.isPinned;
    if (this.#rows.newAfter === null && this.#chat.unread > 0 && !isSeen) this.#rows.newAfter = this.#chat.readSeq;
    this.#rows.refresh();
    this.#list.update(this.#rows.count, Math.max(0, timeline.first - this.#first));
    this.#first = timeline.first;
  }

  /** The reader has answered: what was new is no longer. */
  sent() {
    this.#rows.newAfter = null;
    this.#rows.refresh();
    this.toEnd();
  }

  /** The chat is a past one, and of another moment than before. */
  travelled() {
    this.#rows.refresh();
    this.toEnd();
  }

  toEnd() {
    this.#list.update(this.#rows.count);
    this.#list.toEnd();
  }

  page(direction) {
    this.#list.page(direction);
  }

  /** The window has the reader's attention again. */
  look() {
    if (this.#view) this.#seen(this.#view);
  }

  focus() {
    this.#list.element.focus();
  }

  destroy() {
    this.#ahead.forget();
    this.#list.destroy();
  }

  #scene() {
    const { people } = this.#client;
    const chat = this.#chat;
    return {
      isGroup: chat.kind === "group",
      mayWrite: !chat.gone && !chat.isPast && !chat.isDeserted,
      now: new Date(),
      nameOf: (userId) => (userId === this.#client.me.user_id ? "You" : people.nameOf(userId)),
      quote: (messageId) => this.#client.quote(chat.id, messageId),
      isUnfolded: (key) => this.#unfolded.has(key),
      link: (fileId) => this.#client.uploads.link(fileId),
      progress: (key) => this.#client.uploads.progress(key),
      tell: (error) => this.#actions.tell(error),
      act: {
        cancel: (key) => this.#client.uploads.cancel(key),
        reply: (message) => this.#actions.reply(message),
        retry: (key) => this.#client.retry(key),
        edit: (key) => this.#edit(key),
        discard: (key) => this.#client.outbox.remove(key),
        copy: (text) => this.#actions.copy(text),
        unfold: (key, open) => this.#unfold(key, open),
        jump: (seq) => this.#jump(seq),
      },
    };
  }

  #edit(key) {
    const { text } = this.#client.outbox.get(key);
    this.#actions.edit(text);
    void this.#client.outbox.remove(key);
  }

  #unfold(key, open) {
    if (open) this.#unfolded.add(key);
    else this.#unfolded.delete(key);
    this.refresh();
  }

  #jump(seq) {
    this.#list.toRow(this.#rows.indexOf(seq), 0.3);
    const { message_id: key } = this.#chat.timeline.get(seq)?.event.data ?? {};
    const element = this.#list.elementOf(key);
    element?.classList.add("flash");
    setTimeout(() => element?.classList.remove("flash"), FLASH_MS);
  }

  #isWatched() {
    return document.hasFocus() && document.visibilityState === "visible" && !document.querySelector("dialog[open]");
  }

  #seen(view) {
    this.#view = view;
    this.#load(view);
    const seq = this.#rows.seqAt(view.lastWhole) ?? this.#chat.head;
    if (!this.#chat.isPast && this.#isWatched() && this.#chat.timeline.has(seq)) this.#client.markRead(this.#chat.id, seq);
    this.#showDown();
  }

  #load(view) {
    const { timeline, id } = this.#chat;
    const { from, to } = this.#ahead.range(view);
    const hole = timeline.hole(timeline.first + from, timeline.first + to);
    if (hole) this.#ahead.want(id, hole.from, timeline.first + to);
  }

  #showDown() {
    const { unread } = this.#chat;
    this.#down.hidden = this.#list.isNearEnd;
    const label = unread ? `Go to the end, ${counted(unread, "new message")}` : "Go to the end";
    if (this.#down.getAttribute("aria-label") === label) return;
    this.#down.setAttribute("aria-label", label);
    fill(this.#down, icon("down"), unread > 0 && h("span", { class: "pill" }, unread > 999 ? "999+" : String(unread)));
  }

  #key(event) {
    const message = event.target.closest(".message");
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      this.#walk(message, event.key === "ArrowUp" ? -1 : 1);
      event.preventDefault();
    } else if (event.key === "End" && !message) {
      this.toEnd();
      event.preventDefault();
    } else if (event.key === "Home") {
      this.#list.toRow(0, 0);
      event.preventDefault();
    } else if (message === event.target && (event.key === "r" || event.key === "Enter")) {
      message.querySelector(".row-action")?.click();
      event.preventDefault();
    }
  }

  /** From message to message with the arrow keys; past the last one to the composer. */
  #walk(message, step) {
    const all = [...this.#list.element.querySelectorAll(".message")];
    const at = message ? all.indexOf(message) + step : all.length - 1;
    if (at >= all.length) this.#actions.toComposer();
    else all[Math.max(0, at)]?.focus();
  }
}
