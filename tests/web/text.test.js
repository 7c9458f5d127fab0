import assert from "node:assert/strict";
import test from "node:test";

import { byteLength, cut, hueOf, initials, isLong, linkParts, snippet } from "../../api/web/lib/text.js";
import { deviceName, eventLine, nameList, reason, typingLine } from "../../api/web/lib/words.js";

test("addresses become links and the sentence around them stays text", () => {
  assert.deepEqual(linkParts("see https://example.org/a?b=1, then go"), [
    { text: "see " },
    { text: "https://example.org/a?b=1", href: "https://example.org/a?b=1" },
    { text: ", then go" },
  ]);
});

test("a bracket around an address is not part of it, one inside is", () => {
  assert.equal(linkParts("(https://example.org/x)")[1].href, "https://example.org/x");
  assert.equal(linkParts("https://example.org/x_(y)")[0].href, "https://example.org/x_(y)");
});

test("other schemes and markup stay text", () => {
  for (const text of ["javascript:alert(1)", "data:text/html,x", "<img src=x onerror=alert(1)>", "https://", ""]) {
    assert.ok(
      linkParts(text).every((part) => !part.href),
      text,
    );
  }
});

test("every character of a text is in its parts", () => {
  const text = "a https://x.org/., b http://[bad, c https://y.org";
  assert.equal(
    linkParts(text)
      .map((part) => part.text)
      .join(""),
    text,
  );
});

test("initials take the first and the last word", () => {
  assert.equal(initials("Ana Maria Kovač"), "AK");
  assert.equal(initials("ben"), "B");
  assert.equal(initials("ben.okafor"), "BO");
  assert.equal(initials("🙂"), "?");
});

test("a list of names stops at three", () => {
  assert.equal(nameList(["Ana"]), "Ana");
  assert.equal(nameList(["Ana", "Ben"]), "Ana and Ben");
  assert.equal(nameList(["Ana", "Ben", "Chi"]), "Ana, Ben and Chi");
  assert.equal(nameList(["Ana", "Ben", "Chi", "Dan", "Eve"]), "Ana, Ben, Chi and 2 more");
  assert.equal(typingLine(["Ana"]), "Ana is typing…");
  assert.equal(typingLine(["Ana", "Ben"]), "Ana and Ben are typing…");
  assert.equal(typingLine([]), "");
});

test("long texts fold, by length or by lines", () => {
  assert.ok(!isLong("hello"));
  assert.ok(isLong("x".repeat(2_000)));
  assert.ok(isLong("\n".repeat(30)));
});

test("a snippet is one line, and says what an erased message is", () => {
  assert.equal(snippet({ text: "a\n\n  b", kind: "TEXT" }), "a b");
  assert.equal(snippet({ text: null, erased: true, kind: "TEXT" }), "Message erased");
});

test("bytes are counted as UTF-8", () => {
  assert.equal(byteLength("é€🙂"), 9);
});

test("events read as sentences, unknown types as nothing", () => {
  const name = (id) => ({ ana: "Ana", me: "You" })[id];
  const line = (type, data) => eventLine({ type, actor_id: "ana", data }, name);
  assert.equal(line("member.added", { user_id: "me" }), "Ana added you");
  assert.equal(line("chat.retitled", { title: "Harbour" }), "Ana renamed the group to “Harbour”");
  assert.equal(line("member.role_changed", { user_id: "me", role: "admin" }), "Ana made you an admin");
  assert.equal(line("reaction.added", {}), null);
});

test("a refusal without words of its own still says something", () => {
  assert.equal(reason("forbidden"), "You may not do this here.");
  assert.equal(reason("a_new_code", "Refused."), "Refused.");
});

test("colours are spread over ids that differ little", () => {
  const counts = new Array(8).fill(0);
  for (let number = 0; number < 800; number += 1) {
    counts[hueOf(`01a2064f-edbd-71b4-a69d-${number.toString(16).padStart(12, "0")}`, 8)] += 1;
  }
  assert.ok(Math.min(...counts) > 60, counts.join());
});

test("a device is named by its browser and system", () => {
  const chrome =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
  assert.equal(deviceName(chrome), "Chrome on Linux");
  assert.equal(deviceName(`${chrome} Edg/140.0`), "Edge on Linux");
  assert.equal(
    deviceName("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"),
    "Safari on iPhone",
  );
  assert.equal(deviceName("curl/8.5"), "curl/8.5");
  assert.equal(deviceName(null), "Unknown device");
});

test("a text is cut between signs, and one that is too long by itself all the same", () => {
  const family = "👨‍👩‍👧‍👦";
  assert.equal(cut(`ab${family}`, 5), "ab");
  assert.equal(cut("🇰🇷🇰🇷🇰🇷", 7), "🇰🇷");
  assert.equal(cut("cafe\u0301!", 4), "caf");
  assert.equal(cut("👋🏽x", 3), "👋");
  assert.equal(cut("abcd", 3), "abc");
  assert.equal(snippet({ text: `${"x".repeat(195)}${family}`, kind: "TEXT" }), "x".repeat(195));
});
