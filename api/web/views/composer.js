/** Where one writes: grows with the text, keeps drafts, sends on Enter. */

import { byteLength, snippet } from "../lib/text.js";
import { counted } from "../lib/words.js";
import { Attach } from "./attach.js";
import { fill, h, icon, iconButton } from "./dom.js";

const LIMIT_BYTES = 102_400;
const FILE_BYTES = 104_857_600;
const NEAR_THE_LIMIT = 0.9;

export class Composer {
  #client;
  #onSent;
  #onPage;
  #chatId = null;
  #replyTo = null;
  #text;
  #send;
  #attach;
  #reply = h("div", { class: "composer-reply", hidden: true });
  #limit = h("p", { class: "composer-limit", role: "status", hidden: true });

  /** `onPage(direction)`: the messages are to scroll by a page, 1 on, -1 back. */
  constructor({ client, onSent, onEscape, onPage, say }) {
    this.#client = client;
    this.#onSent = onSent;
    this.#onPage = onPage;
    this.#text = h("textarea", {
      class: "composer-text",
      rows: "1",
      placeholder: "Write a message",
      "aria-label": "Message",
      autocomplete: "off",
      dir: "auto",
      on: {
        input: () => this.#typed(),
        keydown: (event) => this.#key(event, onEscape),
      },
    });
    this.#send = iconButton("send", "Send", () => this.#submit(), { class: "send" });
    const { account } = client;
    // What the server takes is not known while it is away.
    const takesFiles = () => !account.features.length || account.features.includes("files");
    const limit = () => (takesFiles() ? (account.limits.file_bytes ?? FILE_BYTES) : 0);
    this.#attach = new Attach({ limit, onChange: () => this.#fit(), say });
    this.element = h(
      "div",
      { class: "composer" },
      this.#reply,
      this.#attach.tray,
      this.#limit,
      h("div", { class: "composer-line" }, this.#attach.element, this.#text, this.#send),
    );
  }

  /** Files dropped anywhere on `element` are taken. */
  takeDrops(element) {
    this.#attach.listen(element, this.#text);
  }

  show(chatId) {
    this.#chatId = chatId;
    const { text, replyTo } = this.#client.drafts.get(chatId);
    this.#text.value = text;
    this.#setReply(replyTo);
    this.#attach.show(chatId);
    this.#fit();
  }

  /** Answer this message with what is written next. */
  reply(message) {
    this.#setReply(message.message_id);
    this.#keep();
    this.focus();
  }

  /** Put a text back to be edited, after whatever is there already. */
  put(text) {
    this.#text.value = this.#text.value ? `${this.#text.value}\n${text}` : text;
    this.#keep();
    this.#fit();
    this.focus();
  }

  /** Names or quoted messages may have arrived. */
  refresh() {
    if (this.#replyTo) this.#setReply(this.#replyTo);
  }

  focus() {
    this.#text.focus();
  }

  #key(event, onEscape) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && this.#replyTo) {
      event.stopPropagation();
      this.#setReply(null);
      this.#keep();
    } else if ((event.key === "PageUp" || event.key === "PageDown") && this.#fitsWhole()) {
      event.preventDefault();
      this.#onPage(event.key === "PageUp" ? -1 : 1);
    } else if (event.key === "ArrowUp" && !this.#text.value) {
      event.preventDefault();
      onEscape();
    }
  }

  #fitsWhole() {
    return this.#text.scrollHeight <= this.#text.clientHeight;
  }

  #typed() {
    this.#keep();
    this.#fit();
    if (this.#text.value.trim()) this.#client.typing(this.#chatId);
  }

  #keep() {
    this.#client.drafts.set(this.#chatId, this.#text.value, this.#replyTo);
  }

  #fit() {
    const { style } = this.#text;
    style.height = "auto";
    style.height = `${this.#text.scrollHeight}px`; // CSS bounds it
    const text = this.#text.value.trim();
    const over = text.length * 3 > LIMIT_BYTES * NEAR_THE_LIMIT ? byteLength(text) - LIMIT_BYTES : -LIMIT_BYTES;
    this.#limit.hidden = over <= -LIMIT_BYTES * (1 - NEAR_THE_LIMIT);
    this.#limit.textContent = over > 0 ? `${counted(over, "byte")} too long` : `${counted(-over, "byte")} left`;
    this.#limit.classList.toggle("is-over", over > 0);
    this.#send.disabled = (!text && !this.#attach.files.length) || over > 0;
  }

  async #submit() {
    const text = this.#text.value.trim();
    if (this.#send.disabled) return;
    const chatId = this.#chatId;
    const replyTo = this.#replyTo;
    // The text goes below the first file.
    const [first, ...others] = this.#attach.take();
    const sending = first
      ? Promise.all([
          this.#client.sendFile(chatId, first, text, replyTo),
          ...others.map((file) => this.#client.sendFile(chatId, file)),
        ])
      : this.#client.send(chatId, text, replyTo);
    this.#text.value = "";
    this.#setReply(null);
    this.#fit();
    this.#onSent();
    await sending;
    // Only now that the outbox has stored it may the draft go; by then there may be another one.
    if (this.#chatId === chatId) this.#keep();
    else if (this.#client.drafts.get(chatId).text.trim() === text) this.#client.drafts.clear(chatId);
  }

  #setReply(messageId) {
    this.#replyTo = messageId;
    this.#reply.hidden = !messageId;
    if (!messageId) return;
    const message = this.#client.quote(this.#chatId, messageId);
    const name = message?.sender_id ? this.#client.people.nameOf(message.sender_id) : "…";
    const cancel = () => {
      this.#setReply(null);
      this.#keep();
      this.focus();
    };
    fill(
      this.#reply,
      icon("reply"),
      h(
        "div",
        {},
        h("b", { dir: "auto" }, name),
        h("span", { dir: "auto" }, message?.kind ? snippet(message, 160) : "…"),
      ),
      iconButton("close", "Do not answer this message", cancel),
    );
  }
}
