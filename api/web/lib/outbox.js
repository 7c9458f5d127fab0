/**
 * Messages on their way. Each is stored before it is sent and stays until its event (or the reader's decision) settles
 * it, so neither a crash nor a reload loses or doubles one: every try carries the same message_id.
 */

import { Emitter } from "./emitter.js";

/** Keeps entries for the life of the page or process. The outbox's storage port: `all`, `put`, `remove`. */
export class MemoryShelf {
  #entries = new Map();

  async all() {
    return [...this.#entries.values()];
  }

  async put(entry) {
    this.#entries.set(entry.message_id, structuredClone(entry));
  }

  async remove(messageId) {
    this.#entries.delete(messageId);
  }
}

/** Keeps entries in IndexedDB, one database per user and storage namespace. */
export class IndexedDbShelf {
  #database;

  constructor(name, factory = globalThis.indexedDB) {
    this.#database = new Promise((resolve, reject) => {
      const opening = factory.open(name, 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore("outbox", { keyPath: "message_id" });
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
    this.#database.catch(() => {}); // each call below reports it
  }

  all() {
    return this.#run("readonly", (store) => store.getAll());
  }

  put(entry) {
    return this.#run("readwrite", (store) => store.put(entry));
  }

  remove(messageId) {
    return this.#run("readwrite", (store) => store.delete(messageId));
  }

  async #run(mode, action) {
    const database = await this.#database;
    return new Promise((resolve, reject) => {
      const transaction = database.transaction("outbox", mode, { durability: "strict" });
      const request = action(transaction.objectStore("outbox"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

/**
 * entry: `{message_id, chat_id, kind, text, reply_to_message?, created_at (Unix ms), state, code?, blob?, name?, file?}`
 * state: "uploading" (its `blob` is to be sent first; then `file` is what the server says of it), "queued" (to be sent, or sent with an unknown outcome), "acked" (the log has it, its event is not here yet) or
 * "refused" (final; `code` says why).
 *
 * Emits "change" with a chat_id, and "unsaved" with the error when the storage failed (the entry then lives in memory
 * only).
 */
export class Outbox extends Emitter {
  #shelf;
  #newId;
  #now;
  #entries = new Map(); // in the order of sending

  constructor({ shelf, newId, now = Date.now }) {
    super();
    this.#shelf = shelf;
    this.#newId = newId;
    this.#now = now;
  }

  /** Read what an earlier page left behind. */
  async open() {
    try {
      const left = await this.#shelf.all();
      left.sort((a, b) => (a.message_id < b.message_id ? -1 : 1));
      const fresh = [...this.#entries.values()];
      this.#entries = new Map([...left, ...fresh].map((entry) => [entry.message_id, entry]));
    } catch (error) {
      this.emit("unsaved", error);
    }
    for (const chatId of new Set([...this.#entries.values()].map((entry) => entry.chat_id)))
      this.emit("change", chatId);
  }

  get(messageId) {
    return this.#entries.get(messageId) ?? null;
  }

  /** Everything of one chat that no event has settled, oldest first. */
  of(chatId) {
    return [...this.#entries.values()].filter((entry) => entry.chat_id === chatId);
  }

  /** How many wait to be sent. */
  get waiting() {
    return this.#withState("queued").length;
  }

  /** The oldest entry to send of each chat, so that one chat's order never depends on a later send overtaking. */
  next() {
    const first = new Map();
    for (const entry of this.#withState("queued")) if (!first.has(entry.chat_id)) first.set(entry.chat_id, entry);
    return [...first.values()];
  }

  acked() {
    return this.#withState("acked");
  }

  all() {
    return [...this.#entries.values()];
  }

  /** Take a message in; resolves to its entry once it is stored. */
  async add({ chat_id, kind = "TEXT", text, reply_to_message = null, blob = null, name = "" }) {
    const entry = { message_id: this.#newId(), chat_id, kind, text, created_at: this.#now(), state: "queued" };
    if (blob) Object.assign(entry, { blob, name, state: "uploading" });
    if (reply_to_message) entry.reply_to_message = reply_to_message;
    await this.#put(entry);
    return entry;
  }

  /** The server has the file: the message may go. */
  async uploaded(messageId, file) {
    const entry = this.get(messageId);
    if (entry) await this.#put({ ...entry, kind: file.width ? "IMAGE" : "FILE", file, state: "queued" });
  }

  /** The log has it. Its event may have come first: then there is nothing left to mark. */
  async ack(messageId) {
    const entry = this.get(messageId);
    if (entry && entry.state !== "refused") await this.#put({ ...entry, state: "acked" });
  }

  /** The log may not have it after all: send it again, under the same id. */
  async requeue(messageId) {
    const entry = this.get(messageId);
    if (entry) await this.#put({ ...entry, state: "queued" });
  }

  async refuse(messageId, code) {
    const entry = this.get(messageId);
    if (entry) await this.#put({ ...entry, state: "refused", code });
  }

  /** A refusal holds for its id for ever, so another try goes out under a new one, at the end of the queue. */
  async retry(messageId) {
    const { code, file, ...entry } = this.get(messageId);
    await this.remove(messageId);
    const state = entry.blob ? "uploading" : "queued";
    const again = { ...entry, message_id: this.#newId(), created_at: this.#now(), state };
    await this.#put(again);
    return again;
  }

  /** An id that the server calls too far ahead was never accepted: the same place in the queue, a new id. */
  async reissue(messageId) {
    const entries = [...this.#entries.values()];
    const at = entries.findIndex((entry) => entry.message_id === messageId);
    const renewed = { ...entries[at], message_id: this.#newId(), reissued: true };
    entries[at] = renewed;
    this.#entries = new Map(entries.map((entry) => [entry.message_id, entry]));
    await this.#save(renewed);
    await this.#forget(messageId);
    return renewed;
  }

  /** Its event is here, or the reader gave it up. */
  async remove(messageId) {
    const entry = this.get(messageId);
    if (!entry) return;
    this.#entries.delete(messageId);
    this.emit("change", entry.chat_id);
    await this.#forget(messageId);
  }

  #withState(state) {
    return [...this.#entries.values()].filter((entry) => entry.state === state);
  }

  async #put(entry) {
    this.#entries.set(entry.message_id, entry);
    this.emit("change", entry.chat_id);
    await this.#save(entry);
  }

  async #save(entry) {
    try {
      await this.#shelf.put(entry);
      // An event that settled the entry during the write has already asked for its removal; ask again, after the write.
      if (!this.#entries.has(entry.message_id)) await this.#shelf.remove(entry.message_id);
    } catch (error) {
      this.emit("unsaved", error);
    }
  }

  async #forget(messageId) {
    try {
      await this.#shelf.remove(messageId);
    } catch (error) {
      this.emit("unsaved", error);
    }
  }
}
