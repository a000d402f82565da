"""Health for monitors, in the format of the draft "Health Check Response Format for HTTP APIs".

One round runs all checks in parallel, each within its budget, and answers all requests while it is fresh; a request
during a round waits for that round. This module decides between `fail` and `warn`; docs/health.md explains the rules.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.domain.json import JsonObject
from shared.domain.ports import Telemetry
from shared.domain.telemetry import Event

log = logging.getLogger(__name__)

BUDGET_SECONDS = 5.0
"""The time limit of one check; a slower check counts as failed."""
ESSENTIAL = frozenset({"storage", "fabric_identity", "fabric_endpoint"})
"""Without these no deployment can end: if one of these checks fails, the app fails. Every other failed check warns."""
OFF: JsonObject = {"status": "pass", "notes": ["health checks are off (FEATURE_USE_HEALTH_CHECKS): no check ran"]}


class Status(StrEnum):
    """The statuses of the draft."""

    PASS = "pass"  # noqa: S105 - the draft's word, not a password
    WARN = "warn"
    FAIL = "fail"


_WORSE = (Status.PASS, Status.WARN, Status.FAIL)


@dataclass(frozen=True)
class Finding:
    """One measurement of a check: `measurement` is its name, `component` the measured part if there are several.
    `output` tells operators what is wrong; it contains no secret."""

    status: Status = Status.PASS
    measurement: str = ""
    component: str = ""
    observed: str | int | float | bool | None = None
    unit: str = ""
    output: str = ""

    def to_json(self, at: datetime) -> JsonObject:
        """Return the finding in the draft's format, without empty fields."""
        shown: JsonObject = {
            "componentId": self.component,
            "status": self.status.value,
            "observedValue": self.observed,
            "observedUnit": self.unit,
            "time": at.isoformat(),
            "output": self.output,
        }
        return {k: v for k, v in shown.items() if v not in ("", None)}


type Check = Callable[[], object]
"""Returns one or several findings, or anything else if it passes; raises if it fails."""


@dataclass(frozen=True)
class Report:
    """The findings of one round."""

    at: datetime
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=lambda: dict[str, tuple[Finding, ...]]())

    @property
    def status(self) -> Status:
        """Return the worst status of all findings."""
        return worst(f.status for found in self.findings.values() for f in found)

    def coarse(self) -> JsonObject:
        """Return the report without key: a status for the app and for each check, without texts, numbers, addresses."""
        words = {name: worst(f.status for f in found) for name, found in self.findings.items()}
        checks = {name: [{"status": word.value}] for name, word in words.items()}
        return {"status": self.status.value, "checks": checks}

    def details(self) -> JsonObject:
        """Return the report for operators and their monitors."""
        checks: dict[str, list[JsonObject]] = {}
        for name, found in self.findings.items():
            for each in found:
                key = f"{name}:{each.measurement}" if each.measurement else name
                checks.setdefault(key, []).append(each.to_json(self.at))
        return {"status": self.status.value, "checks": checks}


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst status; `pass` for an empty list."""
    return max(statuses, key=_WORSE.index, default=Status.PASS)


class Monitor:
    """Runs the rounds of a process. Thread-safe.

    A check that hangs is reported in every round and is started again only after it ends, so each check has at most one
    thread.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        cache_seconds: float,
        now: Callable[[], datetime],
        telemetry: Telemetry,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._cache_seconds = cache_seconds
        self._now, self._ticks, self._telemetry = now, ticks, telemetry
        self._lock = threading.Lock()
        self._round: Future[Report] | None = None
        self._last: tuple[float, Report] | None = None
        self._known = Status.PASS
        self._running: dict[str, Future[tuple[Finding, ...]]] = {}

    def report(self) -> Report:
        """Return the last round if it is fresh, else a new round or the running one. A failed check raises nothing."""
        with self._lock:
            if self._last is not None and self._ticks() - self._last[0] < self._cache_seconds:
                return self._last[1]
            going_on, leads = self._round, self._round is None
            if going_on is None:
                going_on = self._round = Future[Report]()
        if not leads:
            return going_on.result()
        try:
            report = self._new_round()
        except BaseException as error:
            with self._lock:
                self._round = None
            going_on.set_exception(error)
            raise
        with self._lock:
            self._last, self._round = (self._ticks(), report), None
        going_on.set_result(report)
        self._emit_change(report)
        return report

    def _new_round(self) -> Report:
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = _started(name, check)
        futures = dict(self._running)
        wait(futures.values(), timeout=BUDGET_SECONDS)
        findings = {name: self._result(name, future) for name, future in futures.items()}
        return Report(self._now(), findings)

    def _result(self, name: str, future: "Future[tuple[Finding, ...]]") -> tuple[Finding, ...]:
        if not future.done():
            log.warning("health check %s did not end within %g s", name, BUDGET_SECONDS)
            return (Finding(_failed(name), output=f"no answer within {BUDGET_SECONDS:g} s"),)
        del self._running[name]
        try:
            return future.result()
        except Exception as error:
            log.warning("health check %s failed: %s", name, error)
            return (Finding(_failed(name), output=f"{type(error).__name__}: {error}"[:500]),)

    def _emit_change(self, report: Report) -> None:
        """Emit a change since the last round; a new process counts as healthy before its first round."""
        before, self._known = self._known, report.status
        if before is report.status:
            return
        failing = [name for name, found in report.findings.items() if worst(f.status for f in found) is not Status.PASS]
        log.warning(
            "health is %s, it was %s: %s", report.status.value, before.value, ", ".join(failing) or "all checks pass"
        )
        facts = {"before": before.value, "after": report.status.value, "checks": ",".join(failing)}
        self._telemetry.event(Event.HEALTH_CHANGED, facts)


def _failed(name: str) -> Status:
    return Status.FAIL if name in ESSENTIAL else Status.WARN


def _started(name: str, check: Check) -> "Future[tuple[Finding, ...]]":
    """Run it on a daemon thread, which does not keep the process from ending."""
    future = Future[tuple[Finding, ...]]()

    def run() -> None:
        began = time.monotonic()
        try:
            found = _findings(check())
        except BaseException as error:
            future.set_exception(error)
            return
        seconds = round(time.monotonic() - began, 3)
        future.set_result(found or (Finding(measurement="responseTime", observed=seconds, unit="s"),))

    threading.Thread(target=run, name=f"health-{name}", daemon=True).start()
    return future


def _findings(answer: object) -> tuple[Finding, ...]:
    if isinstance(answer, Finding):
        return (answer,)
    if isinstance(answer, list | tuple):
        return tuple(each for each in answer if isinstance(each, Finding))  # pyright: ignore[reportUnknownVariableType]
    return ()
