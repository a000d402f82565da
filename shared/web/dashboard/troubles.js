// The errors and their remedies, in the words of the journal.

import { el } from "./dom.js";
import { copy, fact } from "./facts.js";
import { count, name, visible } from "./format.js";

/** More would hide the timeline. */
const MOST = 6;
const MAX_NAMES = 12;

/** A card for each error, with the steps that it stopped; null if there is no error. */
export function troubles(header, steps) {
  const groups = new Map();
  for (const step of steps) {
    const found = troubleOf(step);
    if (!found) continue;
    const { message, remedy, error_code, status } = found.error;
    const key = JSON.stringify([found.words, message, remedy, error_code, status]);
    if (!groups.has(key)) groups.set(key, { ...found, key, steps: [] });
    groups.get(key).steps.push(step);
  }
  const cards = [...groups.values()].map(card);
  const problems = header.problems ?? [];
  const isWhole = (!cards.length && !problems.length) || header.release_write;
  if (isWhole && header.error) cards.unshift(card({ key: "whole", error: header.error, steps: [], isFinal: true }));
  if (problems.length) {
    cards.push(
      el(
        "article",
        { class: "trouble-card", "data-key": "problems" },
        el("h3", {}, count(problems.reduce((sum, p) => sum + (p.count ?? 1), 0), "problem"), " in the manifest"),
        el("ul", { class: "problems" }, problems.slice(0, 200).map((p) => el("li", {}, el("code", {}, visible(p.path)), " ", visible(p.message)))),
        header.error?.remedy ? remedyOf(header.error) : null,
      ),
    );
  }
  if (!cards.length) return null;
  return el("section", { "aria-labelledby": "wrong", "data-key": "troubles" }, el("h2", { id: "wrong" }, "What went wrong"), cards.slice(0, MOST), cards.length > MOST ? el("p", { class: "muted" }, `and ${cards.length - MOST} more: open a step below for its error`) : null);
}

/** The error of a step, its text, and true if it is final; null if there is no error. */
function troubleOf({ state, error, compensation_error: undoing, attempt }) {
  if (undoing && state === "compensating") return { error: undoing, words: "could not be compensated yet and is tried again", isFinal: false };
  if (undoing && state !== "compensated") return { error: undoing, words: "could not be compensated", isFinal: true };
  if (!error) return null;
  if (["pending", "intent", "submitted"].includes(state)) return { error, words: `failed ${count(attempt, "time")} and is tried again`, isFinal: false };
  return { error, words: "failed", isFinal: true };
}

function card({ key, steps, error, words, isFinal }) {
  const names = steps.slice(0, MAX_NAMES).flatMap((s, i) => (i ? [", ", name(s.step_id)] : [name(s.step_id)]));
  const more = steps.length > MAX_NAMES ? ` and ${steps.length - MAX_NAMES} more` : "";
  return el(
    "article",
    { class: `trouble-card${isFinal ? "" : " passing"}`, "data-key": key },
    el("h3", {}, steps.length ? [steps.length > 1 ? `${steps.length} steps: ` : "Step ", ...names, more, steps.length > 1 ? ": each " : " ", words] : "The deployment"),
    // Each step has its own call and request id.
    errorOf(steps.length > 1 ? { ...error, call: null, request_id: null } : error),
  );
}

/** An error with its remedy and the ids by which Fabric's support finds it. */
export function errorOf(error) {
  const facts = [
    error.call ? fact("Call", el("code", {}, visible(error.call))) : null,
    error.status ? fact("HTTP", String(error.status)) : null,
    error.error_code ? fact("Code", el("code", {}, visible(error.error_code))) : null,
    error.request_id ? fact("Request", el("code", {}, visible(error.request_id)), copy(error.request_id, "request id")) : null,
  ].filter(Boolean);
  return [
    el("p", { class: "message" }, visible(error.message)),
    error.remedy ? remedyOf(error) : null,
    facts.length ? el("dl", { class: "facts small" }, facts) : null,
  ];
}

function remedyOf(error) {
  return el("p", {}, el("strong", {}, "What to do: "), visible(error.remedy));
}
