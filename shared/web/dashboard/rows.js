// A deployment as a row of the list: its state, name, target, requester, time and error.

import { el } from "./dom.js";
import { ago, duration, instant, name, visible } from "./format.js";
import { deploymentBadge, isOpen } from "./states.js";

/** The height of every row in pixels, so that a row's position follows from its number. */
export const ROW = 46;

/** The heads of the columns. */
export const COLUMNS = ["State", "Deployment", "Target", "Requested by", "Accepted", "Took"];

/** The row with that number at that time; `isStop` if the Tab key stops at it. */
export function rowOf(item, i, isStop, at) {
  const address = addressOf(item.deployment_id);
  const cause = causeOf(item);
  const node = el(
    "div",
    { class: `row item${isOpen(item) ? " open" : ""}`, role: "row", tabindex: isStop ? 0 : -1, "data-key": item.deployment_id, "data-action": "go", "aria-rowindex": i + 2 },
    el("span", { role: "gridcell" }, deploymentBadge(item.state)),
    el(
      "span",
      { role: "gridcell", class: "two" },
      // Also a link, so that it can be opened in another tab.
      el("a", { href: address, tabindex: -1 }, name(item.name || item.deployment_id, { class: "name strong" })),
      el("span", { class: "under" }, name(item.deployment_id, { class: "name mono" }), labelsOf(item).map((text) => el("span", { class: "label", "data-key": text }, text)), cause ? name(cause, { class: "name cause" }) : null),
    ),
    el("span", { role: "gridcell" }, name(item.target)),
    el("span", { role: "gridcell" }, name(item.requested_by)),
    el("span", { role: "gridcell", class: "number" }, ago(item.accepted_at, at)),
    el("span", { role: "gridcell", class: "number" }, tookOf(item, at)),
  );
  node.style.transform = `translateY(${i * ROW}px)`;
  return node;
}

/** The address of one deployment. */
export function addressOf(id) {
  return `#/deployments/${encodeURIComponent(id)}`;
}

/** The labels as texts, NAME=VALUE. */
export function labelsOf(item) {
  return Object.entries(item.labels ?? {}).map(([label, value]) => visible(`${label}=${value}`));
}

/** The labels as links to the deployments that have them. */
export function labelLinks(item) {
  return labelsOf(item).map((text) => el("a", { class: "label", "data-key": text, href: `#/?${new URLSearchParams({ label: text })}` }, text));
}

/** The error in one line; empty if there is none. */
export function causeOf(item) {
  const first = item.problems?.[0];
  if (first) return visible(`${first.path} ${first.message}`);
  return visible(item.error?.message ?? "");
}

function tookOf(item, at) {
  const accepted = instant(item.accepted_at);
  if (accepted === null || item.state === "rejected") return "–";
  if (!isOpen(item)) return duration((instant(item.finished_at) ?? accepted) - accepted);
  return [duration(at - accepted).replace(/\.\d+ s$/, " s"), el("span", { class: "muted" }, " so far")];
}
