"""One delivery of one step: the row as read, and the few ways in which a delivery may change it.

A claim is a lease, written in the same conditional write as what the claimant is about to do:

    read row (etag 7) ─ look ─ write intent + claim, if etag is 7 ─> etag 8 ─ call ─ write result, if etag is 8
                                         │                                                  │
    another delivery's write fails here ─┘    lease over, row taken by another: fails here ─┘

So the first writer acts, all others do nothing, and a holder that wakes up after its lease cannot finish.

A lease is short, and its holder renews it: with each heartbeat while the delivery runs, and before each call that
changes something. Both are the same conditional write, which fails if another delivery has taken the row. So a dead
worker is noticed soon, and a live one goes on however slow Fabric is (ADR 3).
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from shared.domain.actors import ENGINE
from shared.domain.errors import ConflictError
from shared.domain.json import JsonObject
from shared.domain.messages import Direction, StepMessage
from shared.domain.policy import HEARTBEATS_PER_LEASE, EnginePolicy
from shared.domain.ports import (
    Change,
    Clock,
    DeployedItems,
    Fabric,
    FabricReply,
    Journal,
    OperationStatus,
    StepQueue,
    Telemetry,
    Versioned,
)
from shared.domain.records import Claim, DeploymentRecord, Resource, StepChanges, StepRecord
from shared.domain.row_limits import fitted
from shared.domain.states import StepState
from shared.domain.telemetry import NoTelemetry
from shared.saga import deployed
from shared.saga.content_budget import ContentBudget
from shared.saga.payloads import Payloads
from shared.saga.step.heartbeat import Heartbeat, HeartbeatThread
from shared.saga.step.looks import FIRST_LOOK_SECONDS, DeliveryFabric, KnownFabric, shared_by
from shared.saga.step.outcome import Ignore, Outcome, Repeat, Reschedule, Settle
from shared.steps import ELSEWHERE
from shared.steps.elsewhere import ElsewhereKind
from shared.steps.kind import Call, StepKind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """The ports that the engine uses, so that tests own time, chance and faults."""

    journal: Journal
    queue: StepQueue
    payloads: Payloads
    fabric: Fabric
    clock: Clock
    kinds: dict[str, StepKind]
    policy: EnginePolicy
    new_id: Callable[[], str]
    jitter: Callable[[], float] = field(default=random.random)
    telemetry: Telemetry = field(default_factory=NoTelemetry)
    heartbeat: Heartbeat = field(default_factory=HeartbeatThread)
    elsewhere: Mapping[str, ElsewhereKind] = field(default_factory=lambda: ELSEWHERE)
    deployed: DeployedItems | None = None
    content: ContentBudget = field(default_factory=ContentBudget)


MAX_DELIVERY = timedelta(minutes=5)
"""A delivery that has run this long (`functionTimeout` in host.json) sends no more heartbeats: the host ends it, and
one that hangs for another reason must lose its step."""
CLOCK_SKEW = timedelta(seconds=2)
"""More than the clocks of two workers differ."""
MAX_WAITS = 40
"""Waits that a step remembers: enough for a picture of it, and a small part of what a row may hold."""


@dataclass(frozen=True)
class Settled:
    """The event that a step needs no more deliveries in this direction; it may be raised more than once."""

    deployment_id: str
    ordinal: int
    state: StepState


class Delivery:
    """The working copy of a row during one delivery. Every `write` is conditional on the last one."""

    def __init__(
        self,
        services: Services,
        message: StepMessage,
        header: DeploymentRecord,
        row: Versioned[StepRecord],
    ) -> None:
        self.services = services
        self.message = message
        self.header = header
        self.now = services.clock.now()
        self.content = services.content.holder(f"{message.deployment_id}/{message.ordinal}", services.clock.now)
        """The room for the content of the step, which the delivery gives back when it ends."""
        self.opened: tuple[JsonObject, JsonObject] | None = None
        """The spec that this delivery has opened, and the opened one."""
        self._row = row
        step, policy = row.record, services.policy
        self._found = step.claim
        left = step.claim if step.claim is not None and step.claim.acts else None
        self.is_uncertain = step.ambiguous or (step.state is StepState.INTENT and left is not None)
        """True if an earlier delivery may have sent a call whose answer is not known: its row says so, or it died with
        its claim still written. No write of this delivery may lose that."""
        self.is_resumed = step.deadline_at is None and step.started_at is not None
        """True if a person resumed it and no delivery has acted since."""
        self._staged: StepChanges = {}
        if left is not None:
            self.stage({"late_call_until": policy.late_call_until(left.expires_at)})
        self._oldest = self._oldest_list()
        self.reading: OperationStatus | None = None
        """How the operation ended that reads the definition, if this delivery has asked."""
        self.is_parent_gone = False
        """True if this delivery found no workspace or item to look in for the step's resource."""
        self._writing = threading.Lock()
        self._is_released = False

    @cached_property
    def fabric(self) -> DeliveryFabric:
        """Return Fabric for this delivery; its lists are shared with others."""
        lists = shared_by(self.services.fabric, self.services.clock.now)
        return DeliveryFabric(self.services.fabric, lists, self._oldest)

    def known_fabric(self, later_than: datetime) -> KnownFabric:
        """Return Fabric with the lists that were requested after a time, and no others."""
        return KnownFabric(self.services.fabric, shared_by(self.services.fabric, self.services.clock.now), later_than)

    @property
    def recall(self) -> deployed.Recalled:
        """Return the notes of earlier deployments, as old as the lists of this delivery, or as its start: deliveries
        that begin at the same time share one read of the notes, also after a resume."""
        services = self.services
        found = (services.deployed, self.header.target, self._oldest or self.now, services.clock.now)
        return deployed.Recalled(*found, services.payloads.read)

    @property
    def _has_begun_nothing(self) -> bool:
        """Return True if no delivery of the step has sent anything: a pending row has no intent."""
        return self.step.state is StepState.PENDING and not self.is_resumed and not self.is_uncertain

    def is_absent_from(self, workspace_id: str) -> bool:
        """Return True if the deployment has just created this workspace, and the step has sent nothing: there is
        nothing of the step's in it, and what others have put there since is noticed by the refusal of its name."""
        lists = shared_by(self.services.fabric, self.services.clock.now)
        return self._has_begun_nothing and lists.is_made_by(workspace_id, self.step.deployment_id)

    def note_made(self, workspace_id: str) -> None:
        """Note that the step has created this workspace."""
        shared_by(self.services.fabric, self.services.clock.now).note_made(workspace_id, self.step.deployment_id)

    def _oldest_list(self) -> datetime | None:
        """Return the time after which a list must have been requested for a look before the step's first call, or for
        what its operation made; None for any other look, which must see what earlier deliveries did."""
        step = self.step
        if step.operation is not None and step.operation.ended_at is not None and step.state is StepState.SUBMITTED:
            return step.operation.ended_at + CLOCK_SKEW  # nothing was changed since
        if not self._has_begun_nothing:
            return None
        return max(self.header.started_at or self.now, self.now - timedelta(seconds=FIRST_LOOK_SECONDS))

    @property
    def step(self) -> StepRecord:
        """The row after the last write."""
        return self._row.record

    @property
    def kind(self) -> StepKind:
        """The kind of a step that is a resource in Fabric."""
        return self.services.kinds[self.step.kind]

    @property
    def kind_or_none(self) -> StepKind | None:
        """The kind of a step that is a resource in Fabric; None for any other step."""
        return self.services.kinds.get(self.step.kind)

    @property
    def resource(self) -> Resource | None:
        """The resource of the step, also if this delivery has found it and not written it yet."""
        return self._staged.get("resource", self.step.resource)

    @property
    def late_call_until(self) -> datetime | None:
        """The time until which a call of an earlier delivery, which died or was delayed, may still take effect."""
        return self._staged.get("late_call_until", self.step.late_call_until)

    def is_claimed_by_another(self) -> bool:
        """Return True if another delivery holds the step and its lease is not over."""
        claim = self.step.claim
        return claim is not None and claim.expires_at > self.now

    def stage(self, facts: StepChanges) -> None:
        """Have the next write carry these facts, whichever it is: a resource that exists must not be forgotten because
        the read that follows its creation failed."""
        self._staged = {**self._staged, **facts}

    def discard_staged(self) -> None:
        """Drop the staged facts that are not written yet."""
        self._staged = {}

    def write(self, changes: StepChanges, reason: str = "") -> None:
        """Write the row with `changes` and the staged facts. Raises ConflictError if the row has moved since it was
        read, and LimitError for a value that the row has no room for: then nothing is written."""
        with self._writing:
            merged: StepChanges = {**self._staged, **changes}
            after = fitted(self.step.replace(**merged))
            self._row = self.services.journal.write_step(Change(self._row, after, ENGINE, reason))
            self._staged = {}  # they are in the row now; once more, they would replace what a later write says
            self._is_released = after.claim is None

    def claim(self, changes: StepChanges, reason: str = "") -> None:
        """Write `changes` together with a fresh claim; the caller acts only if this returns. Raises as `write`."""
        claim = self._fresh_claim(acts=True)
        after: StepChanges = {
            "deliveries": self.step.deliveries + 1,
            **changes,
            "claim": claim,
            "fence": claim.fence,
            "wait_until": None,
        }
        self.write(after, reason)

    def _fresh_claim(self, *, acts: bool) -> Claim:
        return Claim(self.services.new_id(), self._lease_end(), self.step.fence + 1, acts)

    def _lease_end(self) -> datetime:
        return self.services.clock.now() + timedelta(seconds=self.services.policy.step_lease_seconds)

    def heartbeat(self) -> bool:
        """Renew the claim, or take one if the delivery has only looked so far. Return False if no further heartbeat is
        needed. Runs beside the delivery, on another thread.

        A write of the delivery itself renews the claim too, so a heartbeat never waits for one.
        """
        if not self._writing.acquire(blocking=False):
            return True
        try:
            if self._is_released or self.services.clock.now() >= self.now + MAX_DELIVERY:
                return False
            self._renew()
        except ConflictError:
            return False  # taken by another delivery: the next write of this one fails in the same way
        finally:
            self._writing.release()
        return True

    def _renew(self) -> None:
        claim = self.step.claim
        if claim is None or claim is self._found:  # a dead holder's claim may have acted: that is not forgotten
            claim = self._fresh_claim(acts=claim is not None and claim.acts)
        else:
            claim = replace(claim, expires_at=self._lease_end())
        after = self.step.replace(claim=claim, fence=claim.fence)
        self._row = self.services.journal.write_step(Change(self._row, after, ENGINE, ""))

    def prove_claim(self) -> None:
        """Make sure that this delivery still holds the step, and has most of a lease left, immediately before a call
        that changes something. A holder that was held up must not act on what it saw long ago, because another delivery
        may have taken the step by then. Raises ConflictError if one has.
        """
        claim, lease = self.step.claim, self.services.policy.step_lease_seconds
        if claim is None:
            raise ConflictError(f"step {self.step.step_id} is not claimed")
        if self.services.clock.now() >= claim.expires_at - timedelta(seconds=lease * (1 - 1 / HEARTBEATS_PER_LEASE)):
            with self._writing:
                self._renew()

    def change(self, call: Call) -> FabricReply:
        """Send a call that changes something in Fabric. Nothing that could take long comes between the proof that this
        delivery holds the step and the call. Raises ConflictError, FabricError.
        """
        self.prove_claim()
        return self.fabric.send(call.method, call.path, call.body, call.query)

    def persist(self, outcome: Outcome) -> Settled | None:
        """Write the outcome of an attempt, and return the event that it owes to the orchestration, or None.

        Raises as `write`, and StorageUnavailableError if the message cannot be sent.
        """
        match outcome:
            case Settle():
                return self._settle(outcome)
            case Reschedule():
                self._reschedule(outcome)
                return None
            case Repeat():
                return self._settled()
            case Ignore():
                return None

    def _reschedule(self, outcome: Reschedule) -> None:
        """Release the claim and send the message again with a delay, at the step's deadline at the latest.

        The row is written before the message is sent. A crash between the two leaves the present message, which the
        host delivers again, and the watchdog, which notices that `wait_until` has passed.
        """
        since, changes, seconds = self.services.clock.now(), outcome.changes, outcome.seconds
        deadline = changes.get("deadline_at", self._staged.get("deadline_at", self.step.deadline_at))
        if deadline is not None:
            seconds = min(seconds, max(1.0, (deadline - since).total_seconds()))
        wait_until = since + timedelta(seconds=seconds)
        wait: JsonObject = {"since": since.isoformat(), "until": wait_until.isoformat()}
        after: StepChanges = {
            "waits": (*(self.step.waits or ()), wait)[-MAX_WAITS:],
            "deliveries": self.step.deliveries + 1,
            **changes,
            "claim": None,
            "wait_until": wait_until,
        }
        self.write(after, outcome.reason)
        self.services.queue.send(self.message, seconds)

    def _settle(self, outcome: Settle) -> Settled:
        """Write the end of this direction; the claim is released with it."""
        now, changes = self.services.clock.now(), outcome.changes
        ended = StepChanges(finished_at=now)
        if self.message.direction is Direction.BACKWARD:
            ended = StepChanges(compensation_finished_at=now)
        after: StepChanges = {**ended, **changes, "state": outcome.state, "claim": None, "wait_until": None}
        self.write(after, outcome.reason)
        log.info(
            "step %s of %s is %s: %s", self.step.step_id, self.step.deployment_id, outcome.state.value, outcome.reason
        )
        return self._settled()

    def _settled(self) -> Settled:
        return Settled(self.step.deployment_id, self.step.ordinal, self.step.state)
