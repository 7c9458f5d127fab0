import assert from "node:assert/strict";
import test from "node:test";

import { Chat } from "../../api/web/lib/chat.js";
import { PastChat } from "../../api/web/lib/past.js";
import { Rows } from "../../api/web/lib/rows.js";
import { chatValue, directValue, eventFrame, inboxItem, messageFrame } from "./support/values.js";

const HISTORY = [
  eventFrame(1, "chat.created", { kind: "group", title: "Harbour", open: false, member_ids: ["ana", "ben"] }),
  messageFrame(2, 1),
  eventFrame(3, "member.added", { user_id: "chi" }),
  eventFrame(4, "chat.retitled", { title: "Lisbon" }),
  messageFrame(5, 2, { actor: "ana" }),
  eventFrame(6, "member.removed", { user_id: "ben" }, { actor: "ana" }),
  eventFrame(7, "chat.retitled", { title: "Lisbon in May" }),
  messageFrame(8, 3, { actor: "chi" }),
];
const NOW = {
  title: "Lisbon in May",
  head_seq: 8,
  member_count: 2,
  members: [
    { user_id: "ana", role: "owner", joined_seq: 1 },
    { user_id: "chi", role: "member", joined_seq: 3 },
  ],
};

/** Ana's chat as it is, of which only the events in `loaded` are here. */
function live({ loaded = HISTORY.map(({ seq }) => seq), ...now } = {}) {
  const chat = new Chat("c1", "ana");
  chat.takeInboxItem(inboxItem({ chat: chatValue({ ...NOW, ...now }) }));
  for (const item of HISTORY) if (loaded.includes(item.seq)) chat.take(item);
  return chat;
}

function shown(chat, seq) {
  const { title, members, memberCount } = new PastChat(chat, seq);
  return [title, members && [...members].sort().join(), memberCount];
}

test("title and members are as they were after each event", () => {
  const chat = live();
  assert.deepEqual(
    HISTORY.map(({ seq }) => shown(chat, seq)),
    [
      ["Harbour", "ana,ben", 2],
      ["Harbour", "ana,ben", 2],
      ["Harbour", "ana,ben,chi", 3],
      ["Lisbon", "ana,ben,chi", 3],
      ["Lisbon", "ana,ben,chi", 3],
      ["Lisbon", "ana,chi", 2],
      ["Lisbon in May", "ana,chi", 2],
      ["Lisbon in May", "ana,chi", 2],
    ],
  );
});

test("from the chat's beginning it reads the same where what came later is not loaded, and the other way round", () => {
  assert.deepEqual(shown(live({ loaded: [1, 2, 3] }), 3), ["Harbour", "ana,ben,chi", 3]);
  assert.deepEqual(shown(live({ loaded: [4, 5, 6, 7, 8] }), 4), ["Lisbon", "ana,ben,chi", 3]);
});

test("what nobody has loaded is not guessed, and the shorter way to it is told", () => {
  const early = new PastChat(live({ loaded: [8] }), 2);
  assert.deepEqual([early.title, early.members, early.memberCount], ["…", null, null]);
  assert.deepEqual(early.missing(), { from: 1, to: 2 });
  const late = new PastChat(live({ loaded: [1, 8] }), 6);
  assert.deepEqual(late.missing(), { from: 7, to: 7 });
});

test("a name that stands before what is loaded is looked for further back", () => {
  const me = { role: "member", joined_seq: 2, muted_until: null };
  const past = new PastChat(live({ loaded: [6, 7, 8], history: "since_join", me }), 6);
  assert.deepEqual([past.title, past.memberCount, past.missing()], ["…", 2, { from: 2, to: 5 }]);
});

test("a name from before this reader came is said to be unknown", () => {
  const me = { role: "member", joined_seq: 5, muted_until: null };
  const past = new PastChat(live({ loaded: [5, 6, 7, 8], history: "since_join", me }), 5);
  assert.deepEqual([past.title, past.missing()], ["Its name of then is not known", null]);
  assert.equal(past.memberCount, 3);
});

test("of members that are too many to be told their number is", () => {
  const past = new PastChat(live({ loaded: [5, 6, 7, 8], members: undefined, member_count: 70 }), 5);
  assert.deepEqual([past.members, past.memberCount], [null, 71]);
});

test("too far away to be worth fetching: nothing is asked for, nothing claimed", () => {
  const past = new PastChat(live({ loaded: [], head_seq: 9_000 }), 4_500);
  assert.deepEqual([past.missing(), past.memberCount], [null, null]);
});

test("a direct chat needs nothing beyond its messages", () => {
  const chat = new Chat("d1", "ana");
  chat.takeInboxItem(inboxItem({ chat: directValue({ head_seq: 40 }) }));
  const past = new PastChat(chat, 3);
  assert.deepEqual([past.peerId, past.missing()], ["ben", null]);
});

test("its rows end at the event, hold nothing that is on its way, and no ticks", () => {
  const past = new PastChat(live(), 5);
  const rows = new Rows({ chat: past, outbox: { of: () => [] }, meId: "ana" });
  assert.equal(rows.count, 5);
  assert.deepEqual([rows.at(4).message.text, rows.at(4).state], ["message 2", null]);
  assert.equal(past.timeline.seqOf("m3"), null);
  past.moveTo(99);
  rows.refresh();
  assert.deepEqual([past.seq, rows.count, past.timeline.seqOf("m3")], [8, 8, 8]);
});

test("what happens meanwhile moves the chat, and not its past", () => {
  const chat = live();
  const past = new PastChat(chat, 8);
  chat.take(eventFrame(9, "chat.retitled", { title: "Porto" }));
  chat.take(eventFrame(10, "member.joined", { user_id: "dee" }));
  assert.deepEqual([past.title, past.memberCount, past.head], ["Lisbon in May", 2, 8]);
  assert.deepEqual([chat.title, chat.memberCount], ["Porto", 3]);
});
