/** A signed-in user's live client: store, connection and outbox working together. Runs in a page and in Node. */

import { messageOf } from "./chat.js";
import { Commands } from "./commands.js";
import { Connection, systemClock } from "./connection.js";
import { Drafts } from "./drafts.js";
import { Emitter } from "./emitter.js";
import { Loader } from "./loader.js";
import { Marks } from "./marks.js";
import { Outbox } from "./outbox.js";
import { Sender } from "./sender.js";
import { Store } from "./store.js";
import { Uploads, sendFile } from "./uploads.js";

const TYPING_EVERY_MS = 3_000;
const WATCH_GATHER_MS = 150;
const MOST_WATCHED = 1_000;
const MOST_RESUMED = 2_000;
const SETTLE_MS = 5_000; // an acknowledged message whose event is not here by then is asked about
const KEPT_EVENTS = 500; // per chat that is not open

export class Client extends Emitter {
  #account;
  #clock;
  #marks;
  #sender;
  #resumed = new Set();
  #incarnation = null; // of the server's log, as last told
  #openChat = null;
  #typedAt = new Map();
  #status = "online";
  #watched = "";
  #watchTimer = null;
  #settleTimer = null;

  /**
   * `account`: signed in. `shelf(name)`: a shelf for the outbox. `client`: `{name, version, platform}` for the server's
   * list.
   */
  constructor({ account, shelf, Socket, send = sendFile(account.base), clock = systemClock, random, client = {} }) {
    super();
    this.#account = account;
    this.#clock = clock;
    const { namespace, storage, user } = account;
    this.store = new Store({ clock });
    this.store.me = user;
    this.people.take([user]);
    this.drafts = new Drafts({ storage, prefix: `${namespace}:draft:${user.user_id}:` });
    const now = () => account.serverNow().getTime();
    this.outbox = new Outbox({ shelf: shelf(`${namespace}:${user.user_id}`), newId: account.newId, now });
    this.connection = new Connection({
      url: socketUrl(account.base, user.user_id),
      token: (options) => account.http.token(options),
      resume: () => this.#resume(),
      client: { name: "tidings-web", platform: "WEB", ...client, device_id: account.deviceId },
      Socket,
      clock,
      random,
    });
    this.#marks = new Marks({ connection: this.connection, clock });
    this.#sender = new Sender({
      outbox: this.outbox,
      connection: this.connection,
      onServerTime: (time) => account.setServerTime(time),
      onAck: (entry) => this.#acknowledged(entry),
      clock,
    });
    this.uploads = new Uploads({
      outbox: this.outbox,
      api: account.api,
      http: account.http,
      send,
      onDone: () => this.#sender.pump(),
      serverNow: now,
      clock,
    });
    this.commands = new Commands({
      api: account.api,
      store: this.store,
      connection: this.connection,
      newId: account.newId,
    });
    this.loader = new Loader({ api: account.api, store: this.store, clock });
    this.#wire();
  }

  get me() {
    return this.store.me;
  }

  get people() {
    return this.store.people;
  }

  get api() {
    return this.#account.api;
  }

  get account() {
    return this.#account;
  }

  now() {
    return this.#account.serverNow();
  }

  /** Begin: what an earlier page left to send, the inbox, the connection. */
  async start() {
    await this.outbox.open();
    this.uploads.pump();
    this.connection.start();
    await this.loader.inbox();
    for (const chat of this.store.list()) if (chat.unread) this.#marks.delivered(chat.id, chat.head);
    for (const chatId of this.#chatsOfOutbox()) {
      if (!this.store.chat(chatId)) await this.loader.chat(chatId);
      if (!this.store.chat(chatId)) this.store.addLost(chatId);
    }
  }

  stop() {
    this.loader.stop();
    this.uploads.stop();
    this.connection.stop();
  }

  /** The person or the network is back. */
  wake() {
    this.connection.wake();
    this.loader.hurry();
  }

  /** Which chat is on the screen (null: none). Others give memory back. */
  open(chatId) {
    const before = this.store.chat(this.#openChat);
    if (before && before.id !== chatId) before.timeline.forgetBefore(before.head - KEPT_EVENTS);
    this.#openChat = chatId;
    const chat = this.store.chat(chatId);
    if (chat && !chat.gone && chat.kind === "group" && !chat.knowsReceipts) void this.loader.receipts(chatId);
    this.#watchSoon();
  }

  /** Queue a message; resolves once it is stored on this device. */
  async send(chatId, text, replyTo = null) {
    const adding = this.outbox.add({ chat_id: chatId, text, reply_to_message: replyTo });
    this.#typedAt.delete(chatId);
    const entry = await adding;
    this.#sender.pump();
    return entry;
  }

  /** Queue a file, with a text below it; resolves once it is stored on this device. */
  async sendFile(chatId, file, text = "", replyTo = null) {
    const kind = file.type.startsWith("image/") ? "IMAGE" : "FILE";
    const entry = { chat_id: chatId, kind, text, reply_to_message: replyTo, blob: file, name: file.name };
    await this.outbox.add(entry);
    this.uploads.pump();
  }

  /** Try a refused message once more; the old refusal stands for its id, so it gets a new one. */
  async retry(messageId) {
    await this.outbox.retry(messageId);
    this.uploads.pump();
    this.#sender.pump();
  }

  /** The message that an answer quotes; null while it is being fetched, `{missing: true}` where there is none. */
  quote(chatId, messageId) {
    const { timeline, quotes } = this.store.chat(chatId);
    const seq = timeline.seqOf(messageId);
    if (seq) return messageOf(timeline.get(seq));
    if (!quotes.has(messageId)) {
      quotes.set(messageId, null);
      void this.loader.quote(chatId, messageId);
    }
    return quotes.get(messageId);
  }

  markRead(chatId, seq) {
    if (this.store.markRead(chatId, seq)) this.#marks.read(chatId, seq);
  }

  /** The reader typed something. */
  typing(chatId) {
    const now = this.#clock.now();
    if (now - (this.#typedAt.get(chatId) ?? -Infinity) < TYPING_EVERY_MS) return;
    if (this.connection.post({ type: "typing", chat_id: chatId })) this.#typedAt.set(chatId, now);
  }

  /** "online" or "away". */
  setStatus(status) {
    if (status === this.#status) return;
    this.#status = status;
    this.connection.post({ type: "status", status });
  }

  /** Drop a chat that this user is out of, with what was never sent there. */
  async forget(chatId) {
    for (const entry of this.outbox.of(chatId)) await this.outbox.remove(entry.message_id);
    this.drafts.clear(chatId);
    this.store.remove(chatId);
  }

  #wire() {
    const { connection, outbox, store } = this;
    connection.on("connected", (frame) => this.#connected(frame));
    connection.on("frame", (frame) => this.#hear(frame));
    connection.on("state", () => {
      if (connection.state !== "online") this.people.forgetLive();
      this.emit("connection", connection);
    });
    outbox.on("change", (chatId) => {
      store.emit("chat", chatId);
      this.emit("outbox");
    });
    this.uploads.on("progress", (chatId) => store.emit("chat", chatId));
    outbox.on("unsaved", (error) => this.emit("unsaved", error));
    store.on("chats", () => this.#watchSoon());
    store.on("message", ({ chat, message }) => this.#marks.delivered(chat.id, message.seq));
  }

  #connected(frame) {
    this.#account.setServerTime(frame.server_time);
    this.#watched = "";
    if (this.#incarnation && frame.incarnation && frame.incarnation !== this.#incarnation) {
      this.#marks.forget();
      this.store.startAnew();
    }
    this.#incarnation = frame.incarnation ?? this.#incarnation;
    this.store.takeConnected(frame, this.#resumed);
    for (const [chatId, head] of Object.entries(frame.chats)) {
      const chat = this.store.chat(chatId);
      if (chat && chat.readSeq > head.read_seq) this.#marks.read(chatId, chat.readSeq);
    }
    this.loader.hurry();
    this.uploads.hurry();
    if (this.#status === "away") this.connection.post({ type: "status", status: "away" });
    this.#marks.flush();
    this.#watchSoon();
    void this.#resolveAcked();
    this.#sender.pump();
    if (this.#openChat) this.store.emit("chat", this.#openChat); // holes that failed to load are asked for again
  }

  #hear(frame) {
    if (frame.type === "event" && frame.event.type === "message.sent")
      void this.outbox.remove(frame.event.data.message_id);
    if (frame.type === "rejected" && frame.message_id) void this.outbox.refuse(frame.message_id, frame.code);
    this.store.takeFrame(frame);
  }

  #acknowledged({ message_id: messageId, chat_id: chatId }) {
    if (this.store.chat(chatId)?.timeline.seqOf(messageId)) void this.outbox.remove(messageId);
    this.#settleTimer ??= this.#clock.setTimeout(() => {
      this.#settleTimer = null;
      void this.#resolveAcked();
    }, SETTLE_MS);
  }

  /** What was acknowledged before a connection ended may have been folded or refused meanwhile: ask. */
  async #resolveAcked() {
    for (const { message_id: messageId, chat_id: chatId } of this.outbox.acked()) {
      const fate = await this.loader.fate(chatId, messageId);
      if (fate === "there") await this.outbox.remove(messageId);
      else if (fate === "unknown") await this.outbox.requeue(messageId);
      else if (fate) await this.outbox.refuse(messageId, fate);
    }
    this.#sender.pump();
  }

  #resume() {
    const newest = this.store
      .list()
      .filter((chat) => !chat.gone && chat.applied > 0)
      .slice(0, MOST_RESUMED);
    this.#resumed = new Set(newest.map((chat) => chat.id));
    return Object.fromEntries(newest.map((chat) => [chat.id, chat.applied]));
  }

  /** Drop everything that this device keeps of the user: the account is gone. */
  async wipe() {
    for (const entry of this.outbox.all()) await this.outbox.remove(entry.message_id);
    for (const chatId of this.store.chats.keys()) this.drafts.clear(chatId);
  }

  #chatsOfOutbox() {
    return new Set(this.outbox.all().map((entry) => entry.chat_id));
  }

  #watchSoon() {
    this.#watchTimer ??= this.#clock.setTimeout(() => {
      this.#watchTimer = null;
      this.#watch();
    }, WATCH_GATHER_MS);
  }

  /** Watch the open chat's members and the other side of every direct chat. */
  #watch() {
    const ids = new Set(this.store.chat(this.#openChat)?.members?.keys() ?? []);
    for (const chat of this.store.list()) if (chat.peerId && !chat.gone) ids.add(chat.peerId);
    ids.delete(this.me.user_id);
    const wanted = [...ids].slice(0, MOST_WATCHED);
    const key = wanted.slice().sort().join();
    if (key === this.#watched || this.connection.state !== "online") return;
    this.#watched = key;
    this.connection.request({ type: "presence.watch", user_ids: wanted }).catch(() => {
      this.#watched = ""; // the next connection, or the next change of the list, watches again
    });
  }
}

function socketUrl(base, userId) {
  const url = new URL("/v1/ws", base || globalThis.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("u", userId);
  return url.href;
}
