"""A journal that emits telemetry for what it writes.

Every move of a deployment or step is one conditional write. An event that is emitted here, after the write succeeded,
is emitted once, by the worker that made the move, and nothing can move without it.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime

from shared import tracing
from shared.domain import trace
from shared.domain.approval import waits_for_person
from shared.domain.messages import Direction
from shared.domain.ports import Change, Journal, Telemetry, Versioned
from shared.domain.records import DeploymentRecord, RecordedError, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, StepState
from shared.domain.telemetry import Event, Metric
from shared.domain.trace import TraceContext

log = logging.getLogger(__name__)

_MAX_KNOWN = 1000
"""Deployments whose spans are cached."""


@contextmanager
def _ignoring_failures() -> Generator[None]:
    """Log and swallow an error of the telemetry: the write succeeded, and callers must not repeat it."""
    try:
        yield
    except Exception:  # no error of the telemetry may fail the deployment
        log.warning("a move was written, but its telemetry failed", exc_info=True)


class ObservedJournal:
    """Implements the port `Journal` around another journal; methods that move nothing are that journal's own."""

    def __init__(self, journal: Journal, telemetry: Telemetry, now: Callable[[], datetime]) -> None:
        self._journal, self._telemetry, self._now = journal, telemetry, now
        self._spans: dict[str, TraceContext] = {}
        self.steps = journal.steps
        self.deployments = journal.deployments
        self.page = journal.page
        self.due = journal.due
        self.note = journal.note
        self.audit = journal.audit
        self.note_head = journal.note_head
        self.sequences = journal.sequences
        self.corrupt_rows = journal.corrupt_rows
        self.purge = journal.purge

    def create(self, header: DeploymentRecord, steps: Sequence[StepRecord], reason: str) -> DeploymentRecord:
        stored = self._journal.create(header, steps, reason)
        tracing.set_parent(self._span(stored))
        if stored == header:
            with _ignoring_failures():
                self._created(header)
        return stored

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        found = self._journal.header(deployment_id)
        tracing.set_parent(self._span(found.record))
        return found

    def step(self, deployment_id: str, ordinal: int) -> tuple[Versioned[DeploymentRecord], Versioned[StepRecord]]:
        header, step = self._journal.step(deployment_id, ordinal)
        direction = Direction.FORWARD if header.record.state is DeploymentState.RUNNING else Direction.BACKWARD
        tracing.set_parent(trace.of_step(self._span(header.record), ordinal, direction))
        return header, step

    def write_step(self, change: Change[StepRecord]) -> Versioned[StepRecord]:
        written = self._journal.write_step(change)
        with _ignoring_failures():
            self._moved(change.before.record, written.record)
        return written

    def write_steps(self, changes: Sequence[Change[StepRecord]]) -> None:
        self._journal.write_steps(changes)
        with _ignoring_failures():
            for change in changes:
                self._moved(change.before.record, change.after)

    def write_header(self, change: Change[DeploymentRecord]) -> Versioned[DeploymentRecord]:
        written = self._journal.write_header(change)
        before, after = change.before.record, written.record
        if before.state is not after.state or before.may_compensate is not after.may_compensate:
            with _ignoring_failures(), tracing.use_span(self._span(after)):
                self._header_moved(before, after, change.reason)
        return written

    def append(self, change: Change[DeploymentRecord], step: StepRecord) -> Versioned[DeploymentRecord]:
        written = self._journal.append(change, step)
        with _ignoring_failures():
            self._moved(step.replace(state=StepState.PENDING, started_at=None), step)
        return written

    def _span(self, header: DeploymentRecord) -> TraceContext:
        found = self._spans.get(header.deployment_id)
        if found is None:
            found = trace.of_deployment(header.deployment_id, header.accepted_at, header.traceparent)
            if len(self._spans) >= _MAX_KNOWN:
                self._spans.clear()
            self._spans[header.deployment_id] = found
        return found

    def _span_of_step(self, step: StepRecord, direction: Direction) -> TraceContext:
        known = self._spans.get(step.deployment_id) or self._span(self._journal.header(step.deployment_id).record)
        return trace.of_step(known, step.ordinal, direction)

    def _created(self, header: DeploymentRecord) -> None:
        about = _properties(header)
        with tracing.use_span(self._span(header)):
            if header.state is DeploymentState.REJECTED:
                self._telemetry.event(Event.DEPLOYMENT_REJECTED, {**about, "problems": len(header.problems)})
            else:
                self._telemetry.event(Event.DEPLOYMENT_ACCEPTED, {**about, "steps": header.step_count})

    def _header_moved(self, before: DeploymentRecord, after: DeploymentRecord, reason: str) -> None:
        emit, about, steps = self._telemetry.event, _properties(after), {"steps": after.step_count}
        if before.state is DeploymentState.ACCEPTED and after.state is DeploymentState.RUNNING:
            waited = _seconds(after.accepted_at, after.started_at)
            emit(Event.DEPLOYMENT_STARTED, {**about, **steps, "waited_seconds": waited})
        if after.state is DeploymentState.HELD:
            emit(Event.DEPLOYMENT_HELD, {**about, **steps})
        if after.may_compensate and not before.may_compensate:
            emit(Event.ROLLBACK_STARTED, {**about, "reason": reason})
        elif before.may_compensate and not after.may_compensate:
            emit(Event.ROLLBACK_FINISHED, {**about, "state": after.state.value})
        if after.state is DeploymentState.REJECTED:
            emit(Event.DEPLOYMENT_REJECTED, {**about, "problems": 1})
        elif after.state in DEPLOYMENT_ENDED:
            self._ended(after, {**about, **steps, "state": after.state.value})

    def _ended(self, header: DeploymentRecord, about: dict[str, str | int]) -> None:
        seconds = _seconds(header.accepted_at, header.finished_at)
        self._telemetry.event(Event.DEPLOYMENT_FINISHED, {**about, "seconds": seconds})
        if seconds is not None:
            self._telemetry.metric(Metric.DEPLOYMENT_SECONDS, seconds, {"state": header.state.value})
            self._telemetry.dependency(
                "deployment",
                target="",
                seconds=seconds,
                success=header.state is DeploymentState.SUCCEEDED,
                properties=about,
                context=self._span(header),
            )

    def _moved(self, before: StepRecord, after: StepRecord) -> None:
        """Emit what is new in a step that was written."""
        direction = _direction(after)
        span = self._span_of_step(after, direction)
        about = _about_step(after)
        with tracing.use_span(span):
            if before.started_at is None and after.started_at is not None:
                self._telemetry.event(Event.STEP_STARTED, about)
            if waits_for_person(after) and not waits_for_person(before):
                self._telemetry.event(Event.APPROVAL_WAITING, about)
            if after.attempt > before.attempt:
                self._retried(after, direction)
            if before.state is not after.state and after.state in _SETTLED:
                self._settled(after, span)

    def _retried(self, step: StepRecord, direction: Direction) -> None:
        error = step.error if direction is Direction.FORWARD else step.compensation_error
        about = {**_about_step(step), **_error(error), "direction": direction.value, "attempt": step.attempt}
        if step.wait_until is not None:
            about["wait_seconds"] = _seconds(self._now(), step.wait_until)
        self._telemetry.event(Event.RETRY, about)

    def _settled(self, step: StepRecord, span: TraceContext) -> None:
        event, metric = _SETTLED[step.state]
        compensated = metric == Metric.COMPENSATION_SECONDS
        began = step.compensation_started_at if compensated else step.started_at
        ended = step.compensation_finished_at if compensated else step.finished_at
        seconds = _seconds(began, ended)
        facts: dict[str, str | int | float | bool | None] = {
            **_about_step(step),
            "attempts": step.attempt + 1,
            "deliveries": step.deliveries,
            "seconds": seconds,
        }
        if step.state is StepState.SUCCEEDED:
            facts["action"] = step.intent.action if step.intent else None
        elif step.state in (StepState.FAILED, StepState.COMPENSATION_FAILED):
            facts |= _error(step.compensation_error if compensated else step.error)
        self._telemetry.event(event, facts)
        if seconds is None:
            return
        success = step.state in (StepState.SUCCEEDED, StepState.COMPENSATED)
        self._telemetry.metric(metric, seconds, {"kind": step.kind, "state": step.state.value})
        name = f"compensate {step.kind}" if compensated else f"apply {step.kind}"
        about = _about_step(step)
        self._telemetry.dependency(name, target="", seconds=seconds, success=success, properties=about, context=span)


_SETTLED = {
    StepState.SUCCEEDED: (Event.STEP_FINISHED, Metric.STEP_SECONDS),
    StepState.FAILED: (Event.STEP_FAILED, Metric.STEP_SECONDS),
    StepState.COMPENSATED: (Event.STEP_COMPENSATED, Metric.COMPENSATION_SECONDS),
    StepState.COMPENSATION_FAILED: (Event.COMPENSATION_FAILED, Metric.COMPENSATION_SECONDS),
}


def _properties(header: DeploymentRecord) -> dict[str, str | int]:
    return {"deployment_id": header.deployment_id, "name": header.name, "target": header.target}


def _about_step(step: StepRecord) -> dict[str, str | int | float | bool | None]:
    return {"deployment_id": step.deployment_id, "step_id": step.step_id, "kind": step.kind}


def _error(error: RecordedError | None) -> dict[str, str | int | None]:
    if error is None:
        return {}
    return {
        "status": error.status,
        "error_code": error.error_code,
        "request_id": error.request_id,
        "message": error.message,
    }


_FORWARD = (StepState.PENDING, StepState.INTENT, StepState.SUBMITTED, StepState.SUCCEEDED, StepState.FAILED)


def _direction(step: StepRecord) -> Direction:
    return Direction.FORWARD if step.state in _FORWARD else Direction.BACKWARD


def _seconds(began: datetime | None, ended: datetime | None) -> float | None:
    return None if began is None or ended is None else round((ended - began).total_seconds(), 3)
