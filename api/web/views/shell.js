/** The signed-in page: its panes, which of them show, the address, the shortcuts, the title. */

import { Unreachable } from "../lib/http.js";
import { isolated, snippet } from "../lib/text.js";
import { Announcer } from "./announcer.js";
import { ChatList } from "./chat-list.js";
import { ConnectionBar } from "./connection-bar.js";
import { Conversation } from "./conversation.js";
import { confirm } from "./dialog.js";
import { Subscriptions, h } from "./dom.js";
import { Toasts } from "./toast.js";

// What nobody needs at first is fetched a little later, before the network can fail.
const LATER = {
  log: async () => (await import("./event-log.js")).EventLog,
  details: async () => (await import("./details.js")).Details,
  newChat: async () => (await import("./new-chat.js")).newChat,
  travel: async () => (await import("./time-travel.js")).TimeTravel,
  settings: async () => (await import("./settings.js")).openSettings,
};
const PREFETCH_MS = 2_000;
const THREE_PX = 1080; // room for the side panel beside the other two
const TWO_PX = 720;
const TWO_IN_DEMO_PX = 560; // two users share a window there

export class Shell {
  panel = null; // "log", "details" or null
  travel = null; // a TimeTravel, once somebody has looked back

  #client;
  #chatId = null;
  #panelView = null;
  #twoPx;
  #subscriptions = new Subscriptions();
  #announcer = new Announcer();
  #toasts = new Toasts();
  #bar;
  #list;
  #conversation;
  #resize;

  /** `isDemo`: half a window wide, and with a chat open at once, since there is somebody in every one of them. */
  constructor({ client, isDemo }) {
    this.#client = client;
    this.#twoPx = isDemo ? TWO_IN_DEMO_PX : TWO_PX;
    this.#bar = new ConnectionBar({ client });
    this.#list = new ChatList({ client, shell: this });
    this.#conversation = new Conversation({ client, shell: this });
    this.element = h(
      "div",
      { class: "shell", data: { pane: "list" } },
      this.#bar.element,
      this.#list.element,
      this.#conversation.element,
      this.#announcer.element,
      this.#toasts.element,
    );
    this.#resize = new ResizeObserver(() => this.#layOut());
    this.#resize.observe(this.element);
    const listen = (target, name, listener) => {
      target.addEventListener(name, listener);
      this.#subscriptions.add(() => target.removeEventListener(name, listener));
    };
    listen(window, "hashchange", () => this.#navigate());
    listen(document, "keydown", (event) => this.#key(event));
    this.#subscriptions.add(
      client.store.on("chats", () => this.#title()),
      client.store.on("message", ({ chat, message }) => this.#announce(chat, message)),
    );
    this.#title();
    this.#layOut();
    this.#navigate();
    const prefetchOnce = client.on("connection", ({ state }) => {
      if (state !== "online") return;
      prefetchOnce();
      setTimeout(prefetch, PREFETCH_MS);
    });
    if (isDemo && !this.#chatId) this.#openFirst();
  }

  destroy() {
    this.#resize.disconnect();
    this.#subscriptions.end();
    for (const view of [this.#bar, this.#list, this.#conversation, this.#panelView, this.travel]) view?.destroy();
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    document.title = "Tidings";
  }

  focus() {
    if (this.#chatId && !isTouch()) this.#conversation.focus();
  }

  openChat(chatId) {
    location.hash = `chat/${chatId}`;
    if (this.#chatId === chatId) this.#showPane("chat");
  }

  /** From the side panel to the chat, from the chat to the list. */
  back() {
    if (this.element.dataset.pane === "side") {
      this.#closePanel();
      return;
    }
    history.replaceState(null, "", location.pathname + location.search);
    this.#navigate();
    this.#list.focusList();
  }

  /** Open a side panel, or close it if it is the one that shows. */
  toggle(panel) {
    if (this.panel === panel) this.#closePanel();
    else void this.#withPart(panel, (View) => this.#openPanel(panel, View));
  }

  settings() {
    void this.#withPart("settings", (openSettings) => openSettings({ client: this.#client, shell: this }));
  }

  newChat() {
    void this.#withPart("newChat", (newChat) => newChat({ client: this.#client, shell: this }));
  }

  /** Look back without the event log, where there is no room for both: the chat as it was before its last event. */
  lookBack() {
    void this.#withPart("travel", (TimeTravel) => {
      this.travel ??= new TimeTravel({ client: this.#client, shell: this });
      this.#closePanel();
      this.travel.show(this.#client.store.chat(this.#chatId));
      this.travel.lookBack();
    });
  }

  /** Show the open chat as it was, or as it is again (null): see Conversation.travel. */
  showPast(past) {
    this.#conversation.travel(past);
  }

  async #withPart(name, use) {
    let part;
    try {
      part = await LATER[name]();
    } catch (error) {
      this.tell(new Unreachable(error));
      return;
    }
    use(part);
  }

  #openPanel(panel, View) {
    this.#dropPanel();
    if (panel === "details") this.travel?.back(); // they are of today
    this.panel = panel;
    this.#panelView = new View({ client: this.#client, shell: this });
    this.element.append(this.#panelView.element);
    this.element.toggleAttribute("data-panel", true);
    this.#panelView.show(this.#client.store.chat(this.#chatId));
    this.#showPane("side");
    this.#conversation.refreshHeader();
  }

  #closePanel() {
    this.#dropPanel();
    this.element.toggleAttribute("data-panel", false);
    this.#showPane(this.#chatId ? "chat" : "list");
    this.#conversation.refreshHeader();
    this.focus();
  }

  #dropPanel() {
    this.#panelView?.destroy();
    this.#panelView?.element.remove();
    this.#panelView = null;
    this.panel = null;
  }

  tell(error) {
    this.#toasts.tell(error);
  }

  say(text) {
    this.#toasts.say(text);
  }

  async copy(text) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      this.#toasts.say("Copied.");
    } else {
      this.#toasts.say(text); // plain HTTP on another host has no clipboard: at least show it
    }
  }

  #navigate() {
    const [, what, id] = /^#(chat|join)\/([^/]+)$/.exec(location.hash) ?? [];
    if (what === "join") void this.#join(id);
    else this.#show(what === "chat" ? id : null);
  }

  #show(chatId) {
    this.#chatId = chatId;
    this.#client.open(chatId);
    this.#list.select(chatId);
    this.#conversation.show(chatId);
    this.travel?.show(this.#client.store.chat(chatId));
    this.#showPanel();
    this.#showPane(chatId ? "chat" : "list");
    this.focus();
  }

  /** Open the newest chat once there is one, where it has room beside the list. */
  #openFirst() {
    const { store } = this.#client;
    const stop = store.on("chats", () => {
      const [newest] = store.list();
      if (!newest) return;
      stop();
      if (!this.#chatId && this.element.dataset.layout !== "one") location.replace(`#chat/${newest.id}`);
    });
    this.#subscriptions.add(stop);
  }

  #showPanel() {
    if (this.panel && !this.#chatId) this.#closePanel();
    this.#panelView?.show(this.#client.store.chat(this.#chatId));
  }

  async #join(chatId) {
    history.replaceState(null, "", location.pathname + location.search);
    const known = this.#client.store.chat(chatId);
    if (!known) {
      const text = "The members will see that you joined.";
      if (!(await confirm({ title: "Join this group?", text, action: "Join" }))) return;
      try {
        await this.#client.commands.join(chatId);
      } catch (error) {
        this.tell(error);
        return;
      }
    }
    this.openChat(chatId);
  }

  #showPane(pane) {
    this.element.dataset.pane = pane;
  }

  #layOut() {
    const width = this.element.clientWidth || innerWidth;
    this.element.dataset.layout = width >= THREE_PX ? "three" : width >= this.#twoPx ? "two" : "one";
  }

  #key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (this.element.dataset.layout === "one") this.back();
      this.#list.focusSearch();
    } else if (event.key === "Escape" && !event.defaultPrevented) {
      if (this.travel?.past) this.travel.back();
      else if (this.panel) this.#closePanel();
      else if (this.#chatId) this.back();
    } else if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      this.#neighbour(event.key === "ArrowDown" ? 1 : -1);
    }
  }

  #neighbour(step) {
    const ids = this.#client.store.list().map((chat) => chat.id);
    const at = ids.indexOf(this.#chatId);
    const next = ids[at < 0 ? 0 : Math.max(0, Math.min(ids.length - 1, at + step))];
    if (next) this.openChat(next);
  }

  #title() {
    const unread = this.#client.store.totalUnread(this.#client.now());
    document.title = unread ? `(${unread}) Tidings` : "Tidings";
  }

  #announce(chat, message) {
    if (chat.isMuted(this.#client.now())) return;
    const { store, people } = this.#client;
    const where = chat.kind === "group" && chat.id !== this.#chatId ? ` in ${isolated(store.titleOf(chat))}` : "";
    this.#announcer.say(`${isolated(people.nameOf(message.sender_id))}${where}: ${snippet(message, 120)}`);
  }
}

/** A part that cannot be had now is asked for again when it is used, and says so then. */
function prefetch() {
  for (const fetchPart of Object.values(LATER)) fetchPart().catch(() => {});
}

/** Where focus in a text field brings up a keyboard, nobody's field is focused for them. */
function isTouch() {
  return matchMedia("(pointer: coarse)").matches;
}
