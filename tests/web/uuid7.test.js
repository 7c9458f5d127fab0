import assert from "node:assert/strict";
import test from "node:test";

import { createIds, timeOf } from "../../api/web/lib/uuid7.js";

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("an id is a UUIDv7 of the moment in which it was made", () => {
  const id = createIds({ now: () => 1_772_445_600_123 })();
  assert.match(id, FORM);
  assert.equal(timeOf(id), 1_772_445_600_123);
});

test("ids of one millisecond rise, more of them than the counter holds included", () => {
  const next = createIds({ now: () => 1_772_445_600_000 });
  const ids = Array.from({ length: 10_000 }, next);
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, FORM);
});

test("a clock that slips back a little makes no id that sorts before an earlier one", () => {
  let ms = 1_772_445_600_000;
  const next = createIds({ now: () => ms });
  const before = next();
  ms -= 3_000;
  assert.ok(next() > before);
});

test("a clock that is set back is followed", () => {
  let ms = 1_772_445_600_000;
  const next = createIds({ now: () => ms });
  next();
  ms -= 600_000;
  assert.equal(timeOf(next()), ms);
});
