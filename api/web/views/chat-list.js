/** The left pane: every chat with its last message, a search over chats and people, and a way to start a new one. */

import { snippet } from "../lib/text.js";
import { listTime } from "../lib/time.js";
import { counted, eventLine, explain, nameList } from "../lib/words.js";
import { avatar } from "./avatar.js";
import { Subscriptions, coalesce, fill, h, icon, iconButton } from "./dom.js";

const SEARCH_PAUSE_MS = 200;
const MINUTE_MS = 60_000;
const SKELETONS = 6;
const TICKS = {
  sending: ["clock", "Sending"],
  refused: ["alert", "Not sent"],
  sent: ["check", "Sent"],
  delivered: ["checks", "Delivered"],
  read: ["checks", "Read"],
};

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
      if (!this.#list.querySelector(".chat-skeleton")) fill(this.#list, Array.from({ length: SKELETONS }, skeleton));
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
    const view = this.#describe(chat);
    const signature = JSON.stringify(view);
    const known = this.#rows.get(chat.id);
    if (known?.signature === signature) return known.element;
    const element =
      known?.element ?? h("li", { class: "chat" }, h("a", { class: "chat-link", href: `#chat/${chat.id}` }));
    this.#rows.set(chat.id, { element, signature });
    paint(element.firstElementChild, chat, view);
    return element;
  }

  /** What a row shows, as plain values, so that rows that look the same are left alone. */
  #describe(chat) {
    const { store, people, outbox, drafts, me } = this.#client;
    const waiting = outbox
      .of(chat.id)
      .filter((entry) => !chat.timeline.seqOf(entry.message_id))
      .at(-1);
    const isOpen = chat.id === this.#openChatId;
    const draft = isOpen ? "" : drafts.get(chat.id).text.trim();
    const typing = people.typingIn(chat.id).map((userId) => people.nameOf(userId));
    const nameOf = (userId) => (userId === me.user_id ? "You" : people.nameOf(userId));
    const { last } = chat;
    let state = null;
    let line = "";
    let lead = "";
    if (typing.length) {
      lead = chat.kind === "direct" ? "typing…" : `${nameList(typing)} typing…`;
    } else if (chat.gone) {
      line = chat.gone === "removed" ? "You were removed" : "No longer in this chat";
    } else if (draft) {
      lead = "Draft:";
      line = snippet({ text: draft });
    } else if (waiting) {
      state = { queued: "sending", acked: "sent", refused: "refused" }[waiting.state];
      line = snippet(waiting);
    } else if (last) {
      const mine = last.sender_id === me.user_id;
      state = mine ? chat.tick(last.seq) : null;
      line = (mine || chat.kind === "direct" ? "" : `${nameOf(last.sender_id)}: `) + snippet(last);
    } else {
      const item = chat.timeline.get(chat.head);
      line = (item && eventLine(item.event, nameOf)) || "No messages yet";
    }
    return {
      title: store.titleOf(chat),
      presence: chat.peerId ? people.presenceOf(chat.peerId).status : null,
      time: chat.activityAt ? listTime(new Date(chat.activityAt), new Date()) : "",
      state,
      lead,
      line,
      isDraft: Boolean(lead) && !typing.length,
      unread: chat.unread,
      muted: chat.isMuted(this.#client.now()),
      gone: chat.gone,
      isOpen,
    };
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
        avatar({ id: user.user_id, name: user.display_name || user.username, small: true }),
        h("span", { class: "person-name" }, user.display_name || user.username),
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
      const chat = await this.#client.createDirect(userId);
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

function paint(link, chat, view) {
  link.toggleAttribute("aria-current", view.isOpen);
  link.classList.toggle("is-gone", Boolean(view.gone));
  const [drawing, label] = TICKS[view.state] ?? [];
  fill(
    link,
    avatar({ id: chat.peerId ?? chat.id, name: view.title, presence: view.presence }),
    h(
      "span",
      { class: "chat-lines" },
      h(
        "span",
        { class: "chat-line" },
        h("span", { class: "chat-title" }, view.title),
        view.presence && view.presence !== "offline" && h("span", { class: "visually-hidden" }, `, ${view.presence}`),
        view.muted && icon("muted", "Muted"),
        h("span", { class: "chat-time" }, view.time),
      ),
      h(
        "span",
        { class: "chat-line" },
        drawing && h("span", { class: "tick", data: { state: view.state } }, icon(drawing, label)),
        h(
          "span",
          { class: "chat-snippet" },
          view.lead && h("span", { class: view.isDraft ? "lead is-draft" : "lead" }, view.lead),
          view.lead && view.line && " ",
          view.line,
        ),
        view.unread > 0 &&
          h(
            "span",
            { class: view.muted ? "pill is-muted" : "pill" },
            h("span", { "aria-hidden": "true" }, view.unread > 999 ? "999+" : String(view.unread)),
            h("span", { class: "visually-hidden" }, counted(view.unread, "unread message")),
          ),
      ),
    ),
  );
}

function skeleton() {
  return h(
    "li",
    { class: "chat-skeleton", "aria-hidden": "true" },
    h("span", { class: "skeleton round" }),
    h("span", { class: "chat-lines" }, h("span", { class: "skeleton" }), h("span", { class: "skeleton" })),
  );
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
