/** Background work by name: one run at a time each, repeated with growing waits while the trouble is a passing one. */

import { systemClock } from "./connection.js";
import { Problem, SignedOut, Unreachable } from "./http.js";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

function passes(error) {
  return error instanceof Unreachable || (error instanceof Problem && (error.status >= 500 || error.status === 429));
}

export class Tasks {
  #clock;
  #running = new Map();
  #stopped = false;
  #waits = new Map(); // timer → end of that wait

  constructor({ clock = systemClock } = {}) {
    this.#clock = clock;
  }

  /** Run `work` unless `name` already runs; resolves when it is through. Raises what does not pass by waiting. */
  run(name, work) {
    if (!this.#running.has(name)) {
      const run = this.#persist(work).finally(() => this.#running.delete(name));
      this.#running.set(name, run);
    }
    return this.#running.get(name);
  }

  /** End the waits of everything that is about to try again: the network is back. */
  hurry() {
    for (const [timer, end] of [...this.#waits]) {
      this.#clock.clearTimeout(timer);
      end();
    }
  }

  stop() {
    this.#stopped = true;
    this.hurry();
  }

  async #persist(work) {
    for (let wait = FIRST_WAIT_MS; !this.#stopped; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof SignedOut) return undefined; // the session's own listeners tell the reader
        if (!passes(error)) throw error;
        await this.#pause(Math.max(wait, error.retryAfterMs ?? 0));
      }
    }
    return undefined;
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const end = () => {
        this.#waits.delete(timer);
        resolve();
      };
      const timer = this.#clock.setTimeout(end, ms);
      this.#waits.set(timer, end);
    });
  }
}
