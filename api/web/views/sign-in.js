/** The way in: log in, or register. */

import { explain } from "../lib/words.js";
import { busy, field, fill, h } from "./dom.js";

export class SignIn {
  #account;
  #isNew = false;
  #card = h("div", { class: "sign-in-card" });

  /** `notice`: why the reader is here, if there is something to say. */
  constructor({ account, notice }) {
    this.#account = account;
    this.element = h("main", { class: "sign-in" }, this.#card);
    this.#draw(notice);
  }

  #draw(notice = null) {
    const isNew = this.#isNew;
    const username = h("input", {
      type: "text",
      name: "username",
      required: true,
      autocomplete: "username",
      autocapitalize: "none",
      spellcheck: "false",
      minlength: "3",
      maxlength: "32",
    });
    const displayName = h("input", { type: "text", name: "name", maxlength: "64", autocomplete: "name" });
    const password = h("input", {
      type: "password",
      name: "password",
      required: true,
      autocomplete: isNew ? "new-password" : "current-password",
      minlength: isNew ? "8" : null,
      maxlength: "256",
    });
    const problem = h("p", { class: "problem", role: "alert" });
    const button = h("button", { type: "submit", class: "primary wide" }, isNew ? "Create the account" : "Log in");
    const enter = () => {
      const name = username.value.trim().toLowerCase();
      if (!isNew) return this.#account.login(name, password.value);
      const display = displayName.value.trim();
      return this.#account.register({
        username: name,
        password: password.value,
        ...(display && { display_name: display }),
      });
    };
    const submit = (event) => {
      event.preventDefault();
      problem.textContent = "";
      void busy(button, enter, (error) => {
        problem.textContent = explain(error);
      });
    };
    const other = () => {
      this.#isNew = !isNew;
      this.#draw();
    };
    fill(
      this.#card,
      h(
        "h1",
        { class: "brand brand-large" },
        h("img", { src: "/web/icon.svg", alt: "", width: "40", height: "40" }),
        "Tidings",
      ),
      notice && h("p", { class: "notice", role: "status" }, notice),
      h(
        "form",
        { on: { submit }, "aria-label": isNew ? "Create an account" : "Log in" },
        field("Username", username, isNew ? "3 to 32 of a–z, 0–9, dot, dash and underscore" : null),
        isNew && field("Name that others see", displayName, "Optional"),
        field("Password", password, isNew ? "At least 8 characters" : null),
        problem,
        button,
      ),
      h(
        "p",
        { class: "sign-in-other" },
        isNew ? "Been here before? " : "New here? ",
        h(
          "button",
          { type: "button", class: "link-button", on: { click: other } },
          isNew ? "Log in" : "Create an account",
        ),
      ),
    );
    this.focus();
  }

  focus() {
    this.#card.querySelector("input").focus();
  }

  destroy() {}
}
