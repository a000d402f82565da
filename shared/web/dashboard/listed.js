// The deployments that were read so far: page by page, refreshed, filtered and sorted. It draws nothing.

import { get } from "./api.js";
import { say } from "./dom.js";
import { visible } from "./format.js";
import { causeOf, labelsOf } from "./rows.js";
import { isOpen } from "./states.js";

const FIRST_PAGE = 50;
const FURTHER_PAGE = 200;
const OPEN_PERIOD = 10_000;
const MAX_LOST = 10;

/** `order` has the deployments that match the filter, newest first; `positions` their indexes; `open` all open ones,
 * independent of the filter; `next` is the cursor of the next page, null at the end, undefined before the first. */
export class Listed {
  order = [];
  positions = new Map();
  targets = new Set();
  open = new Map();
  openAt = null;
  isOver = false;
  #byId = new Map();
  #loading = null;

  /** After a change of the filter call `clear`, or `reorder` if only `q` changed. */
  constructor(filter) {
    this.filter = filter;
  }

  /** Forget all deployments, because the filter changed. */
  clear() {
    this.#byId.clear();
    this.order = [];
    this.next = undefined;
  }

  get isLoading() {
    return this.#loading !== null;
  }

  /** Read the first page, all open deployments, and the state of those that were open before. */
  async refresh() {
    const page = (await this.#fetchPage(FIRST_PAGE, null)).items;
    if (this.isOver) return;
    const seen = new Set(page.map((item) => item.deployment_id));
    const beyond = [...this.#byId.values()].filter((item) => isOpen(item) && !seen.has(item.deployment_id));
    if (beyond.length || this.openAt === null || performance.now() - this.openAt > OPEN_PERIOD) await this.#refreshOpen(beyond, seen);
    this.reorder();
  }

  /** Read the next page, unless it is being read or there is none. */
  async loadMore() {
    if (!this.next || this.isOver) return;
    this.#loading ??= this.#fetchPage(FURTHER_PAGE, this.next)
      .then(() => this.reorder())
      .finally(() => (this.#loading = null));
    await this.#loading;
  }

  /** Filter and sort again. */
  reorder() {
    const { q, state, open } = this.filter;
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (item) => {
      if (state && item.state !== state) return false;
      if (open && !isOpen(item)) return false;
      if (!words.length) return true;
      const text = `${item.name} ${item.deployment_id} ${item.target} ${item.requested_by} ${labelsOf(item).join(" ")} ${item.state} ${causeOf(item)}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    this.order = [...this.#byId.values()].filter(fits).sort((a, b) => (a.accepted_at < b.accepted_at ? 1 : a.accepted_at > b.accepted_at ? -1 : 0));
    this.positions = new Map(this.order.map((item, i) => [item.deployment_id, i]));
  }

  async #refreshOpen(beyond, seen) {
    const { body } = await get(`deployments?open=true&limit=${FURTHER_PAGE}`);
    this.openAt = performance.now();
    this.open = new Map(body.items.map((item) => [item.deployment_id, item]));
    this.isMoreOpen = Boolean(body.next);
    this.#take(body.items.filter((item) => this.#byId.has(item.deployment_id)));
    for (const item of body.items) seen.add(item.deployment_id);
    if (body.next) return;
    for (const item of beyond.filter((b) => !seen.has(b.deployment_id)).slice(0, MAX_LOST)) {
      try {
        const { steps: _, allowed: __, ...header } = (await get(`deployments/${encodeURIComponent(item.deployment_id)}`)).body;
        this.#take([header]);
      } catch (error) {
        if (error.status !== 404) throw error;
        this.#byId.delete(item.deployment_id);
      }
    }
  }

  async #fetchPage(limit, cursor) {
    const { state, target, label, open } = this.filter;
    const query = new URLSearchParams({ limit });
    if (state) query.set("state", state);
    if (target) query.set("target", target);
    if (label) query.set("label", label);
    if (open) query.set("open", "true");
    if (cursor) query.set("cursor", cursor);
    const { body } = await get(`deployments?${query}`);
    const isStill = !this.isOver && state === this.filter.state && target === this.filter.target && label === this.filter.label && open === this.filter.open;
    if (!isStill) return { items: [], next: null };
    this.#take(body.items);
    // Reading the first page again must not reset the position of the list.
    if (cursor || this.next === undefined) this.next = body.next ?? null;
    return body;
  }

  #take(items) {
    for (const item of items) {
      const before = this.#byId.get(item.deployment_id);
      if (before && before.state !== item.state) say(`${visible(item.name || item.deployment_id)} is ${item.state}`);
      // Responses can arrive out of order: this one may be older than the one before.
      if (before && (item.sequence ?? 0) < (before.sequence ?? 0)) continue;
      this.#byId.set(item.deployment_id, item);
      this.targets.add(item.target);
      if (isOpen(item)) this.open.set(item.deployment_id, item);
      else this.open.delete(item.deployment_id);
    }
  }
}
