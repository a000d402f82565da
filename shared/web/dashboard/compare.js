// Two deployments side by side: which parts both have, and which only one of them has.

import { get } from "./api.js";
import { el, show } from "./dom.js";
import { count, name, visible } from "./format.js";
import { addressOf } from "./rows.js";
import { deploymentBadge } from "./states.js";

const PERIOD = 15_000;
const WORDS = { left: "only here", right: "only here", differs: "differs", same: "same" };

export class CompareView {
  section = "";
  title = "Compare";
  sides = null;

  constructor(left, right) {
    this.ids = [left, right];
  }

  mount(main) {
    this.root = el("div", { class: "system" });
    main.append(this.root);
    show(this.root, el("h1", {}, this.title), el("p", { class: "muted", role: "status" }, "Loading …"));
  }

  async refresh() {
    this.sides = await Promise.all(this.ids.map(sideOf));
    return PERIOD;
  }

  draw() {
    if (this.sides === null) return;
    const [left, right] = this.sides;
    const rows = compared(left.parts, right.parts);
    const open = rows.filter((row) => row.is !== "same");
    show(
      this.root,
      el("h1", {}, this.title),
      el("p", { role: "status" }, open.length ? `${open.length} of ${count(rows.length, "part")} ${open.length === 1 ? "differs" : "differ"}.` : `Both have the same ${count(rows.length, "part")}.`),
      el(
        "div",
        { class: "table", tabindex: 0, role: "region", "aria-label": "Parts" },
        el(
          "table",
          {},
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Part"), this.sides.map((side) => el("th", { scope: "col" }, head(side))))),
          el("tbody", {}, [...open, ...rows.filter((row) => row.is === "same")].map((row) => el("tr", { "data-key": row.part, "data-is": row.is }, el("td", {}, name(row.part)), cell(row, "left"), cell(row, "right")))),
        ),
      ),
    );
  }
}

async function sideOf(id) {
  const path = `deployments/${encodeURIComponent(id)}`;
  const [{ body: header }, { body: parts }] = await Promise.all([get(path), get(`${path}/parts`)]);
  return { header, parts: new Map(parts.items.map((part) => [part.name, part.digest])) };
}

/** Every part of both, by name. */
function compared(left, right) {
  const names = [...new Set([...left.keys(), ...right.keys()])].sort();
  return names.map((part) => {
    const one = left.get(part);
    const other = right.get(part);
    const is = other === undefined ? "left" : one === undefined ? "right" : one === other ? "same" : "differs";
    return { part, left: one, right: other, is };
  });
}

function head({ header }) {
  return [el("a", { href: addressOf(header.deployment_id) }, name(header.deployment_id)), " ", deploymentBadge(header.state), el("br"), el("span", { class: "muted" }, visible(header.target))];
}

/** The beginning of the digest, and in words what it means. */
function cell(row, side) {
  if (row[side] === undefined) return el("td", { class: "muted" }, "–");
  return el("td", {}, el("span", { class: "mono", title: row[side] }, row[side].slice(0, 12)), " ", el("span", { class: row.is === "same" ? "muted" : "strong" }, WORDS[row.is]));
}
