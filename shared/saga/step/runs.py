"""Runs, as forward and compensating actions handle them (steps/run_kind.py says what is special about a run).

intent ─ POST ─┬─ 202 with the run ──────────────────────────── submitted ─ look ─ ... ─ succeeded / failed
               └─ no answer ─ look ─┬─ one new run ──────────── submitted ─ ...
                                    ├─ several ─────────────── failed: nothing shows which is ours
                                    └─ none, late call over ─┬─ may run twice ─ POST
                                                             └─ failed: not known whether it began
"""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from shared.domain.errors import FabricAmbiguousError, FabricError
from shared.domain.json import JsonObject
from shared.domain.polling import first_poll_seconds, poll_delay_seconds
from shared.domain.ports import OperationStarted
from shared.domain.records import Intent, RecordedError, StepRecord
from shared.domain.retry import TryAgain, decide_retry, perhaps_late
from shared.domain.states import OnFailure, StepState
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Attempt, Reschedule, Settle
from shared.steps import expected_seconds
from shared.steps.companions import beside
from shared.steps.gathering_kind import GatheringKind
from shared.steps.kind import NotYetError, Snapshot
from shared.steps.parents import unless_gone
from shared.steps.run_kind import RunKind


def is_awaited(step: StepRecord) -> bool:
    """Return True if a step waits for a run that has begun: it can stop waiting at any time."""
    return step.state is StepState.SUBMITTED and step.operation is None and step.resource is not None


def is_freed(d: Delivery) -> bool:
    """Return True if a step runs although its deployment has failed (when: always), and nobody has aborted that."""
    return d.step.freed_at is not None and not d.header.is_abort_requested


def is_given_up(d: Delivery) -> bool:
    """Return True if nobody needs the end of a run any more: another step failed, and both are rolled back."""
    is_kept = OnFailure.HOLD in (d.step.on_failure, d.header.on_failure)
    return (
        is_awaited(d.step)
        and d.header.is_rolling_back
        and d.services.policy.rollback
        and not is_kept
        and not is_freed(d)
    )


def before(d: Delivery, spec: JsonObject) -> JsonObject | None:
    """Return what exists beside a resource before its create, for its intent. Raises FabricError."""
    return d.kind.seen(d.fabric, spec) if isinstance(d.kind, RunKind) else beside(d.fabric, spec)


def accepted(kind: RunKind, spec: JsonObject, started: OperationStarted, operation_kind: str) -> Reschedule:
    """Return the wait for a run that Fabric accepted: Fabric's Retry-After is the time of the first look."""
    usual = first_poll_seconds(expected_seconds(operation_kind), is_one_of_many=False)
    seconds = usual if started.retry_after_seconds is None else started.retry_after_seconds
    resource = kind.accepted(spec, started)
    return Reschedule(seconds, changes={"state": StepState.SUBMITTED, "resource": resource, "error": None})


def note_lost(d: Delivery, error: FabricError) -> None:
    """Stage until when a call without an answer may still take effect, if a second one would not be harmless."""
    is_start = isinstance(d.kind, RunKind) and d.step.resource is None
    is_update = isinstance(d.kind, GatheringKind) and d.step.state is StepState.INTENT
    if isinstance(error, FabricAmbiguousError) and (is_start or is_update):
        d.stage({"late_call_until": d.services.clock.now() + timedelta(seconds=d.services.policy.late_call_seconds)})


def search(d: Delivery, kind: RunKind, spec: JsonObject, intent: Intent) -> Snapshot | Attempt | None:
    """Return the run that a start without an answer began; None if it may be started again; or how the step waits or
    ends. Raises FabricError."""
    found = kind.lost(d.fabric, spec, intent)
    if found is not None:
        return found
    if d.late_call_until is not None and d.now < d.late_call_until:
        seconds = (d.late_call_until - d.now).total_seconds()
        return Reschedule(seconds, "its start got no answer: it may still be shown", {"ambiguous": True})
    if kind.may_repeat(spec) or d.is_resumed:
        return None
    error = RecordedError(
        "the start got no answer and no run of it is shown, so it is not known whether it ran",
        "Look in Fabric's monitoring hub. Submit again, or `resume` if the deployment is held, to run it once more; "
        "set mayRunTwice if a second run does no harm.",
    )
    return Settle(StepState.FAILED, error.message, {"error": error, "ambiguous": True})


def stopped(d: Delivery, outcome: Settle, *, waits: bool = True) -> Attempt:
    """Return how the step ends, after its run in Fabric was stopped.

    A step with another outcome than its run's leaves no run behind, also if nothing is rolled back: a run whose start
    got no answer is looked for, with `waits` until it must be shown. If Fabric cannot stop it now, it is tried again as
    any call; after that, the compensation tries it.
    """
    kind = d.kind_or_none
    if not isinstance(kind, RunKind) or d.step.intent is None:
        return outcome
    spec = d.services.payloads.load(d.step.spec)
    is_lost = d.resource is None and outcome.changes.get("ambiguous", False)
    found: Snapshot | None = None
    try:
        found = unless_gone(partial(_begun, d, kind, spec, d.step.intent, is_lost), d.fabric, spec, d.resource)
        if found is None:
            return (_until_shown(d) if is_lost and waits else None) or outcome
        outcome = replace(outcome, changes={**outcome.changes, "resource": found.resource})
        for call in kind.compensate(spec, d.step.intent, found):
            d.claim({"resource": found.resource}, "stops its run in Fabric")
            d.change(call)
    except FabricError as error:
        if found is not None and kind.ended(spec, found, error) is not None:
            return outcome
        policy = d.services.policy.forward
        decision = decide_retry(perhaps_late(error), d.step.attempt, d.step.deliveries, policy, d.services.jitter())
        if isinstance(decision, TryAgain):
            uncertain = outcome.changes.get("ambiguous", False)
            return Reschedule(decision.seconds, changes={"attempt": d.step.attempt + 1, "ambiguous": uncertain})
        return _noted(outcome, error)
    return outcome


def _begun(d: Delivery, kind: RunKind, spec: JsonObject, intent: Intent, is_lost: bool) -> Snapshot | None:
    """Return the run that a step has begun, or, with `is_lost`, may have begun. Raises FabricError."""
    if d.resource is not None:
        return d.kind.locate(d.fabric, spec, d.resource)
    return kind.lost(d.fabric, spec, intent) if is_lost else None


def _until_shown(d: Delivery) -> Reschedule | None:
    """Return the wait for a run whose start may still take effect; None if nobody needs to wait here: its time is over,
    or a compensation waits for it."""
    is_kept = not d.services.policy.rollback or OnFailure.HOLD in (d.step.on_failure, d.header.on_failure)
    until, now = d.late_call_until, d.services.clock.now()
    if not is_kept or until is None or until <= now:
        return None
    return Reschedule((until - now).total_seconds(), changes={"ambiguous": True})


def _noted(outcome: Settle, error: FabricError) -> Settle:
    """Return the outcome with the reason why the run could not be stopped: it may go on."""
    failed = outcome.changes.get("error")
    assert failed is not None  # noqa: S101 - a step that stops waiting fails
    why = "" if error.detail in failed.message else f": {error.detail}"
    message = f"{failed.message}; its run could not be stopped{why}"
    return replace(outcome, changes={**outcome.changes, "error": replace(failed, message=message), "ambiguous": True})


def check_stopped(d: Delivery, spec: JsonObject, found: Snapshot, calls: int) -> Reschedule | None:
    """Return when to look again at a run that the compensation stopped; None if it has ended. Raises FabricError."""
    if not isinstance(d.kind, RunKind):
        return None
    try:
        d.kind.check_stopped(d.fabric, spec, found.resource)
    except NotYetError as error:
        waited = (d.services.clock.now() - (d.step.compensation_started_at or d.now)).total_seconds()
        return Reschedule(poll_delay_seconds(error.expected_seconds, waited), changes={"calls_done": calls})
    return None
