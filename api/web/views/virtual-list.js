/**
 * A scrolling list that holds only the rows near the viewport. Rows stand in normal flow inside a window that is moved
 * to its place, so they measure themselves; what was measured corrects the guess without moving what the reader looks
 * at.
 */

import { Heights } from "../lib/heights.js";
import { h } from "./dom.js";

const OVERSCAN_PX = 600;
const MOST_ROWS = 300;
const NEAR_END_PX = 40; // this close to the end nobody needs a button to get there
const AT_END_PX = 2; // zoomed pages round
const GESTURE_MS = 200; // after the last sign of one it is over; Chromium's smooth scrolling pauses for less

const UP_KEYS = new Set(["PageUp", "Home", "ArrowUp"]);

export class VirtualList {
  #isPinned = true; // stays at the end when rows grow or come
  #isTouched = false;
  #movedAt = -Infinity; // the last sign of a gesture, by performance.now()
  #settling = null;
  #drift = 0; // px that rows stand lower than their heights say, until a gesture is over

  #heights;
  #describe;
  #onView;
  #rendered = new Map(); // key → {element, index, height (null: to be measured), sign, note}
  #canvas = h("div", { class: "virtual-canvas" });
  #window = h("div", { class: "virtual-window" });
  #anchor = { index: 0, offset: 0 }; // the row at the top edge, and how far its top is above that edge
  #from = 0; // the first row that is in the page
  #height = 0; // of the canvas, px
  #lastTop = 0;
  #viewport = 0;
  #padding = null;
  #resize;

  /**
   * `describe(index)` → `{key, sign, build(), note?, annotate?(element)}`: an element is built anew when `sign`
   * changes, and only annotated when `note` does. `onView({first, last, lastWhole})` tells the rows within the
   * viewport after every change; `lastWhole` is the last one whose end is in it.
   */
  constructor({ estimate, describe, onView, ...props }) {
    this.#heights = new Heights(estimate);
    this.#describe = describe;
    this.#onView = onView;
    this.#canvas.append(this.#window);
    this.element = h("div", { tabindex: "0", ...props }, this.#canvas);
    this.element.classList.add("virtual-list");
    this.#listen();
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
    this.#drift = 0;
    this.#isPinned = true;
  }

  /** Does the list show its end, and go on showing it when it grows? */
  get isPinned() {
    return this.#isPinned;
  }

  get isNearEnd() {
    return this.#isPinned || this.#top() + this.#viewport >= this.#heights.total - NEAR_END_PX;
  }

  toEnd() {
    this.#isPinned = true;
    this.#movedAt = -Infinity; // whoever jumps wants to arrive
    this.#render();
  }

  /** Scroll by most of what shows: 1 on, -1 back. */
  page(direction) {
    this.#moves(direction < 0);
    this.element.scrollBy({ top: direction * this.#viewport * 0.9 });
  }

  /** Bring row `index` to `share` of the viewport's height from the top. */
  toRow(index, share = 0.25) {
    this.#viewport ||= this.#measured();
    this.#isPinned = false;
    this.#movedAt = -Infinity;
    this.#anchor = { index, offset: -this.#viewport * share };
    this.#render();
  }

  destroy() {
    clearTimeout(this.#settling);
    this.#resize.disconnect();
  }

  elementOf(key) {
    return this.#rendered.get(key)?.element ?? null;
  }

  #listen() {
    const listen = (name, listener) => this.element.addEventListener(name, listener, { passive: true });
    listen("scroll", () => this.#scrolled());
    // Signs of a gesture come before its first scroll: the end must not be held against one that leads away from it.
    listen("wheel", ({ deltaY }) => this.#moves(deltaY < 0));
    listen("keydown", ({ key, target }) => UP_KEYS.has(key) && !target.closest("input, textarea") && this.#moves(true));
    listen("pointerdown", ({ pointerType }) => pointerType !== "touch" && this.#moves(false)); // the scrollbar, perhaps
    listen("touchstart", () => this.#touched(true));
    for (const name of ["touchend", "touchcancel"]) listen(name, ({ touches }) => this.#touched(touches.length > 0));
  }

  #touched(on) {
    this.#isTouched = on;
    this.#moves(false);
  }

  #moves(isAway) {
    this.#movedAt = performance.now();
    const scrollTop = this.#scrollTop();
    if (isAway && this.#isPinned && scrollTop > 0) {
      this.#isPinned = false;
      this.#keepPlace(scrollTop);
    }
    this.#settleLater(GESTURE_MS);
  }

  get #isMoving() {
    return this.#isTouched || performance.now() - this.#movedAt < GESTURE_MS;
  }

  // One timer, put off while it runs: a gesture gives a sign a frame.
  #settleLater(wait) {
    this.#settling ??= setTimeout(() => {
      this.#settling = null;
      if (this.#isTouched) return; // its end calls again
      const left = this.#movedAt + GESTURE_MS - performance.now();
      if (left > 0) this.#settleLater(left + 1);
      else this.#settle();
    }, wait);
  }

  /** The gesture is over: where it ended decides whether the end is held, and scrollTop may be set again. */
  #settle() {
    if (!this.#viewport) return;
    const isMoved = this.#follow();
    this.#isPinned ||= this.#isAtEnd(this.#scrollTop() - this.#drift);
    if (isMoved || this.#drift !== 0 || this.#isPinned) this.#render();
  }

  #isAtEnd(top) {
    return top + this.#viewport >= this.#heights.total - AT_END_PX;
  }

  #keepPlace(scrollTop) {
    const top = scrollTop - this.#drift;
    const index = this.#heights.rowAt(top);
    this.#anchor = { index, offset: top - this.#heights.offset(index) };
    return top;
  }

  /** Height for rows, without the padding below them; 0 while the list is not on the screen. */
  #measured() {
    const { clientHeight } = this.element;
    if (clientHeight === 0) return 0;
    this.#padding ??= Number.parseFloat(getComputedStyle(this.element).paddingBottom);
    return Math.max(0, clientHeight - this.#padding);
  }

  /** The browser's scrollTop without what Safari adds while it bounces at an end. */
  #scrollTop() {
    const most = Math.max(0, this.#height - this.#viewport);
    return Math.max(0, Math.min(this.element.scrollTop, most));
  }

  // The reader may have scrolled since the last look: their place goes before ours.
  #follow() {
    const scrollTop = this.#scrollTop();
    const viewport = this.#measured();
    if (viewport !== this.#viewport && this.#isPinned) {
      this.#viewport = viewport; // a keyboard came or went: that the browser moved the place to fit is nobody's wish
      return false;
    }
    if (scrollTop === this.#lastTop) return false;
    this.#lastTop = scrollTop;
    this.#movedAt = performance.now();
    this.#settleLater(GESTURE_MS);
    this.#isPinned = this.#isAtEnd(this.#keepPlace(scrollTop));
    return true;
  }

  #scrolled() {
    if (this.#follow()) this.#render();
  }

  #resized(entries) {
    let changed = false;
    for (const { target } of entries) {
      if (target === this.element) {
        const viewport = this.#measured();
        changed ||= this.#viewport !== viewport;
        this.#viewport = viewport;
      } else if (target.isConnected) {
        const row = this.#rendered.get(target.rowKey);
        if (row?.element !== target) continue;
        row.height = heightOf(target);
        changed = this.#heights.set(row.index, row.height) || changed;
      }
    }
    if (changed) this.#render();
  }

  #render() {
    const { count } = this.#heights;
    this.#viewport ||= this.#measured();
    if (!this.#viewport) return; // not on the screen: the observer calls back when it is
    // Measuring may move the end of the window, hence a few rounds; more than two are rare.
    for (let round = 0; round < 6; round += 1) {
      const top = this.#top();
      const from = this.#heights.rowAt(top - OVERSCAN_PX);
      const to = Math.min(this.#heights.rowAt(top + this.#viewport + OVERSCAN_PX), from + MOST_ROWS, count - 1);
      if (!this.#place(from, to)) break;
    }
    this.#putInPlace();
    if (count) this.#onView(this.#visible());
  }

  /**
   * Let the browser's scrollTop and the heights agree. While a gesture is under way its scrollTop stays as it is, since
   * setting it would end the momentum or fight the finger; the rows are moved instead.
   */
  #putInPlace() {
    const scrollTop = this.#scrollTop();
    const top = this.#top();
    // Rows above the canvas could not be scrolled to: near the first one, and where the canvas ends, nothing is put off.
    const isFirstNear = this.#from === 0 || (scrollTop === 0 && top > 0);
    this.#drift = this.#isMoving && !isFirstNear ? scrollTop - top : 0;
    this.#height = this.#heights.total + this.#drift;
    this.#canvas.style.height = `${this.#height}px`;
    this.#window.style.transform = `translateY(${this.#heights.offset(this.#from) + this.#drift}px)`;
    const wanted = top + this.#drift;
    if (Math.abs(scrollTop - wanted) >= 0.5) this.element.scrollTop = wanted;
    this.#lastTop = this.#scrollTop();
  }

  #top() {
    const end = Math.max(0, this.#heights.total - this.#viewport);
    if (this.#isPinned) return end;
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
    this.#from = from;
    let changed = false;
    for (const row of wanted) {
      row.height ??= heightOf(row.element);
      changed = this.#heights.set(row.index, row.height) || changed;
    }
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
