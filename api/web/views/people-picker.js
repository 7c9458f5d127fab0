/** Choose people by name: a search field with a list below it, and chips for those who are chosen. */

import { explain } from "../lib/words.js";
import { avatar } from "./avatar.js";
import { fill, h, icon, iconButton } from "./dom.js";

const PAUSE_MS = 150;

export class PeoplePicker {
  chosen = new Map(); // user id → user

  #client;
  #many;
  #excluded;
  #onChange;
  #users = [];
  #active = -1;
  #timer = null;
  #nothing = null; // what to say where nobody is offered
  #input;
  #chips = h("div", { class: "chips" });
  #list;

  /** `many`: several may be chosen; else `onChange` tells each choice. `excluded`: user ids that are not offered. */
  constructor({ client, many, excluded = [], onChange }) {
    this.#client = client;
    this.#many = many;
    this.#excluded = new Set([client.me.user_id, ...excluded]);
    this.#onChange = onChange;
    const listId = `people-${client.account.newId()}`;
    this.#list = h("div", {
      class: "picker-list",
      role: "listbox",
      id: listId,
      "aria-label": "People",
      "aria-multiselectable": String(many),
    });
    this.#input = h("input", {
      type: "search",
      role: "combobox",
      "aria-expanded": "true",
      "aria-controls": listId,
      "aria-autocomplete": "list",
      "aria-label": "Search people",
      placeholder: "Name or username",
      autocomplete: "off",
      on: { input: () => this.#searched(), keydown: (event) => this.#key(event) },
    });
    this.element = h(
      "div",
      { class: "picker" },
      h("div", { class: "search" }, icon("search"), this.#input),
      this.#chips,
      this.#list,
    );
    this.#offer(this.#acquaintances());
  }

  focus() {
    this.#input.focus();
  }

  // With nothing typed: those one talks with already.
  #acquaintances() {
    const { store, people } = this.#client;
    const users = store.list().map((chat) => chat.peerId && people.get(chat.peerId));
    return users.filter(Boolean).slice(0, 20);
  }

  #searched() {
    clearTimeout(this.#timer);
    const query = this.#input.value.trim();
    if (!query) this.#offer(this.#acquaintances());
    else this.#timer = setTimeout(() => this.#ask(query), PAUSE_MS);
  }

  async #ask(query) {
    try {
      const { items } = await this.#client.api.searchUsers(query);
      if (query !== this.#input.value.trim()) return;
      this.#client.people.take(items);
      this.#offer(items, "Nobody found.");
    } catch (error) {
      this.#offer([], explain(error));
    }
  }

  #offer(users, nothing = "Search for somebody by name.") {
    this.#users = users.filter(({ user_id: userId }) => !this.#excluded.has(userId));
    this.#active = this.#users.length && this.#input.value ? 0 : -1;
    this.#nothing = this.#users.length ? null : nothing;
    this.#draw();
  }

  #draw() {
    const option = (user, index) =>
      h(
        "div",
        {
          role: "option",
          id: `${this.#list.id}-${index}`,
          class: index === this.#active ? "person is-active" : "person",
          "aria-selected": String(this.chosen.has(user.user_id)),
          on: { click: () => this.#choose(user) },
        },
        avatar({ id: user.user_id, name: this.#nameOf(user), small: true }),
        h("bdi", { class: "person-name" }, this.#nameOf(user)),
        h("span", { class: "person-username" }, `@${user.username}`),
        this.chosen.has(user.user_id) && icon("check"),
      );
    fill(this.#list, this.#users.map(option), this.#nothing && h("p", { class: "hint" }, this.#nothing));
    if (this.#active >= 0) this.#input.setAttribute("aria-activedescendant", `${this.#list.id}-${this.#active}`);
    else this.#input.removeAttribute("aria-activedescendant");
    const chip = (user) => {
      const name = this.#nameOf(user);
      return h(
        "span",
        { class: "chip" },
        h("bdi", {}, name),
        iconButton("close", `Do not choose ${name}`, () => this.#choose(user)),
      );
    };
    fill(this.#chips, [...this.chosen.values()].map(chip));
    this.#list.children[this.#active]?.scrollIntoView({ block: "nearest" });
  }

  #nameOf(user) {
    return this.#client.people.nameOf(user.user_id);
  }

  #choose(user) {
    if (!this.#many) {
      this.#onChange(user);
      return;
    }
    if (!this.chosen.delete(user.user_id)) {
      this.chosen.set(user.user_id, user);
      this.#input.value = "";
    }
    this.#draw();
    this.#input.focus();
    this.#onChange(user);
  }

  #key(event) {
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") {
      const step = key === "ArrowDown" ? 1 : -1;
      this.#active = Math.max(-1, Math.min(this.#users.length - 1, this.#active + step));
      this.#draw();
    } else if (key === "Enter") {
      const user = this.#users[this.#active];
      if (user) this.#choose(user);
    } else if (key === "Backspace" && !this.#input.value && this.chosen.size) {
      this.chosen.delete([...this.chosen.keys()].at(-1));
      this.#draw();
      this.#onChange(null);
    } else {
      return;
    }
    event.preventDefault();
  }
}
