import assert from "node:assert/strict";
import test from "node:test";

import { actionsOf, Operations, rateText, span } from "../../api/web/lib/operations.js";

function overview(seconds, end, more = {}) {
  return {
    server_time: new Date(1_700_000_000_000 + seconds * 1000).toISOString(),
    partitions: [
      { partition: 0, end, position: end, lag_events: 0, lag_seconds: 0 },
      { partition: 1, end: 5, position: 3, lag_events: 2, lag_seconds: 1.5 },
    ],
    generations: [{ generation: 1, state: "served", parked_chats: 0 }],
    processes: [{ sessions: 2 }, { sessions: 3 }],
    jobs: [],
    ...more,
  };
}

function server(answers) {
  const calls = [];
  return {
    calls,
    async request(method, path, { body } = {}) {
      calls.push([method, path, body]);
      if (path.endsWith("/dead-letters")) return { data: { items: [{ chat_id: "c" }] } };
      if (method === "POST") return { data: { job_id: 1 } };
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer instanceof Error) throw answer;
      return { data: answer };
    },
  };
}

test("the event rate is what the log grew by between two answers, by the server's clock", async () => {
  const operations = new Operations({ http: server([overview(0, 100), overview(2, 150), overview(2, 150), overview(4, 150)]) });
  await operations.refresh();
  assert.equal(operations.rate, null);
  await operations.refresh();
  assert.equal(operations.rate, 25);
  await operations.refresh(); // the same answer again tells nothing new
  await operations.refresh();
  assert.deepEqual(operations.rates, [25, 0]);
});

test("lag is summed over partitions, and as late as the worst of them", async () => {
  const operations = new Operations({ http: server([overview(0, 100)]) });
  await operations.refresh();
  assert.deepEqual(operations.lag, { events: 2, seconds: 1.5 });
  assert.equal(operations.sessions, 5);
});

test("dead letters are asked for only where a chat stands still", async () => {
  const http = server([overview(0, 1), overview(2, 1, { generations: [{ state: "served", parked_chats: 1 }] })]);
  const operations = new Operations({ http });
  await operations.refresh();
  assert.deepEqual(operations.letters, []);
  await operations.refresh();
  assert.deepEqual(operations.letters, [{ chat_id: "c" }]);
});

test("a failure keeps what was known, and whoever may not look is not asked for again", async () => {
  const refused = Object.assign(new Error("no"), { status: 403 });
  const later = [];
  const operations = new Operations({
    http: server([overview(0, 1), new Error("away"), refused]),
    later: (action) => later.push(action),
  });
  let changes = 0;
  operations.on("change", () => changes++);
  operations.start();
  while (!later.length) await null;
  assert.equal(changes, 1);
  await later.shift()();
  assert.equal(operations.error.message, "away");
  assert.ok(operations.overview);
  await later.shift()();
  assert.equal(operations.error.status, 403);
  assert.equal(later.length, 0);
});

test("what is done is asked for at once", async () => {
  const http = server([overview(0, 1)]);
  const operations = new Operations({ http });
  await operations.act("generations/2/switch", { accept_differences: false });
  assert.deepEqual(http.calls[0], ["POST", "/v1/admin/generations/2/switch", { accept_differences: false }]);
  assert.equal(http.calls[1][1], "/v1/admin/overview");
});

test("a generation offers what may be done with it", () => {
  const one = { state: "followed", paused: false, verdict: "" };
  assert.deepEqual(actionsOf({ ...one, state: "served" }), []);
  assert.deepEqual(actionsOf(one), ["verify", "pause", "drop"]);
  assert.deepEqual(actionsOf({ ...one, verdict: "same" }), ["verify", "switch", "pause", "drop"]);
  assert.deepEqual(actionsOf({ ...one, verdict: "different" }), ["verify", "switch", "pause", "drop"]);
  assert.deepEqual(actionsOf({ ...one, verdict: "renumbered" }), ["verify", "pause", "drop"]);
  assert.deepEqual(actionsOf({ ...one, verdict: "same", paused: true }), ["verify", "resume", "drop"]);
  assert.deepEqual(actionsOf({ ...one, state: "building" }), ["drop"]);
});

test("numbers are short", () => {
  assert.deepEqual([null, 0, 0.44, 12.6, 3400].map(rateText), ["–", "0", "0.4", "13", "3,400"]);
  assert.deepEqual([0, 0.44, 12.6, 119, 150, 7300].map(span), ["0 s", "0.4 s", "13 s", "119 s", "3 min", "2 h"]);
});
