import assert from "node:assert/strict";
import test from "node:test";

globalThis.addEventListener = () => {}; // views listen to the page as soon as they are imported
const { describeRow } = await import("../../api/web/views/message-row.js");

const ROW = {
  kind: "message",
  key: "m2",
  seq: 2,
  at: new Date("2026-05-01T12:00:00Z"),
  first: true,
  last: true,
  message: { sender_id: "ana", reply_to_message: "m1", text: "Yes", erased: false },
};

function signed({ names = {}, quoted }) {
  const nameOf = (userId) => names[userId] ?? "…";
  return describeRow(ROW, { nameOf, quote: () => quoted, isUnfolded: () => false, now: new Date(), mayWrite: true }).sign;
}

test("a row with a quote is drawn again when the quoted author's name comes", () => {
  const quoted = { seq: 1, sender_id: "ben", text: "Tea?", erased: false };
  const known = signed({ names: { ben: "Ben" }, quoted });
  assert.notEqual(signed({ quoted }), known);
  assert.equal(signed({ names: { ben: "Ben" }, quoted: { ...quoted } }), known);
});

test("and when what is quoted comes, is not there, or is erased", () => {
  const quoted = { seq: 1, sender_id: "ben", text: "Tea?", erased: false };
  const erased = { ...quoted, text: null, erased: true };
  const signs = [null, { missing: true }, quoted, erased].map((each) => signed({ quoted: each }));
  assert.equal(new Set(signs).size, signs.length);
});
