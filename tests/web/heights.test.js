import assert from "node:assert/strict";
import test from "node:test";

import { Heights } from "../../api/web/lib/heights.js";

/** The same, by adding up. */
class Naive {
  values = [];

  resize(count) {
    while (this.values.length < count) this.values.push(40);
    this.values.length = count;
  }

  offset(index) {
    return this.values.slice(0, index).reduce((sum, height) => sum + height, 0);
  }

  rowAt(offset) {
    let row = 0;
    while (row < this.values.length - 1 && this.offset(row + 1) <= offset) row += 1;
    return row;
  }
}

/** Numbers that look random and are the same in every run. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

test("rows that were never measured have the estimate", () => {
  const heights = new Heights(40);
  heights.resize(100_000);
  assert.equal(heights.total, 4_000_000);
  assert.equal(heights.offset(50_000), 2_000_000);
  assert.equal(heights.rowAt(2_000_001), 50_000);
});

test("it agrees with adding up, whatever is measured, added, cut off or dropped", () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = numbers(seed);
    const heights = new Heights(40);
    const naive = new Naive();
    for (let step = 0; step < 60; step += 1) {
      const count = naive.values.length;
      const choice = random(5);
      if (choice === 0) {
        const next = Math.max(0, count + random(200) - 60);
        heights.resize(next);
        naive.resize(next);
      } else if (choice === 1 && count) {
        const dropped = random(count + 1);
        heights.dropFirst(dropped);
        naive.values.splice(0, dropped);
      } else if (count) {
        const index = random(count);
        const height = random(4) === 0 ? 0 : random(300);
        heights.set(index, height);
        naive.values[index] = height;
      }
      const rows = naive.values.length;
      const where = random(rows + 1);
      assert.equal(heights.count, rows);
      assert.equal(heights.offset(where), naive.offset(where));
      assert.equal(heights.total, naive.offset(rows));
      const offset = random(naive.offset(rows) + 100) - 50;
      assert.equal(heights.rowAt(offset), naive.rowAt(offset), `seed ${seed}, step ${step}, offset ${offset}`);
    }
  }
});

test("a height that did not change is told apart from one that did", () => {
  const heights = new Heights(40);
  heights.resize(3);
  assert.equal(heights.set(1, 40.01), false);
  assert.equal(heights.set(1, 41), true);
});
