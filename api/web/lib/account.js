/** Signing in and out, and what outlives a sign-in: tokens, ids, the server's clock. */

import { createApi } from "./api.js";
import { Http } from "./http.js";
import { Session } from "./session.js";
import { createIds } from "./uuid7.js";

const TOLERATED_MS = 5_000; // smaller differences are latency as much as clock

export class Account {
  isLeaving = false; // this reader ends the session, nobody else did
  features = [];
  limits = {};

  #offsetMs = 0;
  #now;

  /** `namespace` keeps several sign-ins apart in one storage. */
  constructor({ base = "", storage, namespace = "tidings", fetch, now = Date.now }) {
    this.#now = now;
    this.base = base;
    this.namespace = namespace;
    this.storage = storage;
    this.newId = createIds({ now: () => this.serverNow().getTime() });
    this.session = new Session({ storage, key: `${namespace}:session`, newId: this.newId, now });
    this.http = new Http({ base, session: this.session, fetch, now });
    this.api = createApi(this.http);
  }

  get user() {
    return this.session.user;
  }

  /** One id per installation, for the server's list of sessions. */
  get deviceId() {
    const key = `${this.namespace}:device`;
    const kept = this.storage.getItem(key) ?? this.newId();
    this.storage.setItem(key, kept);
    return kept;
  }

  /** Now, by the server's clock as far as it is known. */
  serverNow() {
    return new Date(this.#now() + this.#offsetMs);
  }

  /** Learn from a `server_time` that has just arrived. */
  setServerTime(text) {
    if (!text) return;
    const offset = Date.parse(text) - this.#now();
    this.#offsetMs = Math.abs(offset) > TOLERATED_MS ? offset : 0;
  }

  async learnServer() {
    const info = await this.api.info();
    this.features = info.features ?? [];
    this.limits = info.limits ?? {};
    this.setServerTime(info.server_time);
    return info;
  }

  async register(body) {
    this.#enter(await this.api.register(body));
  }

  async login(username, password) {
    this.#enter(await this.api.login(username, password));
  }

  async demoLogin(code) {
    this.#enter(await this.api.demoLogin(code));
  }

  #enter(answer) {
    this.isLeaving = false;
    this.session.adopt(answer);
  }

  /** Ends the session here even if the server cannot be told. */
  async logout() {
    const { refreshToken } = this.session.value;
    this.isLeaving = true;
    try {
      await this.api.logout(refreshToken);
    } finally {
      this.session.clear();
    }
  }

  async erase(password) {
    await this.api.eraseMe(password);
    this.isLeaving = true;
    this.session.clear();
  }

  async rename(displayName) {
    const { user_id, username, display_name } = await this.api.changeMe({ display_name: displayName });
    this.session.rename({ user_id, username, display_name });
    return this.user;
  }
}
