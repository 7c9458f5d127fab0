import assert from "node:assert/strict";
import test from "node:test";

import * as text from "../../api/web/lib/text.js";
import { sizeLabel } from "../../api/web/lib/uploads.js";
import * as words from "../../api/web/lib/words.js";

/** Everything that takes apart what others wrote, as a function of one text. */
const PARSERS = {
  linkParts: text.linkParts,
  snippet: (value) => text.snippet({ text: value, kind: "TEXT" }),
  "snippet of a file": (value) => text.snippet({ text: null, kind: "FILE", file: { name: value } }),
  cut: (value) => text.cut(value, value.length - 10),
  plain: text.plain,
  isolated: text.isolated,
  isLong: text.isLong,
  jsonParts: (value) => text.jsonParts(JSON.stringify({ value, list: [value, 1, null] }, null, 2)),
  "jsonParts of what is no JSON": text.jsonParts,
  chatIdIn: text.chatIdIn,
  initials: text.initials,
  hueOf: (value) => text.hueOf(value, 8),
  byteLength: text.byteLength,
  nameList: (value) => words.nameList([value, value, value, value]),
  typingLine: (value) => words.typingLine([value]),
  eventLine: (value) => words.eventLine({ type: "chat.retitled", data: { title: value, user_id: "x" } }, () => value),
  deviceName: words.deviceName,
  reason: words.reason,
  fileReason: words.fileReason,
  explain: (value) => words.explain({ errors: [{ field: value, message: value }] }),
};
const NO_PARSERS = new Set(["counted"]);

/** Texts of about `n` characters that have been hard on somebody's parser. */
const HARD = {
  "brackets after an address": (n) => "http://a" + ")".repeat(n),
  "square brackets after an address": (n) => "http://a" + "]".repeat(n),
  "brackets and dots in turns": (n) => "http://a" + ").".repeat(n / 2),
  "opening brackets": (n) => "http://a/" + "(".repeat(n),
  "nested brackets": (n) => "http://a/" + "(".repeat(n / 2) + ")".repeat(n / 2),
  "brackets without an address": (n) => "[(".repeat(n / 2),
  "addresses that run into each other": (n) => "http://".repeat(n / 7),
  "many addresses": (n) => "http://a ".repeat(n / 9),
  "many addresses that are none": (n) => "http://[ ".repeat(n / 9),
  "a long path": (n) => "http://a/" + "x".repeat(n),
  "a long host": (n) => "http://" + "a.".repeat(n / 2),
  "a long host of other letters": (n) =>
    "http://" + Array.from({ length: n }, (_, at) => String.fromCodePoint(0x4e00 + (at % 20_000))).join(""),
  "dots before a letter": (n) => "http://a" + ".".repeat(n) + "x",
  "runs of marks": (n) => "_*~".repeat(n / 3),
  "runs of marks after an address": (n) => "http://a" + "_*~".repeat(n / 3) + "b",
  spaces: (n) => " ".repeat(n) + "x",
  "spaces and words": (n) => "a ".repeat(n / 2),
  lines: (n) => "\n".repeat(n),
  quotes: (n) => '"'.repeat(n),
  backslashes: (n) => '"' + "\\".repeat(n),
  digits: (n) => "1".repeat(n),
  "numbers with points": (n) => "-1.1".repeat(n / 4),
  "hexadecimal digits": (n) => "abcdef01-".repeat(n / 9),
  "right to left": (n) => "\u202e\u05d0\u0628 ".repeat(n / 4),
  "isolates that nobody ends": (n) => "\u2068".repeat(n),
  "families": (n) => "👨\u200d👩\u200d👧".repeat(n / 8),
  "one endless cluster": (n) => "a" + "\u200d👩".repeat(n / 3),
  "marks upon a letter": (n) => "e" + "\u0301".repeat(n),
  flags: (n) => "🇰🇷".repeat(n / 4),
  "halves of pairs": (n) => "\ud83d".repeat(n),
  "what nobody sees": (n) => "\u200b".repeat(n) + "x",
};

test("every parser of the library is tried here", () => {
  const tried = Object.keys(PARSERS).map((name) => name.split(" ")[0]);
  for (const module of [text, words]) {
    for (const name of Object.keys(module)) assert.ok(tried.includes(name) || NO_PARSERS.has(name), name);
  }
  assert.equal(typeof sizeLabel(1), "string"); // takes a number, and no text
});

function fastest(parse, value) {
  let best = Infinity;
  for (let round = 0; round < 3; round += 1) {
    const begin = performance.now();
    parse(value);
    best = Math.min(best, performance.now() - begin);
    if (best > 2_000) break;
  }
  return best;
}

for (const [name, parse] of Object.entries(PARSERS)) {
  test(`${name} takes time in proportion to the text`, () => {
    for (const [kind, make] of Object.entries(HARD)) {
      const [short, long] = [10_000, 100_000].map((n) => fastest(parse, make(n)));
      // Ten times the text: ten times as long is right, a hundred times is not; below 25 ms nobody can tell.
      assert.ok(long < Math.max(25, 40 * short), `${kind}: ${short.toFixed(2)} ms, ${long.toFixed(2)} ms`);
      assert.ok(long < 400, `${kind}: ${long.toFixed(2)} ms`);
    }
  });
}

test("whatever a text holds, its parts make it up again and its links are of the web", () => {
  for (const [kind, make] of Object.entries(HARD)) {
    for (const n of [1, 2, 3, 7, 50, 1_000]) {
      const value = make(n);
      const parts = text.linkParts(value);
      assert.equal(parts.map((part) => part.text).join(""), value, kind);
      for (const { href } of parts) if (href) assert.match(href, /^https?:\/\//);
    }
  }
});

test("a text is cut between what readers see as characters", () => {
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  for (const unit of ["👨\u200d👩\u200d👧", "🇰🇷", "é", "e\u0301", "👍🏽", "각", "क्षि", "ab", "\r\n"]) {
    for (const before of ["", "x", "🙂"]) {
      const whole = before + unit.repeat(300);
      const ends = new Set([whole.length, ...[...segmenter.segment(whole)].map(({ index }) => index)]);
      for (let length = 12; length < 400; length += 1) {
        const shown = text.cut(whole, length);
        assert.ok(shown.length <= length && whole.startsWith(shown));
        assert.ok(ends.has(shown.length), `${JSON.stringify(unit)} cut at ${shown.length} of ${length}`);
        assert.ok(shown.length > Math.min(length, whole.length) - 12);
      }
    }
  }
  assert.equal(text.cut("short", 10), "short");
  assert.equal(text.cut(`e${"\u0301".repeat(1_000)}`, 10).length, 10); // no end in sight: between code points
});

test("names are shown without what breaks or turns a line, and others are said to be blank", () => {
  assert.equal(text.plain("Ana\u202e\u2066\n\u0007 B"), "Ana B");
  assert.equal(text.plain("می\u200cخواهم 👨\u200d👩\u200d👧"), "می\u200cخواهم 👨\u200d👩\u200d👧");
  for (const blank of ["", " ", "\u200b", "\u3164", "\u2800\u202e", "\u0301"]) assert.equal(text.plain(blank), "");
  assert.equal(text.isolated("Ana"), "Ana");
  assert.equal(text.isolated("דנה"), "\u2068דנה\u2069");
});
