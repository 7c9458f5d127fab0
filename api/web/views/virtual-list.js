/**
 * A scrolling list that holds only the rows near the viewport. Rows stand in normal flow inside a window that is moved
 * to its place, so they measure themselves; what was measured corrects the guess without moving what the reader looks
 * at.
 */

import { Heights } from "../lib/heights.js";
import { h } from "./dom.js";

const OVERSCAN_PX = 600;
const MOST_ROWS = 300;
const STICK_PX = 40; // this close to the end counts as the end

export class VirtualList {
  atEnd = true;

  #heights;
  #describe;
  #onView;
  #rendered = new Map(); // key → {element, index, height (null: to be measured), sign, note}
  #canvas = h("div", { class: "virtual-canvas" });
  #window = h("div", { class: "virtual-window" });
  #anchor = { index: 0, offset: 0 }; // the row at the top edge, and how far its top is above that edge
  #lastTop = 0;
  #viewport = 0;
  #resize;

  /**
   * `describe(index)` → `{key, sign, build(), note?, annotate?(element)}`: an element is built anew when `sign`
   * changes, and only annotated when `note` does. `onView({first, last, lastWhole, byReader})` tells the rows within
   * the viewport after every change; `lastWhole` is the last one whose end is in it.
   */
  constructor({ estimate, describe, onView, ...props }) {
    this.#heights = new Heights(estimate);
    this.#describe = describe;
    this.#onView = onView;
    this.#canvas.append(this.#window);
    this.element = h("div", { tabindex: "0", ...props }, this.#canvas);
    this.element.classList.add("virtual-list");
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#resize = new ResizeObserver((entries) => this.#resized(entries));
    this.#resize.observe(this.element);
  }

  /** There are `count` rows now, after `dropped` vanished at the start; any of them may look different. */
  update(count, dropped = 0) {
    this.#follow();
    if (dropped > 0) {
      this.#heights.dropFirst(dropped);
      this.#anchor.index = Math.max(0, this.#anchor.index - dropped);
    }
    this.#heights.resize(count);
    this.#render();
  }

  /** Forget everything and begin at the end. */
  reset() {
    for (const { element } of this.#rendered.values()) this.#resize.unobserve(element);
    this.#rendered.clear();
    this.#window.replaceChildren();
    this.#heights.resize(0);
    this.#anchor = { index: 0, offset: 0 };
    this.atEnd = true;
  }

  toEnd() {
    this.atEnd = true;
    this.#render();
  }

  /** Bring row `index` to `share` of the viewport's height from the top. */
  toRow(index, share = 0.25) {
    this.#viewport ||= this.element.clientHeight;
    this.atEnd = false;
    this.#anchor = { index, offset: -this.#viewport * share };
    this.#render();
  }

  destroy() {
    this.#resize.disconnect();
  }

  elementOf(key) {
    return this.#rendered.get(key)?.element ?? null;
  }

  // The reader may have scrolled since the last look: their place goes before ours.
  #follow() {
    const top = this.element.scrollTop;
    if (top === this.#lastTop) return false;
    this.#lastTop = top;
    const index = this.#heights.rowAt(top);
    this.#anchor = { index, offset: top - this.#heights.offset(index) };
    this.atEnd = top + this.#viewport >= this.#heights.total - STICK_PX;
    return true;
  }

  #scrolled() {
    if (this.#follow()) this.#render(true);
  }

  #resized(entries) {
    let changed = false;
    for (const { target } of entries) {
      if (target === this.element) {
        changed ||= this.#viewport !== target.clientHeight;
        this.#viewport = target.clientHeight;
      } else if (target.isConnected) {
        const row = this.#rendered.get(target.rowKey);
        if (row?.element !== target) continue;
        row.height = heightOf(target);
        changed = this.#heights.set(row.index, row.height) || changed;
      }
    }
    if (changed) this.#render();
  }

  #render(byReader = false) {
    const { count } = this.#heights;
    this.#viewport ||= this.element.clientHeight;
    if (!this.#viewport) return; // not on the screen: the observer calls back when it is
    // Measuring may move the end of the window, hence a few rounds; more than two are rare.
    for (let round = 0; round < 6; round += 1) {
      const top = this.#top();
      const from = this.#heights.rowAt(top - OVERSCAN_PX);
      const to = Math.min(this.#heights.rowAt(top + this.#viewport + OVERSCAN_PX), from + MOST_ROWS, count - 1);
      if (!this.#place(from, to)) break;
    }
    const top = this.#top();
    this.#canvas.style.height = `${this.#heights.total}px`;
    if (Math.abs(this.element.scrollTop - top) >= 0.5) this.element.scrollTop = top;
    this.#lastTop = this.element.scrollTop;
    this.atEnd ||= top + this.#viewport >= this.#heights.total - STICK_PX;
    if (count) this.#onView({ ...this.#visible(), byReader });
  }

  #top() {
    const end = Math.max(0, this.#heights.total - this.#viewport);
    if (this.atEnd) return end;
    return Math.max(0, Math.min(end, this.#heights.offset(this.#anchor.index) + this.#anchor.offset));
  }

  #visible() {
    const top = this.#top();
    const end = top + this.#viewport;
    const first = this.#heights.rowAt(top);
    const last = this.#heights.rowAt(end - 1);
    const isWhole = this.#heights.offset(last + 1) <= end + 1 || last === first;
    return { first, last, lastWhole: isWhole ? last : last - 1 };
  }

  /** Bring the DOM to rows `from`..`to`; answers whether any height turned out other than assumed. */
  #place(from, to) {
    const wanted = [];
    for (let index = from; index <= to; index += 1) wanted.push(this.#row(index));
    const keep = new Set(wanted.map(({ key }) => key));
    for (const key of [...this.#rendered.keys()]) if (!keep.has(key)) this.#remove(key);
    let next = this.#window.firstChild;
    for (const { element } of wanted) {
      if (element === next) next = next.nextSibling;
      else this.#window.insertBefore(element, next);
    }
    this.#window.style.transform = `translateY(${this.#heights.offset(from)}px)`;
    let changed = false;
    for (const row of wanted) {
      row.height ??= heightOf(row.element);
      changed = this.#heights.set(row.index, row.height) || changed;
    }
    if (changed) this.#window.style.transform = `translateY(${this.#heights.offset(from)}px)`;
    return changed;
  }

  #row(index) {
    const { key, sign, build, note, annotate } = this.#describe(index);
    let row = this.#rendered.get(key);
    if (row?.sign !== sign) {
      const focused = row?.element.contains(document.activeElement);
      const element = build();
      element.rowKey = key;
      if (row) {
        this.#resize.unobserve(row.element);
        row.element.replaceWith(element);
      }
      row = { key, element, index, height: null, sign, note: undefined };
      this.#rendered.set(key, row);
      this.#resize.observe(element);
      if (focused) (element.matches("[tabindex]") ? element : this.element).focus({ preventScroll: true });
    }
    row.index = index;
    if (annotate && row.note !== note) {
      row.note = note;
      row.height = null;
      annotate(row.element);
    }
    return row;
  }

  #remove(key) {
    const { element } = this.#rendered.get(key);
    this.#rendered.delete(key);
    this.#resize.unobserve(element);
    if (element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    element.remove();
  }
}

function heightOf(element) {
  return element.getBoundingClientRect().height;
}
