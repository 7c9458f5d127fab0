/** A clock that moves only when told, with the timers that hang on it. */
export class FakeClock {
  #now;
  #timers = new Map();
  #next = 1;

  constructor(now = Date.parse("2026-03-02T10:00:00.000Z")) {
    this.#now = now;
  }

  now = () => this.#now;

  setTimeout = (action, ms) => {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + ms, action });
    return id;
  };

  clearTimeout = (id) => {
    this.#timers.delete(id);
  };

  /** Move ahead by `ms`, running due timers in order, and let the promises that they settle run. */
  async pass(ms) {
    const end = this.#now + ms;
    await settled();
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      const [id, { at, action }] = due;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, at);
      action();
      await settled();
    }
    this.#now = end;
  }
}

/** Let every promise that can settle without timers settle. */
export async function settled() {
  for (let round = 0; round < 3; round += 1) await new Promise((resolve) => setImmediate(resolve));
}
