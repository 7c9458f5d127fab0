/**
 * Who is who, who is here, and who is typing. Asks for names that it lacks by "need" ({what: "users", ids}).
 * Also emits "users", "presence" (user id, or null for everybody), "typing" (chat id), "erased" (user id).
 */

import { systemClock } from "./connection.js";
import { Emitter } from "./emitter.js";
import { plain } from "./text.js";

const TYPING_MS = 6_000;

export class People extends Emitter {
  #clock;
  #users = new Map();
  #absent = new Set(); // asked for and not there: erased accounts
  #leavers = new Set(); // left a chat, perhaps by erasing themselves
  #presence = new Map();
  #typing = new Map(); // chat id → Map user id → timer

  constructor({ clock = systemClock } = {}) {
    super();
    this.#clock = clock;
  }

  /** Take in `{user_id, username, display_name}` objects; `asked`: the ids that were asked for. */
  take(users, asked = []) {
    for (const user of users) {
      this.#users.set(user.user_id, { ...user, display_name: plain(user.display_name ?? "") });
      this.#absent.delete(user.user_id);
    }
    const found = new Set(users.map((user) => user.user_id));
    for (const userId of asked) {
      const left = this.#leavers.delete(userId);
      if (found.has(userId)) continue;
      this.#absent.add(userId);
      if (left) this.emit("erased", userId);
    }
    this.emit("users");
  }

  get(userId) {
    const user = this.#users.get(userId);
    if (!user && userId && !this.#absent.has(userId)) this.emit("need", { what: "users", ids: [userId] });
    return user ?? null;
  }

  nameOf(userId) {
    if (this.#absent.has(userId)) return "Deleted account";
    const user = this.get(userId);
    return user?.display_name || user?.username || "…";
  }

  /** Erasure leaves every chat and says nothing else, so a leaver is looked up again. */
  checkErased(userId) {
    this.#leavers.add(userId);
    this.emit("need", { what: "users", ids: [userId] });
  }

  /** `{status: "online" | "away" | "offline", lastSeen: Date | null}` */
  presenceOf(userId) {
    return this.#presence.get(userId) ?? { status: "offline", lastSeen: null };
  }

  takePresence({ user_id: userId, status, last_seen: lastSeen }) {
    this.#presence.set(userId, { status, lastSeen: lastSeen ? new Date(lastSeen) : null });
    this.emit("presence", userId);
  }

  /** Ids of those who type in a chat, in the order in which they began. */
  typingIn(chatId) {
    return [...(this.#typing.get(chatId)?.keys() ?? [])];
  }

  startTyping(chatId, userId) {
    const typing = this.#typing.get(chatId) ?? new Map();
    this.#typing.set(chatId, typing);
    this.#clock.clearTimeout(typing.get(userId));
    typing.set(
      userId,
      this.#clock.setTimeout(() => this.stopTyping(chatId, userId), TYPING_MS),
    );
    this.emit("typing", chatId);
  }

  stopTyping(chatId, userId) {
    const typing = this.#typing.get(chatId);
    if (!typing?.has(userId)) return;
    this.#clock.clearTimeout(typing.get(userId));
    typing.delete(userId);
    this.emit("typing", chatId);
  }

  /** Nothing live is known any more: typing and presence end with the connection. */
  forgetLive() {
    for (const [chatId, typing] of this.#typing) {
      for (const userId of [...typing.keys()]) this.stopTyping(chatId, userId);
    }
    this.#presence.clear();
    this.emit("presence", null);
  }
}
