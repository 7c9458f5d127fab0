/** Modal dialogs on the platform's own <dialog>: focus stays inside, Esc closes, focus returns. */

import { h, iconButton } from "./dom.js";

/** Show `content` under a title; answers the dialog element, which is removed when it closes. */
export function openDialog({ title, content, className = "" }) {
  const close = iconButton("close", "Close", () => dialog.close());
  const dialog = h(
    "dialog",
    { class: `dialog ${className}`.trim(), "aria-label": title },
    h("header", { class: "dialog-header" }, h("h2", {}, title), close),
    h("div", { class: "dialog-body" }, content),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) dialog.close(); // the backdrop
  });
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // the page's shortcuts rest
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something that cannot be taken back; resolves to whether the reader went on. */
export function confirm({ title, text, action }) {
  return new Promise((resolve) => {
    let agreed = false;
    const agree = () => {
      agreed = true;
      dialog.close();
    };
    const dialog = openDialog({
      title,
      className: "dialog-small",
      content: [
        h("p", {}, text),
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", class: "secondary", on: { click: () => dialog.close() } }, "Cancel"),
          h("button", { type: "button", class: "danger", on: { click: agree } }, action),
        ),
      ],
    });
    dialog.addEventListener("close", () => resolve(agreed));
    dialog.querySelector(".secondary").focus();
  });
}
