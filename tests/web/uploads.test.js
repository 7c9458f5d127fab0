import assert from "node:assert/strict";
import test from "node:test";

import { Problem, Unreachable } from "../../api/web/lib/http.js";
import { MemoryShelf, Outbox } from "../../api/web/lib/outbox.js";
import { Uploads, sizeLabel } from "../../api/web/lib/uploads.js";
import { FakeClock, settled } from "./support/clock.js";

const photo = { file_id: "f1", name: "a.jpg", size: 3, content_type: "image/jpeg", width: 4, height: 3 };

/** Uploads whose requests the test answers: `requests` holds `{name, text, progress, done, fail, signal}`. */
async function given({ shelf = new MemoryShelf() } = {}) {
  const clock = new FakeClock();
  let made = 0;
  const outbox = new Outbox({ shelf, newId: () => `m${(made += 1)}`, now: clock.now });
  await outbox.open();
  const requests = [];
  const heard = [];
  let went = 0;
  let links = 0;
  const send = (path, { file, name, token, onProgress: progress, signal }) =>
    new Promise((resolve, reject) => {
      requests.push({ path, file, name, token, progress, done: resolve, fail: reject, signal });
      signal.addEventListener("abort", () => reject(new Unreachable()));
    });
  const api = {
    fileUrl: async (id) => {
      links += 1;
      return { url: `/v1/files/${id}?${links}`, thumbnail_url: null, expires_at: "2026-03-02T10:20:00.000Z" };
    },
  };
  const http = { authorized: (call) => call("token") };
  const uploads = new Uploads({ outbox, api, http, send, clock, serverNow: clock.now, onDone: () => (went += 1) });
  uploads.on("progress", (chatId) => heard.push(chatId));
  const add = async (name = "a.jpg", chat_id = "c1") => {
    const entry = await outbox.add({ chat_id, kind: "FILE", text: "", blob: new Blob(["abc"]), name });
    uploads.pump();
    return entry;
  };
  return { add, clock, heard, outbox, requests, shelf, uploads, went: () => went };
}

test("a file goes first, and its message only once the server has it", async () => {
  const { add, outbox, requests, went } = await given();
  const { message_id: id } = await add();
  assert.deepEqual(outbox.next(), []);
  assert.deepEqual([requests[0].path, requests[0].name, requests[0].token], ["/v1/files", "a.jpg", "token"]);
  requests[0].done(photo);
  await settled();
  const [entry] = outbox.next();
  assert.deepEqual([entry.message_id, entry.kind, entry.file], [id, "IMAGE", photo]);
  assert.equal(went(), 1);
});

test("files go one after the other, a text does not wait for them", async () => {
  const { add, outbox, requests } = await given();
  await add("one");
  await add("two", "c2");
  const text = await outbox.add({ chat_id: "c1", text: "hello" });
  assert.deepEqual(outbox.next(), [text]);
  assert.deepEqual(requests.map(({ name }) => name), ["one"]);
  requests[0].done({ ...photo, width: undefined });
  await settled();
  assert.deepEqual(requests.map(({ name }) => name), ["one", "two"]);
  assert.equal(outbox.all()[0].kind, "FILE");
});

test("how far a file is can be asked, and is told", async () => {
  const { add, heard, requests, uploads } = await given();
  const { message_id: id } = await add();
  assert.equal(uploads.progress(id), 0);
  requests[0].progress(0.4);
  assert.deepEqual([uploads.progress(id), heard], [0.4, ["c1"]]);
  assert.equal(uploads.progress("another"), null);
});

test("what broke off begins again, after a pause or when the server is back", async () => {
  const { add, clock, outbox, requests, uploads } = await given();
  await add();
  requests[0].fail(new Unreachable());
  await clock.pass(1_900);
  assert.equal(requests.length, 1);
  await clock.pass(200);
  assert.equal(requests.length, 2);
  requests[1].fail(new Problem(503, { code: "unavailable" }));
  await settled();
  uploads.hurry();
  assert.equal(requests.length, 3);
  requests[2].fail(new Problem(429, { code: "rate_limited", retry_after_ms: 5_000 }));
  await clock.pass(4_900);
  assert.equal(requests.length, 3);
  await clock.pass(200);
  requests[3].done(photo);
  await settled();
  assert.equal(outbox.next().length, 1);
});

test("a refusal is final until the reader tries again, and then the file goes anew", async () => {
  const { add, outbox, requests, uploads } = await given();
  const { message_id: id } = await add();
  requests[0].fail(new Problem(422, { code: "invalid" }));
  await settled();
  assert.deepEqual([outbox.get(id).state, outbox.get(id).code], ["refused", "invalid"]);
  const again = await outbox.retry(id);
  assert.deepEqual([again.state, again.code, again.message_id === id], ["uploading", undefined, false]);
  uploads.pump();
  assert.equal(requests.length, 2);
});

test("a message whose file the server lost takes it along again", async () => {
  const { add, outbox, requests } = await given();
  const { message_id: id } = await add();
  requests[0].done(photo);
  await settled();
  await outbox.refuse(id, "no_such_file");
  const again = await outbox.retry(id);
  assert.deepEqual([again.state, again.file], ["uploading", undefined]);
});

test("who cancels stops the request and sends nothing, and the next file goes", async () => {
  const { add, outbox, requests, uploads } = await given();
  const { message_id: id } = await add("one");
  await add("two");
  await uploads.cancel(id);
  await settled();
  assert.ok(requests[0].signal.aborted);
  assert.equal(outbox.get(id), null);
  assert.deepEqual(requests.map(({ name }) => name), ["one", "two"]);
});

test("a file survives the page that was to send it", async () => {
  const shelf = new MemoryShelf();
  await (await given({ shelf })).add("kept.jpg");
  const { requests, uploads } = await given({ shelf });
  uploads.pump();
  assert.equal(requests[0].name, "kept.jpg");
  assert.equal(await requests[0].file.text(), "abc");
});

test("a link is asked for once while it works", async () => {
  const { clock, uploads } = await given();
  const [one, other] = await Promise.all([uploads.link("f1"), uploads.link("f1")]);
  assert.equal(one, other);
  await clock.pass(18 * 60_000);
  assert.equal((await uploads.link("f1")).url, "/v1/files/f1?1");
  await clock.pass(2 * 60_000);
  assert.equal((await uploads.link("f1")).url, "/v1/files/f1?2");
});

test("sizes are told in units that people use", () => {
  const told = [1, 999, 1_536, 20_000, 1_500_000, 104_857_600].map(sizeLabel);
  assert.deepEqual(told, ["1 bytes", "999 bytes", "1.5 KB", "20 KB", "1.4 MB", "100 MB"]);
});
