/** The right pane's details of a chat: who is in it and what one may do about it. */

import { lastSeen } from "../lib/time.js";
import { counted } from "../lib/words.js";
import { avatar } from "./avatar.js";
import { confirm } from "./dialog.js";
import { Subscriptions, busy, coalesce, fill, h, icon, iconButton } from "./dom.js";
import { Members } from "./members.js";

const HOUR_MS = 3_600_000;
const MUTES = {
  "For an hour": HOUR_MS,
  "For 8 hours": 8 * HOUR_MS,
  "For a week": 168 * HOUR_MS,
  "Until I turn it on again": 876_000 * HOUR_MS, // a century
};

export class Details {
  #client;
  #shell;
  #chat = null;
  #subscriptions = new Subscriptions();
  #isRenaming = false;
  #members = null;
  #body = h("div", { class: "panel-body" });

  constructor({ client, shell }) {
    this.#client = client;
    this.#shell = shell;
    this.element = h(
      "aside",
      { class: "pane pane-side details", "aria-label": "Details" },
      h(
        "header",
        { class: "pane-header" },
        h("h2", { class: "pane-title" }, "Details"),
        iconButton("close", "Close the details", () => shell.toggle("details")),
      ),
      this.#body,
    );
    const refresh = coalesce(() => this.#refresh());
    this.#subscriptions.add(
      client.store.on("chat", (chatId) => chatId === this.#chat?.id && refresh()),
      client.people.on("users", refresh),
      client.people.on("presence", refresh),
    );
  }

  show(chat) {
    this.#chat = chat;
    this.#isRenaming = false;
    const changed = () => chat === this.#chat && this.#refresh();
    this.#members = chat && new Members({ client: this.#client, shell: this.#shell, chat, changed });
    this.#refresh();
  }

  destroy() {
    this.#subscriptions.end();
  }

  #refresh() {
    const chat = this.#chat;
    if (!chat) {
      fill(this.#body);
      return;
    }
    // Do not take a field from under the fingers, nor the list that a select has open.
    if (this.#isRenaming && this.#body.querySelector("form")) return;
    if (this.#body.contains(document.activeElement) && document.activeElement.matches("select")) return;
    const { focusKey } = document.activeElement?.dataset ?? {};
    fill(
      this.#body,
      this.#head(chat),
      !chat.gone && this.#settings(chat),
      chat.kind === "group" && !chat.gone && this.#members.draw(),
      chat.kind === "group" && !chat.gone && this.#leaving(chat),
    );
    if (focusKey) this.#body.querySelector(`[data-focus-key="${CSS.escape(focusKey)}"]`)?.focus();
  }

  #head(chat) {
    const { store, people } = this.#client;
    const title = store.titleOf(chat);
    const peer = chat.peerId ? people.get(chat.peerId) : null;
    const presence = chat.peerId ? people.presenceOf(chat.peerId) : null;
    return h(
      "section",
      { class: "details-head" },
      avatar({ id: chat.peerId ?? chat.id, name: title, presence: presence?.status }),
      this.#isRenaming
        ? this.#renameForm(chat)
        : h(
            "h3",
            {},
            h("bdi", {}, title),
            chat.may("retitle") &&
              iconButton("pencil", "Rename the group", () => this.#rename(true), { data: { focusKey: "rename" } }),
          ),
      peer && h("p", { class: "hint" }, `@${peer.username}`),
      presence &&
        h(
          "p",
          { class: "hint" },
          presence.status === "offline" ? lastSeen(presence.lastSeen, this.#client.now()) : presence.status,
        ),
      chat.kind === "group" && h("p", { class: "hint" }, counted(chat.memberCount, "member")),
    );
  }

  #rename(on) {
    this.#isRenaming = on;
    if (!on) this.#body.querySelector("form")?.remove();
    this.#refresh();
    this.#body.querySelector(on ? "form input" : "[data-focus-key=rename]")?.focus();
  }

  #renameForm(chat) {
    const input = h("input", {
      type: "text",
      value: chat.title,
      required: true,
      maxlength: "200",
      "aria-label": "Title",
    });
    const save = h("button", { type: "submit", class: "primary" }, "Save");
    const cancel = h(
      "button",
      { type: "button", class: "secondary", on: { click: () => this.#rename(false) } },
      "Cancel",
    );
    const submit = async (event) => {
      event.preventDefault();
      const change = () => this.#client.commands.change(chat.id, { title: input.value.trim() });
      if (await busy(save, change, (error) => this.#shell.tell(error))) this.#rename(false);
    };
    return h("form", { class: "rename", on: { submit } }, input, h("div", { class: "buttons" }, cancel, save));
  }

  #settings(chat) {
    const muted = chat.isMuted(this.#client.now());
    return h(
      "section",
      {},
      muted
        ? this.#row("muted", "Muted", "Unmute", () => this.#client.commands.mute(chat.id, null))
        : h("div", { class: "details-row" }, icon("muted"), h("span", {}, "Mute"), this.#muteSelect(chat)),
      chat.kind === "group" && chat.may("open") && this.#openRow(chat),
      this.#lookBackRow(),
      chat.open && this.#row("copy", "Anyone with the link may join", "Copy the link", () => this.#copyLink(chat)),
    );
  }

  /** Where there is no room for the event log, whose slider does the same. */
  #lookBackRow() {
    const row = this.#row("clock", "The chat as it was", "Look back", async () => this.#shell.lookBack());
    row.classList.add("only-narrow");
    return row;
  }

  #row(drawing, text, label, action) {
    const button = h("button", { type: "button", class: "link-button", data: { focusKey: label } }, label);
    button.addEventListener("click", () => busy(button, action, (error) => this.#shell.tell(error)));
    return h("div", { class: "details-row" }, icon(drawing), h("span", {}, text), button);
  }

  #muteSelect(chat) {
    const choices = Object.keys(MUTES).map((label) => h("option", {}, label));
    const select = h(
      "select",
      { "aria-label": "Mute this chat", data: { focusKey: "mute" } },
      h("option", { value: "" }, "No"),
      choices,
    );
    select.addEventListener("blur", () => this.#refresh());
    select.addEventListener("change", () => {
      const until = new Date(this.#client.now().getTime() + MUTES[select.value]).toISOString();
      void busy(
        select,
        () => this.#client.commands.mute(chat.id, until),
        (error) => this.#shell.tell(error),
      );
    });
    return select;
  }

  #openRow(chat) {
    const box = h("input", { type: "checkbox", role: "switch", checked: chat.open, data: { focusKey: "open" } });
    box.addEventListener("change", async () => {
      const change = () => this.#client.commands.change(chat.id, { open: box.checked });
      if (!(await busy(box, change, (error) => this.#shell.tell(error)))) box.checked = chat.open;
    });
    return h(
      "label",
      { class: "details-row" },
      icon("users"),
      h("span", {}, "Open: anyone with the link may join"),
      box,
    );
  }

  #copyLink(chat) {
    return this.#shell.copy(new URL(`/#join/${chat.id}`, location.href).href);
  }

  #leaving(chat) {
    const leave = async () => {
      const isOwner = chat.me?.role === "owner" && chat.memberCount > 1;
      const text = isOwner
        ? "The longest-serving admin, or else member, becomes the owner. You will no longer see what is written here."
        : "You will no longer see what is written here.";
      if (!(await confirm({ title: "Leave the group?", text, action: "Leave" }))) return;
      await this.#client.commands.leave(chat.id);
      this.#shell.back();
    };
    const button = h(
      "button",
      { type: "button", class: "secondary is-danger wide", data: { focusKey: "leave" } },
      icon("leave"),
      "Leave the group",
    );
    button.addEventListener("click", () => busy(button, leave, (error) => this.#shell.tell(error)));
    return h("section", {}, button);
  }
}
