import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../api/web/", import.meta.url));

function read(path) {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Every module that `path` needs before it runs, itself included. */
function graph(path, seen = new Set()) {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const [, target] of read(path).matchAll(/^(?:import|export)[^;]*?from "(\.[^"]+)";$/gms)) {
    graph(relative(ROOT, join(ROOT, dirname(path), target)), seen);
  }
  return seen;
}

function sources(folder = "") {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : [path];
  });
}

for (const [page, entry] of [
  ["index.html", "main.js"],
  ["admin.html", "admin.js"],
]) test(`${page} preloads exactly the modules that it starts with, so that none waits for another`, () => {
  const preloaded = [...read(page).matchAll(/rel="modulepreload" href="\/web\/([^"]+)"/g)].map(
    ([, path]) => path,
  );
  assert.deepEqual([...preloaded].sort(), [...graph(entry)].sort());
});

test("the pages hold neither inline scripts nor inline styles, and fetch from this server alone", () => {
  for (const page of ["index.html", "demo.html", "admin.html"]) {
    const html = read(page);
    assert.ok(!/<style|\sstyle=|\son[a-z]+=/i.test(html), page);
    assert.deepEqual(html.match(/<script(?![^>]*\ssrc=)[^>]*>/gi), null, page);
    for (const [, address] of html.matchAll(/(?:src|href)="([^"]+)"/g)) assert.match(address, /^\/web\//);
  }
});

test("nothing turns text into markup or code", () => {
  const risky = /\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval|Function\(|srcdoc)\b/;
  for (const path of sources().filter((name) => name.endsWith(".js"))) assert.ok(!risky.test(read(path)), path);
});

test("the library knows no DOM", () => {
  const dom = /\b(?:document|window|localStorage|navigator|HTMLElement)\./;
  for (const path of sources("lib")) assert.ok(!dom.test(read(path)), path);
});

test("the style is one file that fetches nothing", () => {
  const styles = sources().filter((name) => name.endsWith(".css"));
  assert.deepEqual(styles, ["style.css"]);
  assert.ok(!/url\(|@import/.test(read("style.css")));
});
