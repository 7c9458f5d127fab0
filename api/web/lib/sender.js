/**
 * Empties the outbox over a connection: one message in flight per chat, in order, until the server has an answer for
 * each.
 */

import { FrameRefused, systemClock } from "./connection.js";

/** Refusals that say "not now" rather than "no": the same id goes out again. */
const PASSING = new Set(["rate_limited", "unavailable", "not_yet"]);
const PAUSE_MS = 1_000;

export class Sender {
  #outbox;
  #connection;
  #onServerTime;
  #onAck;
  #clock;
  #busy = new Set(); // chat ids with a message in flight
  #pause = null; // the timer of a pause, while there is one

  constructor({ outbox, connection, onServerTime = () => {}, onAck = () => {}, clock = systemClock }) {
    this.#outbox = outbox;
    this.#connection = connection;
    this.#onServerTime = onServerTime;
    this.#onAck = onAck;
    this.#clock = clock;
  }

  /** Send whatever may go now. Safe to call at any time. */
  pump() {
    if (this.#connection.state !== "online" || this.#pause) return;
    for (const entry of this.#outbox.next()) {
      if (!this.#busy.has(entry.chat_id)) void this.#send(entry);
    }
  }

  async #send(entry) {
    this.#busy.add(entry.chat_id);
    try {
      const { message_id, chat_id, kind, text, reply_to_message, file } = entry;
      const frame = { type: "send", chat_id, message_id, kind, text, reply_to_message, file_id: file?.file_id };
      await this.#connection.request(frame);
      await this.#outbox.ack(message_id);
      this.#onAck(entry);
    } catch (error) {
      await this.#failed(entry, error);
    } finally {
      this.#busy.delete(entry.chat_id);
    }
    this.pump();
  }

  async #failed(entry, error) {
    if (!(error instanceof FrameRefused)) {
      this.#rest(PAUSE_MS); // no answer: it stays queued and goes out again, under the same id
    } else if (PASSING.has(error.code)) {
      this.#rest(error.retryAfterMs ?? PAUSE_MS);
    } else if (error.code === "id_from_future" && !entry.reissued) {
      this.#onServerTime(error.serverTime);
      await this.#outbox.reissue(entry.message_id);
    } else {
      await this.#outbox.refuse(entry.message_id, error.code);
    }
  }

  #rest(ms) {
    if (this.#pause) return;
    this.#pause = this.#clock.setTimeout(() => {
      this.#pause = null;
      this.pump();
    }, ms);
  }
}
