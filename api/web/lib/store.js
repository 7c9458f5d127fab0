/**
 * What this user can see, kept true by frames. Knows neither network nor DOM: what it lacks it asks for by "need".
 *
 * Emits
 *   "chats"            the list, or something that the list shows
 *   "chat" (id)        something of this chat: its events, marks, members, title
 *   "message" ({chat, message})   a live message from somebody else
 *   "need" ({what: "inbox" | "chat" | "receipts", chatId} | {what: "events", chatId, after}; also what people.js needs)
 */

import { Chat, messageOf } from "./chat.js";
import { systemClock } from "./connection.js";
import { Emitter } from "./emitter.js";
import { People } from "./people.js";
import { plain } from "./text.js";

export class Store extends Emitter {
  me = null; // {user_id, username, display_name}
  loaded = false; // the inbox has been read once
  chats = new Map();

  #orphans = new Map(); // chat id → frames of a chat that is not here yet

  constructor({ clock = systemClock } = {}) {
    super();
    this.people = new People({ clock });
    this.people.on("need", (need) => this.emit("need", need));
    this.people.on("erased", (userId) => this.#forgetTextsOf(userId));
  }

  /** Newest activity first. */
  list() {
    return [...this.chats.values()].sort((a, b) => ((a.activityAt ?? "") < (b.activityAt ?? "") ? 1 : -1));
  }

  chat(chatId) {
    return this.chats.get(chatId) ?? null;
  }

  /** Unread messages over all chats that are not muted. */
  totalUnread(now) {
    let total = 0;
    for (const chat of this.chats.values()) if (!chat.isMuted(now)) total += chat.unread;
    return total;
  }

  takeInbox(items) {
    for (const item of items) {
      this.#ensure(item.chat.chat_id).takeInboxItem(item);
      this.#replayOrphans(item.chat.chat_id);
      this.emit("chat", item.chat.chat_id);
    }
    this.emit("chats");
  }

  /** A `chat` object from HTTP or a frame. */
  takeChat(snapshot) {
    const known = this.chats.has(snapshot.chat_id);
    const chat = this.#ensure(snapshot.chat_id);
    chat.takeSnapshot(snapshot);
    this.#replayOrphans(chat.id);
    // Where messages came before us the snapshot does not say how many; the inbox does.
    if (!known && snapshot.head_seq > 1) this.emit("need", { what: "inbox", chatId: chat.id });
    this.#changed(chat);
    return chat;
  }

  /** A page of events. */
  takeEvents(chatId, items) {
    const chat = this.chat(chatId);
    if (!chat) return;
    const fresh = items.filter((item) => !chat.timeline.has(item.seq));
    for (const item of fresh) chat.take(item);
    if (fresh.length) this.#changed(chat);
  }

  /** Nothing before `seq` is this reader's to see. */
  startAt(chatId, seq) {
    const timeline = this.chat(chatId)?.timeline;
    if (!timeline || seq <= timeline.first) return;
    timeline.first = seq;
    this.emit("chat", chatId);
  }

  takeReceipts(chatId, items) {
    const chat = this.chat(chatId);
    if (!chat) return;
    chat.takeReceipts(items);
    this.#changed(chat);
  }

  takeQuote(chatId, messageId, message) {
    this.chat(chatId)?.quotes.set(messageId, message);
    this.emit("chat", chatId);
  }

  /** A chat that is known only by messages that never left: this user is no longer in it. */
  addLost(chatId) {
    const chat = this.#ensure(chatId);
    chat.gone ??= "lost";
    this.#changed(chat);
  }

  remove(chatId) {
    this.chats.delete(chatId);
    this.emit("chats");
  }

  /** Forget every chat: the server's log is another one, so its numbers name other events. */
  startAnew() {
    this.chats.clear();
    this.#orphans.clear();
    this.emit("chats");
  }

  /** The `connected` frame. `resumed`: the ids that were in `resume`. */
  takeConnected(frame, resumed) {
    for (const [chatId, head] of Object.entries(frame.chats)) {
      const chat = this.chat(chatId);
      if (!chat) {
        this.emit("need", { what: "inbox", chatId });
        continue;
      }
      chat.takeHead(head);
      if (!resumed.has(chatId) && head.head_seq > chat.applied) this.#outdated(chat);
      this.emit("chat", chatId);
    }
    this.emit("chats");
  }

  takeFrame(frame) {
    switch (frame.type) {
      case "event":
        this.#event(frame);
        break;
      case "chat":
        this.takeChat(frame.chat);
        break;
      case "gone":
        this.#gone(frame.chat_id);
        break;
      case "limited":
        this.#limited(frame);
        break;
      case "receipt":
        this.#receipt(frame);
        break;
      case "presence":
        this.people.takePresence(frame);
        break;
      case "typing":
        this.people.startTyping(frame.chat_id, frame.user_id);
        break;
      default: // a frame of the future
    }
  }

  /** Move this user's own read mark at once; the server hears of it in its own time. */
  markRead(chatId, seq) {
    const chat = this.chat(chatId);
    if (!chat || chat.gone || seq <= chat.readSeq) return false;
    chat.moveMarks(this.me.user_id, { read: seq });
    this.#changed(chat);
    return true;
  }

  titleOf(chat) {
    if (chat.isDeserted) return "Deleted account";
    if (chat.kind === "direct") return chat.peerId ? this.people.nameOf(chat.peerId) : "…";
    if (chat.title === null) return "A chat that you left";
    return plain(chat.title) || "A group without a name";
  }

  #ensure(chatId) {
    const chat = this.chats.get(chatId) ?? new Chat(chatId, this.me.user_id);
    this.chats.set(chatId, chat);
    return chat;
  }

  #changed(chat) {
    this.emit("chat", chat.id);
    this.emit("chats");
  }

  #event(frame) {
    const chat = this.chat(frame.chat_id);
    const { type: _frame, chat_id: _chat, ...item } = frame;
    if (!chat) {
      // One of the chats that the inbox's first pages did not reach.
      this.#orphans.set(frame.chat_id, [...(this.#orphans.get(frame.chat_id) ?? []), item]);
      this.emit("need", { what: "inbox", chatId: frame.chat_id });
      return;
    }
    const repeat = chat.timeline.has(item.seq);
    const { type, actor_id: actorId } = item.event;
    const ownerLeaves = type === "member.left" && chat.members?.get(actorId)?.role === "owner";
    chat.take(item);
    // Who follows is the server's rule.
    if (ownerLeaves && !chat.gone) this.emit("need", { what: "chat", chatId: chat.id });
    if (item.seq > chat.applied && !chat.stale)
      this.emit("need", { what: "events", chatId: chat.id, after: chat.applied });
    this.#changed(chat);
    if (repeat) return;
    if (type === "message.sent") {
      this.people.stopTyping(chat.id, actorId);
      if (actorId !== this.me.user_id) this.emit("message", { chat, message: messageOf(item) });
    } else if (type === "member.left") {
      this.people.checkErased(actorId);
    }
  }

  // Every chat reads these messages again: their texts are gone on the server.
  #forgetTextsOf(userId) {
    for (const chat of this.chats.values()) {
      chat.timeline.forgetBy(userId);
      if (chat.last?.sender_id === userId) chat.last = { ...chat.last, text: null, erased: true };
      this.#changed(chat);
    }
  }

  #gone(chatId) {
    this.#orphans.delete(chatId);
    const chat = this.chat(chatId);
    if (!chat) return;
    chat.gone ??= "lost";
    if (chat.gone === "left") this.remove(chatId);
    this.#changed(chat);
  }

  #limited({ chat_id: chatId, head_seq: headSeq }) {
    const chat = this.chat(chatId);
    if (!chat) return;
    if (headSeq < chat.applied) {
      // The server has less than it had: what is kept here names other events.
      this.chats.delete(chatId);
      this.emit("need", { what: "inbox", chatId });
      this.#changed(chat);
      return;
    }
    chat.timeline.head = Math.max(chat.timeline.head, headSeq);
    this.#outdated(chat);
    this.#changed(chat);
  }

  #outdated(chat) {
    chat.stale = true;
    this.emit("need", { what: "inbox", chatId: chat.id });
  }

  #receipt(frame) {
    const chat = this.chat(frame.chat_id);
    if (!chat) return;
    chat.moveMarks(frame.user_id, { delivered: frame.delivered_seq, read: frame.read_seq });
    const counts = chat.kind === "direct" || chat.knowsReceipts || frame.user_id === this.me.user_id;
    if (!counts) this.emit("need", { what: "receipts", chatId: chat.id });
    this.#changed(chat);
  }

  #replayOrphans(chatId) {
    const items = this.#orphans.get(chatId) ?? [];
    this.#orphans.delete(chatId);
    for (const item of items) this.#event({ chat_id: chatId, ...item });
  }
}
