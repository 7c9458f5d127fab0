/** Unsent text per chat. Written at once and synchronously, so that closing the page loses nothing. */

export class Drafts {
  #storage;
  #prefix;
  #memory = new Map(); // what the storage refused (full, or forbidden)

  constructor({ storage, prefix }) {
    this.#storage = storage;
    this.#prefix = prefix;
  }

  /** `{text, replyTo}`; replyTo is a message id or null. */
  get(chatId) {
    const text = this.#memory.get(chatId) ?? this.#storage.getItem(this.#prefix + chatId);
    return text ? JSON.parse(text) : { text: "", replyTo: null };
  }

  set(chatId, text, replyTo = null) {
    if (!text && !replyTo) {
      this.clear(chatId);
      return;
    }
    const value = JSON.stringify({ text, replyTo });
    try {
      this.#storage.setItem(this.#prefix + chatId, value);
      this.#memory.delete(chatId);
    } catch {
      this.#memory.set(chatId, value); // a full storage must not cost the text that is on the screen
    }
  }

  clear(chatId) {
    this.#memory.delete(chatId);
    this.#storage.removeItem(this.#prefix + chatId);
  }
}
