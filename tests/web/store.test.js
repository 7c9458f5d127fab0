import assert from "node:assert/strict";
import test from "node:test";

import { Store } from "../../api/web/lib/store.js";
import { FakeClock } from "./support/clock.js";
import { chatValue, eventFrame, inboxItem, messageFrame } from "./support/values.js";

function given(items = [inboxItem()]) {
  const clock = new FakeClock();
  const store = new Store({ clock });
  store.me = { user_id: "ana", username: "ana", display_name: "Ana" };
  const needs = [];
  const messages = [];
  store.on("need", (need) => needs.push(need));
  store.on("message", ({ message }) => messages.push(message.text));
  store.takeInbox(items);
  return { clock, messages, needs, store };
}

test("a live message moves its chat to the top", () => {
  const { store } = given([
    inboxItem(),
    inboxItem({ chat: chatValue({ chat_id: "c2" }), activity_at: "2026-03-02T09:30:00.000Z" }),
  ]);
  assert.deepEqual(
    store.list().map((chat) => chat.id),
    ["c2", "c1"],
  );
  store.takeFrame(messageFrame(2, 1, { at: "2026-03-02T10:00:00.000Z" }));
  assert.deepEqual(
    store.list().map((chat) => chat.id),
    ["c1", "c2"],
  );
});

test("a message from somebody else is announced once, a repeat and one's own are not", () => {
  const { store, messages } = given();
  store.takeFrame(messageFrame(2, 1));
  store.takeFrame(messageFrame(2, 1));
  store.takeFrame(messageFrame(3, 2, { actor: "ana" }));
  assert.deepEqual(messages, ["message 1"]);
});

test("a gap is asked for from where order was lost", () => {
  const { store, needs } = given();
  store.takeFrame(messageFrame(4, 3));
  assert.deepEqual(
    needs.filter(({ what }) => what === "events"),
    [{ what: "events", chatId: "c1", after: 1 }],
  );
  store.takeEvents("c1", [messageFrame(2, 1), messageFrame(3, 2)]);
  assert.equal(store.chat("c1").applied, 4);
});

test("limited asks for the chat anew instead of for every event", () => {
  const { store, needs } = given();
  store.takeFrame({ type: "limited", chat_id: "c1", head_seq: 900 });
  store.takeFrame(messageFrame(901, 700));
  assert.deepEqual(
    needs.map(({ what }) => what).filter((what) => what !== "users"),
    ["inbox"],
  );
  store.takeInbox([inboxItem({ chat: chatValue({ head_seq: 900, title: "Quay" }), unread: 3 })]);
  assert.deepEqual([store.chat("c1").title, store.chat("c1").applied], ["Quay", 901]);
});

test("a frame of a chat beyond the loaded inbox waits for its chat", () => {
  const { store, needs, messages } = given([]);
  store.takeFrame(messageFrame(8, 5, { chat: "c9" }));
  assert.deepEqual(needs, [{ what: "inbox", chatId: "c9" }]);
  store.takeInbox([inboxItem({ chat: chatValue({ chat_id: "c9", head_seq: 7 }) })]);
  assert.equal(store.chat("c9").applied, 8);
  assert.deepEqual(messages, ["message 5"]);
});

test("a chat that one is added to appears, then its events count", () => {
  const { store } = given([]);
  store.takeFrame({ type: "chat", chat: chatValue({ chat_id: "c5" }) });
  store.takeFrame(
    eventFrame(1, "chat.created", { kind: "group", title: "Harbour", open: false, member_ids: [] }, { chat: "c5" }),
  );
  store.takeFrame(messageFrame(2, 1, { chat: "c5" }));
  assert.deepEqual([store.chat("c5").applied, store.chat("c5").unread], [2, 1]);
});

test("where messages came before one's own time, the inbox is asked how many are unread", () => {
  const { store, needs } = given([]);
  store.takeFrame({ type: "chat", chat: chatValue({ chat_id: "c5", head_seq: 300 }) });
  assert.deepEqual(needs, [{ what: "inbox", chatId: "c5" }]);
});

test("a chat that one left goes, one that one was removed from stays to say so", () => {
  const { store } = given([inboxItem(), inboxItem({ chat: chatValue({ chat_id: "c2" }) })]);
  store.takeFrame(eventFrame(2, "member.left", { user_id: "ana" }, { actor: "ana" }));
  store.takeFrame({ type: "gone", chat_id: "c1" });
  store.takeFrame(eventFrame(2, "member.removed", { user_id: "ana" }, { chat: "c2" }));
  store.takeFrame({ type: "gone", chat_id: "c2" });
  assert.deepEqual(
    store.list().map((chat) => [chat.id, chat.gone]),
    [["c2", "removed"]],
  );
});

test("one's own read mark from another device clears the count here", () => {
  const { store } = given();
  store.takeFrame(messageFrame(2, 1));
  store.takeFrame({ type: "receipt", chat_id: "c1", user_id: "ana", delivered_seq: 2, read_seq: 2 });
  assert.equal(store.chat("c1").unread, 0);
});

test("a group's receipts are fetched when the first one moves", () => {
  const { store, needs } = given();
  store.takeFrame({ type: "receipt", chat_id: "c1", user_id: "ben", delivered_seq: 1, read_seq: 1 });
  assert.deepEqual(needs, [{ what: "receipts", chatId: "c1" }]);
});

test("typing lapses after six seconds, is renewed, and ends with the message", async () => {
  const { clock, store } = given();
  const type = () => store.takeFrame({ type: "typing", chat_id: "c1", user_id: "ben" });
  type();
  await clock.pass(5_000);
  type();
  await clock.pass(5_000);
  assert.deepEqual(store.people.typingIn("c1"), ["ben"]);
  await clock.pass(1_000);
  assert.deepEqual(store.people.typingIn("c1"), []);
  type();
  store.takeFrame(messageFrame(2, 1));
  assert.deepEqual(store.people.typingIn("c1"), []);
});

test("connected heads of known chats that were not resumed ask for them anew, of unknown ones too", () => {
  const { store, needs } = given();
  const head = { head_seq: 5, read_seq: 1, others_delivered_seq: 0, others_read_seq: 0 };
  store.takeConnected({ chats: { c1: head, c7: head } }, new Set());
  assert.deepEqual(needs, [
    { what: "inbox", chatId: "c1" },
    { what: "inbox", chatId: "c7" },
  ]);
});

test("a resumed chat waits for its events", () => {
  const { store, needs } = given();
  store.takeConnected(
    { chats: { c1: { head_seq: 5, read_seq: 1, others_delivered_seq: 0, others_read_seq: 0 } } },
    new Set(["c1"]),
  );
  assert.deepEqual(needs, []);
});

test("a muted chat does not count in the title", () => {
  const me = { role: "member", joined_seq: 1, muted_until: "2026-03-03T00:00:00.000Z" };
  const { store } = given([inboxItem({ chat: chatValue({ me }) })]);
  store.takeFrame(messageFrame(2, 1));
  assert.equal(store.totalUnread(new Date("2026-03-02T12:00:00.000Z")), 0);
  assert.equal(store.totalUnread(new Date("2026-03-04T12:00:00.000Z")), 1);
});

test("when somebody erases themselves their texts are let go and read again", () => {
  const { store, needs } = given();
  store.takeFrame(messageFrame(2, 1));
  store.takeFrame(eventFrame(3, "member.left", { user_id: "ben" }, { actor: "ben" }));
  assert.deepEqual(needs.at(-1), { what: "users", ids: ["ben"] });
  store.people.take([], ["ben"]);
  assert.equal(store.people.nameOf("ben"), "Deleted account");
  assert.deepEqual(store.chat("c1").timeline.hole(1, 3), { from: 1, to: 2 });
  assert.equal(store.chat("c1").last.erased, true);
});

test("frames and events of the future change nothing", () => {
  const { store, needs } = given();
  store.takeFrame({ type: "reaction", chat_id: "c1" });
  assert.deepEqual(needs, []);
});
