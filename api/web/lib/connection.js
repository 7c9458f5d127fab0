/** One WebSocket that stays alive: connect and resume, renewal of the token, pings, and coming back with jitter. */

import { Emitter } from "./emitter.js";
import { SignedOut } from "./http.js";

export const PROTOCOL = "chat.v1";

const CONNECT_LIMIT_MS = 15_000;
const REPLY_LIMIT_MS = 20_000;
const PONG_LIMIT_MS = 10_000;
const WAKE_PONG_LIMIT_MS = 4_000; // after sleep or a change of network a dead socket should be found soon
const RENEW_EARLY_MS = 60_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const FLOOD_WAIT_MS = 5_000;
const STEADY_MS = 10_000; // a connection that lived this long starts the waits from the beginning

/** Close codes after which coming back would only repeat the fault; every other one is worth another try. */
const FINAL = new Map([
  [1009, "broken"],
  [4400, "broken"],
  [4409, "replaced"],
]);

/** The connection ended before the answer came: whether the frame took effect is unknown. */
export class ConnectionLost extends Error {
  name = "ConnectionLost";
}

/** The server refused a frame. */
export class FrameRefused extends Error {
  constructor(frame) {
    super(frame.message || frame.code);
    this.name = "FrameRefused";
    this.code = frame.code;
    this.retryAfterMs = frame.retry_after_ms ?? null;
    this.serverTime = frame.server_time ?? null;
  }
}

/**
 * Emits "state" (this), "connected" (frame) and "frame" (every frame that answers nothing).
 *
 * state: "idle", "connecting", "online", "waiting" (until `retryAt`, local ms) or "stopped" for `reason`:
 * "closed" (by us), "replaced" (4409), "signed_out", "broken" (1009, 4400).
 */
export class Connection extends Emitter {
  state = "idle";
  reason = null;
  retryAt = null;

  #options;
  #socket = null;
  #epoch = 0; // rises whenever a socket is given up, so that its late news is ignored
  #failures = 0;
  #onlineSince = 0;
  #heardAt = 0;
  #refused = null; // the token that 4401 was about
  #token = null;
  #nextId = 0;
  #replies = new Map();
  #timers = new Map();
  #heartbeatMs = 25_000;

  /**
   * `url`: of /v1/ws. `token({refused})` → `{token, expiresAt}` as Http.token. `resume()` → `{chat_id: seq}`.
   * `client`: `{name, version, platform, device_id}`. `clock`: setTimeout, clearTimeout and now, for tests.
   */
  constructor({
    url,
    token,
    resume,
    client,
    Socket = globalThis.WebSocket,
    clock = systemClock,
    random = Math.random,
  }) {
    super();
    this.#options = { url, token, resume, client, Socket, clock, random };
  }

  start() {
    if (this.state !== "idle" && this.state !== "stopped") return;
    this.#failures = 0;
    this.#dial();
  }

  stop(reason = "closed") {
    this.#drop(1000);
    this.#enter("stopped", reason);
  }

  /** The person came back, or the network did: do not sit out a wait, and do not trust an old socket. */
  wake() {
    if (this.state === "waiting") this.#dial();
    if (this.state === "online") this.#probe(WAKE_PONG_LIMIT_MS);
  }

  /** Send a frame that has no answer; false where there is no connection. */
  post(frame) {
    if (this.state !== "online") return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Send a frame and await its answer. Raises ConnectionLost or FrameRefused. */
  request(frame, limitMs = REPLY_LIMIT_MS) {
    if (this.state !== "online") return Promise.reject(new ConnectionLost("not connected"));
    return this.#ask(frame, limitMs);
  }

  #ask(frame, limitMs) {
    const id = String((this.#nextId += 1));
    return new Promise((resolve, reject) => {
      this.#replies.set(id, { resolve, reject });
      this.#after(limitMs, `reply ${id}`, () => {
        this.#replies.delete(id);
        reject(new ConnectionLost("no answer in time"));
      });
      this.#socket.send(JSON.stringify({ ...frame, id }));
    });
  }

  async #dial() {
    const { token, Socket, url } = this.#options;
    this.#clearTimers();
    const epoch = (this.#epoch += 1);
    this.#enter("connecting");
    try {
      const held = await token({ refused: this.#refused });
      if (epoch !== this.#epoch) return;
      this.#token = held;
    } catch (error) {
      if (epoch !== this.#epoch) return;
      if (error instanceof SignedOut) this.stop("signed_out");
      else this.#comeBack();
      return;
    }
    const socket = new Socket(url, PROTOCOL);
    this.#socket = socket;
    const mine = (handler) => (event) => epoch === this.#epoch && handler(event);
    socket.addEventListener(
      "open",
      mine(() => this.#introduce()),
    );
    socket.addEventListener(
      "message",
      mine((event) => this.#hear(event.data)),
    );
    socket.addEventListener(
      "close",
      mine((event) => this.#closed(event.code)),
    );
    this.#after(CONNECT_LIMIT_MS, "connect", () => this.#closed(1006));
  }

  async #introduce() {
    const { resume, client } = this.#options;
    try {
      await this.#ask({ type: "connect", token: this.#token.token, resume: resume(), client }, CONNECT_LIMIT_MS);
    } catch (error) {
      // After a lost socket its close code has already said what to do.
      if (error instanceof FrameRefused) this.#closed(error.code === "bad_token" ? 4401 : 1011);
    }
  }

  #hear(text) {
    const frame = JSON.parse(text);
    this.#heardAt = this.#options.clock.now();
    if (frame.type === "connected") this.#welcome(frame);
    const waiting = this.#replies.get(frame.reply_to);
    if (waiting) {
      this.#replies.delete(frame.reply_to);
      this.#cancel(`reply ${frame.reply_to}`);
      if (frame.type === "error") waiting.reject(new FrameRefused(frame));
      else waiting.resolve(frame);
    } else if (frame.type === "reconnect") {
      this.#leaveFor(frame.after_ms);
    } else if (frame.type !== "connected") {
      this.emit("frame", frame);
    }
  }

  #welcome(frame) {
    this.#refused = null;
    this.#onlineSince = this.#options.clock.now();
    this.#heartbeatMs = (frame.heartbeat_s ?? 25) * 1000;
    this.#cancel("connect");
    this.#enter("online");
    this.#after(this.#heartbeatMs, "heartbeat", () => this.#beat());
    this.#planRenewal();
    this.emit("connected", frame);
  }

  // Browsers hide protocol pings, so a silent socket is tested with a ping of our own.
  #beat() {
    const { clock } = this.#options;
    if (clock.now() - this.#heardAt >= this.#heartbeatMs) this.#probe(PONG_LIMIT_MS);
    this.#after(this.#heartbeatMs, "heartbeat", () => this.#beat());
  }

  #probe(limitMs) {
    const epoch = this.#epoch;
    this.#ask({ type: "ping" }, limitMs).catch(() => {
      if (epoch === this.#epoch && this.state === "online") this.#closed(1006);
    });
  }

  #planRenewal() {
    const left = this.#token.expiresAt - this.#options.clock.now();
    this.#after(Math.max(left - RENEW_EARLY_MS, left / 2, 1000), "renew", () => this.#renew());
  }

  async #renew() {
    const epoch = this.#epoch;
    try {
      const held = await this.#options.token({ refused: this.#token.token });
      if (epoch !== this.#epoch) return;
      await this.request({ type: "auth", token: held.token });
      if (epoch !== this.#epoch) return;
      this.#token = held;
      this.#planRenewal();
    } catch (error) {
      if (epoch !== this.#epoch) return;
      if (error instanceof SignedOut) this.stop("signed_out");
      else this.#after(FLOOD_WAIT_MS, "renew", () => this.#renew());
    }
  }

  #leaveFor(afterMs) {
    this.#drop(1000);
    this.#failures = 0;
    this.#wait(afterMs + this.#options.random() * FIRST_WAIT_MS); // the server has spread its sockets already
  }

  #closed(code) {
    this.#drop(1000);
    const ending = FINAL.get(code);
    if (ending) {
      this.#enter("stopped", ending);
      return;
    }
    if (code === 4401) this.#refused = this.#token?.token ?? null;
    this.#comeBack(code);
  }

  #comeBack(code) {
    const { clock, random } = this.#options;
    if (this.#onlineSince && clock.now() - this.#onlineSince > STEADY_MS) this.#failures = 0;
    this.#onlineSince = 0;
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    this.#failures += 1;
    const floor = code === 4429 ? FLOOD_WAIT_MS : 0;
    this.#wait(floor + ceiling * (0.5 + random() / 2));
  }

  #wait(ms) {
    this.retryAt = this.#options.clock.now() + ms;
    this.#enter("waiting");
    this.#after(ms, "dial", () => this.#dial());
  }

  /** Give the socket up: nothing that it still says counts, and everything that awaits an answer learns so. */
  #drop(code) {
    this.#epoch += 1;
    this.#clearTimers();
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= 1) socket.close(code);
    const replies = [...this.#replies.values()];
    this.#replies.clear();
    for (const { reject } of replies) reject(new ConnectionLost("the connection ended"));
  }

  #enter(state, reason = null) {
    this.state = state;
    this.reason = reason;
    if (state !== "waiting") this.retryAt = null;
    this.emit("state", this);
  }

  #after(ms, name, action) {
    this.#cancel(name);
    const timer = this.#options.clock.setTimeout(() => {
      this.#timers.delete(name);
      action();
    }, ms);
    this.#timers.set(name, timer);
  }

  #cancel(name) {
    this.#options.clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #clearTimers() {
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
  }
}

export const systemClock = {
  setTimeout: (action, ms) => globalThis.setTimeout(action, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
  now: () => Date.now(),
};
