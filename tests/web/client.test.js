import assert from "node:assert/strict";
import test from "node:test";

import { Account } from "../../api/web/lib/account.js";
import { Client } from "../../api/web/lib/client.js";
import { MemoryShelf } from "../../api/web/lib/outbox.js";
import { MemoryStorage } from "../../api/web/lib/session.js";
import { FakeClock, settled } from "./support/clock.js";
import { fakeSockets } from "./support/socket.js";
import { chatValue, directValue, inboxItem, messageFrame } from "./support/values.js";

const ana = { user_id: "ana", username: "ana", display_name: "Ana" };

/**
 * Ana's client over a fake server: `routes` maps "GET /v1/chats" to a body, a [status, body] or a function of the
 * request.
 */
async function given({
  routes = {},
  shelf = new MemoryShelf(),
  items = [inboxItem()],
  storage = new MemoryStorage(),
} = {}) {
  const clock = new FakeClock();
  const { FakeSocket, sockets } = fakeSockets();
  const seen = [];
  const all = {
    "GET /v1/chats": { items, next_cursor: null },
    "POST /v1/users/query": ({ body }) => ({
      items: body.user_ids.map((id) => ({ user_id: id, username: id, display_name: id })),
    }),
    ...routes,
  };
  const fetch = async (url, init) => {
    const { pathname, searchParams } = new URL(url, "http://host");
    const request = { query: Object.fromEntries(searchParams), body: init.body ? JSON.parse(init.body) : undefined };
    const name = `${init.method} ${pathname}`;
    seen.push({ name, headers: init.headers, ...request });
    const route = all[name];
    if (route === undefined) throw new TypeError(`no route ${name}`);
    const answer = typeof route === "function" ? route(request) : route;
    const [status, body] = Array.isArray(answer) ? answer : [200, answer];
    return new Response(JSON.stringify(body), { status });
  };
  const account = new Account({ base: "http://host", storage, fetch, now: clock.now });
  account.session.adopt({ user: ana, access_token: "a1", refresh_token: "r1", expires_in: 900 });
  const client = new Client({ account, shelf: () => shelf, Socket: FakeSocket, clock, random: () => 1 });
  const start = async (welcome = {}) => {
    const starting = client.start();
    await settled();
    sockets.at(-1).welcome(welcome);
    await starting;
    await clock.pass(200);
  };
  return { clock, client, shelf, sockets, seen, start };
}

const heads = (overrides) => ({
  c1: { head_seq: 1, read_seq: 1, others_delivered_seq: 0, others_read_seq: 0, ...overrides },
});

test("the socket's address tells a load balancer who comes, and nothing more", async () => {
  const { sockets, start } = await given();
  await start({ chats: heads() });
  assert.equal(sockets[0].url, `ws://host/v1/ws?u=${ana.user_id}`);
});

test("a message goes out, is acknowledged, and its event settles it", async () => {
  const { client, sockets, shelf, start } = await given();
  await start({ chats: heads() });
  const { message_id } = await client.send("c1", "hello");
  const frame = sockets[0].last("send");
  assert.deepEqual([frame.chat_id, frame.message_id, frame.kind, frame.text], ["c1", message_id, "TEXT", "hello"]);
  sockets[0].say({ type: "ack", reply_to: frame.id, message_id, position: "0:1" });
  await settled();
  sockets[0].say(messageFrame(2, 1, { id: message_id, actor: "ana", text: "hello" }));
  await settled();
  assert.deepEqual(client.outbox.of("c1"), []);
  assert.deepEqual(await shelf.all(), []);
  assert.equal(client.store.chat("c1").last.text, "hello");
});

test("written offline, sent once on return, after what was missed is asked for", async () => {
  const { clock, client, sockets, start } = await given();
  await start({ chats: heads() });
  sockets[0].end(1006);
  await client.send("c1", "one");
  await client.send("c1", "two");
  assert.equal(client.outbox.waiting, 2);
  await clock.pass(1_000);
  sockets[1].welcome({ chats: heads({ head_seq: 3 }) });
  assert.deepEqual(sockets[1].last("connect").resume, { c1: 1 });
  sockets[1].say(messageFrame(2, 1));
  sockets[1].say(messageFrame(3, 2));
  await settled();
  assert.equal(client.store.chat("c1").applied, 3);
  const first = sockets[1].last("send");
  sockets[1].say({ type: "ack", reply_to: first.id, message_id: first.message_id });
  await settled();
  assert.deepEqual(
    sockets[1].all("send").map(({ text }) => text),
    ["one", "two"],
  );
  assert.equal(sockets[0].all("send").length, 0);
});

test("where the server's log is another one, everything is fetched anew and no old mark is sent", async () => {
  const item = (head_seq, title) => inboxItem({ chat: chatValue({ head_seq, title }) });
  const inbox = { items: [item(11, "Before")], next_cursor: null };
  const { clock, client, sockets, start } = await given({ routes: { "GET /v1/chats": () => inbox } });
  await start({ chats: heads({ head_seq: 11, read_seq: 5 }), incarnation: "one" });
  sockets[0].end(1006);
  client.markRead("c1", 11);
  await clock.pass(1_000);
  inbox.items = [item(6, "After")];
  sockets[1].welcome({ chats: heads({ head_seq: 6, read_seq: 5 }), incarnation: "two" });
  await clock.pass(1_000);
  const chat = client.store.chat("c1");
  assert.deepEqual([chat.title, chat.applied, chat.head], ["After", 6, 6]);
  assert.equal(sockets[1].all("read").length, 0);
  sockets[1].say(messageFrame(7, 3, { text: "no repeat" }));
  assert.deepEqual([client.store.chat("c1").last.text, client.store.chat("c1").applied], ["no repeat", 7]);
  // The same log again: what is here stays.
  sockets[1].end(1006);
  await clock.pass(1_000);
  sockets[2].welcome({ chats: heads({ head_seq: 7 }), incarnation: "two" });
  assert.deepEqual(sockets[2].last("connect").resume, { c1: 7 });
  assert.equal(client.store.chat("c1").last.text, "no repeat");
});

test("a chat in which the server has less than is known here is fetched anew", async () => {
  const inbox = { items: [inboxItem({ chat: chatValue({ head_seq: 11 }) })], next_cursor: null };
  const { clock, client, sockets, start } = await given({ routes: { "GET /v1/chats": () => inbox } });
  await start({ chats: heads({ head_seq: 11 }) });
  inbox.items = [inboxItem({ chat: chatValue({ head_seq: 6, title: "After" }) })];
  sockets[0].say({ type: "limited", chat_id: "c1", head_seq: 6 });
  await clock.pass(1_000);
  assert.deepEqual([client.store.chat("c1").title, client.store.chat("c1").applied], ["After", 6]);
});

test("a rejected message keeps its text and says why", async () => {
  const { client, sockets, start } = await given();
  await start({ chats: heads() });
  const { message_id } = await client.send("c1", "hello");
  sockets[0].say({ type: "ack", reply_to: sockets[0].last("send").id, message_id });
  await settled();
  sockets[0].say({ type: "rejected", chat_id: "c1", position: "0:4", message_id, code: "forbidden" });
  await settled();
  const [entry] = client.outbox.of("c1");
  assert.deepEqual([entry.state, entry.code, entry.text], ["refused", "forbidden", "hello"]);
});

for (const [fate, answer, expected] of [
  ["folded", { message: {} }, null],
  ["refused", [409, { code: "forbidden" }], "refused"],
  ["unknown", [404, { code: "no_such_message" }], "queued"],
]) {
  test(`an acknowledged message whose event was missed is asked about: ${fate}`, async () => {
    const shelf = new MemoryShelf();
    await shelf.put({ message_id: "m7", chat_id: "c1", kind: "TEXT", text: "x", created_at: 0, state: "acked" });
    const { client, start } = await given({ shelf, routes: { "GET /v1/chats/c1/messages/m7": answer } });
    await start({ chats: heads() });
    await settled();
    assert.equal(client.outbox.get("m7")?.state ?? null, expected);
  });
}

test("messages from others are reported delivered, gathered per chat", async () => {
  const { clock, sockets, start } = await given();
  await start({ chats: heads() });
  sockets[0].say(messageFrame(2, 1));
  sockets[0].say(messageFrame(3, 2));
  await clock.pass(100);
  assert.deepEqual(sockets[0].all("delivered"), [{ type: "delivered", chat_id: "c1", up_to_seq: 3 }]);
});

test("what was read without a connection is told on return", async () => {
  const { clock, client, sockets, start } = await given();
  await start({ chats: heads() });
  sockets[0].say(messageFrame(2, 1));
  await clock.pass(100);
  sockets[0].end(1006);
  client.markRead("c1", 2);
  assert.equal(client.store.chat("c1").unread, 0);
  await clock.pass(1_000);
  sockets[1].welcome({ chats: heads({ head_seq: 2, read_seq: 1 }) });
  await clock.pass(200);
  assert.deepEqual(sockets[1].last("read"), { type: "read", chat_id: "c1", up_to_seq: 2 });
});

test("a read implies delivered: one frame is enough", async () => {
  const { clock, client, sockets, start } = await given();
  await start({ chats: heads() });
  sockets[0].say(messageFrame(2, 1));
  client.markRead("c1", 2);
  await clock.pass(200);
  assert.equal(sockets[0].all("delivered").length, 0);
  assert.equal(sockets[0].all("read").length, 1);
});

test("typing is told at most every three seconds", async () => {
  const { clock, client, sockets, start } = await given();
  await start({ chats: heads() });
  for (let second = 0; second < 6; second += 1) {
    client.typing("c1");
    await clock.pass(1_000);
  }
  assert.equal(sockets[0].all("typing").length, 2);
});

test("the other side of direct chats and the members of the open group are watched", async () => {
  const direct = directValue({
    members: [
      { user_id: "ana", role: "member", joined_seq: 1 },
      { user_id: "dan", role: "member", joined_seq: 1 },
    ],
  });
  const { clock, client, sockets, start } = await given({
    items: [inboxItem(), inboxItem({ chat: direct })],
    routes: { "GET /v1/chats/c1/receipts": { items: [] } },
  });
  await start();
  assert.deepEqual(sockets[0].last("presence.watch").user_ids, ["dan"]);
  client.open("c1");
  await clock.pass(200);
  assert.deepEqual(sockets[0].last("presence.watch").user_ids.sort(), ["ben", "dan"]);
});

test("a hole is filled by pages, each asked for once, and what may not be seen is not asked for again", async () => {
  const events = ({ query }) => {
    const after = Math.max(Number(query.after_seq), 49); // nothing before 50 is Ana's to see
    const items = [];
    for (let seq = after + 1; seq <= Math.min(after + Number(query.limit), 260); seq += 1)
      items.push(messageFrame(seq, seq));
    return { items, has_more: false };
  };
  const { client, seen, start } = await given({
    items: [inboxItem({ chat: chatValue({ head_seq: 260 }) })],
    routes: { "GET /v1/chats/c1/events": events },
  });
  await start();
  await Promise.all([client.loader.events("c1", 1, 150), client.loader.events("c1", 101, 260)]);
  const { timeline } = client.store.chat("c1");
  assert.equal(timeline.first, 50);
  assert.equal(timeline.hole(1, 260), null);
  const asked = seen.filter(({ name }) => name.endsWith("/events")).length;
  assert.equal(asked, 3);
  await client.loader.events("c1", 1, 260);
  assert.equal(seen.filter(({ name }) => name.endsWith("/events")).length, asked);
});

test("a page that ends early is read on", async () => {
  const events = ({ query }) => {
    const seq = Number(query.after_seq) + 1;
    return { items: [messageFrame(seq, seq), messageFrame(seq + 1, seq + 1)], has_more: true };
  };
  const { client, start } = await given({
    items: [inboxItem({ chat: chatValue({ head_seq: 7 }) })],
    routes: { "GET /v1/chats/c1/events": events },
  });
  await start();
  await client.loader.events("c1", 1, 7);
  assert.equal(client.store.chat("c1").timeline.hole(1, 7), null);
});

test("a server that is away for a while is asked again", async () => {
  let calls = 0;
  const { clock, client } = await given({
    routes: {
      "GET /v1/chats": () => {
        calls += 1;
        return calls < 3 ? [503, { code: "unavailable" }] : { items: [inboxItem()], next_cursor: null };
      },
    },
  });
  const starting = client.start();
  await clock.pass(5_000);
  await starting;
  assert.ok(client.store.chat("c1"));
});

test("messages left in a chat that is lost stay where their author can find them", async () => {
  const shelf = new MemoryShelf();
  await shelf.put({
    message_id: "m7",
    chat_id: "c9",
    kind: "TEXT",
    text: "x",
    created_at: 0,
    state: "refused",
    code: "forbidden",
  });
  const { client, start } = await given({ shelf, routes: { "GET /v1/chats/c9": [404, { code: "no_such_chat" }] } });
  await start();
  assert.equal(client.store.chat("c9").gone, "lost");
  await client.forget("c9");
  assert.equal(client.store.chat("c9"), null);
  assert.deepEqual(await shelf.all(), []);
});

test("drafts are kept per chat and user, and an empty one is none", async () => {
  const storage = new MemoryStorage();
  const { client } = await given({ storage });
  client.drafts.set("c1", "half a tho", "m1");
  const later = await given({ storage });
  assert.deepEqual(later.client.drafts.get("c1"), { text: "half a tho", replyTo: "m1" });
  later.client.drafts.set("c1", "");
  assert.deepEqual(client.drafts.get("c1"), { text: "", replyTo: null });
});

test("a draft that the storage has no room for survives in memory", async () => {
  class Full extends MemoryStorage {
    setItem(key, value) {
      if (key.includes("draft")) throw new Error("full");
      super.setItem(key, value);
    }
  }
  const { client } = await given({ storage: new Full() });
  client.drafts.set("c1", "long");
  assert.equal(client.drafts.get("c1").text, "long");
});

test("a group keeps its id when its creation is repeated after a lost answer", async () => {
  const bodies = [];
  const { client } = await given({
    routes: {
      "POST /v1/chats": ({ body }) => {
        bodies.push(body);
        return bodies.length === 1
          ? [503, { code: "unavailable" }]
          : [200, { chat: chatValue({ chat_id: body.chat_id }) }];
      },
    },
  });
  const group = { chat_id: client.account.newId(), title: "Quay", member_ids: [] };
  await assert.rejects(client.commands.createGroup(group), { code: "unavailable" });
  const chat = await client.commands.createGroup(group);
  assert.equal(bodies[0].chat_id, bodies[1].chat_id);
  assert.equal(chat.id, group.chat_id);
});

test("a chat whose creation the fold has not reached yet is read when it has", async () => {
  const { client, seen } = await given({
    routes: {
      "PUT /v1/chats/direct/ben": [202, { chat_id: "d1", position: "0:7" }],
      "GET /v1/chats/d1": { chat: directValue() },
    },
  });
  const chat = await client.commands.createDirect("ben");
  assert.equal(chat.id, "d1");
  assert.equal(seen.at(-1).headers["Tidings-Min-Position"], "0:7");
});

test("after an erasure nothing of the user stays on the device", async () => {
  const shelf = new MemoryShelf();
  const { client, start } = await given({ shelf });
  await start({ chats: heads() });
  client.drafts.set("c1", "half a tho");
  await client.send("c1", "never sent");
  await client.wipe();
  assert.deepEqual(await shelf.all(), []);
  assert.equal(client.drafts.get("c1").text, "");
});
