import assert from "node:assert/strict";
import test from "node:test";

import { dayLabel, lastSeen, listTime, sameMinute, waitTime } from "../../api/web/lib/time.js";

const now = new Date(2026, 2, 18, 15, 30); // a Wednesday
const at = (...parts) => new Date(2026, ...parts);

test("date lines name near days and date far ones", () => {
  assert.equal(dayLabel(at(2, 18, 0, 1), now), "Today");
  assert.equal(dayLabel(at(2, 17, 23, 59), now), "Yesterday");
  assert.equal(dayLabel(at(2, 13, 12), now), "Friday");
  assert.equal(dayLabel(at(2, 11, 12), now), "11 March");
  assert.equal(dayLabel(new Date(2025, 11, 31), now), "31 December 2025");
});

test("the list shows a time today, a day this week, a date before", () => {
  assert.match(listTime(at(2, 18, 9, 5), now), /^0?9:05/);
  assert.equal(listTime(at(2, 17, 9), now), "Yesterday");
  assert.equal(listTime(at(2, 15, 9), now), "Sun");
  assert.equal(listTime(at(1, 1, 9), now), "01/02/26");
});

test("last seen grows coarser with time", () => {
  assert.equal(lastSeen(null, now), "offline");
  assert.equal(lastSeen(new Date(now - 20_000), now), "last seen just now");
  assert.equal(lastSeen(new Date(now - 12 * 60_000), now), "last seen 12 min ago");
  assert.match(lastSeen(at(2, 18, 8, 0), now), /^last seen today at 0?8:00/);
  assert.match(lastSeen(at(2, 17, 22, 15), now), /^last seen yesterday at /);
  assert.equal(lastSeen(at(1, 1), now), "last seen on 1 February");
});

test("two times of one minute belong together, a second apart may not", () => {
  assert.ok(sameMinute(at(2, 18, 9, 5, 1), at(2, 18, 9, 5, 59)));
  assert.ok(!sameMinute(at(2, 18, 9, 5, 59), at(2, 18, 9, 6, 0)));
});

test("waits are told in seconds, then minutes", () => {
  assert.equal(waitTime(200), "now");
  assert.equal(waitTime(7_200), "in 8 s");
  assert.equal(waitTime(90_000), "in 2 min");
});
