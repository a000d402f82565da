// The views beside deployments: circuit breakers, health, orphans.

import { get, now } from "./api.js";
import { mayDo } from "./caller.js";
import { resetBreaker } from "./dialogs.js";
import { el, say, show } from "./dom.js";
import { fact } from "./facts.js";
import { ago, count, name, visible } from "./format.js";
import { otherBadge, tone } from "./states.js";
import { RESET_ROLES } from "./verbs.js";

const PERIOD = 5000;
const WORST = ["fail", "warn", "pass"];

class SystemView {
  items = null;

  mount(main, { refresh }) {
    this.ask = refresh;
    this.root = el("div", { class: "system" });
    main.append(this.root);
    show(this.root, el("h1", {}, this.title), el("p", { class: "muted", role: "status" }, "Loading …"));
  }

  draw() {
    if (this.items !== null) show(this.root, el("h1", {}, this.title), this.content(now()));
  }
}

export class BreakersView extends SystemView {
  section = "breakers";
  title = "Circuit breakers";

  async refresh() {
    const { items } = (await get("breakers")).body;
    for (const item of items) {
      const before = this.items?.find((other) => other.name === item.name);
      if (before && before.state !== item.state) say(`Breaker ${visible(item.name)} is ${item.state.replaceAll("_", " ")}.`);
    }
    this.items = items;
    return PERIOD;
  }

  content(at) {
    const explained = el("p", { class: "muted" }, "One for each area of Fabric's API. While a breaker is open, calls are rejected and steps wait; no step fails because of it.");
    if (!this.items.length) return [explained, el("div", { class: "empty" }, el("p", {}, "No call has been made yet, so there is no breaker."))];
    return [
      explained,
      el(
        "div",
        { class: "cards" },
        this.items.map((b) =>
          el(
            "article",
            { class: `card ${tone(b.state)}`, "data-key": b.name },
            el("div", { class: "row" }, el("h2", { class: "grow" }, name(b.name)), otherBadge(b.state)),
            el(
              "dl",
              { class: "facts small" },
              fact("Failures", String(b.failures ?? 0)),
              b.reason && b.state !== "closed" ? fact("Reason", visible(b.reason)) : null,
              b.opened_at ? fact("Opened", ago(b.opened_at, at)) : null,
              b.retry_at && b.state !== "closed" ? fact("Next probe", ago(b.retry_at, at)) : null,
              b.is_shared === false ? fact("Seen by", "this worker only: storage does not respond") : null,
            ),
            b.state === "closed" || !mayDo(RESET_ROLES) ? null : el("button", { type: "button", "data-action": "reset", "data-name": b.name }, "Reset"),
          ),
        ),
      ),
    ];
  }

  actions = {
    reset: async (button) => {
      const breaker = this.items.find((b) => b.name === button.dataset.name);
      if (breaker && (await resetBreaker(breaker))) this.ask();
    },
  };
}

export class HealthView extends SystemView {
  section = "health";
  title = "Health";

  async refresh() {
    const { body } = await get("health", { accept: [503] });
    this.status = body.status;
    this.notes = body.notes ?? [];
    const found = Object.entries(body.checks ?? {}).flatMap(([check, results]) => [results].flat().map((result, i) => ({ check, i, ...result })));
    this.items = found.sort((a, b) => WORST.indexOf(a.status) - WORST.indexOf(b.status));
    return PERIOD;
  }

  content(at) {
    const asOf = this.items.find((c) => c.time)?.time;
    return [
      el("p", { class: "row" }, "Overall: ", otherBadge(this.status), asOf ? el("span", { class: "muted" }, "as of ", ago(asOf, at)) : null),
      this.notes.map((note) => el("p", { class: "muted" }, visible(note))),
      el(
        "div",
        { class: "table", tabindex: 0, role: "region", "aria-label": "Checks" },
        el(
          "table",
          {},
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Check"), el("th", { scope: "col" }, "State"), el("th", { scope: "col", class: "number" }, "Observed"))),
          el(
            "tbody",
            {},
            this.items.map((c) =>
              el(
                "tr",
                { "data-key": `${c.check}-${c.i}` },
                el("th", { scope: "row" }, visible([c.check.replaceAll(/[:_]/g, " "), c.componentId].filter(Boolean).join(" ")), c.output ? el("p", { class: "muted" }, visible(c.output)) : null),
                el("td", {}, otherBadge(c.status)),
                el("td", { class: "number" }, c.observedValue === undefined || c.observedValue === null ? "–" : `${visible(said(c.observedValue))} ${visible(c.observedUnit ?? "")}`),
              ),
            ),
          ),
        ),
      ),
    ];
  }
}

export class OrphansView extends SystemView {
  section = "orphans";
  title = "Orphans";

  async refresh() {
    const { body } = await get("orphans", { timeout: 60_000 }).finally(() => (this.isLooking = false));
    if (this.items !== null) say(body.items.length ? count(body.items.length, "orphan") : "No orphans");
    this.isComplete = body.is_complete ?? true;
    this.items = body.items;
    // Each search costs calls to Fabric, so only a person starts another.
    return null;
  }

  content() {
    const explained = el("p", { class: "muted" }, "Resources that this app created in Fabric and that no deployment accounts for. The sweeper identifies them by their marker, never by the name alone, and deletes them.");
    const found = this.items.length ? count(this.items.length, "orphan") : "No orphans";
    const again = el("p", { class: "row" }, el("span", {}, `${found}${this.isComplete ? "." : " among the newest deployments; not all were searched."}`), el("button", { type: "button", "data-action": "look", "aria-disabled": String(Boolean(this.isLooking)) }, this.isLooking ? "Searching …" : "Search again"));
    if (!this.items.length) return [explained, again];
    return [
      explained,
      again,
      el(
        "div",
        { class: "table", tabindex: 0, role: "region", "aria-label": "Orphans" },
        el(
          "table",
          {},
          el("thead", {}, el("tr", {}, ["Type", "Name", "Id", "Workspace", "Deployment", "Step"].map((h) => el("th", { scope: "col" }, h)))),
          el(
            "tbody",
            {},
            this.items.map((o, i) =>
              el(
                "tr",
                { "data-key": `${o.deployment_id}-${o.step_id}-${o.resource?.id ?? i}` },
                el("td", {}, visible(o.resource?.type ?? "–")),
                el("td", {}, name(o.resource?.name)),
                el("td", {}, el("code", {}, visible(o.resource?.id ?? "–"))),
                el("td", {}, el("code", {}, visible(o.resource?.parent_id ?? "–"))),
                el("td", {}, el("a", { href: `#/deployments/${encodeURIComponent(o.deployment_id)}` }, name(o.deployment_id))),
                el("td", {}, name(o.step_id)),
              ),
            ),
          ),
        ),
      ),
    ];
  }

  actions = {
    look: () => {
      if (this.isLooking) return;
      this.isLooking = true;
      this.draw();
      this.ask();
    },
  };
}

function said(value) {
  return typeof value === "object" ? JSON.stringify(value) : value;
}
