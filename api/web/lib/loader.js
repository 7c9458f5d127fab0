/**
 * Fetches over HTTP what the store says that it needs. Passing trouble is waited out; what the server denies is taken
 * as said.
 */

import { systemClock } from "./connection.js";
import { Problem } from "./http.js";
import { Tasks } from "./tasks.js";

const PAGE = 100; // events; pages are aligned, so two readers of one range ask for the same pages
const FIRST_CHATS = 50;
const CHATS_PAGE = 200;
const MOST_CHATS = 1_000;
const GATHER_MS = 30;
const USERS_PAGE = 200;

export class Loader {
  #api;
  #store;
  #clock;
  #tasks;
  #wantedChats = new Set();
  #wantedUsers = new Set();
  #timers = new Map();
  #cursor = null; // of the inbox, where the list goes on

  constructor({ api, store, clock = systemClock }) {
    this.#api = api;
    this.#store = store;
    this.#clock = clock;
    this.#tasks = new Tasks({ clock });
    store.on("need", (need) => this.#provide(need));
  }

  hurry() {
    this.#tasks.hurry();
  }

  stop() {
    this.#tasks.stop();
  }

  /** The whole inbox up to 1,000 chats; the first page is small so that it shows soon. */
  inbox() {
    return this.#tasks.run("inbox", async () => {
      let limit = FIRST_CHATS;
      do {
        await this.#moreChats(limit);
        limit = CHATS_PAGE;
      } while (this.#cursor && this.#store.chats.size < MOST_CHATS);
    });
  }

  get hasMoreChats() {
    return this.#cursor !== null;
  }

  moreChats() {
    return this.#tasks.run("inbox", () => this.#moreChats(CHATS_PAGE));
  }

  /** One chat by id. One that the server denies is marked as gone if it was known. */
  chat(chatId) {
    return this.#tasks.run(`chat ${chatId}`, async () => {
      try {
        const { chat } = await this.#api.chat(chatId);
        this.#store.takeChat(chat);
      } catch (error) {
        if (!(error instanceof Problem && error.status === 404)) throw error;
        this.#store.takeFrame({ type: "gone", chat_id: chatId });
      }
    });
  }

  receipts(chatId) {
    return this.#tasks.run(`receipts ${chatId}`, () =>
      this.#unlessGone(chatId, async () => {
        const { items } = await this.#api.receipts(chatId);
        this.#store.takeReceipts(chatId, items);
      }),
    );
  }

  /** Fill what is missing of `from`..`to` (seqs, both included). */
  events(chatId, from, to) {
    const pages = [];
    for (let page = Math.floor((from - 1) / PAGE); page <= Math.floor((to - 1) / PAGE); page += 1) {
      const hole = this.#hole(chatId, page);
      if (hole) pages.push(this.#tasks.run(`events ${chatId} ${page}`, () => this.#fillPage(chatId, page)));
    }
    return Promise.all(pages);
  }

  /**
   * What became of a message that was acknowledged: "there", "unknown", a refusal's code, or null when nobody may tell.
   */
  fate(chatId, messageId) {
    return this.#tasks.run(`message ${messageId}`, async () => {
      try {
        await this.#api.message(chatId, messageId);
        return "there";
      } catch (error) {
        if (!(error instanceof Problem) || error.status >= 500 || error.status === 429) throw error;
        if (error.status === 409) return error.code;
        return error.code === "no_such_message" ? "unknown" : error.code;
      }
    });
  }

  /** A message from before the loaded events. */
  quote(chatId, messageId) {
    return this.#tasks.run(`quote ${messageId}`, async () => {
      let message = { missing: true };
      try {
        message = (await this.#api.message(chatId, messageId)).message;
      } catch (error) {
        if (!(error instanceof Problem) || error.status >= 500 || error.status === 429) throw error;
      }
      this.#store.takeQuote(chatId, messageId, message);
    });
  }

  #provide(need) {
    switch (need.what) {
      case "inbox":
        this.#wantedChats.add(need.chatId);
        this.#soon("chats", () => this.#tasks.run("chats", () => this.#findChats()));
        break;
      case "events":
        void this.events(need.chatId, need.after + 1, this.#store.chat(need.chatId).head);
        break;
      case "users":
        for (const userId of need.ids) this.#wantedUsers.add(userId);
        this.#soon("users", () => this.#tasks.run("users", () => this.#findUsers()));
        break;
      case "chat":
        void this.chat(need.chatId);
        break;
      case "receipts":
        void this.receipts(need.chatId);
        break;
      default:
        throw new Error(`unknown need ${need.what}`);
    }
  }

  #soon(name, action) {
    if (this.#timers.has(name)) return;
    const timer = this.#clock.setTimeout(() => {
      this.#timers.delete(name);
      void action();
    }, GATHER_MS);
    this.#timers.set(name, timer);
  }

  async #moreChats(limit) {
    const { items, next_cursor: next } = await this.#api.chats(this.#cursor, limit);
    this.#cursor = next ?? null;
    this.#store.loaded = true;
    this.#store.takeInbox(items);
  }

  // The wanted chats have just been active, so they stand near the top of the inbox.
  async #findChats() {
    while (this.#wantedChats.size) {
      let cursor;
      do {
        const wanted = new Set(this.#wantedChats);
        const { items, next_cursor: next } = await this.#api.chats(cursor, FIRST_CHATS);
        this.#store.takeInbox(items);
        for (const { chat } of items) if (wanted.has(chat.chat_id)) this.#wantedChats.delete(chat.chat_id);
        cursor = next;
      } while (cursor && this.#wantedChats.size);
      const missing = [...this.#wantedChats];
      this.#wantedChats.clear();
      for (const chatId of missing) await this.chat(chatId);
    }
  }

  async #findUsers() {
    while (this.#wantedUsers.size) {
      const ids = [...this.#wantedUsers].slice(0, USERS_PAGE);
      const { items } = await this.#api.usersById(ids);
      for (const userId of ids) this.#wantedUsers.delete(userId);
      this.#store.people.take(items, ids);
    }
  }

  #hole(chatId, page) {
    const chat = this.#store.chat(chatId);
    if (!chat || chat.gone) return null;
    return chat.timeline.hole(page * PAGE + 1, (page + 1) * PAGE);
  }

  async #fillPage(chatId, page) {
    await this.#unlessGone(chatId, async () => {
      for (let hole = this.#hole(chatId, page); hole; hole = this.#hole(chatId, page)) {
        const { items } = await this.#api.events(chatId, hole.from - 1, hole.to - hole.from + 1);
        this.#store.takeEvents(chatId, items);
        const start = items[0]?.seq ?? hole.to + 1;
        if (start <= hole.from) continue;
        // What we may see begins later, or a view lags behind the head that we heard of.
        if (!items.length && hole.to >= this.#store.chat(chatId).head) return;
        this.#store.startAt(chatId, start);
      }
    });
  }

  async #unlessGone(chatId, work) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Problem && error.status === 404)) throw error;
      this.#store.takeFrame({ type: "gone", chat_id: chatId });
    }
  }
}
