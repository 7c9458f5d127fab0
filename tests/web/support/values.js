/** Values of the contract, with what a test does not care about filled in. */

const AT = "2026-03-02T09:00:00.000Z";

export function chatValue(overrides = {}) {
  return {
    chat_id: "c1",
    kind: "group",
    title: "Harbour",
    open: false,
    history: "all",
    created_at: AT,
    created_by: "ana",
    member_count: 2,
    members: [
      { user_id: "ana", role: "owner", joined_seq: 1 },
      { user_id: "ben", role: "member", joined_seq: 1 },
    ],
    me: { role: "owner", joined_seq: 1, muted_until: null },
    head_seq: 1,
    ...overrides,
  };
}

export function directValue(overrides = {}) {
  return chatValue({ chat_id: "d1", kind: "direct", title: null, ...overrides });
}

export function inboxItem(overrides = {}) {
  const chat = overrides.chat ?? chatValue();
  return {
    chat,
    head_seq: chat.head_seq,
    unread: 0,
    read_seq: chat.head_seq,
    others_delivered_seq: 0,
    others_read_seq: 0,
    last_message: null,
    activity_at: AT,
    ...overrides,
  };
}

export function eventFrame(seq, type, data, overrides = {}) {
  const { n = null, actor = "ben", chat = "c1", at = AT } = overrides;
  return { type: "event", chat_id: chat, seq, n, event: { type, actor_id: actor, at, data } };
}

export function messageFrame(seq, n, overrides = {}) {
  const { text = `message ${n}`, id = `m${n}`, ...rest } = overrides;
  return eventFrame(seq, "message.sent", { message_id: id, kind: "TEXT", text }, { n, ...rest });
}
