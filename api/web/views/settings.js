/** The settings dialog: oneself, the theme, the password, the places where one is signed in, and the ways out. */

import { fullMoment, lastSeen } from "../lib/time.js";
import { counted, deviceName, explain } from "../lib/words.js";
import { avatar } from "./avatar.js";
import { confirm, openDialog } from "./dialog.js";
import { busy, field, fill, h } from "./dom.js";
import { THEMES, currentTheme, setTheme } from "./theme.js";

export function openSettings({ client, shell }) {
  const { account } = client;
  const dialog = openDialog({
    title: "Settings",
    className: "dialog-tall",
    content: [profile(), appearance(), sessions(), password(), leaving()],
  });

  function section(title, ...children) {
    return h("section", { class: "settings-section" }, h("h3", {}, title), children);
  }

  /** A form whose button works once at a time, and which says below how it went. */
  function form(label, fields, work, done, danger = false) {
    const answer = h("p", { class: "answer", role: "status" });
    const button = h("button", { type: "submit", class: danger ? "danger" : "secondary" }, label);
    const submit = async (event) => {
      event.preventDefault();
      answer.classList.remove("is-problem");
      answer.textContent = "";
      const fail = (error) => {
        answer.classList.add("is-problem");
        answer.textContent = explain(error);
      };
      if (await busy(button, work, fail)) {
        answer.textContent = done;
        event.target.reset();
      }
    };
    return h("form", { on: { submit } }, fields, h("div", { class: "buttons" }, answer, button));
  }

  function profile() {
    const { user_id: id, username, display_name: name } = client.me;
    const input = h("input", { type: "text", required: true, maxlength: "64", autocomplete: "name" });
    input.defaultValue = name ?? "";
    const save = async () => {
      const user = await account.rename(input.value.trim());
      client.store.me = user;
      client.people.take([user]);
      input.defaultValue = user.display_name;
    };
    return section(
      "You",
      h(
        "div",
        { class: "settings-me" },
        avatar({ id, name: name || username }),
        h("span", {}, h("b", {}, `@${username}`)),
      ),
      form("Save", field("Display name", input), save, "Saved."),
    );
  }

  function appearance() {
    const choice = (theme, label) => {
      const change = () => setTheme(theme, account.storage);
      const input = h("input", { type: "radio", name: "theme", checked: currentTheme() === theme, on: { change } });
      return h("label", { class: "segment" }, input, h("span", {}, label));
    };
    const choices = Object.entries(THEMES).map(([theme, label]) => choice(theme, label));
    return section("Appearance", h("div", { class: "segments", role: "radiogroup", "aria-label": "Theme" }, choices));
  }

  function sessions() {
    const list = h("ul", { class: "sessions" }, h("li", { class: "hint" }, "…"));
    const load = async () => {
      try {
        const { items } = await client.api.sessions();
        fill(list, items.map(session));
      } catch (error) {
        fill(list, h("li", { class: "hint" }, explain(error)));
      }
    };
    const session = (item) => {
      const name = deviceName(item.client);
      const used = new Date(item.last_used_at);
      const end = h("button", { type: "button", class: "link-button" }, "End");
      end.addEventListener("click", async () => {
        const ended = await busy(
          end,
          () => client.api.endSession(item.session_id),
          (error) => shell.tell(error),
        );
        if (ended) await load();
      });
      return h(
        "li",
        {},
        h(
          "span",
          {},
          name,
          h(
            "small",
            { class: "hint", title: fullMoment(used) },
            item.current ? "this one" : lastSeen(used, client.now()),
          ),
        ),
        !item.current && end,
      );
    };
    void load();
    return section("Signed in", list);
  }

  function password() {
    const old = h("input", { type: "password", required: true, autocomplete: "current-password" });
    const fresh = h("input", {
      type: "password",
      required: true,
      minlength: "8",
      maxlength: "256",
      autocomplete: "new-password",
    });
    const change = () => client.api.changePassword(old.value, fresh.value);
    const fields = [whose(), field("Old password", old), field("New password", fresh, "At least 8 characters")];
    return section("Password", form("Change the password", fields, change, "Changed."));
  }

  /** Tells password managers which account a password is for. */
  function whose() {
    return h("input", {
      type: "text",
      autocomplete: "username",
      value: client.me.username,
      hidden: true,
      "aria-hidden": "true",
    });
  }

  function leaving() {
    const out = h("button", { type: "button", class: "secondary" }, "Sign out");
    out.addEventListener("click", () => busy(out, signOut, (error) => shell.tell(error)));
    const proof = h("input", { type: "password", required: true, autocomplete: "current-password" });
    const erase = async () => {
      const text =
        "You leave every chat, and everything that you wrote becomes unreadable, for everybody and for ever.";
      if (!(await confirm({ title: "Delete your account?", text, action: "Delete it" }))) return;
      await account.erase(proof.value);
      await client.wipe();
    };
    const deletion = form("Delete the account", [whose(), field("Password", proof)], erase, "", true);
    return section(
      "Leave",
      h("div", { class: "buttons start" }, out),
      h("details", {}, h("summary", {}, "Delete the account"), deletion),
    );
  }

  async function signOut() {
    const { waiting } = client.outbox;
    if (waiting) {
      const text = `${counted(waiting, "message")} not sent yet will go out when you sign in here again.`;
      if (!(await confirm({ title: "Sign out?", text, action: "Sign out" }))) return;
    }
    await account.logout();
  }

  return dialog;
}
