// The deployments: filtered, loaded page by page as they are scrolled to, and drawn only where they are seen.

import { get, now } from "./api.js";
import { el, say, show } from "./dom.js";
import { ago, count, duration, instant, name, visible } from "./format.js";
import { DEPLOYMENT_STATES, deploymentBadge, isOpen } from "./states.js";

const FIRST_PAGE = 50;
const FURTHER_PAGE = 200;
const ROW = 46;
const BEYOND = 8;
const QUICK = 2000;
const SLOW = 10_000;
const MOST_LOST = 10;

export class ListView {
  section = "";
  title = "Deployments";

  constructor(parameters) {
    this.filter = {
      q: parameters.get("q") ?? "",
      state: DEPLOYMENT_STATES.includes(parameters.get("state")) ? parameters.get("state") : "",
      target: parameters.get("target") ?? "",
      open: parameters.get("open") === "true",
    };
    this.byId = new Map();
    this.order = [];
    this.next = undefined;
    this.active = null;
    this.targets = new Set();
    this.loading = null;
  }

  mount(main, { refresh, failed }) {
    this.ask = refresh;
    this.failed = failed;
    const { q, state, open } = this.filter;
    const states = [["", "All states"], ...DEPLOYMENT_STATES.map((s) => [s, s])];
    this.search = el("input", { id: "q", type: "search", placeholder: "Name, id, target, requester", value: q, spellcheck: "false" });
    this.state = el("select", { id: "state" }, states.map(([value, text]) => el("option", { value, selected: value === state }, text)));
    this.target = el("select", { id: "target" });
    this.open = el("input", { id: "open", type: "checkbox", checked: open });
    this.found = el("span", { class: "muted grow end", id: "found" });
    this.body = el("div", { class: "rows", role: "presentation" });
    this.grid = el(
      "div",
      { class: "grid", role: "grid", "aria-label": "Deployments, newest first", "aria-colcount": 6 },
      el("div", { class: "row head", role: "row", "aria-rowindex": 1 }, ["State", "Deployment", "Target", "Requested by", "Accepted", "Took"].map((t) => el("span", { role: "columnheader" }, t))),
      this.body,
    );
    this.empty = el("div", { class: "empty", hidden: true });
    main.append(
      el("h1", { class: "unseen" }, "Deployments"),
      el(
        "div",
        { class: "filters", role: "search", "aria-label": "Filter" },
        el("label", { class: "unseen", for: "q" }, "Search"),
        this.search,
        el("label", { class: "unseen", for: "state" }, "State"),
        this.state,
        el("label", { class: "unseen", for: "target" }, "Target"),
        this.target,
        el("label", { class: "check" }, this.open, " Open only"),
        this.found,
      ),
      this.grid,
      this.empty,
    );
    this.drawTargets();
    this.search.addEventListener("input", () => this.refilter({ q: this.search.value.trim() }));
    this.state.addEventListener("change", () => this.refilter({ state: this.state.value }));
    this.target.addEventListener("change", () => this.refilter({ target: this.target.value }));
    this.open.addEventListener("change", () => this.refilter({ open: this.open.checked }));
    this.grid.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.pressed(event));
    this.grid.addEventListener("focusin", (event) => {
      this.active = event.target.dataset.key ?? this.active;
    });
    this.resize = new ResizeObserver(() => this.scrolled());
    this.resize.observe(this.grid);
  }

  stop() {
    this.isOver = true;
    this.resize?.disconnect();
  }

  get address() {
    const set = Object.entries(this.filter).filter(([, value]) => value);
    return set.length ? `#/?${new URLSearchParams(set)}` : "#/";
  }

  /** Whether that address is this view as it stands. */
  takes(hash) {
    return (hash || "#/") === this.address;
  }

  refilter(change) {
    const isServers = !("q" in change);
    Object.assign(this.filter, change);
    history.replaceState(null, "", this.address);
    this.grid.scrollTop = 0;
    this.active = null;
    if (!isServers) {
      this.reorder();
      this.draw();
      if (this.filter.q) this.loadAll();
      return;
    }
    this.byId.clear();
    this.order = [];
    this.next = undefined;
    this.ask();
  }

  /** The first page, what is open beyond it, and the state of what was open a moment ago. */
  async refresh() {
    const page = (await this.fetchPage(FIRST_PAGE, null)).items;
    if (this.isOver) return SLOW;
    if (this.filter.q) this.loadAll();
    const seen = new Set(page.map((item) => item.deployment_id));
    const beyond = [...this.byId.values()].filter((item) => isOpen(item) && !seen.has(item.deployment_id));
    if (beyond.length) await this.refreshOpen(beyond, seen);
    this.reorder();
    return this.order.some(isOpen) || page.length === 0 ? QUICK : SLOW;
  }

  async refreshOpen(beyond, seen) {
    const { body } = await get(`deployments?open=true&limit=${FURTHER_PAGE}`);
    this.take(body.items.filter((item) => this.byId.has(item.deployment_id)));
    for (const item of body.items) seen.add(item.deployment_id);
    if (body.next) return;
    for (const item of beyond.filter((b) => !seen.has(b.deployment_id)).slice(0, MOST_LOST)) {
      try {
        const { steps: _, allowed: __, ...header } = (await get(`deployments/${encodeURIComponent(item.deployment_id)}`)).body;
        this.take([header]);
      } catch (error) {
        if (error.status !== 404) throw error;
        this.byId.delete(item.deployment_id);
      }
    }
  }

  async fetchPage(limit, cursor) {
    const { state, target, open } = this.filter;
    const query = new URLSearchParams({ limit });
    if (state) query.set("state", state);
    if (target) query.set("target", target);
    if (open) query.set("open", "true");
    if (cursor) query.set("cursor", cursor);
    const asked = query.toString();
    const { body } = await get(`deployments?${asked}`);
    const isStill = !this.isOver && state === this.filter.state && target === this.filter.target && open === this.filter.open;
    if (!isStill) return { items: [], next: null };
    this.take(body.items);
    // A first page that is read again must not turn back how far the list was read already.
    if (cursor || this.next === undefined) this.next = body.next ?? null;
    return body;
  }

  take(items) {
    for (const item of items) {
      const before = this.byId.get(item.deployment_id);
      if (before && before.state !== item.state) say(`${visible(item.name || item.deployment_id)} is ${item.state}`);
      // Readers differ in age: a page may have been on its way when a newer one came.
      if (!before || (item.sequence ?? 0) >= (before.sequence ?? 0)) this.byId.set(item.deployment_id, item);
      this.targets.add(item.target);
    }
  }

  reorder() {
    const { q, state, open } = this.filter;
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (item) => {
      if (state && item.state !== state) return false;
      if (open && !isOpen(item)) return false;
      if (!words.length) return true;
      const text = `${item.name} ${item.deployment_id} ${item.target} ${item.requested_by} ${item.state}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    this.order = [...this.byId.values()].filter(fits).sort((a, b) => (a.accepted_at < b.accepted_at ? 1 : a.accepted_at > b.accepted_at ? -1 : 0));
    this.positions = new Map(this.order.map((item, i) => [item.deployment_id, i]));
    this.drawTargets();
  }

  drawTargets() {
    const names = [...new Set([...this.targets, this.filter.target].filter(Boolean))].sort().slice(0, 500);
    show(
      this.target,
      el("option", { value: "", "data-key": "" }, "All targets"),
      names.map((t) => el("option", { value: t, "data-key": t, selected: t === this.filter.target }, visible(t).slice(0, 80))),
    );
  }

  async loadMore() {
    if (!this.next || this.loading || this.isOver) return this.loading;
    this.loading = this.fetchPage(FURTHER_PAGE, this.next)
      .then(() => this.reorder())
      .finally(() => (this.loading = null));
    return this.loading;
  }

  /** A search must not miss what was not scrolled to. */
  async loadAll() {
    try {
      while (this.next && this.filter.q && !this.isOver) {
        await this.loadMore();
        this.draw();
      }
    } catch (error) {
      this.failed(error);
    }
  }

  scrolled() {
    this.drawRows();
    const left = this.grid.scrollHeight - this.grid.scrollTop - this.grid.clientHeight;
    if (left > 20 * ROW || !this.next || this.loading) return;
    this.loadMore()?.then(() => this.draw(), (error) => this.failed(error));
  }

  draw() {
    const isMore = Boolean(this.next);
    const shown = count(this.order.length, "deployment");
    const text = isMore ? `${shown}${this.filter.q ? ", searching on" : " so far"}` : shown;
    if (this.found.textContent !== text) this.found.textContent = text;
    this.grid.setAttribute("aria-rowcount", isMore ? -1 : this.order.length + 1);
    const isBare = this.next !== undefined && this.order.length === 0 && !isMore;
    this.empty.hidden = !isBare;
    this.grid.hidden = isBare;
    if (isBare) {
      const isFiltered = Object.values(this.filter).some(Boolean);
      show(this.empty, el("p", {}, isFiltered ? "No deployment fits the filter." : "Nothing has been deployed yet."), isFiltered ? null : el("p", {}, el("code", {}, "python -m shared.cli submit examples/medallion.yaml --wait")));
      return;
    }
    this.drawRows();
  }

  drawRows() {
    const height = this.grid.clientHeight || 600;
    const first = Math.max(0, Math.floor(this.grid.scrollTop / ROW) - BEYOND);
    const last = Math.min(this.order.length, Math.ceil((this.grid.scrollTop + height) / ROW) + BEYOND);
    const rows = [];
    for (let i = first; i < last; i++) rows.push(i);
    // The row that has the focus stays, wherever it is: removed, it would take the focus with it.
    const active = this.positions?.get(this.active);
    if (active !== undefined && (active < first || active >= last)) rows.push(active);
    const stop = active ?? first;
    this.body.style.height = `${this.order.length * ROW}px`;
    show(this.body, rows.map((i) => this.row(this.order[i], i, i === stop)));
  }

  row(item, i, isStop) {
    const at = now();
    const started = instant(item.accepted_at);
    const ended = isOpen(item) ? null : (instant(item.finished_at) ?? started);
    const took = started === null ? "–" : duration((ended ?? at) - started).replace(/\.\d+ s$/, ended === null ? " s" : "$&");
    const node = el(
      "div",
      { class: `row item${isOpen(item) ? " open" : ""}`, role: "row", tabindex: isStop ? 0 : -1, "data-key": item.deployment_id, "data-action": "go", "aria-rowindex": i + 2 },
      el("span", { role: "gridcell" }, deploymentBadge(item.state)),
      el("span", { role: "gridcell", class: "two" }, name(item.name || item.deployment_id, { class: "name strong" }), el("span", { class: "under mono" }, name(item.deployment_id))),
      el("span", { role: "gridcell" }, name(item.target)),
      el("span", { role: "gridcell" }, name(item.requested_by)),
      el("span", { role: "gridcell", class: "number" }, ago(item.accepted_at, at)),
      el("span", { role: "gridcell", class: "number" }, took, ended === null ? el("span", { class: "muted" }, " so far") : null),
    );
    node.style.transform = `translateY(${i * ROW}px)`;
    return node;
  }

  actions = { go: (row) => this.go(row.dataset.key) };

  go(id) {
    location.hash = `#/deployments/${encodeURIComponent(id)}`;
  }

  pressed(event) {
    const i = this.positions?.get(this.active);
    if (i === undefined) return;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / ROW) - 2);
    const moves = { ArrowDown: i + 1, ArrowUp: i - 1, PageDown: i + page, PageUp: i - page, Home: 0, End: this.order.length - 1 };
    if (event.key === "Enter") this.go(this.active);
    else if (event.key in moves) this.focusRow(Math.max(0, Math.min(this.order.length - 1, moves[event.key])));
    else return;
    event.preventDefault();
  }

  focusRow(i) {
    this.active = this.order[i].deployment_id;
    const top = i * ROW;
    const height = this.grid.clientHeight - ROW;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + ROW > this.grid.scrollTop + height) this.grid.scrollTop = top + ROW - height;
    this.scrolled();
    this.body.querySelector(`[data-key="${CSS.escape(this.active)}"]`)?.focus({ preventScroll: true });
  }
}
