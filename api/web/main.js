/** Starts the page: who is signed in decides what shows. */

import { Account } from "./lib/account.js";
import { Client } from "./lib/client.js";
import { IndexedDbShelf, MemoryShelf } from "./lib/outbox.js";
import { MemoryStorage } from "./lib/session.js";
import { explain } from "./lib/words.js";
import { Shell } from "./views/shell.js";
import { SignIn } from "./views/sign-in.js";
import { followTheme } from "./views/theme.js";

const AWAY_MS = 300_000; // nothing touched for this long
const HIDDEN_AWAY_MS = 60_000;

const address = new URLSearchParams(location.search);
const slot = address.get("slot");
const isDemo = address.has("demo");
const storage = usableStorage();
const account = new Account({ storage, namespace: slot ? `tidings:${slot}` : "tidings" });
const root = document.getElementById("app");

let client = null;
let view = null;
let notice = null;

function usableStorage() {
  try {
    localStorage.setItem("tidings:probe", "1");
    localStorage.removeItem("tidings:probe");
    return localStorage;
  } catch {
    return new MemoryStorage(); // forbidden or full: one page's memory must do
  }
}

function shelf(name) {
  return globalThis.indexedDB ? new IndexedDbShelf(name) : new MemoryShelf();
}

function draw() {
  const { user } = account;
  if ((client?.me.user_id ?? null) === (user?.user_id ?? null) && view) return;
  view?.destroy();
  client?.stop();
  client = user ? new Client({ account, shelf }) : null;
  globalThis.tidings = client; // for a curious engineer's console
  view = client ? new Shell({ client, isDemo }) : new SignIn({ account, notice });
  root.replaceChildren(view.element);
  view.focus();
  client?.start().catch((error) => view.tell?.(error));
}

/** A one-time code in the fragment signs a demo user in. It is gone from the address before anything else happens. */
async function useCode() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!code) return;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    await account.demoLogin(code);
  } catch (error) {
    if (!account.user) notice = `The demo's link no longer works. ${explain(error)}`;
  }
}

function watchAttention() {
  let timer = null;
  const away = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(() => client?.setStatus("away"), ms);
  };
  const active = () => {
    if (document.hidden || window.frameElement?.hidden) return; // the demo hides the frame of who is away
    client?.setStatus("online");
    away(AWAY_MS);
  };
  for (const name of ["pointerdown", "pointermove", "keydown", "focus"])
    window.addEventListener(name, active, { passive: true });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      away(HIDDEN_AWAY_MS);
    } else {
      active();
      client?.wake();
    }
  });
  // A file that misses the conversation is not to take the page's place.
  for (const name of ["dragover", "drop"])
    window.addEventListener(name, (event) => {
      if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "none";
    });
  window.addEventListener("online", () => client?.wake());
  window.addEventListener("offline", () => client?.wake()); // a server on this very machine is still there
  active();
}

async function start() {
  followTheme(storage);
  await useCode();
  account.session.on("change", (session) => {
    if (!session) notice = account.isLeaving ? null : "You were signed out elsewhere. Log in to go on.";
    draw();
  });
  window.addEventListener("storage", ({ key }) => key?.endsWith(":session") && account.session.reload());
  draw();
  watchAttention();
  try {
    await account.learnServer();
  } catch (error) {
    if (!client) view.tell?.(error); // the connection bar says it to whoever is signed in
  }
}

await start();
