/** UUIDv7 (RFC 9562, 5.7). `crypto.randomUUID` is missing outside secure contexts, so ids are made by hand. */

const STEP_BACK_MS = 10_000; // a clock set back by more than this is followed, instead of holding the old time

function fillRandom(bytes) {
  return globalThis.crypto.getRandomValues(bytes);
}

/**
 * A source of ids that rise in the order in which they were made, many in one millisecond included.
 * `now` gives Unix milliseconds, `random` fills a Uint8Array.
 */
export function createIds({ now = Date.now, random = fillRandom } = {}) {
  let last = 0;
  let counter = 0;
  return function next() {
    const ms = Math.floor(now());
    const bytes = random(new Uint8Array(10));
    if (ms > last || last - ms > STEP_BACK_MS) {
      last = ms;
      counter = ((bytes[8] << 8) | bytes[9]) & 0x7ff; // half the range stays free to count up in
    } else if (counter < 0xfff) {
      counter += 1;
    } else {
      last += 1;
      counter = 0;
    }
    const time = last.toString(16).padStart(12, "0");
    const count = counter.toString(16).padStart(3, "0");
    bytes[0] = 0x80 | (bytes[0] & 0x3f);
    const tail = Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
    return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-${tail.slice(0, 4)}-${tail.slice(4)}`;
  };
}

/** The Unix milliseconds that a UUIDv7 carries. */
export function timeOf(id) {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
