/** Texts of people, taken apart without ever becoming markup. */

const ADDRESS = /https?:\/\/[^\s<>"“”]+/giu;
const TRAILING = /[.,;:!?'’*_]+$/u;

/** Split a text into `{text}` and `{text, href}` parts; only http and https become links. */
export function linkParts(text) {
  const parts = [];
  let at = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const shown = trimAddress(found);
    if (!URL.canParse(shown)) continue; // looks like an address and is none
    if (index > at) parts.push({ text: text.slice(at, index) });
    parts.push({ text: shown, href: new URL(shown).href });
    at = index + shown.length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  return parts;
}

/** Punctuation after an address belongs to the sentence, and so does a bracket that opened before it. */
function trimAddress(found) {
  let shown = found.replace(TRAILING, "");
  while (shown.endsWith(")") && shown.split(")").length > shown.split("(").length) {
    shown = shown.slice(0, -1).replace(TRAILING, "");
  }
  return shown;
}

/** A message in one line, for lists and quotes. */
export function snippet(message, length = 200) {
  if (message.erased) return "Message erased";
  if (message.text) return cut(cut(message.text, length * 2).replace(/\s+/g, " ").trim(), length);
  return message.kind === "IMAGE" ? "Photo" : (message.file?.name ?? "File");
}

const signs = new Intl.Segmenter();

/** The beginning of a text, at most `length` code units and whole signs: no flag, no family is cut in two. */
export function cut(text, length) {
  if (text.length <= length) return text;
  let end = 0;
  // Whether a sign goes on is told by its next character, which may take two units.
  for (const { index, segment } of signs.segment(text.slice(0, length + 2))) {
    if (index + segment.length > length) break;
    end = index + segment.length;
  }
  return end ? text.slice(0, end) : text.slice(0, length).replace(/[\ud800-\udbff]$/, "");
}

/** Is it so long that it shows folded at first? */
export function isLong(text) {
  return text.length > 1_500 || text.split("\n", 21).length > 20;
}

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
