/**
 * The events of one chat by seq, with holes where nothing was loaded yet. Seq is dense from 1, so every hole is known
 * exactly and any page can be asked for by number.
 *
 * item: `{seq, n, event: {type, actor_id, at, data}}` as the contract's event frame.
 */
export class Timeline {
  first = 1; // the oldest seq that this reader may see
  head = 0; // the newest seq known to exist
  #items = new Map();
  #seqOfMessage = new Map();

  /** Take in items in any order, repeats included. */
  insert(items) {
    for (const item of items) {
      if (this.#items.has(item.seq)) continue;
      this.#items.set(item.seq, item);
      if (item.seq > this.head) this.head = item.seq;
      const messageId = item.event.data?.message_id;
      if (item.event.type === "message.sent") this.#seqOfMessage.set(messageId, item.seq);
    }
  }

  get(seq) {
    return this.#items.get(seq) ?? null;
  }

  has(seq) {
    return this.#items.has(seq);
  }

  seqOf(messageId) {
    return this.#seqOfMessage.get(messageId) ?? null;
  }

  get length() {
    return Math.max(0, this.head - this.first + 1);
  }

  /** How many events are loaded. */
  get size() {
    return this.#items.size;
  }

  /** The first hole within `from`..`to` (both included) as `{from, to}`, or null. */
  hole(from, to) {
    let start = Math.max(from, this.first);
    const end = Math.min(to, this.head);
    while (start <= end && this.has(start)) start += 1;
    if (start > end) return null;
    let stop = start;
    while (stop < end && !this.has(stop + 1)) stop += 1;
    return { from: start, to: stop };
  }

  /**
   * The `n` of the newest message at or before `seq`, as far as loaded events can tell; null when they cannot.
   * Looks back from `seq`, then forward, and gives up at a hole.
   */
  ordinalAt(seq) {
    for (let at = seq; at >= this.first && this.has(at); at -= 1) {
      const { n } = this.get(at);
      if (n !== null && n !== undefined) return n;
    }
    for (let at = seq + 1; at <= this.head && this.has(at); at += 1) {
      const { n } = this.get(at);
      if (n !== null && n !== undefined) return n - 1;
    }
    return null;
  }

  /**
   * The seq of the first message after `after` that somebody but `userId` sent; null where a hole hides it, or for
   * none.
   */
  firstFromOthers(after, userId) {
    for (let seq = Math.max(after + 1, this.first); this.has(seq); seq += 1) {
      const { type, actor_id: actorId } = this.get(seq).event;
      if (type === "message.sent" && actorId !== userId) return seq;
    }
    return null;
  }

  /** Drop everything before `seq`, to give memory back; it loads again when it is looked at. */
  forgetBefore(seq) {
    for (const [at, item] of this.#items) if (at < seq) this.#drop(at, item);
  }

  /** Drop what `userId` wrote, because the server's copy reads otherwise now. */
  forgetBy(userId) {
    for (const [at, item] of this.#items) {
      if (item.event.actor_id === userId && item.event.type === "message.sent") this.#drop(at, item);
    }
  }

  #drop(seq, item) {
    this.#items.delete(seq);
    this.#seqOfMessage.delete(item.event.data?.message_id);
  }
}
