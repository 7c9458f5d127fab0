// Runs one file of tests: `node --test-reporter=tap run_tests.mjs FILE`. Node.js 18, which Debian 12 has,
// hides what browsers and later versions offer everywhere.
import { webcrypto } from "node:crypto";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

globalThis.crypto ??= webcrypto;
await import(pathToFileURL(resolve(process.argv[2])));
