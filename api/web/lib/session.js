/**
 * Who is signed in, and the tokens to prove it, in a storage that tabs may share (localStorage or anything like it).
 */

import { Emitter } from "./emitter.js";

/** Just enough of the Storage interface for Node and for browsers that refuse storage. */
export class MemoryStorage {
  #values = new Map();

  getItem(key) {
    return this.#values.get(key) ?? null;
  }

  setItem(key, value) {
    this.#values.set(key, String(value));
  }

  removeItem(key) {
    this.#values.delete(key);
  }
}

/**
 * The stored value: `{user, accessToken, expiresAt (local ms), refreshToken, requestId}`. The request id of the next
 * refresh is minted with the token and stored beside it, so a reply lost to a crash, or two tabs that refresh at once,
 * repeat the very same request. Emits "change" with the session or null.
 */
export class Session extends Emitter {
  #storage;
  #key;
  #newId;
  #now;
  #value = null;

  constructor({ storage, key = "tidings:session", newId, now = Date.now }) {
    super();
    this.#storage = storage;
    this.#key = key;
    this.#newId = newId;
    this.#now = now;
    this.#value = this.#read();
  }

  get value() {
    return this.#value;
  }

  get user() {
    return this.#value?.user ?? null;
  }

  /** Take over the answer of register, login or refresh. */
  adopt(answer) {
    this.#write({
      user: answer.user ?? this.user,
      accessToken: answer.access_token,
      expiresAt: this.#now() + answer.expires_in * 1000,
      refreshToken: answer.refresh_token,
      requestId: this.#newId(),
    });
  }

  rename(user) {
    if (this.#value) this.#write({ ...this.#value, user });
  }

  clear() {
    if (!this.#value) return;
    this.#value = null;
    this.#storage.removeItem(this.#key);
    this.emit("change", null);
  }

  /** Look again at the storage: another tab may have refreshed, or signed out. */
  reload() {
    const stored = this.#read();
    if (stored?.accessToken === this.#value?.accessToken) return;
    this.#value = stored;
    this.emit("change", stored);
  }

  #write(value) {
    this.#value = value;
    this.#storage.setItem(this.#key, JSON.stringify(value));
    this.emit("change", value);
  }

  #read() {
    const text = this.#storage.getItem(this.#key);
    if (!text) return null;
    try {
      return JSON.parse(text);
    } catch {
      return null; // written by another program or cut off: the same as not signed in
    }
  }
}
