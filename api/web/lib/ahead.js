/**
 * Loads what a reader comes by while they scroll. The first range is asked for at once, and a few at a time; of those that
 * come up meanwhile only the newest is asked for next, so that one who flies past a thousand pages neither waits for them
 * nor has to stop to see anything.
 */

const AT_ONCE = 2;
const AROUND = 40; // rows on either side of what is seen
const AHEAD = 120; // rows the way the reader goes: more than they pass while an answer is on its way

export class Ahead {
  #load;
  #onError;
  #atOnce;
  #running = 0;
  #next = null;
  #first = null;
  #way = 0;

  /** `load(...range)` answers a promise; what it raises goes to `onError`. */
  constructor(load, onError, { atOnce = AT_ONCE } = {}) {
    this.#load = load;
    this.#onError = onError;
    this.#atOnce = atOnce;
  }

  /** Load this range, now or after what is under way, unless a newer one comes first. */
  want(...range) {
    this.#next = range;
    this.#pump();
  }

  /** Nothing more is wanted: another chat shows, or none. */
  forget() {
    this.#next = null;
    this.#first = null;
    this.#way = 0;
  }

  /** The rows to have, `{from, to}`, where `first`..`last` show; which way the reader goes follows from earlier calls. */
  range({ first, last }) {
    if (this.#first !== null && first !== this.#first) this.#way = Math.sign(first - this.#first);
    this.#first = first;
    return { from: first - (this.#way < 0 ? AHEAD : AROUND), to: last + (this.#way > 0 ? AHEAD : AROUND) };
  }

  #pump() {
    if (!this.#next || this.#running >= this.#atOnce) return;
    const range = this.#next;
    this.#next = null;
    this.#running += 1;
    const done = () => {
      this.#running -= 1;
      this.#pump();
    };
    this.#load(...range)
      .catch(this.#onError)
      .then(done);
  }
}
