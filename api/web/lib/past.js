/**
 * A chat as it was after one of its events, folded from the events that this reader may see. It reads like a Chat, and
 * nothing in it can be changed. Marks are not numbered events, so nobody's ticks of then are known.
 */

const FAR = 2_000; // events that are fetched to learn a title and members, at most

export class PastChat {
  gone = null;
  unread = 0;
  isPast = true;
  seq;

  #live;
  #state = null; // what `state` found, and of what: {seq, applied, found}

  constructor(live, seq) {
    this.#live = live;
    this.timeline = new PastTimeline(live.timeline, () => this.seq);
    this.moveTo(seq);
  }

  /** Be the chat as it was after `seq`, within what the reader may see. */
  moveTo(seq) {
    const { first, head } = this.#live.timeline;
    this.seq = Math.max(first, Math.min(seq, head));
  }

  get id() {
    return this.#live.id;
  }

  get kind() {
    return this.#live.kind;
  }

  get peerId() {
    return this.#live.peerId;
  }

  get isDeserted() {
    return this.#live.isDeserted;
  }

  get quotes() {
    return this.#live.quotes;
  }

  get head() {
    return this.seq;
  }

  /** When that event happened, as the contract writes times; null until it is loaded. */
  get at() {
    return this.#live.timeline.get(this.seq)?.event.at ?? null;
  }

  get title() {
    return this.#found().title ?? (this.missing() ? "…" : "Its name of then is not known");
  }

  /** Set of user ids; null where they are too many to be told, or not known. */
  get members() {
    return this.#found().members;
  }

  /** Null where it is not known. */
  get memberCount() {
    return this.#found().memberCount;
  }

  tick() {
    return null;
  }

  isMuted() {
    return false;
  }

  /**
   * The next events to load, `{from, to}`, so that title and members can be told; null where nothing is missing, or what
   * is lies too far away.
   */
  missing() {
    if (this.kind === "direct") return null;
    const { timeline, applied } = this.#live;
    const forward = timeline.first === 1 && this.seq < applied - this.seq;
    const [from, to] = forward ? [1, this.seq] : [this.seq + 1, applied];
    if (to - from > FAR) return null;
    return timeline.hole(from, to) ?? (this.#found().title === null ? this.#holeBefore() : null);
  }

  /** Renamed since: what named it then stands further back. */
  #holeBefore() {
    const { timeline } = this.#live;
    let at = this.seq;
    while (timeline.has(at)) at -= 1;
    return at < Math.max(timeline.first, this.seq - FAR) ? null : { from: Math.max(timeline.first, at - 99), to: at };
  }

  #found() {
    const { timeline, applied } = this.#live;
    const known = this.#state;
    if (known?.seq === this.seq && known.applied === applied && known.size === timeline.size) return known.found;
    const found = undone(this.#live, this.seq) ?? replayed(timeline, this.seq) ?? UNKNOWN;
    this.#state = { seq: this.seq, applied, size: timeline.size, found };
    return found;
  }
}

const UNKNOWN = Object.freeze({ title: null, members: null, memberCount: null });

/** A timeline that ends at `end()`. */
class PastTimeline {
  #all;
  #end;

  constructor(all, end) {
    this.#all = all;
    this.#end = end;
  }

  get first() {
    return this.#all.first;
  }

  get head() {
    return this.#end();
  }

  get length() {
    return Math.max(0, this.head - this.first + 1);
  }

  get(seq) {
    return seq > this.head ? null : this.#all.get(seq);
  }

  has(seq) {
    return this.get(seq) !== null;
  }

  seqOf(messageId) {
    const seq = this.#all.seqOf(messageId);
    return seq !== null && seq <= this.head ? seq : null;
  }

  hole(from, to) {
    return this.#all.hole(from, Math.min(to, this.head));
  }

  firstFromOthers() {
    return null;
  }
}

/** Today's title and members with everything after `seq` undone; null where a hole hides some of it. */
function undone(live, seq) {
  const { timeline, applied } = live;
  const members = live.members && new Set(live.members.keys());
  let count = live.memberCount;
  let isRenamed = false;
  for (let at = applied; at > seq; at -= 1) {
    const event = timeline.get(at)?.event;
    if (!event) return null;
    const { type, data } = event;
    if (type === "chat.retitled") isRenamed = true;
    const step = STEPS[type] ?? 0;
    count -= step;
    if (step > 0) members?.delete(data.user_id);
    if (step < 0) members?.add(data.user_id);
  }
  const title = isRenamed ? titleBefore(timeline, seq) : live.title;
  return { title, members, memberCount: members ? members.size : count };
}

/** The same from the chat's first event on; null where it is not loaded, or not this reader's to see. */
function replayed(timeline, seq) {
  const created = timeline.get(1)?.event;
  if (created?.type !== "chat.created") return null;
  let { title } = created.data;
  const members = new Set(created.data.member_ids);
  for (let at = 2; at <= seq; at += 1) {
    const event = timeline.get(at)?.event;
    if (!event) return null;
    const { type, data } = event;
    if (type === "chat.retitled") title = data.title;
    const step = STEPS[type] ?? 0;
    if (step > 0) members.add(data.user_id);
    if (step < 0) members.delete(data.user_id);
  }
  return { title, members, memberCount: members.size };
}

/** What the chat was called after `seq`; null where the event that named it is not loaded. */
function titleBefore(timeline, seq) {
  for (let at = seq; timeline.has(at); at -= 1) {
    const { type, data } = timeline.get(at).event;
    if (type === "chat.retitled" || type === "chat.created") return data.title;
  }
  return null;
}

const STEPS = { "member.joined": 1, "member.added": 1, "member.left": -1, "member.removed": -1 };
