/** The middle pane: who one talks with, what was said, and where one writes. */

import { lastSeen } from "../lib/time.js";
import { counted, nameList, typingLine } from "../lib/words.js";
import { avatar } from "./avatar.js";
import { Composer } from "./composer.js";
import { Subscriptions, coalesce, fill, h, icon, iconButton } from "./dom.js";
import { MessageList } from "./message-list.js";

const GONE = {
  left: "You left this chat.",
  removed: "You were removed from this chat.",
  lost: "You are no longer in this chat.",
};
const MINUTE_MS = 60_000;

export class Conversation {
  #client;
  #shell;
  #chatId = null;
  #shown = null; // the Chat that is on the screen
  #past = null; // {chat: PastChat, banner} while it shows as it was
  #subscriptions = new Subscriptions();
  #minute;
  #messages;
  #composer;
  #header = h("header", { class: "pane-header conversation-header" });
  #notice = h("div", { class: "notice", hidden: true });
  #empty = h("div", { class: "empty" });
  #signature = "";

  /** `shell`: back(), toggle(panel), panel, tell(error), say(text), showChats(), newChat(). */
  constructor({ client, shell }) {
    this.#client = client;
    this.#shell = shell;
    this.#messages = new MessageList({
      client,
      actions: {
        reply: (message) => this.#composer.reply(message),
        edit: (text) => this.#composer.put(text),
        copy: (text) => shell.copy(text),
        toComposer: () => this.#composer.focus(),
        tell: (error) => shell.tell(error),
      },
    });
    this.#composer = new Composer({
      client,
      onSent: () => this.#messages.sent(),
      onEscape: () => this.#messages.focus(),
      onPage: (direction) => this.#messages.page(direction),
      say: (text) => shell.say(text),
    });
    this.element = h("main", { class: "pane pane-chat", "aria-label": "Conversation" });
    this.#composer.takeDrops(this.element);
    const refresh = coalesce(() => this.#refresh());
    const look = () => this.#shown && this.#messages.look();
    window.addEventListener("focus", look);
    document.addEventListener("visibilitychange", look);
    this.#minute = setInterval(refresh, MINUTE_MS);
    this.#subscriptions.add(
      client.store.on("chat", (chatId) => chatId === this.#chatId && refresh()),
      client.store.on("chats", () => !this.#shown && refresh()),
      client.people.on("users", refresh),
      client.people.on("presence", refresh),
      client.people.on("typing", (chatId) => chatId === this.#chatId && refresh()),
      () => window.removeEventListener("focus", look),
      () => document.removeEventListener("visibilitychange", look),
    );
    this.show(null);
  }

  /** Show a chat by id; null for none. */
  show(chatId) {
    this.#chatId = chatId;
    this.#shown = null;
    this.#past = null;
    this.#refresh();
  }

  /** Show the open chat as it was, `{chat: PastChat, banner: element}`, or as it is again (null). */
  travel(past) {
    const isSame = past !== null && this.#shown === past.chat;
    this.#past = past;
    this.#refresh();
    if (isSame) this.#messages.travelled();
  }

  /** The header's buttons show which panel is open. */
  refreshHeader() {
    this.#signature = "";
    this.#refresh();
  }

  focus() {
    if (this.#past || this.#client.store.chat(this.#chatId)?.gone) this.#messages.focus();
    else this.#composer.focus();
  }

  destroy() {
    clearInterval(this.#minute);
    this.#subscriptions.end();
    this.#messages.destroy();
  }

  #refresh() {
    const chat = this.#past?.chat ?? this.#client.store.chat(this.#chatId);
    if (!chat) {
      this.#shown = null;
      this.#showEmpty();
      return;
    }
    if (this.#shown !== chat) {
      this.#shown = chat;
      this.#signature = "";
      const { banner = null } = this.#past ?? {};
      fill(this.element, this.#header, banner, this.#messages.element, this.#notice, this.#composer.element);
      this.#refreshHeader(chat);
      this.#composer.show(chat.id);
      this.#messages.show(chat);
    } else {
      this.#refreshHeader(chat);
      this.#messages.refresh();
      this.#composer.refresh();
    }
    this.#refreshNotice(chat);
  }

  #showEmpty() {
    const { store } = this.#client;
    if (!store.loaded) {
      fill(this.element);
      return;
    }
    const unknown = this.#chatId !== null;
    const none = store.chats.size === 0;
    const text = unknown ? "This chat is not there, or you are not in it." : none ? "No chats yet." : "Choose a chat.";
    fill(
      this.element,
      fill(
        this.#empty,
        h("div", { class: "empty-mark" }, icon("users")),
        h("p", {}, text),
        none &&
          h("button", { type: "button", class: "primary", on: { click: () => this.#shell.newChat() } }, "Start a chat"),
        !none && !unknown && h("p", { class: "hint" }, "Ctrl or ⌘ with K jumps to one."),
      ),
    );
  }

  #refreshHeader(chat) {
    const { store, people } = this.#client;
    const title = store.titleOf(chat);
    const typing = chat.isPast ? [] : people.typingIn(chat.id).map((userId) => people.nameOf(userId));
    const status = typing.length ? typingLine(typing) : this.#status(chat);
    const presence = chat.peerId && !chat.isPast ? people.presenceOf(chat.peerId).status : null;
    const panel = this.#shell.panel;
    const signature = [title, status, presence, panel, typing.length, chat.gone, chat.isDeserted].join("|");
    if (signature === this.#signature) return;
    this.#signature = signature;
    const toggle = (name, drawing, label) =>
      iconButton(drawing, label, () => this.#shell.toggle(name), {
        "aria-pressed": String(panel === name),
        class: `toggle-${name}`,
      });
    const focused = this.#header.contains(document.activeElement) ? document.activeElement.className : null;
    fill(
      this.#header,
      iconButton("back", "Back to the chats", () => this.#shell.back(), { class: "back" }),
      h(
        "button",
        {
          type: "button",
          class: "conversation-who",
          title: "Details",
          on: { click: () => this.#shell.toggle("details") },
        },
        avatar({ id: chat.peerId ?? chat.id, name: title, presence }),
        h(
          "span",
          { class: "conversation-names" },
          h("span", { class: "conversation-title" }, h("bdi", {}, title)),
          h("span", { class: typing.length ? "conversation-status is-typing" : "conversation-status" }, status),
        ),
      ),
      toggle("log", "log", "Event log"),
      toggle("details", "info", "Details"),
    );
    if (focused) this.#header.getElementsByClassName(focused)[0]?.focus();
  }

  #status(chat) {
    const { people, me } = this.#client;
    if (chat.gone || chat.isDeserted || (chat.isPast && chat.kind === "direct")) return "";
    if (chat.kind === "direct") {
      const { status, lastSeen: at } = people.presenceOf(chat.peerId);
      if (this.#client.connection.state !== "online") return "";
      return status === "offline" ? lastSeen(at, this.#client.now()) : status;
    }
    if (chat.memberCount === null) return chat.missing() ? "…" : "Its members of then are not known";
    if (!chat.members || chat.memberCount > 6) return counted(chat.memberCount, "member");
    const others = [...chat.members.keys()]
      .filter((userId) => userId !== me.user_id)
      .map((userId) => people.nameOf(userId));
    const names = others.sort((a, b) => a.localeCompare(b));
    if (!chat.members.has(me.user_id)) return nameList(names, 7);
    return names.length ? nameList([...names, "you"], 7) : "Only you";
  }

  #refreshNotice(chat) {
    const why = chat.gone ?? (chat.isDeserted && !chat.isPast ? "deserted" : null);
    this.#notice.hidden = !why;
    this.#composer.element.hidden = Boolean(why || chat.isPast);
    if (!why || this.#notice.dataset.shown === `${chat.id}${why}`) return;
    this.#notice.dataset.shown = `${chat.id}${why}`;
    if (why === "deserted") {
      fill(this.#notice, h("span", {}, "This account was deleted. What was written stays here."));
      return;
    }
    const forget = async () => {
      await this.#client.forget(chat.id);
      this.#shell.back();
    };
    fill(
      this.#notice,
      h("span", {}, GONE[chat.gone]),
      h("button", { type: "button", class: "link-button", on: { click: forget } }, "Remove from the list"),
    );
  }
}
