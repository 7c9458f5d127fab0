import assert from "node:assert/strict";
import test from "node:test";

import { FrameRefused } from "../../api/web/lib/connection.js";
import { MemoryShelf, Outbox } from "../../api/web/lib/outbox.js";
import { Sender } from "../../api/web/lib/sender.js";
import { FakeClock, settled } from "./support/clock.js";

function counterIds() {
  let made = 0;
  return () => `m${String((made += 1)).padStart(3, "0")}`;
}

/** An outbox with a sender on a connection whose requests the test answers. */
function given({ shelf = new MemoryShelf(), newId = counterIds() } = {}) {
  const clock = new FakeClock();
  const outbox = new Outbox({ shelf, newId, now: clock.now });
  const requests = [];
  const connection = {
    state: "online",
    request: (frame) =>
      new Promise((resolve, reject) => {
        requests.push({ frame, ack: () => resolve({ type: "ack", message_id: frame.message_id }), refuse: reject });
      }),
  };
  const times = [];
  const sender = new Sender({ outbox, connection, clock, onServerTime: (time) => times.push(time) });
  const say = async (text, chat_id = "c1") => {
    const entry = await outbox.add({ chat_id, text });
    sender.pump();
    return entry;
  };
  return { clock, connection, newId, outbox, requests, sender, shelf, say, times };
}

function refusal(code, more = {}) {
  return new FrameRefused({ code, message: code, ...more });
}

test("a message is stored before it is sent", async () => {
  const steps = [];
  class Watched extends MemoryShelf {
    async put(entry) {
      await super.put(entry);
      steps.push(`stored ${entry.state}`);
    }
  }
  const { outbox, requests, sender, connection } = given({ shelf: new Watched() });
  const { request } = connection;
  connection.request = (frame) => {
    steps.push("sent");
    return request(frame);
  };
  await outbox.add({ chat_id: "c1", text: "hello" });
  sender.pump();
  assert.deepEqual(steps, ["stored queued", "sent"]);
  assert.equal(requests.length, 1);
});

test("one chat's messages go one after the other, other chats do not wait", async () => {
  const { requests, say } = given();
  await say("one");
  await say("two");
  await say("elsewhere", "c2");
  assert.deepEqual(texts(requests), ["one", "elsewhere"]);
  requests[0].ack();
  await settled();
  assert.deepEqual(texts(requests), ["one", "elsewhere", "two"]);
});

test("what was written without a connection goes out in order when it is back", async () => {
  const { connection, outbox, requests, say, sender } = given();
  connection.state = "waiting";
  for (const text of ["one", "two", "three"]) await say(text);
  assert.equal(outbox.waiting, 3);
  assert.equal(requests.length, 0);
  connection.state = "online";
  sender.pump();
  for (let index = 0; index < 3; index += 1) {
    requests[index].ack();
    await settled();
  }
  assert.deepEqual(texts(requests), ["one", "two", "three"]);
  assert.equal(outbox.waiting, 0);
});

test("a lost answer repeats the same id", async () => {
  const { clock, requests, say } = given();
  await say("hello");
  requests[0].refuse(new Error("the connection ended"));
  await clock.pass(1_000);
  assert.equal(requests.length, 2);
  assert.deepEqual(requests[1].frame, requests[0].frame);
});

test("a reload finds what was not settled, in its order, and repeats the same ids", async () => {
  const before = given();
  before.connection.state = "waiting";
  const first = await before.say("one");
  const second = await before.say("two");
  const after = given({ shelf: before.shelf });
  await after.outbox.open();
  after.sender.pump();
  after.requests[0].ack();
  await settled();
  assert.deepEqual(
    after.requests.map(({ frame }) => frame.message_id),
    [first.message_id, second.message_id],
  );
});

test("an acknowledged message stays until its event, so that a refusal still finds its text", async () => {
  const { outbox, requests, say, shelf } = given();
  const { message_id } = await say("hello");
  requests[0].ack();
  await settled();
  assert.equal(outbox.get(message_id).state, "acked");
  await outbox.refuse(message_id, "forbidden");
  assert.deepEqual(
    (await shelf.all()).map(({ state, code, text }) => [state, code, text]),
    [["refused", "forbidden", "hello"]],
  );
});

test("its event settles a message, before the ack as well as after it", async () => {
  const { outbox, requests, say, shelf } = given();
  const { message_id } = await say("hello");
  await outbox.remove(message_id);
  requests[0].ack();
  await settled();
  assert.deepEqual(outbox.of("c1"), []);
  assert.deepEqual(await shelf.all(), []);
});

test("an event that arrives while the ack is being stored leaves nothing behind", async () => {
  let release;
  class Slow extends MemoryShelf {
    async put(entry) {
      if (entry.state === "acked") await new Promise((resolve) => (release = resolve));
      await super.put(entry);
    }
  }
  const { outbox, requests, say, shelf } = given({ shelf: new Slow() });
  const { message_id } = await say("hello");
  requests[0].ack();
  await settled();
  await outbox.remove(message_id);
  release();
  await settled();
  assert.deepEqual(await shelf.all(), []);
});

test("a refusal stops its message and lets the next one go", async () => {
  const { outbox, requests, say } = given();
  const { message_id } = await say("one");
  await say("two");
  requests[0].refuse(refusal("forbidden"));
  await settled();
  assert.deepEqual([outbox.get(message_id).state, outbox.get(message_id).code], ["refused", "forbidden"]);
  assert.deepEqual(texts(requests), ["one", "two"]);
});

test("another try of a refused message has a new id and no code", async () => {
  const { outbox, requests, say, sender } = given();
  const { message_id } = await say("one");
  requests[0].refuse(refusal("forbidden"));
  await settled();
  const again = await outbox.retry(message_id);
  sender.pump();
  assert.notEqual(again.message_id, message_id);
  assert.equal(again.code, undefined);
  assert.equal(requests[1].frame.message_id, again.message_id);
});

for (const code of ["rate_limited", "unavailable", "not_yet"]) {
  test(`${code} means later: the same id, nothing overtakes, after the time that was asked for`, async () => {
    const { clock, requests, say } = given();
    await say("one");
    await say("two");
    requests[0].refuse(refusal(code, { retry_after_ms: 3_000 }));
    await clock.pass(2_999);
    assert.equal(requests.length, 1);
    await clock.pass(1);
    assert.deepEqual(requests[1].frame, requests[0].frame);
  });
}

test("an id from the future is minted again once, in the same place", async () => {
  const { outbox, requests, say, times } = given();
  await say("one");
  await say("two");
  requests[0].refuse(refusal("id_from_future", { server_time: "2026-03-02T09:00:00.000Z" }));
  await settled();
  assert.deepEqual(times, ["2026-03-02T09:00:00.000Z"]);
  assert.equal(requests[1].frame.text, "one");
  assert.notEqual(requests[1].frame.message_id, requests[0].frame.message_id);
  requests[1].refuse(refusal("id_from_future"));
  await settled();
  assert.equal(outbox.of("c1")[0].state, "refused");
});

test("a storage that fails is told, and the message goes out all the same", async () => {
  class Broken extends MemoryShelf {
    async put() {
      throw new Error("full");
    }
  }
  const { outbox, requests, sender } = given({ shelf: new Broken() });
  const heard = [];
  outbox.on("unsaved", (error) => heard.push(error.message));
  await outbox.add({ chat_id: "c1", text: "hello" });
  sender.pump();
  assert.deepEqual(heard, ["full"]);
  assert.equal(requests.length, 1);
});

function texts(requests) {
  return requests.map(({ frame }) => frame.text);
}
