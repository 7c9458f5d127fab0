/** The Operations page: the same sign-in as the chat, another view. */

import { Account } from "./lib/account.js";
import { Operations } from "./lib/operations.js";
import { OperationsView } from "./views/operations.js";
import { SignIn } from "./views/sign-in.js";
import { followTheme } from "./views/theme.js";

const account = new Account({ storage: localStorage });
const root = document.getElementById("app");
let view = null;
let shown;

function draw() {
  const userId = account.user?.user_id ?? null;
  if (userId === shown) return;
  shown = userId;
  view?.destroy();
  view = userId
    ? new OperationsView({ account, operations: new Operations({ http: account.http }) })
    : new SignIn({ account, notice: "Operations are for administrators." });
  root.replaceChildren(view.element);
  view.focus();
}

followTheme(localStorage);
account.session.on("change", draw);
window.addEventListener("storage", ({ key }) => key?.endsWith(":session") && account.session.reload());
draw();
