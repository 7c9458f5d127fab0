/** One row of the conversation as elements: a message, an event in words, or a place to be loaded. */

import { cut, isLong, linkParts, snippet } from "../lib/text.js";
import { clockTime, dayLabel, fullMoment } from "../lib/time.js";
import { eventLine, fileReason, reason } from "../lib/words.js";
import { attachment, paintProgress } from "./attachment.js";
import { avatar, colourOf } from "./avatar.js";
import { fill, h, iconButton } from "./dom.js";
import { tick, tickLabel } from "./tick.js";

const HOPELESS = new Set(["too_large", "invalid", "no_such_chat"]); // another try would end the same way
const FOLDED_CHARS = 4_000; // more than a folded bubble shows, so that the rest costs nothing before it is asked for

/**
 * `row` as Rows.at gives it; `scene`: `{isGroup, now, nameOf(id), quote(id), isUnfolded(key), mayWrite, link(fileId),
 * progress(key), tell(error), act}` where `act` has reply, retry, edit, discard, copy, cancel, unfold and jump.
 */
export function describeRow(row, scene) {
  const day = row.day ? dayLabel(row.day, scene.now) : "";
  const lines = () => [
    day && h("div", { class: "date-line" }, h("span", {}, day)),
    row.isNew && h("div", { class: "new-line" }, h("span", {}, "New messages")),
  ];
  if (row.kind === "hole") {
    return { key: row.key, sign: "", build: () => hole(row.seq) };
  }
  if (row.kind === "event") {
    const line = eventLine(row.event, scene.nameOf);
    const build = () => h("div", { class: "row row-event" }, lines(), line && h("p", { class: "event-line" }, line));
    return { key: row.key, sign: `${day}|${line}`, build };
  }
  const { message } = row;
  const name = scene.nameOf(message.sender_id);
  const quoted = message.reply_to_message ? scene.quote(message.reply_to_message) : undefined;
  const unfolded = scene.isUnfolded(row.key);
  const sign = [
    day,
    row.isNew,
    row.first,
    row.last,
    name,
    row.seq === null,
    row.code,
    message.erased,
    unfolded,
    scene.mayWrite,
    row.uploading,
    message.file?.expires_at && new Date(message.file.expires_at) <= scene.now,
    quoted && (quoted.missing ? "missing" : `${quoted.seq} ${scene.nameOf(quoted.sender_id)} ${quoted.erased}`),
  ].join("|");
  const part = row.uploading ? scene.progress(row.key) : null;
  const noted = row.last || row.state === "sending" || row.state === "refused";
  return {
    key: row.key,
    sign,
    build: () => h("div", { class: "row" }, lines(), bubbleLine(row, scene, { name, quoted, unfolded })),
    note: `${noted}|${row.state}|${row.at.getTime()}|${part === null ? "" : Math.round(part * 50)}`,
    annotate: (element) => annotate(element, row, noted, name, part),
  };
}

function hole(seq) {
  const side = seq % 5 < 2 ? "mine" : "theirs";
  return h(
    "div",
    { class: "row row-hole", "aria-hidden": "true" },
    h("div", { class: `line ${side}` }, h("div", { class: "skeleton", data: { width: seq % 3 } })),
  );
}

function bubbleLine(row, scene, { name, quoted, unfolded }) {
  const { message, mine } = row;
  const bubble = h(
    "div",
    { class: message.file && !message.erased ? "bubble has-file" : "bubble" },
    scene.isGroup &&
      !mine &&
      row.first &&
      h("div", { class: "sender", data: { colour: colourOf(message.sender_id) } }, h("bdi", {}, name)),
    quoted !== undefined && quote(quoted, scene),
    message.file && !message.erased && attachment(row, scene),
    content(row, scene, unfolded),
    h("span", { class: "meta" }),
  );
  const line = h(
    "div",
    { class: `line ${mine ? "mine" : "theirs"}${row.first ? " first" : ""}${row.last ? " last" : ""}` },
    scene.isGroup &&
      !mine &&
      (row.last ? avatar({ id: message.sender_id, name, small: true }) : h("span", { class: "no-avatar" })),
    bubble,
    row.seq !== null &&
      scene.mayWrite &&
      !message.erased &&
      iconButton("reply", `Answer ${name}`, () => scene.act.reply(message), { class: "row-action", tabindex: "-1" }),
  );
  return h(
    "article",
    { class: "message", tabindex: "-1", data: { key: row.key } },
    line,
    row.state === "refused" && refusal(row, scene),
  );
}

function content(row, scene, unfolded) {
  const { message } = row;
  if (message.erased) return h("span", { class: "text erased" }, "Message erased");
  if (!message.text && message.file) return null;
  if (message.text === null) return h("span", { class: "text erased" }, snippet(message));
  const long = isLong(message.text);
  const isFolded = long && !unfolded;
  const shown = isFolded ? cut(message.text, FOLDED_CHARS) : message.text;
  const text = h("span", { class: isFolded ? "text folded" : "text", dir: "auto" }, textNodes(shown));
  if (!long) return text;
  const fold = () => scene.act.unfold(row.key, !unfolded);
  return [
    text,
    h(
      "button",
      { type: "button", class: "link-button fold", on: { click: fold } },
      unfolded ? "Show less" : "Show more",
    ),
  ];
}

function textNodes(text) {
  return linkParts(text).map((part) =>
    part.href
      ? h("a", { href: part.href, target: "_blank", rel: "noopener noreferrer nofollow ugc" }, part.text)
      : part.text,
  );
}

function quote(quoted, scene) {
  if (quoted === null) return h("div", { class: "quote" }, "…");
  if (quoted.missing) return h("div", { class: "quote" }, "This message is not there for you");
  return h(
    "button",
    { type: "button", class: "quote", title: "Show this message", on: { click: () => scene.act.jump(quoted.seq) } },
    h("b", { dir: "auto" }, scene.nameOf(quoted.sender_id)),
    h("span", { dir: "auto" }, snippet(quoted, 120)),
  );
}

function refusal(row, scene) {
  const { act } = scene;
  const button = (label, action) => h("button", { type: "button", class: "link-button", on: { click: action } }, label);
  return h(
    "div",
    { class: "refusal" },
    h("span", {}, `Not sent. ${row.message.file ? fileReason(row.code) : reason(row.code)}`),
    !HOPELESS.has(row.code) && button("Try again", () => act.retry(row.key)),
    row.message.file
      ? null
      : scene.mayWrite
        ? button("Edit", () => act.edit(row.key))
        : button("Copy text", () => act.copy(row.message.text)),
    button("Discard", () => act.discard(row.key)),
  );
}

function annotate(element, row, noted, name, part) {
  if (row.uploading) paintProgress(element, part);
  const who = row.mine ? "You" : name;
  const said = [who, clockTime(row.at), row.state && tickLabel(row.state)].filter(Boolean).join(", ");
  element.querySelector(".message").setAttribute("aria-label", said);
  fill(
    element.querySelector(".meta"),
    noted && h("time", { datetime: row.at.toISOString(), title: fullMoment(row.at) }, clockTime(row.at)),
    noted && row.state && tick(row.state),
  );
}
