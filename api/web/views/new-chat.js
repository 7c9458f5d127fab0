/** The dialog that starts a chat: with a person, with a group, or by the link of an open group. */

import { chatIdIn } from "../lib/text.js";
import { explain } from "../lib/words.js";
import { openDialog } from "./dialog.js";
import { busy, field, fill, h } from "./dom.js";
import { PeoplePicker } from "./people-picker.js";

export function newChat({ client, shell }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const body = h("div", { class: "dialog-part" });
  const kinds = { person: "A person", group: "A group", link: "By link" };
  const parts = { person, group, link };
  const tabs = h("div", { class: "segments", role: "radiogroup", "aria-label": "What to start" });
  const dialog = openDialog({ title: "New chat", content: [tabs, body, problem] });
  const fail = (error) => {
    problem.textContent = explain(error);
  };
  const arrive = (chat) => {
    dialog.close();
    shell.openChat(chat.id);
  };
  for (const [kind, label] of Object.entries(kinds)) {
    const input = h("input", {
      type: "radio",
      name: "kind",
      value: kind,
      checked: kind === "person",
      on: { change: () => show(kind) },
    });
    tabs.append(h("label", { class: "segment" }, input, h("span", {}, label)));
  }
  show("person");

  function show(kind) {
    problem.textContent = "";
    parts[kind]();
  }

  function person() {
    const start = async (user) => {
      try {
        arrive(await client.commands.createDirect(user.user_id));
      } catch (error) {
        fail(error);
      }
    };
    const picker = new PeoplePicker({ client, many: false, onChange: start });
    fill(body, picker.element);
    picker.focus();
  }

  function group() {
    const chatId = client.account.newId(); // one dialog makes one group, however often its button is pressed
    const title = h("input", { type: "text", required: true, maxlength: "200", autocomplete: "off" });
    const open = h("input", { type: "checkbox" });
    const history = h(
      "select",
      {},
      h("option", { value: "since_join" }, "From when they join"),
      h("option", { value: "all" }, "Everything"),
    );
    open.addEventListener("change", () => {
      history.value = open.checked ? "all" : "since_join";
    });
    const picker = new PeoplePicker({ client, many: true, onChange: () => {} });
    const create = h("button", { type: "submit", class: "primary" }, "Create the group");
    const submit = (event) => {
      event.preventDefault();
      const members = [...picker.chosen.keys()];
      const wanted = {
        chat_id: chatId,
        title: title.value.trim(),
        member_ids: members,
        open: open.checked,
        history: history.value,
      };
      void busy(create, async () => arrive(await client.commands.createGroup(wanted)), fail);
    };
    fill(
      body,
      h(
        "form",
        { on: { submit } },
        field("Title", title),
        picker.element,
        h("label", { class: "check" }, open, h("span", {}, "Open: anyone with the group's link may join")),
        field("New members see", history),
        h("div", { class: "buttons" }, create),
      ),
    );
    title.focus();
  }

  function link() {
    const address = h("input", {
      type: "text",
      required: true,
      autocomplete: "off",
      placeholder: "Link or id of the group",
    });
    const join = h("button", { type: "submit", class: "primary" }, "Join");
    const submit = (event) => {
      event.preventDefault();
      const chatId = chatIdIn(address.value);
      if (chatId) void busy(join, async () => arrive(await client.commands.join(chatId)), fail);
      else problem.textContent = "There is no group's id in this.";
    };
    fill(
      body,
      h("form", { on: { submit } }, field("Link of an open group", address), h("div", { class: "buttons" }, join)),
    );
    address.focus();
  }
}
