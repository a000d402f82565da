"""Bugs planted on purpose: each removes one mechanism of the laws, and the schedules must find it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from shared.domain.errors import ConflictError
from shared.domain.messages import STEP_EVENT, Direction
from shared.domain.ports import Versioned
from shared.domain.records import Intent
from shared.domain.states import IntentAction, StepState
from shared.saga.command import resume
from shared.saga.orchestration.progress import Progress
from shared.saga.step import backward, forward, specs, verification
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Reschedule, Settle
from shared.steps import companions, eventhouse, parents
from tests.simulation.world import World

Bug = Callable[[], Any]


@contextmanager
def compensation_registered_after_the_call() -> Generator[None]:
    """Claim the step before a create, but write the intent only after Fabric has answered."""
    claim, persist = Delivery.claim, Delivery.persist

    def forgetful(self: Any, changes: Any, reason: str = "") -> None:
        intent = changes.get("intent")
        if intent is not None and intent.action is IntentAction.CREATE:
            self.unwritten = intent
            changes = {k: v for k, v in changes.items() if k not in ("intent", "state")}
        claim(self, changes, reason)

    def late(self: Any, outcome: Any) -> Any:
        is_submitted = isinstance(outcome, Reschedule) and outcome.changes.get("state") is StepState.SUBMITTED
        if is_submitted and self.step.state is StepState.PENDING:
            self.write({"state": StepState.INTENT, "intent": self.unwritten})
        return persist(self, outcome)

    with patch.object(Delivery, "claim", forgetful), patch.object(Delivery, "persist", late):
        yield


@contextmanager
def unconditional_finish() -> Generator[None]:
    """Settle a step without checking that its row has not changed since it was read."""
    original = Delivery.persist

    def persist(self: Any, outcome: Any) -> Any:
        if isinstance(outcome, Settle):
            _, row = self.services.journal.step(self.step.deployment_id, self.step.ordinal)
            self._row = Versioned(self._row.record, row.etag)
        return original(self, outcome)

    with patch.object(Delivery, "persist", persist):
        yield


@contextmanager
def adopted_treated_as_created() -> Generator[None]:
    """Journal an adopted resource as created by this deployment."""

    def intent(action: IntentAction, *rest: Any, **named: Any) -> Intent:
        return Intent(IntentAction.CREATE if action is IntentAction.ADOPT else action, *rest, **named)

    with patch.object(forward, "Intent", intent):
        yield


@contextmanager
def event_before_the_journal() -> Generator[None]:
    """Send the orchestration the event of a success before the journal has it."""
    original = Delivery.persist
    worlds: list[World] = []
    build = World.__init__

    def remember(self: World, *args: Any, **kwargs: Any) -> None:
        worlds[:] = [self]
        build(self, *args, **kwargs)

    def persist(self: Any, outcome: Any) -> Any:
        if isinstance(outcome, Settle):
            payload = {"ordinal": self.step.ordinal, "state": outcome.state.value}
            worlds[0].raise_event(self.step.deployment_id, STEP_EVENT, payload)
        return original(self, outcome)

    with patch.object(World, "__init__", remember), patch.object(Delivery, "persist", persist):
        yield


@contextmanager
def claim_without_lease() -> Generator[None]:
    """Let a claim never expire, so that a step which a dead process held is lost."""
    original = Delivery.write

    def write(self: Any, changes: Any, reason: str = "") -> None:
        claim = changes.get("claim")
        if claim is not None:
            changes = {**changes, "claim": replace(claim, expires_at=claim.expires_at + timedelta(days=36500))}
        original(self, changes, reason)

    with patch.object(Delivery, "write", write):
        yield


@contextmanager
def post_repeated_without_a_look() -> Generator[None]:
    """After a lost answer, send the create again without a look, and take the conflict that follows for a refusal."""

    def resume(d: Any) -> Any:
        spec, intent = specs.read(d), specs.intent_of(d)
        if d.step.resource is not None and intent.action is not IntentAction.UPDATE:
            return verification.verify(d, spec, d.step.resource, intent)
        d.claim({"state": StepState.INTENT, "ambiguous": True})
        return forward._act(d, spec, intent)

    def conflicted(d: Any, spec: Any, intent: Any, error: Any) -> Any:
        raise error

    with patch.object(forward, "_resume", resume), patch.object(forward, "_conflicted", conflicted):
        yield


@contextmanager
def sweeper_trusts_names() -> Generator[None]:
    """Let the sweeper take every resource with the name of a compensated one for an orphan."""
    from shared.saga.sweep import orphans

    original = orphans.find_orphans

    def find(services: Any, header: Any) -> Any:
        kinds = {name: _Trusting(kind) for name, kind in services.kinds.items()}
        return original(replace(services, kinds=kinds), header)

    with patch("shared.saga.sweep.sweeper.find_orphans", find):
        yield


@contextmanager
def resumed_as_if_nothing_had_started() -> Generator[None]:
    """Forget on a resume what the failed step had begun."""
    original = resume.ready

    def ready(row: Any) -> Any:
        return original(row.replace(intent=None))

    with patch.object(resume, "ready", ready):
        yield


@contextmanager
def rolled_back_under_a_later_one() -> Generator[None]:
    """Retire a deployment without checking that no later deployment uses its resources."""
    with patch("shared.saga.command.handling.blocking_reason", lambda *_: None):
        yield


@contextmanager
def looks_outlast_the_lease() -> Generator[None]:
    """Let a holder whose lease is about to end look again from the start, without a heartbeat in the meantime."""

    def prove_claim(self: Any) -> None:
        lease = self.services.policy.step_lease_seconds
        if self.services.clock.now() >= self.step.claim.expires_at - timedelta(seconds=lease / 3):
            self.persist(Reschedule(1.0, "held up for most of its lease: looks again"))
            raise ConflictError("held up")

    with patch.object(Delivery, "prove_claim", prove_claim), patch.object(Delivery, "heartbeat", lambda _: False):
        yield


@contextmanager
def failed_operation_is_kept() -> Generator[None]:
    """Keep an operation of a compensation in the row after it failed: it is polled forever, and its call is never
    repeated."""
    started, went_wrong = backward._start_compensation, backward._retry_or_fail

    def keep_at_the_start(d: Any) -> Any:
        return {**started(d), "operation": d.step.operation}

    def keep(d: Any, error: Any) -> Any:
        error.is_outcome = False
        return went_wrong(d, error)

    with (
        patch.object(backward, "_start_compensation", keep_at_the_start),
        patch.object(backward, "_retry_or_fail", keep),
    ):
        yield


@contextmanager
def compensated_before_a_late_call() -> Generator[None]:
    """Compensate an interrupted step at once, although its late call may still take effect."""
    with patch.object(Delivery, "late_call_until", None):
        yield


@contextmanager
def waker_forgets() -> Generator[None]:
    """Leave a target without waking the next in line. No law breaks: the timer of the one that waits ends its wait, and
    tests/simulation/test_waiting.py shows how late."""
    with patch("shared.saga.waking_locks.next_in_line", lambda *_: None):
        yield


@contextmanager
def sweeper_trusts_the_engine() -> Generator[None]:
    """Leave every orchestration alone that the engine counts as running, even if it does nothing any more."""
    with patch("shared.saga.sweep.sweeper._Run.judge", lambda *_: None):
        yield


class _Trusting:
    """A kind that recognises every resource as its own."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: True) if name == "recognises" else getattr(self._kind, name)


@contextmanager
def companion_trusted_by_its_name() -> Generator[None]:
    """Take an item for a companion because it has the name of one, if none had that name before."""

    def trusting(_: object, maker: Any, companion: Any, __: object) -> bool:
        return companion.type not in (maker.beside or {})

    with patch.object(companions, "_is_its_own", trusting):
        yield


@contextmanager
def compensated_before_what_needs_it_through_others() -> Generator[None]:
    """Begin a compensation as soon as the steps that need this one directly are compensated."""

    take_ready = Progress.take_ready

    def hasty(self: Any) -> list[int]:
        if self.direction is Direction.BACKWARD:
            gone = (StepState.COMPENSATED, StepState.SKIPPED)
            self._left = [sum(self.states[n] not in gone for n in needing) for needing in self._dependents]
            self._candidates = set(range(len(self.states)))
        return take_ready(self)

    with patch.object(Progress, "take_ready", hasty):
        yield


@contextmanager
def eventhouse_without_a_guard() -> Generator[None]:
    """Delete an eventhouse whatever databases are in it."""
    with patch.object(eventhouse, "guard", lambda *_: list[Any]()):
        yield


@contextmanager
def a_404_taken_for_a_proof() -> Generator[None]:
    """Take a workspace or an item for deleted because a call answers 404, as a paused capacity does."""
    always = patch.object(backward, "is_parent_gone", lambda *_: True)
    with always, patch.object(parents, "is_parent_gone", lambda *_: True):
        yield


BUGS: dict[str, Bug] = {
    bug.__name__: bug
    for bug in (
        compensation_registered_after_the_call,
        unconditional_finish,
        adopted_treated_as_created,
        event_before_the_journal,
        claim_without_lease,
        post_repeated_without_a_look,
        sweeper_trusts_names,
        resumed_as_if_nothing_had_started,
        rolled_back_under_a_later_one,
        looks_outlast_the_lease,
        failed_operation_is_kept,
        sweeper_trusts_the_engine,
        companion_trusted_by_its_name,
        eventhouse_without_a_guard,
        compensated_before_what_needs_it_through_others,
        a_404_taken_for_a_proof,
    )
}
FOUND_AT: dict[str, int] = {
    "compensation_registered_after_the_call": 10,
    "unconditional_finish": 12,
    "event_before_the_journal": 13,
    "post_repeated_without_a_look": 23,
    "sweeper_trusts_names": 47,
    "resumed_as_if_nothing_had_started": 36,
    "companion_trusted_by_its_name": 86,
    "compensated_before_what_needs_it_through_others": 19,
    "rolled_back_under_a_later_one": 53,
    "eventhouse_without_a_guard": 346,
    "failed_operation_is_kept": 8,
    "looks_outlast_the_lease": 30,
    "a_404_taken_for_a_proof": 181,
}
"""Seeds whose schedule finds the bug, so that a test with fixed seeds may begin near them. Each is the first seed from
1 on that finds the bug, or one that finds it quickly. The bugs that are not listed are found within the first five
seeds."""
