import assert from "node:assert/strict";
import test from "node:test";

import { Ahead } from "../../api/web/lib/ahead.js";

/** Loads that end when the test says so. */
function held({ atOnce } = {}) {
  const asked = [];
  const errors = [];
  const load = (...range) => new Promise((resolve, reject) => asked.push({ range, resolve, reject }));
  return { asked, errors, ahead: new Ahead(load, (error) => errors.push(error), { atOnce }) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const ranges = (asked) => asked.map(({ range }) => range);

test("what is wanted first is asked for at once, whatever comes after it", () => {
  const { asked, ahead } = held();
  ahead.want(1, 10);
  assert.deepEqual(ranges(asked), [[1, 10]]);
});

test("a reader who goes on and on gets the newest range as soon as an answer leaves room", async () => {
  const { asked, ahead } = held({ atOnce: 2 });
  for (let from = 1; from <= 50; from += 1) ahead.want(from, from + 9);
  assert.deepEqual(ranges(asked), [
    [1, 10],
    [2, 11],
  ]);
  asked[0].resolve();
  await settled();
  assert.deepEqual(ranges(asked).at(-1), [50, 59]);
  assert.equal(asked.length, 3);
});

test("a range that cannot be loaded is told of and makes room", async () => {
  const { asked, errors, ahead } = held({ atOnce: 1 });
  ahead.want(1, 2);
  ahead.want(3, 4);
  asked[0].reject(new Error("refused"));
  await settled();
  assert.equal(errors[0].message, "refused");
  assert.deepEqual(ranges(asked).at(-1), [3, 4]);
});

test("nothing that waited is asked for once it is forgotten", async () => {
  const { asked, ahead } = held({ atOnce: 1 });
  ahead.want(1, 2);
  ahead.want(3, 4);
  ahead.forget();
  asked[0].resolve();
  await settled();
  assert.equal(asked.length, 1);
});

test("there is more to have in the way the reader goes, also while they rest", () => {
  const { ahead } = held();
  const around = ahead.range({ first: 500, last: 520 });
  assert.equal(500 - around.from, around.to - 520);
  for (const first of [490, 490]) {
    const up = ahead.range({ first, last: first + 20 });
    assert.ok(first - up.from > up.to - (first + 20));
  }
  const down = ahead.range({ first: 495, last: 515 });
  assert.ok(495 - down.from < down.to - 515);
});
