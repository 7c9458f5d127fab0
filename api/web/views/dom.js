/** Elements from values. Text only ever becomes text nodes, so nobody's words are interpreted as markup. */

import { ICONS } from "./icons.js";

const SVG = "http://www.w3.org/2000/svg";
const AS_PROPERTY = new Set(["value", "checked", "disabled", "hidden", "htmlFor", "required", "open"]);

/**
 * `h("button", {class: "primary", on: {click}}, "Send")`. Attributes with null, undefined or false are left out; `on`
 * holds listeners, `data` dataset entries. Children are nodes, strings, null, or arrays of them.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (AS_PROPERTY.has(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

/** Put `children` in the place of whatever `element` holds. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** A drawing from icons.js. Hidden from screen readers unless it has a `label`. */
export function icon(name, label = null) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  for (const d of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** A button that is an icon; `label` is its name and its tooltip. */
export function iconButton(name, label, click, props = {}) {
  const { class: extra = "", ...rest } = props;
  return h(
    "button",
    { type: "button", class: `icon-button ${extra}`.trim(), "aria-label": label, title: label, on: { click }, ...rest },
    icon(name),
  );
}

/** A label over an input, and a place for what is wrong with it. */
export function field(label, input, hint = null) {
  return h(
    "label",
    { class: "field" },
    h("span", { class: "field-label" }, label),
    input,
    hint && h("small", {}, hint),
  );
}

/**
 * Run `action` once per frame however often it is asked for; in a hidden page, where frames stop, five times a second. Not
 * between a press and its release: an element that is replaced then gets no click.
 */
export function coalesce(action) {
  let waiting = false;
  const run = () => {
    if (isPressed) {
      afterRelease.push(run);
      return;
    }
    waiting = false;
    action();
  };
  return () => {
    if (waiting) return;
    waiting = true;
    if (document.hidden) setTimeout(run, 200);
    else requestAnimationFrame(run);
  };
}

let isPressed = false;
const afterRelease = [];

function released() {
  isPressed = false;
  setTimeout(() => {
    for (const run of afterRelease.splice(0)) run(); // the click has been heard by now
  });
}

addEventListener("pointerdown", (event) => (isPressed = event.button === 0), true);
for (const name of ["pointerup", "pointercancel", "contextmenu", "dragend", "blur"]) {
  addEventListener(name, released, true);
}

/** Gathers functions that end subscriptions, to end them all with the view. */
export class Subscriptions {
  #ends = [];

  add(...ends) {
    this.#ends.push(...ends);
  }

  end() {
    for (const end of this.#ends.splice(0)) end();
  }
}

/** While `work` runs the button is off and says so; answers whether it went well. Errors go to `report`. */
export async function busy(button, work, report) {
  const hadFocus = button === document.activeElement;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
    return true;
  } catch (error) {
    report(error);
    return false;
  } finally {
    button.disabled = false;
    if (hadFocus && document.activeElement === document.body) button.focus();
    button.removeAttribute("aria-busy");
  }
}
