// The list of deployments: filtered, loaded page by page while scrolling; only visible rows are drawn.

import { now } from "./api.js";
import { el, show } from "./dom.js";
import { count, visible } from "./format.js";
import { Listed } from "./listed.js";
import { addressOf, COLUMNS, ROW, rowOf } from "./rows.js";
import { countBadge, DEPLOYMENT_STATES, isOpen, OPEN_STATES } from "./states.js";

const BEYOND = 8;
const SOON = 20;
const QUICK = 2000;
const SLOW = 10_000;

export class ListView {
  section = "";
  title = "Deployments";

  constructor(parameters) {
    this.filter = {
      q: parameters.get("q") ?? "",
      state: DEPLOYMENT_STATES.includes(parameters.get("state")) ? parameters.get("state") : "",
      target: parameters.get("target") ?? "",
      label: parameters.get("label") ?? "",
      open: parameters.get("open") === "true",
    };
    this.active = null;
    this.listed = new Listed(this.filter);
  }

  mount(main, { refresh, failed }) {
    this.ask = refresh;
    this.failed = failed;
    const { q, state, label, open } = this.filter;
    const states = [["", "All states"], ...DEPLOYMENT_STATES.map((s) => [s, s])];
    this.search = el("input", { id: "q", type: "search", placeholder: "Name, id, target, requester", value: q, spellcheck: "false" });
    this.state = el("select", { id: "state" }, states.map(([value, text]) => el("option", { value, selected: value === state }, text)));
    this.target = el("select", { id: "target" });
    this.label = el("input", { id: "label", type: "search", placeholder: "Label, as pr=123", value: label, spellcheck: "false" });
    this.openOnly = el("input", { id: "open", type: "checkbox", checked: open });
    this.glance = el("div", { class: "glance", role: "group", "aria-label": "Open now" });
    this.found = el("span", { class: "muted grow end", id: "found" });
    this.body = el("div", { class: "rows", role: "presentation" });
    this.grid = el(
      "div",
      { class: "grid", role: "grid", "aria-label": "Deployments, newest first", "aria-colcount": COLUMNS.length },
      el("div", { class: "row head", role: "row", "aria-rowindex": 1 }, COLUMNS.map((t) => el("span", { role: "columnheader" }, t))),
      this.body,
    );
    this.empty = el("div", { class: "empty", hidden: true });
    main.append(
      el("div", { class: "row wrap" }, el("h1", {}, "Deployments"), this.glance),
      el(
        "div",
        { class: "filters", role: "search", "aria-label": "Filter" },
        el("label", { class: "unseen", for: "q" }, "Search"),
        this.search,
        el("label", { class: "unseen", for: "state" }, "State"),
        this.state,
        el("label", { class: "unseen", for: "target" }, "Target"),
        this.target,
        el("label", { class: "unseen", for: "label" }, "Label"),
        this.label,
        el("label", { class: "check" }, this.openOnly, " Open only"),
        this.found,
      ),
      this.grid,
      this.empty,
    );
    this.search.addEventListener("input", () => this.refilter({ q: this.search.value.trim() }));
    this.state.addEventListener("change", () => this.refilter({ state: this.state.value }));
    this.target.addEventListener("change", () => this.refilter({ target: this.target.value }));
    this.label.addEventListener("change", () => this.refilter({ label: this.label.value.trim() }));
    this.openOnly.addEventListener("change", () => this.refilter({ open: this.openOnly.checked }));
    this.grid.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.pressed(event));
    this.grid.addEventListener("focusin", (event) => {
      this.active = event.target.closest(".item")?.dataset.key ?? this.active;
    });
    this.resize = new ResizeObserver(() => this.scrolled());
    this.resize.observe(this.grid);
  }

  stop() {
    this.listed.isOver = true;
    this.resize?.disconnect();
  }

  get address() {
    const set = Object.entries(this.filter).filter(([, value]) => value);
    return set.length ? `#/?${new URLSearchParams(set)}` : "#/";
  }

  /** True if the address is that of this view with its filters. */
  takes(hash) {
    return (hash || "#/") === this.address;
  }

  refilter(change) {
    const isServers = !("q" in change);
    Object.assign(this.filter, change);
    this.state.value = this.filter.state;
    history.replaceState(null, "", this.address);
    this.grid.scrollTop = 0;
    this.active = null;
    if (!isServers) {
      this.listed.reorder();
      this.draw();
      if (this.filter.q) this.loadAll();
      return;
    }
    this.listed.clear();
    this.ask();
  }

  async refresh() {
    await this.listed.refresh();
    if (this.filter.q) this.loadAll();
    const { order } = this.listed;
    return order.some(isOpen) || (order.length === 0 && !this.filter.q) ? QUICK : SLOW;
  }

  drawTargets() {
    // An open list must not change under the pointer without a reason.
    const drawn = `${this.listed.targets.size} ${this.filter.target}`;
    if (drawn === this.drawnTargets) return;
    this.drawnTargets = drawn;
    const names = [...new Set([...this.listed.targets, this.filter.target].filter(Boolean))].sort().slice(0, 500);
    show(
      this.target,
      el("option", { value: "", "data-key": "" }, "All targets"),
      names.map((t) => el("option", { value: t, "data-key": t }, visible(t).slice(0, 80))),
    );
    // Options that move from one list to another become selected.
    this.target.value = this.filter.target;
  }

  /** Load all pages, because a search must not miss the pages that were not scrolled to. */
  async loadAll() {
    try {
      while (this.listed.next && this.filter.q && !this.listed.isOver) {
        await this.listed.loadMore();
        this.draw();
      }
    } catch (error) {
      this.failed(error);
    }
  }

  scrolled() {
    const [first, last] = this.range();
    if (first !== this.first || last !== this.last) this.drawRows();
    if (last + SOON < this.listed.order.length || !this.listed.next || this.listed.isLoading) return;
    this.listed.loadMore().then(() => this.draw(), (error) => this.failed(error));
  }

  /** The number of open deployments by state, independent of the filter. */
  drawGlance() {
    const { open, openAt, isMoreOpen } = this.listed;
    if (openAt === null) return;
    const numbers = new Map();
    for (const { state } of open.values()) numbers.set(state, (numbers.get(state) ?? 0) + 1);
    show(
      this.glance,
      numbers.size ? null : el("span", { class: "muted", "data-key": "none" }, "No open deployments"),
      OPEN_STATES.filter((s) => numbers.has(s)).map((s) =>
        el("button", { type: "button", class: "chip", "data-key": s, "data-action": "only", "data-state": s, "aria-pressed": String(this.filter.state === s) }, countBadge(s, `${numbers.get(s)}${isMoreOpen ? "+" : ""}`)),
      ),
    );
  }

  draw() {
    this.drawGlance();
    this.drawTargets();
    const { order, next } = this.listed;
    const isMore = Boolean(next);
    const shown = count(order.length, "deployment");
    const text = isMore ? `${shown}${this.filter.q ? ", still searching" : " so far"}` : shown;
    if (this.found.textContent !== text) this.found.textContent = text;
    this.grid.setAttribute("aria-rowcount", isMore ? -1 : order.length + 1);
    const isBare = next !== undefined && order.length === 0 && !isMore;
    this.empty.hidden = !isBare;
    this.grid.hidden = isBare;
    if (isBare) {
      const isFiltered = Object.values(this.filter).some(Boolean);
      show(this.empty, el("p", {}, isFiltered ? "No deployment matches the filter." : "Nothing has been deployed yet."), isFiltered ? null : el("p", {}, el("code", {}, "python -m shared.cli submit examples/medallion.yaml --wait")));
      return;
    }
    this.drawRows();
  }

  /** The range of rows to draw: the visible rows and some on either side. */
  range() {
    const { scrollTop: top, clientHeight } = this.grid;
    const first = Math.max(0, Math.floor(top / ROW) - BEYOND);
    return [first, Math.min(this.listed.order.length, Math.ceil((top + (clientHeight || 600)) / ROW) + BEYOND)];
  }

  drawRows() {
    const { order, positions } = this.listed;
    const [first, last] = this.range();
    Object.assign(this, { first, last });
    const rows = [];
    for (let i = first; i < last; i++) rows.push(i);
    // The focused row stays in the document, because removing it would lose the focus.
    const active = positions.get(this.active);
    if (active !== undefined && (active < first || active >= last)) rows.push(active);
    const stop = active ?? first;
    this.body.style.height = `${order.length * ROW}px`;
    const at = now();
    show(this.body, rows.map((i) => rowOf(order[i], i, i === stop, at)));
  }

  actions = {
    go: (row) => this.go(row.dataset.key),
    only: ({ dataset: { state } }) => this.refilter({ state: this.filter.state === state ? "" : state }),
  };

  go(id) {
    location.hash = addressOf(id);
  }

  pressed(event) {
    const { order, positions } = this.listed;
    const i = positions.get(this.active);
    if (i === undefined) return;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / ROW) - 2);
    const moves = { ArrowDown: i + 1, ArrowUp: i - 1, PageDown: i + page, PageUp: i - page, Home: 0, End: order.length - 1 };
    if (event.key === "Enter") this.go(this.active);
    else if (event.key in moves) this.focusRow(Math.max(0, Math.min(order.length - 1, moves[event.key])));
    else return;
    event.preventDefault();
  }

  focusRow(i) {
    this.active = this.listed.order[i].deployment_id;
    const top = i * ROW;
    const height = this.grid.clientHeight - ROW;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + ROW > this.grid.scrollTop + height) this.grid.scrollTop = top + ROW - height;
    this.scrolled();
    this.body.querySelector(`[data-key="${CSS.escape(this.active)}"]`)?.focus({ preventScroll: true });
  }
}
