// One deployment: its facts, timeline, errors with their remedies, journal and audit.

import { get, now } from "./api.js";
import { isCallerKnown, mayDo } from "./caller.js";
import { command } from "./dialogs.js";
import { Drawn, el, say, show } from "./dom.js";
import { copy, fact } from "./facts.js";
import { ago, count, duration, instant, moment, name, stepName, visible } from "./format.js";
import { auditTable, journalTable, move } from "./records.js";
import { addressOf, labelLinks } from "./rows.js";
import { deploymentBadge, isOpen, meaningOf, meaningOfStep, stepBadge, waitsForPerson } from "./states.js";
import { axis, bars, failedAtOf, legend, patterns, phasesOf, scaleOf, spansOf } from "./timeline.js";
import { errorOf, troubles } from "./troubles.js";
import { VERBS } from "./verbs.js";

const QUICK = 2000;
const SLOW = 15_000;
const TABS = { journal: "Journal", audit: "Audit" };
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const SETTLED = new Set(["succeeded", "compensated", "compensation_failed", "failed", "skipped"]);

export class DeploymentView {
  section = "";

  constructor(id) {
    this.id = id;
    this.header = null;
    this.steps = [];
    this.audit = [];
    this.expanded = new Set();
    this.drawn = new Drawn();
    this.tab = "journal";
  }

  get title() {
    const { name: known, state } = this.header ?? {};
    return visible(known ? `${known} (${state})` : this.id).slice(0, 100);
  }

  mount(main, { refresh }) {
    this.ask = refresh;
    this.root = el("div", { class: "deployment" });
    this.tabKeys = (event) => this.pressed(event);
    this.root.addEventListener("keydown", this.tabKeys);
    main.append(this.root);
    show(this.root, this.crumbs(), el("p", { class: "muted", role: "status" }, "Reading the journal …"));
  }

  async refresh() {
    const path = `deployments/${encodeURIComponent(this.id)}`;
    let answer;
    try {
      answer = await get(path);
    } catch (error) {
      if (error.status !== 404) throw error;
      this.missing = error.message;
      this.audit = await auditOf(path);
      return SLOW;
    }
    this.missing = null;
    const { steps = [], allowed = [], ...header } = answer.body;
    if (this.header && this.header.state !== header.state) say(`The deployment is ${header.state}.`);
    if (answer.isNew || !this.hasAudit) {
      this.audit = await auditOf(path);
      this.hasAudit = true;
    }
    Object.assign(this, { header, steps, allowed });
    if (answer.isNew) this.texts = new Map(steps.map((s) => [s.ordinal, JSON.stringify(s)]));
    return isOpen(header) ? QUICK : SLOW;
  }

  draw() {
    if (this.missing) {
      this.drawn.forget();
      show(this.root, this.crumbs(), el("h1", {}, name(this.id)), el("div", { class: "empty" }, el("p", {}, visible(this.missing)), el("p", { class: "muted" }, "An ended deployment is forgotten after its retention.")), this.audit.length ? el("div", { class: "table", tabindex: 0, role: "region", "aria-label": "Audit" }, auditTable(this.audit, [], this.drawn, now())) : null);
      return;
    }
    if (!this.header) return;
    const { header, steps } = this;
    const at = now();
    const byOrdinal = new Map(steps.map((s) => [s.ordinal, s]));
    const moves = this.movesBySubject();
    const spans = steps.map((s) => spansOf(s, header, byOrdinal, moves.get(s.ordinal) ?? [], at));
    const phases = phasesOf(header, moves.get("deployment") ?? [], at);
    const scale = scaleOf(header, [...spans, phases], steps, at);
    show(this.root, this.crumbs(), this.head(at), troubles(header, steps), steps.length ? this.timeline(spans, phases, scale, moves, at) : null, this.records(at));
  }

  movesBySubject() {
    const moves = new Map();
    for (const entry of this.audit) {
      const found = /^(?:step|orphan)_(\d+)$/.exec(entry.subject);
      const subject = found ? Number(found[1]) : entry.subject;
      moves.set(subject, [...(moves.get(subject) ?? []), entry]);
    }
    return moves;
  }

  crumbs() {
    return el("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, el("a", { href: "#/" }, "Deployments"), el("span", { "aria-hidden": "true" }, " / "), name(this.id, { class: "name mono" }));
  }

  head(at) {
    const { header, steps, allowed } = this;
    const possible = Object.keys(VERBS).filter((v) => allowed.includes(v)).sort((a, b) => VERBS[a].isDestructive - VERBS[b].isDestructive);
    const verbs = possible.filter((v) => mayDo(VERBS[v].roles));
    return el(
      "section",
      { class: "head", "data-key": "head" },
      el(
        "div",
        { class: "row wrap" },
        el("h1", { tabindex: -1 }, name(header.name || header.deployment_id)),
        deploymentBadge(header.state),
        el("span", { class: "muted grow" }, meaningOf(header)),
        el("div", { class: "row verbs" }, verbs.filter((v) => !VERBS[v].isForStep).map(verbButton)),
      ),
      el("dl", { class: "facts" }, this.facts(header, steps, at)),
      isCallerKnown() ? othersOnly(possible.filter((v) => !verbs.includes(v))) : null,
      possible.some((v) => VERBS[v].isForStep) ? this.approvals(verbs.filter((v) => VERBS[v].isForStep), at) : null,
    );
  }

  approvals(verbs, at) {
    const waiting = this.steps.filter(waitsForPerson);
    if (!waiting.length) return null;
    return el(
      "div",
      { class: "waiting", "data-key": "waiting" },
      el("div", { class: "grow" }, waiting.map((s) => el("p", { "data-key": s.ordinal }, "Step ", name(s.step_id), asked(s, at)))),
      el("div", { class: "row verbs" }, verbs.map(verbButton)),
    );
  }

  facts(header, steps, at) {
    const accepted = instant(header.accepted_at);
    const started = instant(header.started_at);
    const ended = isOpen(header) ? null : instant(header.finished_at);
    const done = steps.filter((s) => s.state === "succeeded").length;
    const back = steps.filter((s) => s.state === "compensated").length;
    // As W3C Trace Context writes it: version, trace, span, flags.
    const trace = header.traceparent?.split("-")[1];
    const isBack = back > 0 || ["compensating", "stuck"].includes(header.state);
    const progress = isBack ? `${back} of ${steps.length} compensated` : `${done} of ${steps.length} applied`;
    return [
      fact("Target", name(header.target)),
      fact("Requested by", name(header.requested_by)),
      header.promotes ? fact("Promotes", el("a", { href: addressOf(header.promotes) }, name(header.promotes)), " ", el("a", { href: `#/compare/${encodeURIComponent(header.promotes)}/${encodeURIComponent(header.deployment_id)}` }, "compare")) : null,
      header.labels ? fact("Labels", labelLinks(header)) : null,
      fact("Accepted", moment(header.accepted_at, at), ", ", ago(header.accepted_at, at)),
      started !== null && started - accepted > 1000 ? fact("Waited for target", duration(started - accepted)) : null,
      header.state === "rejected" ? null : fact(ended === null ? "Runs for" : "Took", duration((ended ?? at) - accepted).replace(/\.\d+ s$/, ended === null ? " s" : "$&")),
      steps.length ? fact("Steps", progress) : null,
      ["cancel", "compensate", "resume", "retire"].map((verb) => (header[`${verb}_requested_by`] ? fact(`${VERBS[verb].label} requested by`, name(header[`${verb}_requested_by`])) : null)),
      header.held_until ? fact("Held until", moment(header.held_until, at)) : null,
      header.expires_after_seconds ? fact("Expires after", duration(header.expires_after_seconds * 1000)) : null,
      header.on_failure && header.on_failure !== "rollback" ? fact("On failure", visible(header.on_failure)) : null,
      header.manifest_hash ? fact("Manifest", el("span", { class: "mono", title: header.manifest_hash }, header.manifest_hash.slice(0, 12)), copy(header.manifest_hash, "manifest hash")) : null,
      trace ? fact("Trace", el("span", { class: "mono", title: visible(trace) }, visible(trace).slice(0, 16)), copy(trace, "trace id")) : null,
    ];
  }

  timeline(spans, phases, scale, moves, at) {
    const { steps, header } = this;
    const kinds = new Set([...spans.flat(), ...phases].map((s) => s.kind));
    if (steps.some((s) => instant(s.wait_until) > at)) kinds.add("next");
    if (steps.some((s) => failedAtOf(moves.get(s.ordinal) ?? []) !== null)) kinds.add("failed");
    const isBack = steps.some((s) => s.compensation_started_at);
    return el(
      "section",
      { "aria-labelledby": "time", "data-key": "timeline" },
      el("div", { class: "row wrap" }, el("h2", { id: "time", class: "grow" }, "Timeline"), legend(kinds)),
      patterns(),
      el(
        "div",
        { class: `timeline${isBack ? " back" : ""}` },
        el("div", { class: "lane axis-lane" }, el("span"), el("span"), axis(scale), el("span")),
        el(
          "div",
          { class: "lane whole", "data-key": "whole" },
          el("span", { class: "lane-name" }, "Deployment"),
          deploymentBadge(header.state),
          bars(phases, scale, { now: at, label: phases.map((p) => `${p.state} ${duration(p.to - p.from)}`).join(", ") }),
          el("span", { class: "number muted" }, duration((instant(header.finished_at) ?? at) - scale.zero)),
        ),
        steps.map((step, i) => this.lane(step, spans[i], scale, moves.get(step.ordinal) ?? [], at)),
      ),
    );
  }

  lane(step, spans, scale, moves, at) {
    const isOpenLane = this.expanded.has(step.ordinal);
    const detail = `step-${step.ordinal}-detail`;
    const isMoving = spans.some((s) => s.isOpen) || (step.wait_until && !SETTLED.has(step.state));
    const places = spans.map((s) => `${s.from}-${s.to}`);
    const signature = isMoving ? at : [this.texts.get(step.ordinal), scale.whole, isOpenLane, ...places].join();
    const key = `lane-${step.ordinal}`;
    return [
      this.drawn.once(key, signature, () => this.bar(step, spans, scale, moves, at, key, isOpenLane ? detail : null)),
      isOpenLane ? this.detail(step, spans, moves, detail, at) : null,
    ];
  }

  bar(step, spans, scale, moves, at, key, detail) {
    const took = timesOf(step, at);
    const failedAt = failedAtOf(moves);
    return el(
      "div",
      { class: "lane", "data-key": key },
      el(
        "button",
        { type: "button", class: "lane-name", "aria-expanded": String(detail !== null), "aria-controls": detail, "data-action": "expand", "data-ordinal": step.ordinal },
        stepName(step.step_id),
        failedAt !== null && step.state !== "failed" ? el("span", { class: "mark bad" }, "failed") : null,
        step.attempt ? el("span", { class: "tries", title: `${count(step.attempt, "attempt")} failed in this direction` }, `${step.attempt}×`) : null,
      ),
      stepBadge(step),
      bars(spans, scale, { now: at, failedAt, waitUntil: SETTLED.has(step.state) ? null : instant(step.wait_until), label: took || "not started" }),
      el("span", { class: "number muted" }, took),
    );
  }

  detail(step, spans, moves, id, at) {
    const waited = spans.filter((s) => s.kind === "wait" || s.kind === "fabric").reduce((sum, s) => sum + s.to - s.from, 0);
    const line = spans.filter((s) => s.kind === "line").reduce((sum, s) => sum + s.to - s.from, 0);
    const { resource, operation, intent } = step;
    return el(
      "div",
      { class: "detail", id, "data-key": `detail-${step.ordinal}` },
      el("p", { class: "muted" }, meaningOfStep(step)),
      el(
        "dl",
        { class: "facts small" },
        fact("Kind", visible(step.kind)),
        step.done || intent ? fact("Action", visible(step.done || intent.action)) : null,
        resource ? fact("Resource", visible(resource.type), " ", name(resource.name), resource.id ? [el("code", {}, ` ${visible(resource.id)}`), copy(resource.id, "resource id")] : null) : null,
        line >= 50 ? fact("In line", duration(line)) : null,
        waited >= 50 ? fact("Of this, waiting", duration(waited)) : null,
        step.wait_until && !SETTLED.has(step.state) ? fact("Next look", ago(step.wait_until, at)) : null,
        operation ? fact("Operation", el("code", {}, visible(operation.id)), ` ${visible(operation.kind)}, polled ${count(operation.polls ?? 0, "time")}`) : null,
        fact("Failed attempts", String(step.attempt)),
        fact("Deliveries", String(step.deliveries)),
        fact("Timeout", duration(step.timeout_seconds * 1000)),
      ),
      step.error ? errorOf(step.error) : null,
      step.compensation_error ? errorOf(step.compensation_error) : null,
      moves.length ? el("ol", { class: "moves" }, moves.map((m) => el("li", {}, moment(m.at, at), " ", move(m), m.reason ? ` ${visible(m.reason)}` : ""))) : null,
    );
  }

  records(at) {
    return el(
      "section",
      { "data-key": "records", "aria-label": "Records" },
      el(
        "div",
        { class: "tabs", role: "tablist", "aria-label": "Records" },
        Object.entries(TABS).map(([tab, label]) =>
          el("button", { type: "button", role: "tab", id: `tab-${tab}`, "aria-selected": String(tab === this.tab), "aria-controls": "records-panel", tabindex: tab === this.tab ? 0 : -1, "data-action": "tab", "data-tab": tab }, `${label} (${(tab === "audit" ? this.audit : this.steps).length})`),
        ),
      ),
      el("p", { class: "muted zone" }, ZONE === "UTC" ? "Times are UTC." : `Local times (${ZONE}); the tooltip shows UTC.`),
      el("div", { class: "table", role: "tabpanel", id: "records-panel", tabindex: 0, "aria-labelledby": `tab-${this.tab}` }, this.tab === "audit" ? auditTable(this.audit, this.steps, this.drawn, at) : journalTable(this.steps, this.texts, this.drawn, at)),
    );
  }

  pressed(event) {
    if (event.target.getAttribute("role") !== "tab" || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    const tabs = Object.keys(TABS);
    const i = tabs.indexOf(this.tab);
    const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: tabs.length - 1 }[event.key];
    event.preventDefault();
    this.choose(tabs[(to + tabs.length) % tabs.length]);
    document.getElementById(`tab-${this.tab}`).focus();
  }

  choose(tab) {
    this.tab = tab;
    this.drawn.forget();
    this.draw();
  }

  actions = {
    expand: (button) => {
      const ordinal = Number(button.dataset.ordinal);
      if (!this.expanded.delete(ordinal)) this.expanded.add(ordinal);
      this.draw();
    },
    tab: (button) => {
      this.choose(button.dataset.tab);
    },
    verb: async (button) => {
      const answer = await command(button.dataset.verb, this.header, this.steps.filter(waitsForPerson));
      if (!answer) return;
      await this.ask();
      // The button may have disappeared, and the focus with it.
      if (document.activeElement === document.body) this.root.querySelector("h1")?.focus();
    },
  };
}

/** The audit, which is kept after the deployment is forgotten; empty if there is none. */
async function auditOf(path) {
  try {
    const items = [];
    let next = null;
    do {
      const { body } = await get(`${path}/audit${next ? `?cursor=${encodeURIComponent(next)}` : ""}`);
      items.push(...body.items);
      ({ next } = body);
    } while (next);
    return items;
  } catch (error) {
    if (error.status !== 404) throw error;
    return [];
  }
}

/** The message, the approvers and the deadline of an approval. */
function asked({ asks = {}, deadline_at: until }, at) {
  const { message, approvers = [] } = asks;
  return [
    ...(approvers.length ? [" waits for ", approvers.flatMap((a, i) => (i ? [", ", name(a)] : [name(a)]))] : [" waits for a person"]),
    until ? [" until ", moment(until, at)] : null,
    message ? [": ", el("strong", {}, visible(message))] : null,
  ];
}

/** Who could do what the caller's roles do not allow; nothing for a caller with every role. */
function othersOnly(verbs) {
  if (!verbs.length) return null;
  const rows = verbs.map((v) => `${VERBS[v].label} (${VERBS[v].roles.join(" or ")})`);
  return el("p", { class: "muted", "data-key": "others" }, `Needs another role: ${rows.join(", ")}.`);
}

function verbButton(verb) {
  return el("button", { type: "button", "data-action": "verb", "data-verb": verb, "data-key": verb, class: VERBS[verb].isDestructive ? "grave quiet" : "first" }, VERBS[verb].label);
}

function timesOf(step, at) {
  const parts = [];
  const started = instant(step.started_at);
  const undoing = instant(step.compensation_started_at);
  if (started !== null && step.finished_at) parts.push(duration(instant(step.finished_at) - started));
  else if (started !== null && !SETTLED.has(step.state) && undoing === null) parts.push(`${Math.round((at - started) / 1000)} s so far`);
  if (undoing !== null && step.state === "compensation_failed") parts.push("not compensated");
  else if (undoing !== null && step.compensation_finished_at) parts.push(`compensated in ${duration(instant(step.compensation_finished_at) - undoing)}`);
  else if (undoing !== null && step.state === "compensating") parts.push(`compensating for ${Math.round((at - undoing) / 1000)} s`);
  return parts.join(", ");
}
