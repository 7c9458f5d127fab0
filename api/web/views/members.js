/** The members of a group in its details: who they are, and what this reader may do about each. */

import { explain } from "../lib/words.js";
import { avatar } from "./avatar.js";
import { confirm, openDialog } from "./dialog.js";
import { busy, h, icon, iconButton } from "./dom.js";
import { PeoplePicker } from "./people-picker.js";

const PAGE = 100;
const RANKS = { owner: 0, admin: 1, member: 2 };

export class Members {
  #client;
  #shell;
  #chat;
  #changed;
  #unfolded = null; // the member whose actions show
  #listed = null; // of a chat that is too large to carry its members: {items, cursor}

  /** `changed()`: draw again. */
  constructor({ client, shell, chat, changed }) {
    this.#client = client;
    this.#shell = shell;
    this.#chat = chat;
    this.#changed = changed;
  }

  draw() {
    const chat = this.#chat;
    if (!chat.members && !this.#listed) this.#more().catch((error) => this.#shell.tell(error));
    const add = h(
      "button",
      { type: "button", class: "link-button", data: { focusKey: "add" }, on: { click: () => this.#add() } },
      icon("plus"),
      "Add people",
    );
    return h(
      "section",
      {},
      h("div", { class: "section-head" }, h("h4", {}, "Members"), chat.may("add") && add),
      h(
        "ul",
        { class: "members" },
        this.#sorted().map((member) => this.#member(member)),
      ),
      !chat.members && this.#listed.cursor && this.#button("Show more", () => this.#more(), "secondary wide"),
    );
  }

  #sorted() {
    const { members } = this.#chat;
    if (!members) return this.#listed.items;
    const name = ({ user_id: userId }) => this.#client.people.nameOf(userId);
    return [...members.values()].sort((a, b) => RANKS[a.role] - RANKS[b.role] || name(a).localeCompare(name(b)));
  }

  async #more() {
    const before = this.#listed ?? { items: [], cursor: null };
    this.#listed = before;
    const { items, next_cursor: cursor } = await this.#client.api.members(this.#chat.id, before.cursor, PAGE);
    this.#listed = { items: [...before.items, ...items], cursor };
    this.#changed();
  }

  #button(label, work, className) {
    const button = h("button", { type: "button", class: className, data: { focusKey: label } }, label);
    button.addEventListener("click", () => busy(button, work, (error) => this.#shell.tell(error)));
    return button;
  }

  #member(member) {
    const { people, me } = this.#client;
    const { user_id: userId, role } = member;
    const name = people.nameOf(userId);
    const isMe = userId === me.user_id;
    const isUnfolded = this.#unfolded === userId;
    const fold = () => {
      this.#unfolded = isUnfolded ? null : userId;
      this.#changed();
    };
    const foldProps = { "aria-expanded": String(isUnfolded), data: { focusKey: `fold ${userId}` } };
    return h(
      "li",
      { class: "member" },
      h(
        "div",
        { class: "member-line" },
        avatar({ id: userId, name, presence: isMe ? null : people.presenceOf(userId).status, small: true }),
        h("span", { class: "person-name" }, h("bdi", {}, name), isMe && h("span", { class: "hint" }, " (you)")),
        role !== "member" && h("span", { class: "badge" }, role),
        !isMe && iconButton("more", `Actions for ${name}`, fold, foldProps),
      ),
      isUnfolded && h("div", { class: "member-actions" }, this.#actions(member, name)),
    );
  }

  #actions({ user_id: userId, role }, name) {
    const client = this.#client;
    const chat = this.#chat;
    const act = (label, work, className = "secondary") =>
      this.#button(label, async () => this.#done(await work()), className);
    const setRole = (next) => () => client.commands.setRole(chat.id, userId, next);
    return [
      act("Message", async () => this.#shell.openChat((await client.commands.createDirect(userId)).id)),
      chat.may("setRole") && role === "member" && act("Make admin", setRole("admin")),
      chat.may("setRole") && role === "admin" && act("Make plain member", setRole("member")),
      chat.may("setRole") && act("Hand over the group", () => this.#handOver(userId, name)),
      chat.may("remove", role) && act("Remove", () => this.#remove(userId, name), "secondary is-danger"),
    ];
  }

  /** Something was done, or, where `outcome` is false, thought better of. */
  #done(outcome) {
    if (outcome === false) return;
    this.#unfolded = null;
    this.#listed = null;
    this.#changed();
  }

  async #handOver(userId, name) {
    const text = `${name} becomes the owner of this group, and you stay as an admin.`;
    if (!(await confirm({ title: "Hand over the group?", text, action: "Hand over" }))) return false;
    return this.#client.commands.setRole(this.#chat.id, userId, "owner");
  }

  async #remove(userId, name) {
    const text = `${name} will no longer see what is written here.`;
    if (!(await confirm({ title: `Remove ${name}?`, text, action: "Remove" }))) return false;
    return this.#client.commands.removeMember(this.#chat.id, userId);
  }

  #add() {
    const problem = h("p", { class: "problem", role: "alert" });
    const submit = h("button", { type: "button", class: "primary", disabled: true }, "Add");
    const picker = new PeoplePicker({
      client: this.#client,
      many: true,
      excluded: [...(this.#chat.members?.keys() ?? [])],
      onChange: () => {
        submit.disabled = picker.chosen.size === 0;
      },
    });
    const dialog = openDialog({
      title: "Add people",
      content: [picker.element, problem, h("div", { class: "buttons" }, submit)],
    });
    submit.addEventListener("click", async () => {
      const fail = (error) => {
        problem.textContent = explain(error);
      };
      if (!(await busy(submit, () => this.#client.commands.addMembers(this.#chat.id, [...picker.chosen.keys()]), fail)))
        return;
      dialog.close();
      this.#done(true);
    });
    picker.focus();
  }
}
