/**
 * Heights of rows, most of them guessed until the row was on the screen once. A Fenwick tree: changing a height, the
 * offset of a row and the row at an offset all cost O(log rows), so 100,000 rows scroll as smoothly as ten.
 */
export class Heights {
  count = 0;
  #estimate;
  #values = new Float64Array(0);
  #tree = new Float64Array(1);

  /** `estimate`: px of a row that was never measured. */
  constructor(estimate) {
    this.#estimate = estimate;
  }

  /** Make it `count` rows; new ones at the end get the estimate. */
  resize(count) {
    if (count === this.count) return;
    const values = new Float64Array(count).fill(this.#estimate);
    if (count > this.#values.length || Math.abs(count - this.count) > 64) {
      values.set(this.#values.subarray(0, Math.min(this.count, count)));
      this.#rebuild(values, count);
      return;
    }
    for (let index = this.count; index < count; index += 1) this.#put(index, this.#estimate);
    for (let index = count; index < this.count; index += 1) this.#put(index, 0);
    this.count = count;
  }

  /** Take `count` rows away at the start. */
  dropFirst(count) {
    this.#rebuild(this.#values.slice(count, this.count), Math.max(0, this.count - count));
  }

  /** Set the height of a row; answers whether that changed anything worth a pixel's fraction. */
  set(index, height) {
    if (Math.abs(this.#values[index] - height) < 0.05) return false;
    this.#put(index, height);
    return true;
  }

  get(index) {
    return this.#values[index];
  }

  /** px above row `index`. */
  offset(index) {
    let sum = 0;
    for (let node = index; node > 0; node -= node & -node) sum += this.#tree[node];
    return sum;
  }

  get total() {
    return this.offset(this.count);
  }

  /** The row at `offset` px from the top, within the first and the last row. */
  rowAt(offset) {
    let node = 0;
    let left = offset;
    for (let step = 2 ** Math.floor(Math.log2(this.#tree.length)); step > 0; step = Math.floor(step / 2)) {
      if (node + step < this.#tree.length && this.#tree[node + step] <= left) {
        node += step;
        left -= this.#tree[node];
      }
    }
    return Math.max(0, Math.min(node, this.count - 1));
  }

  #put(index, height) {
    const change = height - this.#values[index];
    this.#values[index] = height;
    for (let node = index + 1; node < this.#tree.length; node += node & -node) this.#tree[node] += change;
  }

  // Room for half as many again, so that a chat that grows by messages rebuilds seldom.
  #rebuild(values, count) {
    const room = Math.max(64, Math.ceil(count * 1.5));
    this.#values = new Float64Array(room);
    this.#values.set(values);
    this.#tree = new Float64Array(room + 1);
    this.count = count;
    for (let node = 1; node <= room; node += 1) {
      this.#tree[node] += this.#values[node - 1];
      const parent = node + (node & -node);
      if (parent <= room) this.#tree[parent] += this.#tree[node];
    }
  }
}
