/** The Operations page: numbers that move, generations of the views, what stands still, who runs. */

import { actionsOf, rateText, span } from "../lib/operations.js";
import { fullMoment } from "../lib/time.js";
import { counted, explain } from "../lib/words.js";
import { confirm } from "./dialog.js";
import { busy, fill, h } from "./dom.js";
import { Toasts } from "./toast.js";

const SVG = "http://www.w3.org/2000/svg";
const WORDS = {
  verify: "Verify",
  switch: "Switch",
  pause: "Pause",
  resume: "Resume",
  drop: "Drop",
  retry: "Retry",
  discard: "Discard",
};
const STATES = { served: "served", followed: "standby", building: "building", dropping: "being dropped" };
const BEHIND_S = 10; // beyond this the views count as late

export class OperationsView {
  #account;
  #operations;
  #toasts = new Toasts();
  #shown = new Map(); // section → what it was drawn from
  #notice = h("p", { class: "notice", role: "status", hidden: true });
  #parts = {};
  #off;

  constructor({ account, operations }) {
    this.#account = account;
    this.#operations = operations;
    const part = (name, tag = "div", props = {}) => (this.#parts[name] = h(tag, props));
    const card = (name, title, ...extra) =>
      h(
        "section",
        { class: `card card-${name}`, "aria-label": title },
        h("header", { class: "card-header" }, h("h2", {}, title), ...extra),
        part(name),
      );
    this.element = h(
      "main",
      { class: "operations", tabindex: "-1" },
      h(
        "header",
        { class: "operations-header" },
        h("h1", { class: "brand" }, h("img", { src: "/web/icon.svg", alt: "", width: "28", height: "28" }), "Operations"),
        part("dependencies", "ul", { class: "flags", "aria-label": "Dependencies" }),
        part("who", "p", { class: "hint" }),
        h("a", { href: "/", class: "secondary" }, "Chat"),
      ),
      this.#notice,
      part("tiles", "div", { class: "tiles" }),
      card("generations", "Read models", part("rebuilding", "div", { class: "buttons" })),
      h("div", { class: "columns" }, card("partitions", "Partitions"), card("letters", "Dead letters")),
      card("processes", "Processes"),
      card("jobs", "Done by administrators"),
      this.#toasts.element,
    );
    this.#off = operations.on("change", () => this.#draw());
    operations.start();
  }

  focus() {
    this.element.focus({ preventScroll: true });
  }

  destroy() {
    this.#off();
    this.#operations.stop();
  }

  #draw() {
    const { overview, error } = this.#operations;
    this.element.classList.toggle("is-stale", Boolean(error));
    this.#notice.hidden = !error;
    if (error) this.#notice.textContent = this.#trouble(error);
    this.#section("who", this.#account.user?.username, (name) => `${name}`);
    if (!overview) return;
    this.#section("dependencies", overview.dependencies, (all) => all.map(dependency));
    const { rates, rate, lag, sessions, letters } = this.#operations;
    this.#section("tiles", { rates, rate, lag, sessions, letters: letters.length }, tiles);
    this.#section("rebuilding", { previous: overview.previous, jobs: overview.jobs }, (now) => this.#rebuilding(now));
    this.#section("generations", overview.generations, (all) => this.#generations(all));
    this.#section("partitions", overview.partitions, partitions);
    this.#section("letters", letters, (all) => this.#letters(all));
    this.#section("processes", { all: overview.processes, now: overview.server_time.slice(0, 16) }, ({ all }) =>
      processes(all, new Date(overview.server_time)),
    );
    this.#section("jobs", overview.jobs, jobs);
  }

  #trouble(error) {
    if (error.status === 403) {
      const name = this.#account.user?.username;
      return `This page is for administrators. Whoever runs the server can make you one: tidings admin grant ${name}. Then sign in again.`;
    }
    return `${explain(error)} What you see is from before.`;
  }

  /** Draw a part anew if what it is made from has changed; the focus stays where it was. */
  #section(name, from, make) {
    const text = JSON.stringify(from ?? null);
    if (this.#shown.get(name) === text) return;
    this.#shown.set(name, text);
    const element = this.#parts[name];
    const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    fill(element, make(from));
    if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  #button(label, key, act, kind = "secondary") {
    const button = h("button", { type: "button", class: `${kind} small`, data: { key } }, label);
    button.addEventListener("click", () =>
      busy(button, act, (error) => this.#toasts.say(error.status === 409 ? error.message : explain(error))),
    );
    return button;
  }

  #rebuilding({ previous, jobs: done }) {
    const isRebuilding = done.some(({ action, state }) => action === "rebuild" && state === "running");
    const rebuild = this.#button("Rebuild", "rebuild", () => this.#operations.act("generations"));
    rebuild.disabled = isRebuilding;
    const back = async () => {
      const text = `All readers go back to generation ${previous}, at once. Chat goes on.`;
      if (await confirm({ title: "Roll back?", text, action: "Roll back" })) await this.#operations.act("rollback");
    };
    return [previous !== null && this.#button(`Roll back to ${previous}`, "rollback", back), rebuild];
  }

  #generations(all) {
    return h("ul", { class: "entries" }, all.map((generation) => this.#generation(generation)));
  }

  #generation(generation) {
    const { generation: number, state, paused, verdict, position, end, lag_events, lag_seconds } = generation;
    const share = end ? Math.min(1, position / end) : 1;
    const isWhole = lag_events === 0;
    const standing = isWhole ? "caught up" : `${counted(lag_events, "record")} behind, ${span(lag_seconds)}`;
    const buttons = actionsOf(generation).map((action) =>
      this.#button(WORDS[action], `${action}-${number}`, () => this.#act(action, generation)),
    );
    return h(
      "li",
      { class: "entry", data: { generation: String(number) } },
      h(
        "div",
        { class: "entry-text" },
        h(
          "p",
          { class: "entry-title" },
          `Generation ${number}`,
          flag(STATES[state], state === "served" ? "good" : ""),
          paused && flag("paused", "warn"),
          verdict && flag(verdict, verdict === "same" ? "good" : "bad"),
          generation.parked_chats > 0 && flag(`${counted(generation.parked_chats, "chat")} parked`, "bad"),
        ),
        h(
          "p",
          { class: "hint" },
          `${position.toLocaleString("en-GB")} of ${end.toLocaleString("en-GB")} records · ${standing}`,
        ),
        !isWhole &&
          h("progress", { max: "1", value: String(share), "aria-label": `Progress of generation ${number}` }),
      ),
      h("div", { class: "buttons" }, buttons),
    );
  }

  async #act(action, { generation: number, verdict }) {
    const path = `generations/${number}/${action}`;
    if (action === "switch") {
      const differs = verdict === "different";
      const text = differs
        ? `Generation ${number} DIFFERS from the served one. Serve it only if the fold was changed to that end.`
        : `All readers use generation ${number} from now on, at once. Chat goes on.`;
      const title = `Switch to generation ${number}?`;
      if (await confirm({ title, text, action: "Switch" }))
        await this.#operations.act(path, { accept_differences: differs });
      return;
    }
    if (action === "drop") {
      const text = "Its tables are removed. It can be built anew from the log at any time.";
      if (!(await confirm({ title: `Drop generation ${number}?`, text, action: "Drop" }))) return;
    }
    await this.#operations.act(path);
  }

  #letters(all) {
    if (!all.length) return h("p", { class: "hint empty" }, "Nothing stands still.");
    return h("ul", { class: "entries" }, all.map((letter) => this.#letter(letter)));
  }

  #letter({ chat_id: chatId, position, type, reason, appended_at: at }) {
    const path = `dead-letters/${encodeURIComponent(chatId)}`;
    const retry = () => this.#operations.act(`${path}/retry`);
    const discard = async () => {
      const text =
        `The ${type || "record"} at ${position} is passed over for ever, by every read model, now and in each rebuild. ` +
        "What waits behind it is folded, in order. This cannot be taken back.";
      if (await confirm({ title: "Discard this record?", text, action: "Discard" }))
        await this.#operations.act(`${path}/discard`, { position });
    };
    return h(
      "li",
      { class: "entry" },
      h(
        "div",
        { class: "entry-text" },
        h("p", { class: "entry-title" }, h("code", {}, chatId)),
        h("p", { class: "hint" }, `${type || "unknown"} at ${position}`, at && ` · ${fullMoment(new Date(at))}`),
        h("p", { class: "problem" }, reason),
      ),
      h(
        "div",
        { class: "buttons" },
        this.#button(WORDS.retry, `retry-${chatId}`, retry),
        this.#button(WORDS.discard, `discard-${chatId}`, discard),
      ),
    );
  }
}

function flag(text, kind = "") {
  return h("span", { class: `flag ${kind && `flag-${kind}`}`.trim() }, text);
}

function dependency({ name, up, since }) {
  const title = `${up ? "up" : "down"} since ${fullMoment(new Date(since))}`;
  return h("li", {}, h("span", { class: `flag flag-${up ? "good" : "bad"}`, title }, `${name} ${up ? "up" : "down"}`));
}

function tiles({ rates, rate, lag, sessions, letters }) {
  const isLate = lag.seconds > BEHIND_S;
  return [
    tile("Events a second", rateText(rate), "", sparkline(rates)),
    tile("Behind", `${lag.events.toLocaleString("en-GB")}`, isLate ? "is-bad" : "", hint(span(lag.seconds))),
    tile("Connections", sessions.toLocaleString("en-GB")),
    tile("Chats that stand still", String(letters), letters ? "is-bad" : ""),
  ];
}

function tile(label, value, kind = "", extra = null) {
  return h(
    "div",
    { class: `tile ${kind}`.trim(), role: "group", "aria-label": label },
    h("p", { class: "hint" }, label),
    h("p", { class: "tile-value" }, value),
    extra,
  );
}

function hint(text) {
  return h("p", { class: "hint" }, text);
}

/** The rate of the last minutes as a line; its scale is its own. */
function sparkline(rates) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 90 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "sparkline");
  svg.setAttribute("aria-hidden", "true");
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, index) => `${90 - rates.length + index + 1},${(22 - (rate / most) * 20).toFixed(1)}`);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  return svg;
}

function partitions(all) {
  const rows = all.map((each) => [
    String(each.partition),
    each.end.toLocaleString("en-GB"),
    each.position.toLocaleString("en-GB"),
    each.lag_events.toLocaleString("en-GB"),
    span(each.lag_seconds),
  ]);
  return table(["Partition", "Log's end", "Views", "Behind", "For"], rows);
}

function processes(all, now) {
  if (!all.length) return h("p", { class: "hint empty" }, "Nobody has told of themselves yet.");
  const rows = all.map((each) => [
    each.name,
    each.kind,
    each.version,
    runningFor(new Date(each.since), now),
    each.generation === null ? "–" : String(each.generation),
    each.kind === "worker" ? "–" : each.sessions.toLocaleString("en-GB"),
    each.kind === "worker" ? "–" : each.users.toLocaleString("en-GB"),
    each.partitions.length ? each.partitions.join(", ") : "–",
  ]);
  return table(["Name", "Kind", "Version", "Runs for", "Serves", "Connections", "Users", "Folds"], rows);
}

/** To the minute, so that a table need not be drawn anew every second. */
function runningFor(since, now) {
  const seconds = (now - since) / 1000;
  if (seconds < 120) return seconds < 60 ? "under 1 min" : "1 min";
  return span(Math.floor(seconds / 60) * 60);
}

function table(heads, rows) {
  return h(
    "table",
    { class: "table" },
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", {}, row.map((cell, index) => h("td", { data: { label: heads[index] } }, cell)))),
    ),
  );
}

function jobs(all) {
  if (!all.length) return h("p", { class: "hint empty" }, "Nothing yet.");
  return h("ul", { class: "entries" }, all.map(job));
}

function job({ action, target, state, started_at: at, message, result }) {
  const kinds = { running: "warn", done: "good", failed: "bad" };
  const told = result ? outcome(action, result) : message;
  return h(
    "li",
    { class: "entry" },
    h(
      "div",
      { class: "entry-text" },
      h("p", { class: "entry-title" }, `${action} ${target}`.trim(), flag(state, kinds[state])),
      told && h("p", { class: state === "failed" ? "problem" : "hint" }, told),
      result?.differences?.length > 0 && h("ul", { class: "differences" }, result.differences.map(difference)),
    ),
    h("p", { class: "hint" }, fullMoment(new Date(at))),
  );
}

function outcome(action, result) {
  if (action === "verify") {
    const compared = `${counted(result.chats, "chat")}, ${counted(result.entries, "event")} compared`;
    return result.verdict === "same" ? `${compared}: the same` : `${compared}: ${counted(result.differing, "chat")} differ`;
  }
  if (action === "rebuild") return `generation ${result.generation}: ${counted(result.events, "event")}, ${span(result.seconds)}`;
  return "";
}

function difference({ chat_id: chatId, seq, what, served, rebuilt }) {
  const at = seq === null ? "" : ` at ${seq}`;
  return h("li", {}, h("code", {}, `${chatId}${at}`), ` ${what}: `, h("del", {}, served ?? "–"), " ", h("ins", {}, rebuilt ?? "–"));
}
