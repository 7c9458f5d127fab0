/** Times as people say them. Every function takes Date objects (or null) and asks no clock. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const LANGUAGE = "en-GB"; // the language of the page; only the hour cycle follows the reader

const { hourCycle } = new Intl.DateTimeFormat(undefined, { hour: "numeric" }).resolvedOptions();
const hour = hourCycle.startsWith("h1") ? "numeric" : "2-digit"; // 9:05 am, 09:05
const clock = new Intl.DateTimeFormat(LANGUAGE, { hour, minute: "2-digit", hourCycle });
const exactClock = new Intl.DateTimeFormat(LANGUAGE, { hour, minute: "2-digit", second: "2-digit", hourCycle });
const weekday = new Intl.DateTimeFormat(LANGUAGE, { weekday: "long" });
const shortWeekday = new Intl.DateTimeFormat(LANGUAGE, { weekday: "short" });
const dayAndMonth = new Intl.DateTimeFormat(LANGUAGE, { day: "numeric", month: "long" });
const fullDay = new Intl.DateTimeFormat(LANGUAGE, { day: "numeric", month: "long", year: "numeric" });
const shortDay = new Intl.DateTimeFormat(LANGUAGE, { day: "2-digit", month: "2-digit", year: "2-digit" });
const moment = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "full", timeStyle: "medium", hourCycle });

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}

/** Whole calendar days from `date` to `now` where the reader is; rounding swallows the hour of a clock change. */
function daysBetween(date, now) {
  return Math.round((startOfDay(now) - startOfDay(date)) / DAY);
}

export function sameDay(a, b) {
  return a.toDateString() === b.toDateString();
}

export function sameMinute(a, b) {
  return Math.floor(a.getTime() / MINUTE) === Math.floor(b.getTime() / MINUTE);
}

/** "10:32" */
export function clockTime(date) {
  return clock.format(date);
}

/** "10:32:05" */
export function exactTime(date) {
  return exactClock.format(date);
}

/** "Monday, 23 November 2026 at 10:32:05", for tooltips. */
export function fullMoment(date) {
  return moment.format(date);
}

/** The label of a date line: "Today", "Yesterday", "Monday", "3 March", "3 March 2025". */
export function dayLabel(date, now) {
  const days = daysBetween(date, now);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days > 1 && days < 7) return weekday.format(date);
  return (date.getFullYear() === now.getFullYear() ? dayAndMonth : fullDay).format(date);
}

/** The time beside a chat in the list: "10:32", "Yesterday", "Mon", "03/03/26". */
export function listTime(date, now) {
  const days = daysBetween(date, now);
  if (days <= 0) return clock.format(date);
  if (days === 1) return "Yesterday";
  return (days < 7 ? shortWeekday : shortDay).format(date);
}

/** "last seen 12 min ago"; "offline" where nobody knows. */
export function lastSeen(date, now) {
  if (!date) return "offline";
  const ago = now - date;
  if (ago < MINUTE) return "last seen just now";
  if (ago < HOUR) return `last seen ${Math.floor(ago / MINUTE)} min ago`;
  const days = daysBetween(date, now);
  if (days === 0) return `last seen today at ${clock.format(date)}`;
  if (days === 1) return `last seen yesterday at ${clock.format(date)}`;
  return `last seen on ${dayLabel(date, now)}`;
}

/** "now", "in 8 s", "in 2 min": the wait until a moment `ms` milliseconds ahead. */
export function waitTime(ms) {
  if (ms <= 500) return "now";
  if (ms < MINUTE) return `in ${Math.ceil(ms / 1000)} s`;
  return `in ${Math.ceil(ms / MINUTE)} min`;
}
