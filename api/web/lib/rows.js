/**
 * A chat's conversation as rows: events by seq, then what is still on its way. Decides grouping, date lines and the new
 * line.
 */

import { messageOf } from "./chat.js";
import { sameDay, sameMinute } from "./time.js";

/** How an entry of the outbox shows: "sending", "sent" or "refused". */
export function stateOf(entry) {
  return { uploading: "sending", queued: "sending", acked: "sent", refused: "refused" }[entry.state];
}

/**
 * Row number 0 is the first event that the reader may see; the timeline's rows stand at `seq - first`.
 * `newAfter`: the seq after which messages were new when the chat was opened, or null.
 */
export class Rows {
  #meId;
  #outbox;
  #pending = [];
  #newSeq = null;

  constructor({ chat, outbox, meId, newAfter = null }) {
    this.chat = chat;
    this.newAfter = newAfter;
    this.#meId = meId;
    this.#outbox = outbox;
    this.refresh();
  }

  /** Look again at what may have changed: the head, the outbox, where the new line stands. */
  refresh() {
    const { timeline } = this.chat;
    this.#pending = this.#outbox.of(this.chat.id).filter((entry) => !timeline.seqOf(entry.message_id));
    this.#newSeq = this.newAfter === null ? null : timeline.firstFromOthers(this.newAfter, this.#meId);
  }

  get count() {
    return this.chat.timeline.length + this.#pending.length;
  }

  get newRow() {
    return this.#newSeq === null ? null : this.indexOf(this.#newSeq);
  }

  indexOf(seq) {
    return seq - this.chat.timeline.first;
  }

  /** The seq of a row; null for one that has none yet. */
  seqAt(index) {
    return index < this.chat.timeline.length ? this.chat.timeline.first + index : null;
  }

  /**
   * `{kind, key, day, isNew, …}`: kind is "hole" (to be loaded), "message" (with `message`, `state`, `first` and `last`
   * of its group), or "event" (with `event`). `day` is a Date where a date line stands above the row.
   */
  at(index) {
    const row = this.#bare(index);
    const before = index > 0 ? this.#bare(index - 1) : null;
    row.day = row.at && startsDay(before, row.at, index) ? row.at : null;
    row.isNew = row.seq !== null && row.seq === this.#newSeq;
    if (row.kind !== "message") return row;
    const after = index + 1 < this.count ? this.#bare(index + 1) : null;
    row.first = row.day !== null || row.isNew || !together(before, row);
    row.last = !together(row, after) || after.seq === this.#newSeq;
    return row;
  }

  #bare(index) {
    const { timeline } = this.chat;
    const seq = this.seqAt(index);
    if (seq === null) return this.#onItsWay(this.#pending[index - timeline.length]);
    const item = timeline.get(seq);
    if (!item) return { kind: "hole", key: `hole ${seq}`, seq, at: null };
    const at = new Date(item.event.at);
    if (item.event.type !== "message.sent") return { kind: "event", key: `event ${seq}`, seq, at, event: item.event };
    const message = messageOf(item);
    const mine = message.sender_id === this.#meId;
    return {
      kind: "message",
      key: message.message_id,
      seq,
      at,
      message,
      mine,
      state: mine ? this.chat.tick(seq) : null,
    };
  }

  #onItsWay(entry) {
    const message = {
      seq: null,
      message_id: entry.message_id,
      sender_id: this.#meId,
      kind: entry.kind,
      text: entry.text,
      file: entry.blob && { name: entry.name, size: entry.blob.size, ...entry.file, blob: entry.blob },
      reply_to_message: entry.reply_to_message ?? null,
      erased: false,
    };
    const at = new Date(entry.created_at);
    const { message_id: key, code } = entry;
    const uploading = entry.state === "uploading";
    return { kind: "message", key, seq: null, at, message, mine: true, state: stateOf(entry), code, uploading };
  }
}

// After a hole nothing is known of the day before, and the line will come with the page.
function startsDay(before, at, index) {
  if (index === 0) return true;
  return before.at !== null && !sameDay(before.at, at);
}

function together(a, b) {
  return (
    a?.kind === "message" &&
    b?.kind === "message" &&
    a.message.sender_id === b.message.sender_id &&
    sameMinute(a.at, b.at) &&
    sameDay(a.at, b.at)
  );
}
