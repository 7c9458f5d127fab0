import assert from "node:assert/strict";
import test from "node:test";

import { Chat } from "../../api/web/lib/chat.js";
import { Timeline } from "../../api/web/lib/timeline.js";
import { chatValue, directValue, eventFrame, inboxItem, messageFrame } from "./support/values.js";

function given(item = inboxItem()) {
  const chat = new Chat(item.chat.chat_id, "ana");
  chat.takeInboxItem(item);
  return chat;
}

function lastMessage(seq, n, sender = "ben") {
  return {
    seq,
    n,
    message_id: `m${n}`,
    sender_id: sender,
    kind: "TEXT",
    text: "hello",
    sent_at: "2026-03-02T09:00:00.000Z",
  };
}

test("a timeline knows its holes by number", () => {
  const timeline = new Timeline();
  timeline.head = 10;
  timeline.insert([messageFrame(4, 1), messageFrame(5, 2), messageFrame(9, 6)]);
  assert.deepEqual(timeline.hole(1, 10), { from: 1, to: 3 });
  assert.deepEqual(timeline.hole(4, 10), { from: 6, to: 8 });
  assert.deepEqual(timeline.hole(9, 99), { from: 10, to: 10 });
  assert.equal(timeline.hole(4, 5), null);
  timeline.first = 9;
  assert.equal(timeline.hole(1, 9), null);
});

test("a timeline takes events in any order and a repeat once", () => {
  const timeline = new Timeline();
  timeline.insert([messageFrame(2, 2), messageFrame(1, 1), messageFrame(2, 2, { text: "again" })]);
  assert.equal(timeline.length, 2);
  assert.equal(timeline.get(2).event.data.text, "message 2");
  assert.equal(timeline.seqOf("m1"), 1);
});

test("what was forgotten is a hole again", () => {
  const timeline = new Timeline();
  timeline.insert([1, 2, 3, 4].map((seq) => messageFrame(seq, seq)));
  timeline.forgetBefore(3);
  assert.deepEqual(timeline.hole(1, 4), { from: 1, to: 2 });
  assert.equal(timeline.seqOf("m1"), null);
});

test("unread is head n minus read n, and events that are no messages do not count", () => {
  const chat = given(
    inboxItem({ chat: chatValue({ head_seq: 5 }), unread: 2, read_seq: 2, last_message: lastMessage(5, 4) }),
  );
  assert.equal(chat.unread, 2);
  chat.take(messageFrame(6, 5));
  chat.take(eventFrame(7, "chat.retitled", { title: "Quay" }));
  assert.equal(chat.unread, 3);
  chat.moveMarks("ana", { read: 7 });
  assert.equal(chat.unread, 0);
});

test("reading up to the middle leaves what comes after it", () => {
  const chat = given();
  for (let n = 1; n <= 5; n += 1) chat.take(messageFrame(1 + n, n));
  chat.moveMarks("ana", { read: 3 });
  assert.equal(chat.unread, 3);
  chat.moveMarks("ana", { read: 2 });
  assert.equal(chat.unread, 3);
});

test("a mark among events that are not loaded yet counts once they are", () => {
  const chat = given(inboxItem({ chat: chatValue({ head_seq: 30 }), unread: 20, last_message: lastMessage(30, 25) }));
  chat.readSeq = 5;
  chat.moveMarks("ana", { read: 20 });
  assert.equal(chat.unread, 20);
  chat.take(messageFrame(20, 15));
  assert.equal(chat.unread, 10);
});

test("one's own message counts as read, and so does everything before it", () => {
  const chat = given();
  chat.take(messageFrame(2, 1));
  chat.take(messageFrame(3, 2, { actor: "ana" }));
  assert.equal(chat.unread, 0);
});

test("a missed stretch does not bend the count", () => {
  const chat = given();
  chat.take(messageFrame(90, 80));
  assert.equal(chat.unread, 80);
  assert.equal(chat.applied, 1);
});

test("who is in a chat follows events in order of seq, whatever order they arrive in", () => {
  const chat = given();
  chat.take(eventFrame(4, "member.removed", { user_id: "chi" }));
  assert.equal(chat.members.size, 2);
  chat.take(eventFrame(3, "member.role_changed", { user_id: "chi", role: "admin" }));
  chat.take(eventFrame(2, "member.added", { user_id: "chi" }));
  assert.equal(chat.applied, 4);
  assert.deepEqual([...chat.members.keys()], ["ana", "ben"]);
});

test("an unknown event advances the seq and changes nothing", () => {
  const chat = given();
  chat.take(eventFrame(2, "reaction.added", { emoji: "+1" }));
  chat.take(eventFrame(3, "chat.retitled", { title: "Quay" }));
  assert.deepEqual([chat.applied, chat.title], [3, "Quay"]);
});

test("an old snapshot does not undo newer events", () => {
  const chat = given();
  chat.take(eventFrame(2, "chat.retitled", { title: "Quay" }));
  chat.takeInboxItem(inboxItem());
  assert.equal(chat.title, "Quay");
});

test("a snapshot with a later head takes its place, and events that followed it count on", () => {
  const chat = given();
  chat.take(eventFrame(4, "chat.opened", { open: true }));
  chat.takeSnapshot(chatValue({ head_seq: 3, title: "Quay" }));
  assert.deepEqual([chat.title, chat.open, chat.applied], ["Quay", true, 4]);
});

test("what one may see begins at the join where history is since_join", () => {
  const me = { role: "member", joined_seq: 40, muted_until: null };
  const item = inboxItem({ chat: chatValue({ history: "since_join", head_seq: 50, me }) });
  assert.equal(given(item).timeline.first, 40);
  assert.equal(given(inboxItem({ chat: chatValue({ history: "all", head_seq: 50, me }) })).timeline.first, 1);
});

test("ticks of a direct chat follow the other's marks", () => {
  const chat = given(inboxItem({ chat: directValue({ head_seq: 9 }), others_delivered_seq: 5, others_read_seq: 3 }));
  assert.deepEqual(
    [3, 5, 6].map((seq) => chat.tick(seq)),
    ["read", "delivered", "sent"],
  );
  chat.moveMarks("ben", { delivered: 6 });
  assert.equal(chat.tick(6), "delivered");
  chat.moveMarks("ben", { read: 6 });
  assert.equal(chat.tick(6), "read");
});

test("ticks of a group follow the slowest member, and nobody counts who has left", () => {
  const chat = given();
  chat.take(eventFrame(2, "member.added", { user_id: "chi" }));
  chat.take(messageFrame(3, 1, { actor: "ana" }));
  chat.takeReceipts([
    { user_id: "ana", delivered_seq: 3, read_seq: 3 },
    { user_id: "ben", delivered_seq: 3, read_seq: 3 },
    { user_id: "chi", delivered_seq: 2, read_seq: 2 },
  ]);
  assert.equal(chat.tick(3), "sent");
  chat.moveMarks("chi", { delivered: 3 });
  assert.equal(chat.tick(3), "delivered");
  chat.take(eventFrame(4, "member.left", { user_id: "chi" }, { actor: "chi" }));
  assert.equal(chat.tick(3), "read");
});

test("ticks stay when the last reader leaves, or is erased and the chat is fetched anew", () => {
  const chat = given(inboxItem({ chat: directValue({ head_seq: 9 }), others_delivered_seq: 9, others_read_seq: 5 }));
  chat.takeReceipts([
    { user_id: "ana", delivered_seq: 9, read_seq: 9 },
    { user_id: "ben", delivered_seq: 9, read_seq: 5 },
  ]);
  const ticks = () => [5, 9].map((seq) => chat.tick(seq));
  assert.deepEqual(ticks(), ["read", "delivered"]);
  chat.take(eventFrame(10, "member.left", { user_id: "ben" }, { actor: "ben" }));
  assert.deepEqual(ticks(), ["read", "delivered"]);
  const members = [{ user_id: "ana", role: "member", joined_seq: 1 }];
  chat.takeSnapshot(directValue({ head_seq: 11, member_count: 1, members }));
  chat.takeHead({ head_seq: 11, read_seq: 9, others_delivered_seq: 0, others_read_seq: 0 });
  assert.deepEqual(ticks(), ["read", "delivered"]);
});

test("ticks of a chat that was left by its last reader are as the server says", () => {
  const members = [{ user_id: "ana", role: "member", joined_seq: 1 }];
  const alone = chatValue({ head_seq: 9, member_count: 1, members });
  const chat = given(inboxItem({ chat: alone, others_delivered_seq: 5, others_read_seq: 3 }));
  chat.takeReceipts([{ user_id: "ana", delivered_seq: 9, read_seq: 9 }]);
  assert.deepEqual(
    [3, 5, 6].map((seq) => chat.tick(seq)),
    ["read", "delivered", "sent"],
  );
});

test("ticks stay when a chat grows large, and new messages stay at one", () => {
  const chat = given(inboxItem({ chat: chatValue({ member_count: 100, members: null, head_seq: 9 }), others_read_seq: 9 }));
  chat.take(eventFrame(10, "member.added", { user_id: "chi" }));
  assert.deepEqual([chat.memberCount, chat.tick(9), chat.tick(11)], [101, "read", "sent"]);
});

test("an answer says that its author has read what came before", () => {
  const chat = given(inboxItem({ chat: directValue() }));
  chat.take(messageFrame(2, 1, { actor: "ana" }));
  chat.take(messageFrame(3, 2, { actor: "ben" }));
  assert.equal(chat.tick(2), "read");
});

test("a large chat stays at one tick", () => {
  const chat = given(
    inboxItem({ chat: chatValue({ member_count: 101, members: null, head_seq: 9 }), others_read_seq: 9 }),
  );
  assert.equal(chat.tick(5), "sent");
});

test("a chat that one was removed from says so, and one that one left too", () => {
  const removed = given();
  removed.take(eventFrame(2, "member.removed", { user_id: "ana" }));
  assert.equal(removed.gone, "removed");
  const left = given();
  left.take(eventFrame(2, "member.left", { user_id: "ana" }, { actor: "ana" }));
  assert.equal(left.gone, "left");
});

test("roles decide what is offered", () => {
  const as = (role) => given(inboxItem({ chat: chatValue({ me: { role, joined_seq: 1, muted_until: null } }) }));
  assert.ok(as("owner").may("setRole"));
  assert.ok(!as("admin").may("setRole"));
  assert.ok(as("admin").may("retitle"));
  assert.ok(as("admin").may("remove", "member"));
  assert.ok(!as("admin").may("remove", "admin"));
  assert.ok(!as("member").may("add"));
  assert.ok(!given(inboxItem({ chat: directValue() })).may("retitle"));
});

test("handing over makes one owner of two", () => {
  const chat = given();
  chat.take(eventFrame(2, "member.role_changed", { user_id: "ben", role: "owner" }, { actor: "ana" }));
  assert.deepEqual(
    [chat.members.get("ben").role, chat.members.get("ana").role, chat.me.role],
    ["owner", "admin", "admin"],
  );
});

test("an erased message has no text and says so", () => {
  const chat = given();
  chat.take(messageFrame(2, 1, { text: null }));
  assert.deepEqual([chat.last.text, chat.last.erased], [null, true]);
});
