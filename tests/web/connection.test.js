import assert from "node:assert/strict";
import test from "node:test";

import { Connection, ConnectionLost, FrameRefused } from "../../api/web/lib/connection.js";
import { SignedOut, Unreachable } from "../../api/web/lib/http.js";
import { FakeClock, settled } from "./support/clock.js";
import { fakeSockets } from "./support/socket.js";

/** A connection whose waits are the longest that jitter allows. */
function given({ token, resume = () => ({}) } = {}) {
  const clock = new FakeClock();
  const { FakeSocket, sockets } = fakeSockets();
  const asked = [];
  let minted = 0;
  const connection = new Connection({
    url: "ws://host/v1/ws",
    token: async (options) => {
      asked.push(options);
      if (token) return token(options);
      return { token: `token-${(minted += 1)}`, expiresAt: clock.now() + 900_000 };
    },
    resume,
    client: { name: "test" },
    Socket: FakeSocket,
    clock,
    random: () => 1,
  });
  const states = [];
  connection.on("state", () => states.push(connection.state));
  return { clock, connection, sockets, asked, states };
}

async function online(setup = {}) {
  const all = given(setup);
  all.connection.start();
  await settled();
  all.sockets[0].welcome();
  return all;
}

test("the first frame is connect, with token and resume, and never the token in the address", async () => {
  const { sockets, connection } = await online({ resume: () => ({ c1: 7 }) });
  const [frame] = sockets[0].sent;
  assert.equal(sockets[0].protocol, "chat.v1");
  assert.ok(!sockets[0].url.includes("token"));
  assert.deepEqual([frame.type, frame.token, frame.resume], ["connect", "token-1", { c1: 7 }]);
  assert.equal(connection.state, "online");
});

test("an answer finds its question, a refusal is an error", async () => {
  const { sockets, connection } = await online();
  const sent = connection.request({ type: "send" });
  const refused = connection.request({ type: "send" });
  const [first, second] = sockets[0].all("send");
  sockets[0].say({
    type: "error",
    reply_to: second.id,
    code: "rate_limited",
    message: "slow down",
    retry_after_ms: 40,
  });
  sockets[0].say({ type: "ack", reply_to: first.id, position: "0:9" });
  assert.equal((await sent).position, "0:9");
  await assert.rejects(refused, (error) => error instanceof FrameRefused && error.retryAfterMs === 40);
});

test("frames that answer nothing are handed on in order", async () => {
  const { sockets, connection } = await online();
  const heard = [];
  connection.on("frame", (frame) => heard.push(frame.seq));
  for (const seq of [1, 2, 3]) sockets[0].say({ type: "event", seq });
  assert.deepEqual(heard, [1, 2, 3]);
});

for (const code of [1001, 1006, 1011, 1012, 4408, 4410, 4429]) {
  test(`after ${code} it comes back`, async () => {
    const { clock, sockets, connection } = await online();
    sockets[0].end(code);
    assert.equal(connection.state, "waiting");
    await clock.pass(10_000);
    assert.equal(sockets.length, 2);
  });
}

for (const [code, reason] of [
  [1009, "broken"],
  [4400, "broken"],
  [4409, "replaced"],
]) {
  test(`after ${code} it stays away`, async () => {
    const { clock, sockets, connection } = await online();
    sockets[0].end(code);
    await clock.pass(600_000);
    assert.equal(sockets.length, 1);
    assert.deepEqual([connection.state, connection.reason], ["stopped", reason]);
  });
}

test("after 4401 it comes back with another token", async () => {
  const { clock, sockets, asked } = await online();
  sockets[0].end(4401);
  await clock.pass(1_000);
  assert.deepEqual(asked[1], { refused: "token-1" });
  sockets[1].open();
  assert.equal(sockets[1].last("connect").token, "token-2");
});

test("a session that was ended elsewhere stops it", async () => {
  const { clock, sockets, connection } = await online({
    token: ({ refused }) => {
      if (refused) throw new SignedOut();
      return { token: "token-1", expiresAt: Infinity };
    },
  });
  sockets[0].end(4401);
  await clock.pass(60_000);
  assert.deepEqual([connection.state, connection.reason, sockets.length], ["stopped", "signed_out", 1]);
});

test("waits double up to half a minute while the server is away, and jitter spreads them", async () => {
  const { clock, connection } = given({
    token: () => {
      throw new Unreachable();
    },
  });
  const waits = [];
  connection.on("state", () => connection.state === "waiting" && waits.push(connection.retryAt - clock.now()));
  connection.start();
  await clock.pass(120_000);
  assert.deepEqual(waits.slice(0, 8), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test("a server that accepts and closes at once is not hammered", async () => {
  const { clock, sockets } = await online();
  for (let round = 0; round < 6; round += 1) {
    sockets.at(-1).end(1011);
    const wait = 500 * 2 ** round;
    await clock.pass(wait - 1);
    assert.equal(sockets.length, round + 1);
    await clock.pass(1);
    sockets.at(-1).welcome();
  }
});

test("a connection that lasted starts the waits from the beginning", async () => {
  const { clock, sockets, connection } = await online();
  for (let round = 0; round < 3; round += 1) {
    sockets.at(-1).end(1006);
    await clock.pass(5_000);
    sockets.at(-1).welcome();
  }
  await clock.pass(11_000);
  sockets.at(-1).end(1006);
  assert.equal(connection.retryAt - clock.now(), 500);
});

test("a reconnect frame is obeyed", async () => {
  const { clock, sockets } = await online();
  sockets[0].say({ type: "reconnect", after_ms: 2_000, reason: "drain" });
  await clock.pass(1_999);
  assert.equal(sockets.length, 1);
  await clock.pass(2_001);
  assert.equal(sockets.length, 2);
});

test("what awaits an answer learns that the connection ended", async () => {
  const { sockets, connection } = await online();
  const sent = connection.request({ type: "send" });
  sockets[0].end(1006);
  await assert.rejects(sent, ConnectionLost);
  await assert.rejects(connection.request({ type: "send" }), ConnectionLost);
  assert.equal(connection.post({ type: "typing" }), false);
});

test("a socket that has gone silent is pinged, then given up", async () => {
  const { clock, sockets, connection } = await online();
  await clock.pass(25_000);
  assert.equal(sockets[0].all("ping").length, 1);
  await clock.pass(10_000);
  assert.notEqual(connection.state, "online");
  assert.equal(sockets[0].closedWith, 1000);
});

test("a pong keeps it", async () => {
  const { clock, sockets, connection } = await online();
  for (let beat = 0; beat < 4; beat += 1) {
    await clock.pass(25_000);
    sockets[0].say({ type: "pong", reply_to: sockets[0].last("ping").id });
  }
  assert.equal(connection.state, "online");
});

test("news of a socket that was given up changes nothing", async () => {
  const { clock, sockets, connection } = await online();
  const heard = [];
  connection.on("frame", (frame) => heard.push(frame));
  await clock.pass(36_000);
  sockets[1].welcome();
  sockets[0].say({ type: "event", seq: 1 });
  sockets[0].end(4400);
  assert.deepEqual(heard, []);
  assert.equal(connection.state, "online");
});

test("waking up ends a wait at once, and tests a socket that seems alive", async () => {
  const { clock, sockets, connection } = await online();
  connection.wake();
  await clock.pass(4_000);
  assert.equal(connection.state, "waiting");
  connection.wake();
  await settled();
  assert.equal(sockets.length, 2);
});

test("the token is renewed on the open socket a minute before it ends", async () => {
  const { clock, sockets } = await online();
  await keepAlive(clock, sockets[0], 840_000);
  const renewal = sockets[0].last("auth");
  assert.equal(renewal.token, "token-2");
  sockets[0].say({ type: "ack", reply_to: renewal.id });
  await keepAlive(clock, sockets[0], 840_000);
  assert.equal(sockets[0].last("auth").token, "token-3");
});

test("a socket that never gets as far as connected is given up", async () => {
  const { clock, sockets, connection } = given();
  connection.start();
  await settled();
  sockets[0].open();
  await clock.pass(16_000);
  assert.equal(sockets.length, 2);
});

test("stopping is final until it is started again", async () => {
  const { clock, sockets, connection } = await online();
  connection.stop();
  await clock.pass(60_000);
  assert.equal(sockets.length, 1);
  connection.start();
  await settled();
  assert.equal(sockets.length, 2);
});

async function keepAlive(clock, socket, ms) {
  for (let left = ms; left > 0; left -= 20_000) {
    await clock.pass(Math.min(left, 20_000));
    socket.say({ type: "presence" });
  }
}
