/** The left pane: every chat with its last message, a search over chats and people, and a way to start a new one. */

import { explain } from "../lib/words.js";
import { avatar } from "./avatar.js";
import { chatSkeleton, describeChat, paintChat } from "./chat-row.js";
import { Subscriptions, coalesce, fill, h, icon } from "./dom.js";

const SEARCH_PAUSE_MS = 200;
const MINUTE_MS = 60_000;
const SKELETONS = 6;

export class ChatList {
  #client;
  #shell;
  #openChatId = null;
  #found = []; // people that the server knows by the searched name
  #asked = "";
  #searchTimer = null;
  #minute;
  #rows = new Map(); // chat id → {element, signature}
  #subscriptions = new Subscriptions();
  #search;
  #list = h("ul", { class: "chats", "aria-label": "Chats" });
  #people = h("div", { class: "found-people" });
  #me = h("button", { type: "button", class: "me", "aria-label": "Settings", title: "Settings" });

  constructor({ client, shell }) {
    this.#client = client;
    this.#shell = shell;
    this.#me.addEventListener("click", () => shell.settings());
    this.#search = h("input", {
      type: "search",
      placeholder: "Search chats and people",
      "aria-label": "Search chats and people",
      "aria-keyshortcuts": "Control+K Meta+K",
      autocomplete: "off",
      on: { input: () => this.#searched() },
    });
    const scroller = h("div", { class: "chats-scroller" }, this.#list, this.#people);
    this.element = h(
      "nav",
      { class: "pane pane-list", "aria-label": "Chats", on: { keydown: (event) => this.#key(event) } },
      h(
        "header",
        { class: "pane-header" },
        h("h1", { class: "brand" }, h("img", { src: "/web/icon.svg", alt: "", width: "24", height: "24" }), "Tidings"),
        this.#me,
      ),
      h("div", { class: "search" }, icon("search"), this.#search),
      scroller,
      h(
        "footer",
        { class: "list-footer" },
        h(
          "button",
          { type: "button", class: "secondary wide", on: { click: () => shell.newChat() } },
          icon("plus"),
          "New chat",
        ),
      ),
    );
    const refresh = coalesce(() => this.refresh());
    this.#minute = setInterval(refresh, MINUTE_MS);
    this.#subscriptions.add(
      client.store.on("chats", refresh),
      client.people.on("users", refresh),
      client.people.on("presence", refresh),
      client.people.on("typing", refresh),
      client.on("outbox", refresh),
    );
    scroller.addEventListener("scroll", () => this.#moreAtTheEnd(scroller), { passive: true });
    this.refresh();
  }

  /** Mark which chat is open. */
  select(chatId) {
    this.#openChatId = chatId;
    if (chatId) this.#search.value = ""; // found
    this.refresh();
  }

  focusSearch() {
    this.#search.focus();
    this.#search.select();
  }

  /** Put the focus on the open chat, or the first one. */
  focusList() {
    const row = this.#rows.get(this.#openChatId)?.element ?? this.#list.firstElementChild;
    (row?.querySelector("a") ?? this.#search).focus();
  }

  destroy() {
    clearInterval(this.#minute);
    clearTimeout(this.#searchTimer);
    this.#subscriptions.end();
  }

  refresh() {
    const { store, people, me } = this.#client;
    fill(this.#me, avatar({ id: me.user_id, name: people.nameOf(me.user_id), small: true }));
    if (!store.loaded) {
      if (!this.#list.querySelector(".chat-skeleton"))
        fill(this.#list, Array.from({ length: SKELETONS }, chatSkeleton));
      return;
    }
    const needle = this.#needle;
    const shown = store.list().filter((chat) => !needle || this.#matches(chat, needle));
    const elements = shown.map((chat) => this.#row(chat));
    for (const chatId of [...this.#rows.keys()]) if (!store.chat(chatId)) this.#rows.delete(chatId);
    place(this.#list, elements);
    this.#showPeople(needle, shown);
  }

  get #needle() {
    return this.#search.value.trim().toLowerCase();
  }

  #matches(chat, needle) {
    if (this.#client.store.titleOf(chat).toLowerCase().includes(needle)) return true;
    const username = chat.peerId && this.#client.people.get(chat.peerId)?.username;
    return Boolean(username?.includes(needle));
  }

  #row(chat) {
    const view = describeChat(chat, this.#client, chat.id === this.#openChatId);
    const signature = JSON.stringify(view);
    const known = this.#rows.get(chat.id);
    if (known?.signature === signature) return known.element;
    const element =
      known?.element ?? h("li", { class: "chat" }, h("a", { class: "chat-link", href: `#chat/${chat.id}` }));
    this.#rows.set(chat.id, { element, signature });
    paintChat(element.firstElementChild, view);
    return element;
  }

  #searched() {
    clearTimeout(this.#searchTimer);
    this.#found = [];
    this.refresh();
    const needle = this.#needle;
    if (!needle) return;
    this.#searchTimer = setTimeout(() => this.#ask(needle), SEARCH_PAUSE_MS);
  }

  async #ask(needle) {
    this.#asked = needle;
    try {
      const { items } = await this.#client.api.searchUsers(needle, 10);
      if (this.#needle !== needle) return;
      this.#client.people.take(items);
      this.#found = items.filter(({ user_id: userId }) => userId !== this.#client.me.user_id);
      this.refresh();
    } catch (error) {
      if (this.#needle === needle) fill(this.#people, h("p", { class: "hint" }, explain(error)));
    }
  }

  #showPeople(needle, shown) {
    if (!needle) this.#found = [];
    const known = new Set(shown.map((chat) => chat.peerId));
    const people = this.#found.filter(({ user_id: userId }) => !known.has(userId));
    const isAsking = needle && this.#asked !== needle;
    const person = (user) =>
      h(
        "button",
        { type: "button", class: "person", on: { click: () => this.#start(user) } },
        avatar({ id: user.user_id, name: this.#client.people.nameOf(user.user_id), small: true }),
        h("bdi", { class: "person-name" }, this.#client.people.nameOf(user.user_id)),
        h("span", { class: "person-username" }, `@${user.username}`),
      );
    fill(
      this.#people,
      people.length > 0 && h("h2", { class: "list-heading" }, "People"),
      people.map(person),
      needle && !shown.length && !people.length && !isAsking && h("p", { class: "hint" }, "Nothing found."),
    );
  }

  async #start({ user_id: userId }) {
    try {
      const chat = await this.#client.commands.createDirect(userId);
      this.#shell.openChat(chat.id);
    } catch (error) {
      this.#shell.tell(error);
    }
  }

  #clearSearch() {
    this.#search.value = "";
    this.refresh();
  }

  #moreAtTheEnd({ scrollTop, clientHeight, scrollHeight }) {
    const { loader } = this.#client;
    if (loader.hasMoreChats && scrollTop + clientHeight > scrollHeight - 400) {
      loader.moreChats().catch((error) => this.#shell.tell(error));
    }
  }

  #key(event) {
    if (event.key === "Escape" && event.target === this.#search && this.#search.value) {
      event.stopPropagation();
      this.#clearSearch();
      return;
    }
    const stops = [this.#search, ...this.#list.querySelectorAll("a"), ...this.#people.querySelectorAll("button")];
    const at = stops.indexOf(event.target);
    if (at < 0) return;
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -stops.length, End: stops.length }[event.key];
    if (event.key === "Enter" && event.target === this.#search) {
      stops[1]?.click();
      event.preventDefault();
    } else if (step && !(event.target === this.#search && Math.abs(step) > 1)) {
      stops[Math.max(0, Math.min(stops.length - 1, at + step))].focus();
      event.preventDefault();
    }
  }
}

/** Make `elements` the children of `parent`, moving only those out of place, so that focus and scroll stay. */
function place(parent, elements) {
  const keep = new Set(elements);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const element of elements) {
    if (element === next) {
      next = next.nextElementSibling;
      continue;
    }
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    parent.insertBefore(element, next);
    focused?.focus({ preventScroll: true });
  }
}
