import assert from "node:assert/strict";
import test from "node:test";

import { Chat } from "../../api/web/lib/chat.js";
import { Rows } from "../../api/web/lib/rows.js";
import { chatValue, eventFrame, inboxItem, messageFrame } from "./support/values.js";

function at(text) {
  return new Date(`2026-03-${text}`).toISOString(); // where the tests run, so that days are theirs
}

/** Ana's rows over `items`, with `entries` in her outbox. */
function given({ items = [], entries = [], newAfter = null, chat: value = chatValue() }) {
  const chat = new Chat("c1", "ana");
  chat.takeInboxItem(inboxItem({ chat: value }));
  for (const item of items) chat.take(item);
  const outbox = { of: () => entries };
  return new Rows({ chat, outbox, meId: "ana", newAfter });
}

function entry(overrides) {
  return {
    message_id: "p1",
    kind: "TEXT",
    text: "on its way",
    created_at: Date.parse(at("02T10:09:00")),
    ...overrides,
  };
}

test("messages of one sender in one minute form a group, others begin anew", () => {
  const rows = given({
    items: [
      eventFrame(1, "chat.created", { kind: "group", title: "x" }, { at: at("02T10:00:00") }),
      messageFrame(2, 1, { at: at("02T10:00:05") }),
      messageFrame(3, 2, { at: at("02T10:00:50") }),
      messageFrame(4, 3, { at: at("02T10:01:10") }),
      messageFrame(5, 4, { at: at("02T10:01:20"), actor: "ana" }),
    ],
  });
  const groups = [1, 2, 3, 4].map((index) => rows.at(index)).map(({ first, last }) => [first, last]);
  assert.deepEqual(groups, [
    [true, false],
    [false, true],
    [true, true],
    [true, true],
  ]);
});

test("a date line stands over the first row of each day, and breaks a group", () => {
  const rows = given({
    items: [
      eventFrame(1, "chat.created", { kind: "group", title: "x" }, { at: at("02T23:59:00") }),
      messageFrame(2, 1, { at: at("02T23:59:30") }),
      messageFrame(3, 2, { at: at("03T00:00:00") }),
    ],
  });
  assert.deepEqual(
    [0, 1, 2].map((index) => Boolean(rows.at(index).day)),
    [true, false, true],
  );
  assert.deepEqual([rows.at(1).last, rows.at(2).first], [true, true]);
});

test("what is not loaded is a hole, and no date line is guessed beneath it", () => {
  const rows = given({ chat: chatValue({ head_seq: 3 }), items: [messageFrame(3, 2)] });
  assert.deepEqual(
    [0, 1, 2].map((index) => rows.at(index).kind),
    ["hole", "hole", "message"],
  );
  assert.equal(rows.at(2).day, null);
});

test("the new line stands over the first message of somebody else after the mark", () => {
  const items = [messageFrame(2, 1), messageFrame(3, 2, { actor: "ana" }), messageFrame(4, 3), messageFrame(5, 4)];
  const rows = given({ items, newAfter: 2 });
  assert.deepEqual(
    [1, 2, 3, 4].map((index) => rows.at(index).isNew),
    [false, false, true, false],
  );
  assert.equal(rows.newRow, 3);
  assert.equal(given({ items }).newRow, null);
});

test("what is on its way stands at the end with its state", () => {
  const rows = given({
    entries: [
      entry({ state: "queued" }),
      entry({ message_id: "p2", state: "acked" }),
      entry({ message_id: "p3", state: "refused", code: "forbidden" }),
    ],
  });
  assert.equal(rows.count, 4);
  assert.deepEqual(
    [1, 2, 3].map((index) => rows.at(index)).map(({ key, seq, state, code }) => [key, seq, state, code]),
    [
      ["p1", null, "sending", undefined],
      ["p2", null, "sent", undefined],
      ["p3", null, "refused", "forbidden"],
    ],
  );
});

test("a message keeps its key when it settles, and is there once", () => {
  const rows = given({ entries: [entry({ message_id: "m1", state: "acked" })] });
  assert.deepEqual([rows.count, rows.at(1).key, rows.at(1).seq], [2, "m1", null]);
  rows.chat.take(messageFrame(2, 1, { actor: "ana", id: "m1" }));
  rows.refresh();
  assert.deepEqual([rows.count, rows.at(1).key, rows.at(1).seq, rows.at(1).state], [2, "m1", 2, "sent"]);
});

test("rows begin at what the reader may see", () => {
  const me = { role: "member", joined_seq: 40, muted_until: null };
  const rows = given({ chat: chatValue({ history: "since_join", head_seq: 50, me }) });
  assert.deepEqual([rows.count, rows.seqAt(0), rows.indexOf(45)], [11, 40, 5]);
});
