// The journal and the audit as tables.

import { el } from "./dom.js";
import { moment, name, visible } from "./format.js";
import { stepBadge } from "./states.js";

/** The steps. `texts` has each one as JSON by ordinal: a step whose text changed is drawn again. */
export function journalTable(steps, texts, drawn, at) {
  if (!steps.length) return el("p", { class: "empty", "data-key": "none" }, "This deployment has no steps.");
  const head = ["#", "Step", "Kind", "State", "Action", "Resource", "Failed attempts", "Deliveries", "Started", "Finished", "Compensated"];
  return table("journal-table", head, steps, drawn, (s) => texts.get(s.ordinal), (s) => [
    String(s.ordinal),
    name(s.step_id, { class: "name whole" }),
    visible(s.kind),
    stepBadge(s),
    visible(s.done || s.intent?.action) || "–",
    s.resource ? [visible(s.resource.type), " ", name(s.resource.name)] : "–",
    String(s.attempt),
    String(s.deliveries),
    moment(s.started_at, at),
    moment(s.finished_at, at),
    moment(s.compensation_finished_at, at),
  ], (s) => `row-${s.ordinal}`);
}

/** Every change of state, oldest first. */
export function auditTable(audit, steps, drawn, at) {
  const ids = new Map(steps.map((s) => [s.ordinal, s.step_id]));
  const subject = (entry) => {
    const found = /_(\d+)$/.exec(entry.subject);
    const id = entry.step_id ?? (found ? ids.get(Number(found[1])) : null);
    return id ? [entry.subject.startsWith("orphan") ? "orphan of " : "", name(id, { class: "name whole" })] : visible(entry.subject);
  };
  return table("audit-table", ["At", "What", "Move", "Who", "Why"], audit, drawn, () => "", (a) => [moment(a.at, at), subject(a), move(a), name(a.actor), el("span", { class: "why" }, visible(a.reason) || "–")], (a, i) => `audit-${i}-${a.at}`);
}

/** A change from one state to another, or a note. */
export function move(entry) {
  if (!entry.before) return el("span", { class: "move" }, visible(entry.after));
  if (entry.before === entry.after) return el("span", { class: "move muted" }, visible(entry.after));
  return el("span", { class: "move" }, `${visible(entry.before)} → `, el("strong", {}, visible(entry.after)));
}

function table(key, head, items, drawn, signatureOf, cells, keyOf) {
  return el(
    "table",
    { "data-key": key },
    el("thead", {}, el("tr", {}, head.map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, items.map((item, i) => {
      const row = keyOf(item, i);
      return drawn.once(row, signatureOf(item), () => el("tr", { "data-key": row }, cells(item).map((c) => el("td", {}, c))));
    })),
  );
}
