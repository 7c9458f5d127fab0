/**
 * Sends the files of outbox entries to the server, one after the other, then lets the messages that name them go. What
 * broke off begins again when the server is there: a file is stored on this device until its message has settled.
 */

import { Emitter } from "./emitter.js";
import { systemClock } from "./connection.js";
import { Problem, Unreachable } from "./http.js";

const PASSING = new Set(["unavailable", "not_yet", "rate_limited", "internal"]);
const PAUSE_MS = 2_000;
const LINK_EARLY_MS = 60_000;

/** Emits "progress" with an entry's chat_id. `send(path, {file, name, token, onProgress, signal})` answers the file. */
export class Uploads extends Emitter {
  #outbox;
  #api;
  #http;
  #send;
  #onDone;
  #serverNow;
  #clock;
  #under = null; // {id, abort, part}
  #pause = null;
  #links = new Map(); // file_id → {url, thumbnail_url, until (ms)} or a promise of it

  /** `serverNow()`: the server's time in Unix ms. */
  constructor({ outbox, api, http, send, onDone, serverNow, clock = systemClock }) {
    super();
    this.#outbox = outbox;
    this.#api = api;
    this.#http = http;
    this.#send = send;
    this.#onDone = onDone;
    this.#serverNow = serverNow;
    this.#clock = clock;
  }

  /** Send the oldest file that waits, unless one is under way. Safe to call at any time. */
  pump() {
    if (this.#under || this.#pause) return;
    const entry = this.#outbox.all().find(({ state }) => state === "uploading");
    if (entry) void this.#upload(entry);
  }

  /** The server is there again: do not wait any longer. */
  hurry() {
    this.#clock.clearTimeout(this.#pause);
    this.#pause = null;
    this.pump();
  }

  /** How much of an entry's file has gone out, from 0 to 1; null while it waits. */
  progress(messageId) {
    return this.#under?.id === messageId ? this.#under.part : null;
  }

  async cancel(messageId) {
    if (this.#under?.id === messageId) this.#under.abort.abort();
    await this.#outbox.remove(messageId);
  }

  /** Links to a file, asked for once while they work: `{url, thumbnail_url}`. Raises what the API raises. */
  async link(fileId) {
    const held = this.#links.get(fileId);
    if (held && (held.until === undefined || held.until > this.#clock.now())) return held;
    const asking = this.#api.fileUrl(fileId).then((answer) => {
      const life = Date.parse(answer.expires_at) - this.#serverNow() - LINK_EARLY_MS;
      const link = { ...answer, until: this.#clock.now() + life };
      this.#links.set(fileId, link);
      return link;
    });
    this.#links.set(fileId, asking);
    asking.catch(() => this.#links.delete(fileId));
    return asking;
  }

  stop() {
    this.#under?.abort.abort();
    this.#clock.clearTimeout(this.#pause);
    this.#pause = Infinity;
  }

  async #upload({ message_id: id, chat_id: chatId, blob, name }) {
    const under = { id, abort: new AbortController(), part: 0 };
    this.#under = under;
    const onProgress = (part) => {
      under.part = part;
      this.emit("progress", chatId);
    };
    try {
      const file = await this.#http.authorized((token) =>
        this.#send("/v1/files", { file: blob, name, token, onProgress, signal: under.abort.signal }),
      );
      await this.#outbox.uploaded(id, file);
      this.#onDone();
    } catch (error) {
      if (!under.abort.signal.aborted) await this.#failed(id, error);
    } finally {
      this.#under = null;
      this.emit("progress", chatId);
    }
    this.pump();
  }

  async #failed(id, error) {
    if (error instanceof Unreachable || (error instanceof Problem && PASSING.has(error.code))) {
      this.#pause ??= this.#clock.setTimeout(() => {
        this.#pause = null;
        this.pump();
      }, error.retryAfterMs ?? PAUSE_MS);
    } else {
      await this.#outbox.refuse(id, error.code ?? "invalid");
    }
  }
}

/** The `send` of a browser: XMLHttpRequest alone tells how much has gone out. */
export function sendFile(base) {
  return (path, { file, name, token, onProgress, signal }) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const body = new FormData();
      body.append("file", file, name);
      request.open("POST", base + path);
      request.setRequestHeader("Authorization", `Bearer ${token}`);
      request.responseType = "json";
      request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
      request.onload = () => {
        if (request.status === 201 && request.response) return resolve(request.response);
        const wait = Number.parseFloat(request.getResponseHeader("Retry-After") ?? "");
        reject(new Problem(request.status, request.response ?? {}, Number.isFinite(wait) ? wait * 1000 : null));
      };
      request.onerror = () => reject(new Unreachable(new Error("the upload broke off")));
      request.onabort = request.onerror;
      signal.addEventListener("abort", () => request.abort());
      request.send(body);
    });
}

/** "1.4 MB", for people. */
export function sizeLabel(bytes) {
  const units = ["bytes", "KB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toLocaleString("en-GB", { maximumFractionDigits: unit && value < 10 ? 1 : 0 })} ${units[unit]}`;
}
