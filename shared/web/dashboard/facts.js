// A fact as a term and its description; and a button that copies.

import { el, svg } from "./dom.js";

/** For a list of facts (`dl`). */
export function fact(term, ...description) {
  return el("div", { "data-key": term }, el("dt", {}, term), el("dd", {}, description));
}

/** A button that copies the text; `what` describes the text for screen readers. */
export function copy(text, what) {
  return el("button", { type: "button", class: "copy", "data-action": "copy", "data-text": text, "aria-label": `Copy the ${what}`, title: `Copy the ${what}` }, copyIcon());
}

function copyIcon() {
  return svg("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true", focusable: "false" }, svg("rect", { x: 5.5, y: 5.5, width: 8, height: 8, rx: 1.5 }), svg("path", { d: "M3.5 10.5h-1v-8h8v1" }));
}
