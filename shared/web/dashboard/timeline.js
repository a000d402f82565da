// Steps as bars on one axis. Every bar comes from the journal and the audit; waits look different from work.

import { el, svg } from "./dom.js";
import { duration, instant } from "./format.js";
import { ENDED } from "./states.js";

/** The kinds of a span for the legend: class, text, true for a wait. */
export const SPANS = {
  look: ["Looking for existing resources", false],
  work: ["Applying", false],
  undo: ["Compensating", false],
  fabric: ["Waiting: Fabric works on it", true],
  wait: ["Waiting for its next delivery (retry, rate, poll)", true],
  person: ["Waiting for a person", true],
  stuck: ["Stuck: the sweeper tries again", false],
  line: ["Waiting for its first delivery", true],
  next: ["Next look", true],
  failed: ["Failed here", false],
};

/**
 * The spans of a step: `[{from, to, kind, isOpen}]` in milliseconds, in order, without overlaps.
 * In line: from when all it needs had succeeded until its first delivery. Forward: cut at the moves that the audit
 * has. Waits: what the journal kept of them (`waits`), and the one that lasts (`wait_until`).
 */
export function spansOf(step, header, byOrdinal, moves, now) {
  const started = instant(step.started_at);
  const finished = instant(step.finished_at);
  const spans = [];
  const ready = readyAt(step, header, byOrdinal);
  if (ready !== null && step.state !== "skipped") {
    const until = started ?? (header.state === "running" && step.state === "pending" ? now : null);
    if (until !== null && until > ready) spans.push(span(ready, until, "line", started === null));
  }
  if (started !== null) {
    const isMoving = finished === null && ["pending", "intent", "submitted"].includes(step.state);
    const end = finished ?? (isMoving ? now : (instant(step.compensation_started_at) ?? started));
    if (step.kind === "approval") spans.push(span(started, end, "person", isMoving));
    else spans.push(...forward(started, end, moves, isMoving));
  }
  const undoing = instant(step.compensation_started_at);
  if (undoing !== null) {
    const isMoving = step.state === "compensating";
    const undone = isMoving ? now : (instant(step.compensation_finished_at) ?? undoing);
    spans.push(span(undoing, undone, "undo", isMoving));
  }
  return cut(spans, waitsOf(step, now), now);
}

function span(from, to, kind, isOpen = false) {
  return { from, to: Math.max(from, to), kind, isOpen };
}

function readyAt(step, header, byOrdinal) {
  const begun = instant(header.started_at);
  if (begun === null) return null;
  const needed = (step.needs ?? []).map((ordinal) => byOrdinal.get(ordinal));
  if (needed.some((other) => !other || instant(other.finished_at) === null || (other.state === "failed"))) return null;
  return Math.max(begun, ...needed.map((other) => instant(other.finished_at)));
}

const KIND_OF = { pending: "look", intent: "work", submitted: "fabric" };

function forward(started, end, moves, isMoving) {
  const spans = [];
  let from = started;
  let kind = "look";
  for (const move of moves) {
    const at = instant(move.at);
    if (at === null || move.before === move.after || !(move.before in KIND_OF)) continue;
    const to = Math.min(Math.max(at, from), end);
    spans.push(span(from, to, KIND_OF[move.before]));
    [from, kind] = [to, KIND_OF[move.after] ?? kind];
  }
  if (end > from) spans.push(span(from, end, kind, isMoving));
  return spans.filter((s) => s.to > s.from || s.isOpen);
}

function waitsOf(step, now) {
  const kept = (step.waits ?? []).map((w) => ({ from: instant(w.since), to: instant(w.until) }));
  return kept.filter((w) => w.from !== null && w.to !== null && w.from < now).sort((a, b) => a.from - b.from);
}

/** Cut the waits out of the work that they interrupt. Waiting for Fabric's operation stays what it is. */
function cut(spans, waits, now) {
  const result = [];
  for (const whole of spans) {
    if (SPANS[whole.kind][1]) {
      result.push(whole);
      continue;
    }
    let from = whole.from;
    for (const wait of waits) {
      const [a, b] = [Math.max(wait.from, from), Math.min(wait.to, whole.to, now)];
      if (b <= a) continue;
      if (a > from) result.push(span(from, a, whole.kind));
      result.push(span(a, b, "wait"));
      from = b;
    }
    if (whole.to > from || from === whole.from) result.push(span(from, whole.to, whole.kind, whole.isOpen));
  }
  return result;
}

/** The phases of the whole deployment, from the audit of its header. */
export function phasesOf(header, moves, now) {
  const spans = [];
  let from = instant(header.accepted_at);
  let state = "accepted";
  const end = instant(header.finished_at) ?? now;
  for (const move of moves) {
    const at = instant(move.at);
    if (at === null || move.before === move.after || !move.before) continue;
    // A deployment that ended and was reopened did nothing in between.
    if (!ENDED.has(move.before)) spans.push({ ...span(from, at, PHASES[move.before] ?? "work"), state: move.before });
    [from, state] = [at, move.after];
  }
  if (!ENDED.has(state) && end > from) spans.push({ ...span(from, end, PHASES[state] ?? "work", true), state });
  return spans.filter((s) => s.to > s.from);
}

const PHASES = { accepted: "line", running: "work", compensating: "undo", held: "person", stuck: "stuck" };

/** From where to where the axis goes, and its marks. */
export function scaleOf(header, allSpans, steps, now) {
  const zero = instant(header.accepted_at) ?? now;
  const ends = allSpans.flat().reduce((latest, s) => Math.max(latest, s.to), zero + 1000);
  const coming = steps.map((s) => instant(s.wait_until)).filter((w) => w !== null && w > now);
  // The future gets at most a fifth of the axis.
  const last = Math.max(ends, Math.min(coming.reduce((a, b) => Math.max(a, b), 0), now + (ends - zero) / 4));
  const exact = last - zero;
  const unit = STEPS.find((u) => exact / u <= 8) ?? STEPS.at(-1) * Math.ceil(exact / STEPS.at(-1) / 8);
  // A running axis grows in jumps, so that settled bars do not move in between.
  const whole = header.finished_at ? exact : Math.ceil(exact / (unit / 5)) * (unit / 5);
  const marks = [];
  for (let at = 0; at <= whole; at += unit) marks.push(at);
  return { zero, whole, marks, x: (at) => Math.min(100, Math.max(0, ((at - zero) / whole) * 100)) };
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const STEPS = [0.2 * SECOND, 0.5 * SECOND, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 20 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR];

function mark(milliseconds) {
  if (milliseconds === 0) return "0";
  if (milliseconds < MINUTE) return `${+(milliseconds / SECOND).toFixed(1)} s`;
  if (milliseconds < HOUR && milliseconds % MINUTE) return `${Math.floor(milliseconds / MINUTE)}:${String((milliseconds % MINUTE) / SECOND).padStart(2, "0")} min`;
  if (milliseconds < HOUR) return `${milliseconds / MINUTE} min`;
  return `${+(milliseconds / HOUR).toFixed(1)} h`;
}

const pc = (number) => `${number.toFixed(3)}%`;

/** The axis: seconds since the deployment was accepted. */
export function axis(scale) {
  return svg(
    "svg",
    { class: "axis", height: 20, width: "100%", "aria-hidden": "true" },
    scale.marks.map((at) => {
      const x = (at / scale.whole) * 100;
      return svg("text", { x: pc(x), y: 14, "text-anchor": x > 96 ? "end" : at === 0 ? "start" : "middle" }, mark(at));
    }),
  );
}

/** One row of bars. Widths are shares of the row, so nothing is measured and nothing moves on resize. */
export function bars(spans, scale, { now, waitUntil = null, failedAt = null, label }) {
  const parts = scale.marks.map((at) => svg("line", { class: "tick", x1: pc((at / scale.whole) * 100), x2: pc((at / scale.whole) * 100), y1: 0, y2: 24 }));
  for (const s of spans) {
    const [left, right] = [scale.x(s.from), scale.x(s.to)];
    const isWait = SPANS[s.kind][1];
    const [y, height] = s.kind === "line" ? [10, 4] : [5, 14];
    const attributes = { x: pc(left), y, width: pc(Math.max(right - left, 0.25)), height, rx: 2 };
    const words = `${SPANS[s.kind][0]}: ${duration(s.to - s.from)}${s.isOpen ? " so far" : ""}`;
    parts.push(svg("rect", { ...attributes, class: `span ${s.kind}${s.isOpen ? " open" : ""}` }, svg("title", {}, words)));
    if (isWait && s.kind !== "line") parts.push(svg("rect", { ...attributes, class: "hatch", fill: "url(#hatch)" }));
  }
  if (failedAt !== null) {
    const x = pc(scale.x(failedAt));
    parts.push(svg("line", { class: "failed", x1: x, x2: x, y1: 1, y2: 23 }, svg("title", {}, "Failed here")));
  }
  if (waitUntil !== null && waitUntil > now) {
    parts.push(svg("rect", { class: "span next", x: pc(scale.x(now)), y: 5, width: pc(Math.max(scale.x(waitUntil) - scale.x(now), 0.25)), height: 14, rx: 2 }, svg("title", {}, `Next look in ${duration(waitUntil - now)}`)));
  }
  return svg("svg", { class: "bars", height: 24, width: "100%", role: "img", "aria-label": label }, parts);
}

/** When a step failed, from its audit; null if it did not. */
export function failedAtOf(moves) {
  return instant(moves.findLast((m) => m.after === "failed" && m.before !== "failed")?.at);
}

/** The hatching that marks a wait, defined once for the page. */
export function patterns() {
  return svg(
    "svg",
    { class: "defs", width: 0, height: 0, "aria-hidden": "true" },
    svg("defs", {}, svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("rect", { class: "stripe", width: 2.4, height: 6 }))),
  );
}

/** The meaning of the colours and the hatching that are used. */
export function legend(kinds) {
  return el(
    "ul",
    { class: "legend", "aria-label": "Legend" },
    Object.entries(SPANS)
      .filter(([kind]) => kinds.has(kind))
      .map(([kind, [words, isWait]]) =>
        el(
          "li",
          { "data-key": kind },
          svg("svg", { width: 22, height: 12, "aria-hidden": "true" }, kind === "failed" ? svg("line", { class: "failed", x1: 11, x2: 11, y1: 0, y2: 12 }) : svg("rect", { class: `span ${kind}`, x: 0, y: kind === "line" ? 4 : 0, width: 22, height: kind === "line" ? 4 : 12, rx: 2 }), isWait && kind !== "line" && kind !== "next" ? svg("rect", { width: 22, height: 12, rx: 2, fill: "url(#hatch)" }) : null),
          words,
        ),
      ),
  );
}
