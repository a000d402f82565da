// Times and foreign text as a person reads them.

import { el } from "./dom.js";

/** Milliseconds since the epoch, or null. */
export function instant(text) {
  const value = text ? Date.parse(text) : NaN;
  return Number.isNaN(value) ? null : value;
}

/** A duration with two significant units: `0.57 s`, `19.8 s`, `3 min 05 s`, `2 h 14 min`, `5 d 3 h`. */
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** An age or a remaining time in one coarse unit, which does not flicker: `12 s`, `3 min`, `5 h`, `4 d`. */
export function coarse(milliseconds) {
  const seconds = Math.abs(milliseconds) / 1000;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "short" });
const ABSOLUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** "3 min ago", with the absolute time, local and UTC, as its title. */
export function ago(text, now) {
  const at = instant(text);
  if (at === null) return el("span", { class: "muted" }, "–");
  const words = at > now + 1500 ? `in ${coarse(at - now)}` : `${coarse(now - at)} ago`;
  return el("time", { datetime: text, title: titleOf(text, at) }, words);
}

/** The local time of day, with the date if it is not today. */
export function moment(text, now = Date.now()) {
  const at = instant(text);
  if (at === null) return el("span", { class: "muted" }, "–");
  const time = TIME.format(at);
  const day = DAY.format(at);
  return el("time", { datetime: text, title: titleOf(text, at) }, day === DAY.format(now) ? time : `${day} ${time}`);
}

function titleOf(text, at) {
  return `${ABSOLUTE.format(at)} (${text.replace(/\.\d+/, "").replace("+00:00", " UTC")})`;
}

const LONGEST = 2000;
// C0 and C1 controls, and characters that are invisible or change the direction of the text.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Foreign text, safe to show: characters that are invisible or reverse the line are replaced by their code point. */
export function visible(text) {
  const known = String(text ?? "");
  const cut = known.length > LONGEST ? `${known.slice(0, LONGEST)} … (${known.length} characters)` : known;
  return cut.replace(UNSEEN, (c) => (c === "\n" || c === "\t" ? " " : `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`));
}

/** A foreign name in an element with its own direction, with the full name as its title. */
export function name(text, attributes = {}) {
  const shown = visible(text);
  return el("bdi", { class: "name", title: shown, ...attributes }, shown || "–");
}

const TAIL = 14;

/** The id of a step on one line. A long one is cut before its end, by which the steps of one item differ. */
export function stepName(id) {
  const shown = visible(id);
  const letters = [...shown];
  if (letters.length <= TAIL + 6) return name(id);
  const [head, tail] = [letters.slice(0, -TAIL).join(""), letters.slice(-TAIL).join("")];
  return el("bdi", { class: "name long", title: shown }, el("span", { class: "start" }, head), el("span", { class: "end" }, tail));
}

/** A number with its noun: `1 step`, `2 steps`. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
