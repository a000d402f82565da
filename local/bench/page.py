"""Measure how long an operator waits on the page with thousands of deployments: first paint, rows, scrolling."""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false

import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, cast

from playwright.sync_api import Browser, CDPSession, Page

from local import browser
from local.bench.measure import Bench, heading, row, spread
from shared.adapters.storage import journal_lists
from shared.adapters.storage.clients import StorageClients
from shared.domain.records import DeploymentRecord, RecordedError
from shared.domain.states import DeploymentState

DEPLOYMENTS = 5_000
_STATES = (DeploymentState.SUCCEEDED, DeploymentState.SUCCEEDED, DeploymentState.COMPENSATED, DeploymentState.REJECTED)
_SCROLL = """async () => {
  const grid = document.querySelector(".grid"), times = [];
  let last = performance.now();
  for (let i = 0; i < 300; i++) {
    grid.scrollTop = (i / 299) * grid.scrollHeight;
    await new Promise(requestAnimationFrame);
    const at = performance.now();
    times.push(at - last);
    last = at;
  }
  return times;
}"""
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_NOW = "performance.now()"


@dataclass
class _Times:
    """The milliseconds measured in each round; `frames` are those of all rounds together."""

    paints: list[float] = field(default_factory=list[float])
    firsts: list[float] = field(default_factory=list[float])
    wholes: list[float] = field(default_factory=list[float])
    frames: list[float] = field(default_factory=list[float])
    busy: list[float] = field(default_factory=list[float])


def run(bench: Bench, rounds: int) -> None:
    """Measure on the real app. Only the rows that the list reads are written, not whole deployments."""
    _seed(bench)
    times = _Times()
    with browser.launched(browser.ensure_installed()) as chromium:
        for _ in range(rounds):
            page = _opened(bench, chromium)
            _measure(page, times)
            page.context.close()
    _print(times, rounds)


def _measure(page: Page, times: _Times) -> None:
    page.locator(".item").first.wait_for()
    times.firsts.append(page.evaluate(_NOW))
    times.paints.append(page.evaluate(_PAINT))
    began = page.evaluate(_NOW)
    page.locator("#q").fill("build")  # a search reads the list to its end
    page.get_by_text(f"{DEPLOYMENTS:,} deployments", exact=True).wait_for()
    times.wholes.append(page.evaluate(_NOW) - began)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _busy_seconds(session)
    frames: list[float] = page.evaluate(_SCROLL)
    times.busy.append(1000 * (_busy_seconds(session) - before) / len(frames))
    times.frames += frames


def _print(times: _Times, rounds: int) -> None:
    heading(f"the page with {DEPLOYMENTS:,} deployments (median of {rounds}, each with a new browser profile)")
    for label, found in (
        ("first paint", times.paints),
        ("the newest deployments are shown", times.firsts),
        ("a search has read all deployments", times.wholes),
    ):
        row(label, f"{statistics.median(found):.0f} ms", spread(found, "ms", 0))
    high = sorted(times.frames)[int(0.99 * len(times.frames))]
    row("one frame while scrolling through all", f"{statistics.median(times.frames):.1f} ms", f"p99 {high:.1f} ms")
    row("CPU of the page's thread per frame", f"{statistics.median(times.busy):.1f} ms", spread(times.busy, "ms", 1))


def _opened(bench: Bench, chromium: Browser) -> Page:
    page = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(120_000)
    browser.open_dashboard(page, bench.stack.functions_url, bench.stack.function_key)
    return page


def _busy_seconds(session: CDPSession) -> float:
    """Return the CPU seconds of the page's thread so far; other load on this machine does not count."""
    answer = cast("dict[str, list[dict[str, Any]]]", session.send("Performance.getMetrics"))
    return next(float(each["value"]) for each in answer["metrics"] if each["name"] == "TaskDuration")


def _seed(bench: Bench) -> None:
    now = datetime.now(UTC)
    table = StorageClients(bench.stack.connection_string).tables.create_table_if_not_exists(journal_lists.BY_TIME)
    entities = (journal_lists.time_entity(_header(i, now)) for i in range(DEPLOYMENTS))
    for rows in batched(entities, 100, strict=False):
        table.submit_transaction([("create", row) for row in rows])


def _header(i: int, now: datetime) -> DeploymentRecord:
    """Return the header of an ended deployment, which the sweeper ignores."""
    state, accepted = _STATES[i % len(_STATES)], now - timedelta(minutes=i)
    refused = RecordedError("step forecast: The item type CrystalBall is not valid.", "Correct what Fabric refused.")
    return DeploymentRecord(
        deployment_id=f"build-{i:05d}",
        name=f"sales-{i % 40}",
        target=f"contoso-sales-{i % 200}",
        state=state,
        manifest_hash="0" * 64,
        accepted_at=accepted,
        requested_by="release-pipeline",
        step_count=8,
        started_at=accepted + timedelta(seconds=1),
        finished_at=accepted + timedelta(seconds=20 + i % 30),
        orphan_checked_at=now,
        error=None if state is DeploymentState.SUCCEEDED else refused,
    )
