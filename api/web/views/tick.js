/** The mark of one's own message: on its way, sent, delivered, read or refused. */

import { h, icon } from "./dom.js";

const STATES = {
  sending: ["clock", "Sending"],
  sent: ["check", "Sent"],
  delivered: ["checks", "Delivered"],
  read: ["checks", "Read"],
  refused: ["alert", "Not sent"],
};

/** The state in a word. */
export function tickLabel(state) {
  return STATES[state][1];
}

export function tick(state) {
  const [drawing, label] = STATES[state];
  return h("span", { class: "tick", data: { state }, title: label }, icon(drawing, label));
}
