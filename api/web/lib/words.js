/** What the page says about refusals, events and people. */

import { cut, isolated, plain } from "./text.js";

const REASONS = {
  bad_credentials: "The name or the password is wrong.",
  username_taken: "This username is taken.",
  rate_limited: "That was too often. Try again in a moment.",
  forbidden: "You may not do this here.",
  no_such_chat: "You are no longer in this chat.",
  no_such_user: "There is no such person.",
  no_such_message: "The message is not there.",
  bad_reply: "The message that this answers is not there.",
  too_large: "The text is too long: 102,400 bytes are the limit.",
  id_taken: "Its id is in use already.",
  id_from_future: "This device's clock is ahead. Set it right and try again.",
  group_full: "The group is full.",
  unavailable: "The server cannot do this right now.",
  no_such_file: "The file is not there for you.",
  expired: "The file is not kept any more.",
  not_yet: "The server needs a moment longer. Try again.",
};

const FILE_REASONS = {
  too_large: "It is too large, or your files take up all the room that you have.",
  invalid: "It cannot be read: it may be damaged.",
  no_such_file: "The file is not there any more.",
  expired: "The file is not kept any more.",
};

/** As `reason`, for a message with a file. */
export function fileReason(code) {
  return FILE_REASONS[code] ?? reason(code);
}

/** A refusal's code in words, or `fallback`. */
export function reason(code, fallback = "The server refused it.") {
  return REASONS[code] ?? fallback;
}

const FORMS = {
  username: "3 to 32 of the letters a to z, digits, dots, dashes and underscores",
  display_name: "a name of 1 to 64 characters that can be seen",
  title: "1 to 200 characters that can be seen",
};

/** What is wrong with a field; never the pattern that it should match. */
function fieldLine(name, message) {
  const wanted = FORMS[name] ?? "there is something in it that is not taken";
  return `${capital(name.replaceAll("_", " "))}: ${/pattern|regex/i.test(message) ? wanted : message}`;
}

/** An error of http.js or connection.js in words. */
export function explain(error) {
  if (error.name === "Unreachable" || error.name === "ConnectionLost") return "The server cannot be reached.";
  if (error.name === "SignedOut") return "You are signed out.";
  const field = error.errors?.[0];
  if (field) return fieldLine(field.field.split(".").at(-1), field.message);
  return reason(error.code, error.message);
}

/** "Ana", "Ana and Ben", "Ana, Ben and 3 more" (at most three names, then a count). */
export function nameList(names, most = 3) {
  const shown = names.slice(0, names.length > most ? most : names.length).map(isolated);
  if (names.length <= 1) return shown[0] ?? "";
  const rest = names.length - shown.length;
  if (rest > 0) return `${shown.join(", ")} and ${rest} more`;
  return `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

export function typingLine(names) {
  if (!names.length) return "";
  return `${nameList(names)} ${names.length === 1 ? "is" : "are"} typing…`;
}

export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en-GB")} ${count === 1 ? one : many}`;
}

/**
 * The line that a chat shows for an event that is no message, or null. `name(userId)` gives a name, "You" for the
 * reader.
 */
export function eventLine({ type, actor_id: actor, data }, name) {
  const who = isolated(name(actor));
  const whom = data?.user_id ? isolated(name(data.user_id)) : "";
  const title = isolated(plain(data?.title ?? ""));
  switch (type) {
    case "chat.created":
      return data.kind === "direct" ? `${who} started the chat` : `${who} created the group “${title}”`;
    case "chat.retitled":
      return `${who} renamed the group to “${title}”`;
    case "chat.opened":
      return data.open
        ? `${who} opened the group: anyone with its link may join`
        : `${who} closed the group to joining`;
    case "member.joined":
      return `${whom} joined`;
    case "member.left":
      return `${whom} left`;
    case "member.added":
      return `${who} added ${whom === "You" ? "you" : whom}`;
    case "member.removed":
      return `${who} removed ${whom === "You" ? "you" : whom}`;
    case "member.role_changed":
      return `${who} made ${whom === "You" ? "you" : whom} ${ROLE_PHRASES[data.role] ?? data.role}`;
    default:
      return null;
  }
}

/** A browser and its system in words, from what it says of itself; the text itself where it is no browser's. */
export function deviceName(userAgent) {
  if (!userAgent) return "Unknown device";
  const browser = BROWSERS.find(([mark]) => userAgent.includes(mark))?.[1];
  const system = SYSTEMS.find(([mark]) => userAgent.includes(mark))?.[1];
  if (!browser) return plain(cut(userAgent, 60)) || "Unknown device";
  return system ? `${browser} on ${system}` : browser;
}

// In this order, because browsers call themselves by each other's names too.
const BROWSERS = [
  ["Edg", "Edge"],
  ["OPR/", "Opera"],
  ["Firefox/", "Firefox"],
  ["FxiOS/", "Firefox"],
  ["CriOS/", "Chrome"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
];
const SYSTEMS = [
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Android", "Android"],
  ["Windows", "Windows"],
  ["Mac OS X", "Mac"],
  ["CrOS", "ChromeOS"],
  ["Linux", "Linux"],
];

const ROLE_PHRASES = { owner: "the owner", admin: "an admin", member: "a member" };

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
