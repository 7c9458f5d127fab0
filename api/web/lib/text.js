/** Texts of people, taken apart without ever becoming markup. */

const ADDRESS = /https?:\/\/[^\s<>"“”]+/giu;
const TRAILING = new Set(".,;:!?'’*_");
const LONGEST_ADDRESS = 4_096; // characters; browsers and servers take no more for granted
const MOST_LINKS = 200; // of one message; each is an element, and thousands of them keep a page busy for seconds
const LONGEST_HOST = 512; // with a name and a port; what other scripts become is worked out in more than linear time
const BRACKETS = new Map(Object.entries({ "(": [")", -1], ")": [")", 1], "[": ["]", -1], "]": ["]", 1] }));

/** Split a text into `{text}` and `{text, href}` parts; only http and https become links. Takes linear time. */
export function linkParts(text) {
  const parts = [];
  let at = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const shown = trimAddress(found);
    const href = hrefOf(shown);
    if (!href) continue; // looks like an address and is none
    if (parts.length >= 2 * MOST_LINKS) break;
    if (index > at) parts.push({ text: text.slice(at, index) });
    parts.push({ text: shown, href });
    at = index + shown.length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  return parts;
}

/** Punctuation after an address belongs to the sentence, and so does a bracket that opened before it. */
function trimAddress(found) {
  const surplus = { ")": 0, "]": 0 }; // closing brackets without an opening one
  for (const char of found) {
    const [closing, change] = BRACKETS.get(char) ?? [];
    if (closing) surplus[closing] += change;
  }
  let end = found.length;
  for (; end > 0; end -= 1) {
    const char = found[end - 1];
    if (surplus[char] > 0) surplus[char] -= 1;
    else if (!TRAILING.has(char)) break;
  }
  return found.slice(0, end);
}

function hrefOf(address) {
  if (address.length > LONGEST_ADDRESS) return null;
  if (address.length > LONGEST_HOST && !/[/?#]/u.test(address.slice(8, LONGEST_HOST))) return null;
  return URL.canParse(address) ? new URL(address).href : null;
}

/** A message in one line, for lists and quotes; at most `length` UTF-16 units. */
export function snippet(message, length = 200) {
  if (message.erased) return "Message erased";
  if (message.text) return cut(seen(cut(message.text, length * 2).replace(/\s+/g, " ")).trim(), length);
  return message.kind === "IMAGE" ? "Photo" : plain(message.file?.name ?? "") || "File";
}

const LARGEST = 64; // UTF-16 units; a flag or a family takes less, what takes more is cut between code points

// Firefox before 125 has no segmenter: code points must do there.
const segmenter = Intl.Segmenter ? new Intl.Segmenter("en", { granularity: "grapheme" }) : null;

/** The beginning of a text, at most `length` UTF-16 units, that ends between two characters as readers see them. */
export function cut(text, length) {
  if (text.length <= length) return text;
  const { index = 0 } = segmenter?.segment(text.slice(0, length + LARGEST)).containing(length) ?? {};
  if (length - index < LARGEST && index > 0) return text.slice(0, index);
  const isWithinPair = text.codePointAt(length - 1) > 0xffff;
  return text.slice(0, isWithinPair ? length - 1 : length);
}

const UNSEEN = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu; // controls, and what turns a line round
const BLANK = /^[\s\p{Cf}\p{M}\u115f\u1160\u2800\u3164\uffa0]*$/u;

function seen(text) {
  return text.replace(UNSEEN, "");
}

/** A name without characters that break its line or turn round what stands beside it; "" where nothing would be seen. */
export function plain(name) {
  return BLANK.test(name) ? "" : seen(name);
}

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** A name within a sentence of the page; one that is written from the right does not reorder what follows. */
export function isolated(name) {
  return RIGHT_TO_LEFT.test(name) ? `\u2068${name}\u2069` : name;
}

/** Is it so long that it shows folded at first? */
export function isLong(text) {
  return text.length > 1_500 || text.split("\n", 21).length > 20;
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null|-?\d+(?:\.\d+)?)\b/g;

/** Well-formed JSON split into `{text}` and `{text, kind}`, where kind is "key", "string" or "value". */
export function jsonParts(json) {
  const parts = [];
  let at = 0;
  for (const { 0: whole, 1: string, 2: colon, index } of json.matchAll(TOKEN)) {
    if (index > at) parts.push({ text: json.slice(at, index) });
    parts.push({ text: string ?? whole, kind: string ? (colon ? "key" : "string") : "value" });
    at = index + (string ?? whole).length;
  }
  if (at < json.length) parts.push({ text: json.slice(at) });
  return parts;
}

/** The first chat id in an invitation link, or in whatever was pasted; null without one. */
export function chatIdIn(text) {
  return UUID.exec(text)?.[0].toLowerCase() ?? null;
}

const UUID = /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/i;

/** One or two letters for an avatar. */
export function initials(name) {
  const words = name.split(/[\s._-]+/u).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const chosen = words.length > 1 ? [words[0], words.at(-1)] : words;
  return chosen.map((word) => [...word][0].toUpperCase()).join("") || "?";
}

/** A stable number in [0, `count`) for an id, to choose a colour. */
export function hueOf(id, count) {
  let hash = 0x811c9dc5; // FNV-1a
  for (const char of id) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  return ((hash >>> 16) ^ (hash & 0xffff)) % count;
}

/** UTF-8 bytes of a text. */
export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}
