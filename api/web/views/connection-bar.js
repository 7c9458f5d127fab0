/** One quiet line about the connection, only while there is something to say about it. */

import { waitTime } from "../lib/time.js";
import { counted } from "../lib/words.js";
import { Subscriptions, fill, h } from "./dom.js";

const PATIENCE_MS = 700; // shorter trouble is nobody's business
const SECOND_MS = 1_000;

export class ConnectionBar {
  #client;
  #subscriptions = new Subscriptions();
  #since = null;
  #timer = null;
  #wasOnline = false;
  #isUnsaved = false;
  #text = h("span", { role: "status" });
  #wait = h("span", { class: "bar-wait" });
  #button = h("button", { type: "button", class: "link-button" });

  constructor({ client }) {
    this.#client = client;
    this.element = h("div", { class: "bar", hidden: true }, this.#text, this.#wait, this.#button);
    this.#button.addEventListener("click", () => this.#act());
    this.#subscriptions.add(
      client.on("connection", () => this.#changed()),
      client.on("outbox", () => this.#draw()),
      client.on("unsaved", () => {
        this.#isUnsaved = true;
        this.#draw();
      }),
    );
    this.#changed();
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#subscriptions.end();
  }

  #changed() {
    const { state } = this.#client.connection;
    if (state === "online") {
      this.#since = null;
      this.#wasOnline = true;
    } else {
      this.#since ??= Date.now();
    }
    this.#draw();
  }

  #draw() {
    clearTimeout(this.#timer);
    const { connection } = this.#client;
    const isOnline = this.#since === null;
    const left = isOnline ? 0 : this.#since + PATIENCE_MS - Date.now();
    const isQuiet = (isOnline && !this.#isUnsaved) || (left > 0 && connection.state !== "stopped");
    this.element.hidden = isQuiet;
    if (!isOnline) this.#timer = setTimeout(() => this.#draw(), left > 0 ? left : SECOND_MS);
    if (isQuiet) return;
    const { text, wait = "", button = "" } = this.#say(connection);
    this.element.dataset.state = connection.state;
    if (this.#text.textContent !== text) this.#text.textContent = text;
    fill(this.#wait, wait);
    this.#button.textContent = button;
    this.#button.hidden = !button;
  }

  #say({ state, reason, retryAt }) {
    const { waiting } = this.#client.outbox;
    const sending = `${counted(waiting, "message")} will be sent when you are back`;
    if (state === "stopped" && reason === "replaced") {
      return { text: "Tidings is open in too many places, so this one was disconnected.", button: "Use it here" };
    }
    if (state === "stopped") {
      return { text: "The connection failed in a way that should not happen.", button: "Try again" };
    }
    if (state === "online") return { text: "This browser keeps nothing: do not close the page before all is sent." };
    if (state === "waiting") {
      const text = waiting ? `Offline. ${sending}` : "Offline";
      return { text, wait: `Trying again ${waitTime(retryAt - Date.now())}`, button: "Try now" };
    }
    return { text: this.#wasOnline ? (waiting ? `Reconnecting… ${sending}` : "Reconnecting…") : "Connecting…" };
  }

  #act() {
    const { connection } = this.#client;
    if (connection.state === "stopped") connection.start();
    else this.#client.wake();
  }
}
