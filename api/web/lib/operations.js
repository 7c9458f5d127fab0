/** What operators see, asked for every other second, and what they have done. Knows no DOM. */

import { Emitter } from "./emitter.js";

const EVERY_MS = 2_000;
const KEPT = 90; // samples of the event rate: three minutes

/** Emits "change" after every answer and every failure. */
export class Operations extends Emitter {
  overview = null;
  letters = [];
  error = null;
  rates = []; // events a second, the newest last

  #http;
  #later;
  #timer = null;
  #running = false;
  #counted = null; // {at (ms), total}

  constructor({ http, later = (action, ms) => setTimeout(action, ms) }) {
    super();
    this.#http = http;
    this.#later = later;
  }

  start() {
    this.#running = true;
    void this.#round();
  }

  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  get rate() {
    return this.rates.at(-1) ?? null;
  }

  /** Records that the served views lack, and for how long the oldest has waited. */
  get lag() {
    const { partitions = [] } = this.overview ?? {};
    return {
      events: partitions.reduce((sum, each) => sum + each.lag_events, 0),
      seconds: Math.max(0, ...partitions.map((each) => each.lag_seconds)),
    };
  }

  get sessions() {
    return (this.overview?.processes ?? []).reduce((sum, each) => sum + each.sessions, 0);
  }

  /** Have something done; answers the job. Raises what http.js raises. */
  async act(path, body) {
    const { data } = await this.#http.request("POST", `/v1/admin/${path}`, { body });
    await this.refresh();
    return data;
  }

  async refresh() {
    try {
      const { data } = await this.#http.request("GET", "/v1/admin/overview");
      const standing = data.generations.find(({ state }) => state === "served")?.parked_chats ?? 0;
      this.letters = standing ? (await this.#http.request("GET", "/v1/admin/dead-letters")).data.items : [];
      this.overview = data;
      this.error = null;
      this.#count(data);
    } catch (error) {
      this.error = error;
    }
    this.emit("change");
  }

  async #round() {
    await this.refresh();
    const isOver = this.error?.status === 403 || this.error?.name === "SignedOut";
    if (this.#running && !isOver) this.#timer = this.#later(() => this.#round(), EVERY_MS);
  }

  #count({ server_time: time, partitions }) {
    const now = { at: Date.parse(time), total: partitions.reduce((sum, { end }) => sum + end, 0) };
    const before = this.#counted;
    if (before && now.at <= before.at) return; // an answer that others had already
    if (before) this.rates = [...this.rates, ((now.total - before.total) * 1000) / (now.at - before.at)].slice(-KEPT);
    this.#counted = now;
  }
}

/** "0", "0.4", "12", "3,400" */
export function rateText(rate) {
  if (rate === null) return "–";
  return rate > 0 && rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en-GB");
}

/** "0 s", "0.4 s", "12 s", "3 min", "2 h" */
export function span(seconds) {
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** What may be done with a generation. */
export function actionsOf({ state, paused, verdict }) {
  if (state === "served") return [];
  if (state !== "followed") return ["drop"];
  const actions = ["verify"];
  if (!paused && (verdict === "same" || verdict === "different")) actions.push("switch");
  return [...actions, paused ? "resume" : "pause", "drop"];
}
