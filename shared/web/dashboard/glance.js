// The problems that an operator must see in every view: a mark at the link of the view that shows them in full.

import { get, key } from "./api.js";
import { el, say, show } from "./dom.js";
import { visible } from "./format.js";

/** Milliseconds between two reads. The app responds from its last round of checks. */
export const GLANCE = 15_000;

let known = new Map();

/** Read the app's health and mark the views. Without a response the marks stay, because the view reports the outage. */
export async function glance() {
  let body;
  try {
    ({ body } = await get("health", { accept: [503] }));
  } catch {
    return;
  }
  if (key()) mark(marksOf(body));
}

/** Forget all marks. */
export function forgetGlance() {
  known = new Map();
  mark(known);
}

/** Text and colour by view; empty if there are no problems. */
function marksOf({ status, checks = {} }) {
  const marks = new Map();
  const states = (checks["breakers:state"] ?? []).map((found) => found.observedValue);
  const open = states.filter((state) => state === "open").length;
  const half = states.filter((state) => state === "half_open").length;
  const orphans = (checks["sweep:orphans_left"] ?? []).reduce((sum, found) => sum + Number(found.observedValue ?? 0), 0);
  if (open) marks.set("breakers", [`${open} open`, "bad"]);
  else if (half) marks.set("breakers", [`${half} half open`, "warn"]);
  if (status !== "pass") marks.set("health", [visible(status), status === "fail" ? "bad" : "warn"]);
  if (orphans) marks.set("orphans", [String(orphans), "warn"]);
  return marks;
}

function mark(marks) {
  for (const link of document.querySelectorAll("#nav a")) {
    const view = link.getAttribute("href").slice(2);
    const [words, tone] = marks.get(view) ?? [];
    show(link, link.firstChild.cloneNode(), words ? el("span", { class: `mark ${tone}` }, words) : null);
    if (words && words !== known.get(view)?.[0]) say(`${link.firstChild.textContent.trim()}: ${words}`);
  }
  known = marks;
}
