/** One chat in the list: what to show of it, and the elements that show it. */

import { stateOf } from "../lib/rows.js";
import { isolated, snippet } from "../lib/text.js";
import { listTime } from "../lib/time.js";
import { counted, eventLine, nameList } from "../lib/words.js";
import { avatar } from "./avatar.js";
import { fill, h, icon } from "./dom.js";
import { tick } from "./tick.js";

/** What a row shows, as plain values, so that rows that look the same can be left alone. */
export function describeChat(chat, client, isOpen) {
  const { store, people } = client;
  return {
    id: chat.peerId ?? chat.id,
    title: store.titleOf(chat),
    presence: chat.peerId ? people.presenceOf(chat.peerId).status : null,
    time: chat.activityAt ? listTime(new Date(chat.activityAt), new Date()) : "",
    unread: chat.unread,
    isMuted: chat.isMuted(client.now()),
    isGone: Boolean(chat.gone),
    isOpen,
    ...secondLine(chat, client, isOpen),
  };
}

/** `{lead?, isDraft?, state?, line}`: what is most worth saying of the chat right now. */
function secondLine(chat, { people, outbox, drafts, me }, isOpen) {
  const nameOf = (userId) => (userId === me.user_id ? "You" : people.nameOf(userId));
  const typing = people.typingIn(chat.id).map(nameOf);
  if (typing.length) {
    return { lead: chat.kind === "direct" ? "typing…" : `${nameList(typing)} typing…`, line: "" };
  }
  if (chat.gone) return { line: chat.gone === "removed" ? "You were removed" : "No longer in this chat" };
  const draft = isOpen ? "" : drafts.get(chat.id).text.trim();
  if (draft) return { lead: "Draft:", isDraft: true, line: snippet({ text: draft }) };
  const waiting = outbox.of(chat.id).findLast((entry) => !chat.timeline.seqOf(entry.message_id));
  if (waiting) return { state: stateOf(waiting), line: snippet(waiting) };
  const { last } = chat;
  if (!last) {
    const item = chat.timeline.get(chat.head);
    return { line: (item && eventLine(item.event, nameOf)) || "No messages yet" };
  }
  if (last.sender_id === me.user_id) return { state: chat.tick(last.seq), line: snippet(last) };
  return { line: (chat.kind === "direct" ? "" : `${isolated(nameOf(last.sender_id))}: `) + isolated(snippet(last)) };
}

/** Fill a chat's link with what describeChat says. */
export function paintChat(link, view) {
  if (view.isOpen) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
  link.classList.toggle("is-gone", view.isGone);
  fill(
    link,
    avatar({ id: view.id, name: view.title, presence: view.presence }),
    h(
      "span",
      { class: "chat-lines" },
      h(
        "span",
        { class: "chat-line" },
        h("span", { class: "chat-title" }, h("bdi", {}, view.title)),
        view.presence && view.presence !== "offline" && h("span", { class: "visually-hidden" }, `, ${view.presence}`),
        view.isMuted && icon("muted", "Muted"),
        h("span", { class: "chat-time" }, view.time),
      ),
      h("span", { class: "chat-line" }, view.state && tick(view.state), words(view), view.unread > 0 && pill(view)),
    ),
  );
}

function words({ lead, isDraft, line }) {
  return h(
    "span",
    { class: "chat-snippet" },
    lead && h("span", { class: isDraft ? "lead is-draft" : "lead" }, lead),
    lead && line && " ",
    line,
  );
}

function pill({ unread, isMuted }) {
  return h(
    "span",
    { class: isMuted ? "pill is-muted" : "pill" },
    h("span", { "aria-hidden": "true" }, unread > 999 ? "999+" : String(unread)),
    h("span", { class: "visually-hidden" }, counted(unread, "unread message")),
  );
}

/** The shape of a row, while there is nothing to fill it with. */
export function chatSkeleton() {
  return h(
    "li",
    { class: "chat-skeleton", "aria-hidden": "true" },
    h("span", { class: "skeleton round" }),
    h("span", { class: "chat-lines" }, h("span", { class: "skeleton" }), h("span", { class: "skeleton" })),
  );
}
