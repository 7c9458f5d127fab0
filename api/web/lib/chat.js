/** One chat as its events leave it: title, members, marks, unread. */

import { Timeline } from "./timeline.js";

const QUIET_SIZE = 100; // receipts of larger chats are not broadcast, so their ticks stay at one

/** A message as lists and bubbles show it, from an event of type message.sent. */
export function messageOf({ seq, n, event }) {
  const { message_id, kind, text = null, file, reply_to_message = null, erased } = event.data;
  return {
    seq,
    n,
    message_id,
    sender_id: event.actor_id,
    kind,
    text,
    file,
    reply_to_message,
    sent_at: event.at,
    erased: Boolean(erased) || (kind === "TEXT" && text === null),
  };
}

export class Chat {
  title = null;
  open = false;
  history = "since_join";
  kind = "group";
  createdBy = null;
  memberCount = 0;
  members = null; // Map user_id → {role, joined_seq}; null where there are too many to be told at once
  me = null; // {role, joined_seq, muted_until}; null once this user is out
  applied = 0; // title, members and roles are as after this seq
  headN = 0;
  readSeq = 0;
  readN = 0;
  last = null; // the newest message
  activityAt = null;
  gone = null; // "left", "removed" or "lost" once this user is out
  quotes = new Map(); // message id → a quoted message from before the loaded events; null while it loads
  stale = false; // events were missed that will not come; a fresh snapshot is on its way

  #meId;
  #isReadCounted = true;
  #othersDelivered = 0;
  #othersRead = 0;
  #settled = { delivered: 0, read: 0 }; // what held when somebody came or went: a tick never goes back
  #receipts = null; // Map user_id → {delivered, read}

  constructor(chatId, meId) {
    this.id = chatId;
    this.#meId = meId;
    this.timeline = new Timeline();
  }

  get unread() {
    return this.gone ? 0 : Math.max(0, this.headN - this.readN);
  }

  get head() {
    return this.timeline.head;
  }

  /** The other side of a direct chat; null where that is not known, or nobody is there any more. */
  get peerId() {
    if (this.kind !== "direct" || !this.members) return null;
    for (const userId of this.members.keys()) if (userId !== this.#meId) return userId;
    return null;
  }

  /** Whether the other side of a direct chat was erased: nobody would read what is written. */
  get isDeserted() {
    return this.kind === "direct" && Boolean(this.members) && this.peerId === null;
  }

  isMuted(now) {
    return Boolean(this.me?.muted_until) && new Date(this.me.muted_until) > now;
  }

  may(action, targetRole = "member") {
    const role = this.me?.role;
    if (this.kind === "direct" || !role || this.gone) return false;
    if (action === "setRole") return role === "owner";
    if (action === "remove") return role === "owner" || (role === "admin" && targetRole === "member");
    return role === "owner" || role === "admin"; // retitle, open, add
  }

  /** The contract's `chat` object. One that is older than what is already known changes nothing. */
  takeSnapshot(snapshot) {
    if (snapshot.head_seq < this.applied) {
      if (this.me && snapshot.me) this.me = { ...this.me, muted_until: snapshot.me.muted_until }; // no event tells of it
      return;
    }
    this.#settled = this.#others();
    this.kind = snapshot.kind;
    this.title = snapshot.title;
    this.open = snapshot.open;
    this.history = snapshot.history;
    this.createdBy = snapshot.created_by;
    this.memberCount = snapshot.member_count;
    this.members = snapshot.members ? new Map(snapshot.members.map((member) => [member.user_id, { ...member }])) : null;
    this.me = snapshot.me;
    this.gone = null;
    this.stale = false;
    this.activityAt ??= snapshot.created_at;
    this.applied = snapshot.head_seq;
    this.timeline.first = snapshot.history === "all" ? 1 : Math.max(1, snapshot.me?.joined_seq ?? 1);
    this.timeline.head = Math.max(this.timeline.head, snapshot.head_seq);
    if (snapshot.me) this.moveMarks(this.#meId, { read: snapshot.me.joined_seq });
    this.#advance();
  }

  /** An item of the inbox. */
  takeInboxItem(item) {
    this.takeSnapshot(item.chat);
    if (item.last_message && (this.last?.seq ?? 0) < item.last_message.seq) {
      this.last = { ...item.last_message, erased: Boolean(item.last_message.erased) };
    }
    const headN = item.last_message?.n ?? 0;
    this.headN = Math.max(this.headN, headN);
    this.readN = Math.max(this.readN, headN - item.unread);
    this.readSeq = Math.max(this.readSeq, item.read_seq);
    this.activityAt = laterOf(this.activityAt, item.activity_at);
    this.#takeOthers(item);
  }

  /** What `connected` says of a chat. */
  takeHead(head) {
    this.timeline.head = Math.max(this.timeline.head, head.head_seq);
    if (head.read_seq > this.readSeq) this.moveMarks(this.#meId, { read: head.read_seq });
    this.#takeOthers(head);
  }

  /** GET …/receipts. */
  takeReceipts(items) {
    this.#receipts ??= new Map();
    for (const item of items) this.moveMarks(item.user_id, { delivered: item.delivered_seq, read: item.read_seq });
  }

  get knowsReceipts() {
    return this.#receipts !== null;
  }

  /**
   * An event, live or from a page; any order, repeats included. Numbers only grow, so they move at once; who is in the
   * chat and what it is called follow in order of seq.
   */
  take(item) {
    this.timeline.insert([item]);
    if (item.event.type === "message.sent") {
      this.headN = Math.max(this.headN, item.n);
      if (item.seq > (this.last?.seq ?? 0)) this.last = messageOf(item);
      this.moveMarks(item.event.actor_id, { read: item.seq });
    }
    if (!this.#isReadCounted) this.#countRead();
    this.activityAt = laterOf(this.activityAt, item.event.at);
    this.#advance();
  }

  /** Move a user's watermarks; they never move back. */
  moveMarks(userId, { delivered = 0, read = 0 }) {
    if (userId === this.#meId) this.#read(read);
    const marks = this.#receipts?.get(userId) ?? { delivered: 0, read: 0 };
    marks.delivered = Math.max(marks.delivered, delivered, read);
    marks.read = Math.max(marks.read, read);
    this.#receipts?.set(userId, marks);
    if (userId !== this.#meId && this.kind === "direct") {
      this.#othersDelivered = Math.max(this.#othersDelivered, marks.delivered);
      this.#othersRead = Math.max(this.#othersRead, marks.read);
    }
  }

  /** "sent", "delivered" or "read", for this user's own message at `seq`. */
  tick(seq) {
    const { delivered, read } = this.#others();
    if (seq <= read) return "read";
    return seq <= delivered ? "delivered" : "sent";
  }

  #read(seq) {
    if (seq <= this.readSeq) return;
    this.readSeq = seq;
    this.#countRead();
  }

  // Without loaded messages around the mark its ordinal is unknown for now.
  #countRead() {
    const n = this.readSeq >= this.head ? this.headN : this.timeline.ordinalAt(this.readSeq);
    this.#isReadCounted = n !== null;
    if (n !== null) this.readN = Math.max(this.readN, n);
  }

  #others() {
    const { delivered, read } = this.#othersNow();
    return { delivered: Math.max(delivered, this.#settled.delivered), read: Math.max(read, this.#settled.read) };
  }

  #othersNow() {
    if (this.memberCount > QUIET_SIZE) return { delivered: 0, read: 0 };
    const told = { delivered: this.#othersDelivered, read: this.#othersRead };
    if (!this.#receipts || !this.members) return told;
    let delivered = Infinity;
    let read = Infinity;
    for (const userId of this.members.keys()) {
      if (userId === this.#meId) continue;
      const marks = this.#receipts.get(userId) ?? { delivered: 0, read: 0 };
      delivered = Math.min(delivered, marks.delivered);
      read = Math.min(read, marks.read);
    }
    if (delivered === Infinity) return told; // nobody else is left, and the server says what the last had got to
    return { delivered: Math.max(delivered, told.delivered), read: Math.max(read, told.read) };
  }

  #takeOthers({ others_delivered_seq, others_read_seq }) {
    this.#othersDelivered = Math.max(this.#othersDelivered, others_delivered_seq ?? 0);
    this.#othersRead = Math.max(this.#othersRead, others_read_seq ?? 0);
  }

  #advance() {
    while (this.timeline.has(this.applied + 1)) {
      this.applied += 1;
      this.#evolve(this.timeline.get(this.applied));
    }
  }

  #evolve({ seq, event: { type, data, actor_id: actorId } }) {
    if (type.startsWith("member.")) this.#settled = this.#others();
    switch (type) {
      case "chat.created":
        this.kind = data.kind;
        this.title = data.title;
        this.open = data.open;
        break;
      case "chat.retitled":
        this.title = data.title;
        break;
      case "chat.opened":
        this.open = data.open;
        break;
      case "member.joined":
      case "member.added":
        this.#enter(data.user_id, seq);
        break;
      case "member.left":
      case "member.removed":
        this.#leave(data.user_id, type === "member.left" || actorId === this.#meId ? "left" : "removed");
        break;
      case "member.role_changed":
        this.#setRole(data.user_id, data.role);
        break;
      default: // messages changed their numbers already; a type of the future only advances the seq
    }
  }

  #enter(userId, seq) {
    if (this.members && !this.members.has(userId)) {
      this.members.set(userId, { user_id: userId, role: "member", joined_seq: seq });
      this.memberCount = this.members.size;
    } else if (!this.members) {
      this.memberCount += 1;
    }
    this.moveMarks(userId, { read: seq });
  }

  #leave(userId, how) {
    if (this.members) {
      this.members.delete(userId);
      this.memberCount = this.members.size;
    } else {
      this.memberCount -= 1;
    }
    if (userId === this.#meId) this.gone = how;
  }

  #setRole(userId, role) {
    const entries = [...(this.members ?? [])];
    if (role === "owner") for (const [, member] of entries) if (member.role === "owner") member.role = "admin";
    const member = this.members?.get(userId);
    if (member) member.role = role;
    if (userId === this.#meId && this.me) this.me = { ...this.me, role };
    else if (role === "owner" && this.me?.role === "owner") this.me = { ...this.me, role: "admin" };
  }
}

function laterOf(a, b) {
  if (!a || !b) return a ?? b ?? null;
  return a > b ? a : b; // RFC 3339 in UTC with milliseconds sorts as text
}
