// What went wrong and what to do, in the words of the journal.

import { el } from "./dom.js";
import { copy, fact } from "./facts.js";
import { count, name, visible } from "./format.js";

/** More would hide the timeline. */
const MOST = 6;

/** A card for each step that went wrong, or for the whole; null where nothing did. */
export function troubles(header, steps) {
  const cards = [];
  for (const step of steps) {
    if (step.compensation_error && step.state !== "compensated") cards.push(card(step, step.compensation_error, step.state === "compensating" ? "could not be undone yet and is tried again" : "could not be undone", step.state !== "compensating"));
    else if (step.error && !(step.state in { pending: 1, intent: 1, submitted: 1 })) cards.push(card(step, step.error, "failed", true));
    else if (step.error) cards.push(card(step, step.error, `went wrong ${count(step.attempt, "time")} and is tried again`, false));
  }
  const problems = header.problems ?? [];
  if (!cards.length && header.error && !problems.length) cards.push(card(null, header.error, "", true));
  if (problems.length) {
    cards.push(
      el(
        "article",
        { class: "trouble-card", "data-key": "problems" },
        el("h3", {}, count(problems.length, "problem"), " in the manifest"),
        el("ul", { class: "problems" }, problems.slice(0, 200).map((p) => el("li", {}, el("code", {}, visible(p.path)), " ", visible(p.message)))),
        header.error?.remedy ? remedy(header.error) : null,
      ),
    );
  }
  if (!cards.length) return null;
  return el("section", { "aria-labelledby": "wrong", "data-key": "troubles" }, el("h2", { id: "wrong" }, "What went wrong"), cards.slice(0, MOST), cards.length > MOST ? el("p", { class: "muted" }, `and ${cards.length - MOST} more: open a step below for its own`) : null);
}

function card(step, error, words, isFinal) {
  return el(
    "article",
    { class: `trouble-card${isFinal ? "" : " passing"}`, "data-key": `card-${step?.ordinal ?? "header"}` },
    step ? el("h3", {}, "Step ", name(step.step_id), ` ${words}`) : el("h3", {}, "The deployment"),
    errorOf(error),
  );
}

/** An error as a person needs it: what, what to do, and by what Fabric's support finds it. */
export function errorOf(error) {
  const facts = [
    error.call ? fact("Call", el("code", {}, visible(error.call))) : null,
    error.status ? fact("HTTP", String(error.status)) : null,
    error.error_code ? fact("Code", el("code", {}, visible(error.error_code))) : null,
    error.request_id ? fact("Request", el("code", {}, visible(error.request_id)), copy(error.request_id, "request id")) : null,
  ].filter(Boolean);
  return [
    el("p", { class: "message" }, visible(error.message)),
    error.remedy ? remedy(error) : null,
    facts.length ? el("dl", { class: "facts small" }, facts) : null,
  ];
}

function remedy(error) {
  return el("p", {}, el("strong", {}, "What to do: "), visible(error.remedy));
}
