/** Tells the server what this device has and what its reader saw: watermarks, gathered for a moment, sent once each. */

import { systemClock } from "./connection.js";

const GATHER_MS = 100;
const AT_ONCE = 50; // chats a flush, so that a long inbox is no flood

export class Marks {
  #connection;
  #clock;
  #due = new Map(); // chat id → {delivered, read}
  #timer = null;

  constructor({ connection, clock = systemClock }) {
    this.#connection = connection;
    this.#clock = clock;
  }

  delivered(chatId, seq) {
    this.#raise(chatId, "delivered", seq);
  }

  read(chatId, seq) {
    this.#raise(chatId, "read", seq);
  }

  /** What waits means nothing any more. */
  forget() {
    this.#due.clear();
  }

  /** Send what waits, or keep it for the next connection. */
  flush() {
    for (const [chatId, { delivered, read }] of [...this.#due].slice(0, AT_ONCE)) {
      const sent =
        (read === 0 || this.#connection.post({ type: "read", chat_id: chatId, up_to_seq: read })) &&
        (delivered <= read || this.#connection.post({ type: "delivered", chat_id: chatId, up_to_seq: delivered }));
      if (!sent) return;
      this.#due.delete(chatId);
    }
    if (this.#due.size) this.#soon();
  }

  #raise(chatId, kind, seq) {
    const marks = this.#due.get(chatId) ?? { delivered: 0, read: 0 };
    marks[kind] = Math.max(marks[kind], seq);
    this.#due.set(chatId, marks);
    this.#soon();
  }

  #soon() {
    this.#timer ??= this.#clock.setTimeout(() => {
      this.#timer = null;
      this.flush();
    }, GATHER_MS);
  }
}
