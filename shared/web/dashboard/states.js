// Each state has a colour, a shape and a word, never only one of them.

import { el, svg } from "./dom.js";

const DEPLOYMENT = {
  accepted: ["quiet", "ring", "Waits for its target lock"],
  running: ["busy", "play", "Steps are being applied"],
  succeeded: ["good", "check", "Every step is applied and verified"],
  compensating: ["back", "undo", "Being rolled back"],
  compensated: ["back", "undone", "It was rolled back: all applied steps are compensated"],
  stuck: ["bad", "alarm", "A compensation is out of attempts; the sweeper keeps trying"],
  rejected: ["bad", "cross", "Rejected; nothing was done"],
  cancelled: ["quiet", "undone", "Cancelled; everything is rolled back"],
  held: ["warn", "pause", "A step failed, and everything stays for inspection"],
  failed: ["bad", "cross", "A step failed or the deployment was stopped; rollback is off, so nothing is rolled back"],
};

const STEP = {
  pending: ["quiet", "ring", "Not started, or waiting"],
  intent: ["busy", "play", "Written to the journal and being applied"],
  submitted: ["busy", "hourglass", "Fabric accepted it and works on it"],
  succeeded: ["good", "check", "Applied and verified"],
  failed: ["bad", "cross", "Could not be applied"],
  compensating: ["back", "undo", "Being compensated"],
  compensated: ["back", "undone", "Compensated, or nothing to compensate"],
  compensation_failed: ["bad", "alarm", "Could not be compensated; will be tried again"],
  skipped: ["quiet", "skip", "Never started"],
};

const PERSON = ["warn", "pause", "Waits for a person to approve or refuse"];

const OTHER = {
  closed: ["good", "check", "Calls pass"],
  half_open: ["warn", "hourglass", "One probe call tests whether the area has recovered"],
  open: ["bad", "cross", "Calls are rejected"],
  pass: ["good", "check", "Passes"],
  warn: ["warn", "alarm", "Works, but needs attention"],
  fail: ["bad", "cross", "Fails"],
};

/** The states of a deployment, in the order of its life. */
export const DEPLOYMENT_STATES = Object.keys(DEPLOYMENT);

/** The final states. `stuck` is not final: the sweeper keeps trying. */
export const ENDED = new Set(["succeeded", "compensated", "rejected", "cancelled", "failed"]);

/** The others, in the same order. */
export const OPEN_STATES = DEPLOYMENT_STATES.filter((state) => !ENDED.has(state));

/** True if the deployment has not ended. */
export function isOpen(header) {
  return !ENDED.has(header.state);
}

/** The badge of a deployment's state. */
export function deploymentBadge(state) {
  return badge(state, DEPLOYMENT[state]);
}

/** The badge of a step's state, or of a waiting approval. */
export function stepBadge(step) {
  return waitsForPerson(step) ? badge("waits", PERSON) : badge(step.state, STEP[step.state]);
}

/** True if a step waits for a person. */
export function waitsForPerson(step) {
  return step.kind === "approval" && step.state === "pending" && Boolean(step.started_at);
}

/** The badge of a breaker or a health check. */
export function otherBadge(state) {
  return badge(state, OTHER[state]);
}

/** What the state of a deployment means, in a sentence. */
export function meaningOf(header) {
  if (header.release_write) return header.state === "stuck" ? "Released: it ends when no step is in flight" : "Released by a person: what could not be compensated stays as it is";
  return DEPLOYMENT[header.state]?.[2] ?? "";
}

/** The same for a step. */
export function meaningOfStep(step) {
  return waitsForPerson(step) ? PERSON[2] : (STEP[step.state]?.[2] ?? "");
}

/** The colour of a breaker's or a check's state, for a class. */
export function tone(state) {
  return OTHER[state]?.[0] ?? "quiet";
}

/** A deployment's state as a badge that counts. */
export function countBadge(state, number) {
  return badge(`${number} ${state}`, DEPLOYMENT[state]);
}

function badge(state, [colour, shape, title] = ["quiet", "ring", ""]) {
  return el("span", { class: `badge ${colour}`, title }, icon(shape), el("span", {}, String(state ?? "unknown").replaceAll("_", " ")));
}

const RING = () => svg("circle", { cx: 8, cy: 8, r: 6, class: "line" });
const DISC = () => svg("circle", { cx: 8, cy: 8, r: 7, class: "solid" });
const path = (d, kind) => svg("path", { d, class: kind });

const SHAPES = {
  ring: () => [RING()],
  play: () => [RING(), path("M6.4 5.1v5.8L11 8z", "solid")],
  check: () => [DISC(), path("m4.8 8.3 2.2 2.3 4.2-4.8", "hole")],
  undo: () => [RING(), path("M10.8 8H5.4m2.3-2.4L5.2 8l2.5 2.4", "line")],
  undone: () => [DISC(), path("M11.2 8H5.4m2.3-2.4L5.2 8l2.5 2.4", "hole")],
  alarm: () => [path("M8 1.2 15.4 14H.6z", "solid"), path("M8 5.6v4m0 2.1v.3", "hole")],
  cross: () => [path("M5 1h6l4 4v6l-4 4H5l-4-4V5z", "solid"), path("m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8", "hole")],
  pause: () => [DISC(), path("M6.2 5.2v5.6m3.6-5.6v5.6", "hole")],
  hourglass: () => [path("M4 1.8h8M4 14.2h8M5 2v2.6L8 8l3-3.4V2M5 14v-2.6L8 8l3 3.4V14", "line")],
  skip: () => [RING(), path("M5.2 8h5.6", "line")],
};

function icon(shape) {
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true", focusable: "false" }, SHAPES[shape]());
}
