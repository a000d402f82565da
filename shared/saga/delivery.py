"""One delivery of one step: the row as read, and the few ways in which a delivery may change it.

A claim is a lease, written in the same conditional write as what the claimant is about to do:

    read row (etag 7) ─ look ─ write intent + claim, if etag is 7 ─> etag 8 ─ call ─ write result, if etag is 8
                                         │                                                  │
    another delivery's write fails here ─┘    lease over, row taken by another: fails here ─┘

So whoever writes first acts, everybody else does nothing, and a holder that woke up after its lease cannot finish.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from shared.domain.json import JsonObject
from shared.domain.messages import Direction, StepMessage
from shared.domain.policy import EnginePolicy
from shared.domain.ports import Change, Clock, Fabric, Journal, StepQueue, Versioned
from shared.domain.records import Claim, DeploymentRecord, StepRecord
from shared.domain.room import fitted
from shared.domain.states import StepState
from shared.domain.telemetry import NoTelemetry, Telemetry
from shared.saga.payloads import Payloads
from shared.steps.kind import StepKind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """What the engine works with; every outside thing is a port, so that tests own time, chance and faults."""

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


KEPT_WAITS = 40
"""Waits that a step remembers: enough for a picture of it, and a small part of what a row may hold."""


@dataclass(frozen=True)
class Settled:
    """A step needs no more deliveries in this direction; its event is to be raised (again)."""

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
        self._row = row
        step = row.record
        self.was_left_uncertain = step.ambiguous or (step.state is StepState.INTENT and step.claim is not None)
        """Whether an earlier delivery may have made a call whose answer is not known: it said so, or it died with
        its claim still written. Whatever this one writes must not forget it."""
        self._learned: dict[str, Any] = {}

    @property
    def step(self) -> StepRecord:
        """The row as it stands after the last write."""
        return self._row.record

    @property
    def kind(self) -> StepKind:
        """The kind of the step."""
        return self.services.kinds[self.step.kind]

    def is_claimed_by_another(self) -> bool:
        """Whether somebody else is at work on it and its lease is not over."""
        claim = self.step.claim
        return claim is not None and claim.expires_at > self.now

    def learn(self, **facts: Any) -> None:
        """Facts that whatever is written next shall carry: a resource that exists must not be forgotten because
        the read that follows its creation failed."""
        self._learned |= facts

    def forget(self) -> None:
        """Drop what was learned and is not written yet."""
        self._learned.clear()

    def write(self, reason: str = "", **changes: Any) -> None:
        """Write the row with `changes`. Raises ConflictError where the row moved since it was read, and LimitError for
        a value that the row has no room for: then nothing is written."""
        after = fitted(self.step.replace(**{**self._learned, **changes}))
        self._row = self.services.journal.write_step(Change(self._row, after, "engine", reason))

    def claim(self, reason: str = "", **changes: Any) -> None:
        """Write `changes` together with a fresh claim; the caller acts only when this returns."""
        now = self.services.clock.now()
        fence = self.step.fence + 1
        expires = now + timedelta(seconds=self.services.policy.step_lease_seconds)
        claim = Claim(self.services.new_id(), expires, fence)
        changes.setdefault("deliveries", self.step.deliveries + 1)
        self.write(reason, claim=claim, fence=fence, wait_until=None, **changes)

    def may_send(self) -> bool:
        """Whether enough of the lease is left to send a call that changes something. A holder that was held up
        must not act on what it saw long ago: another delivery may have taken the step over by then."""
        claim = self.step.claim
        lease = self.services.policy.step_lease_seconds
        return claim is not None and self.services.clock.now() < claim.expires_at - timedelta(seconds=lease / 3)

    def again(self, seconds: float, reason: str = "", **changes: Any) -> None:
        """Give the claim up and have the step delivered again after `seconds`.

        The row is written before the message is sent: a crash between the two leaves the present message, which
        the host delivers again, and the watchdog, which sees that `wait_until` has passed.
        """
        since = self.services.clock.now()
        wait_until = since + timedelta(seconds=seconds)
        wait: JsonObject = {"since": since.isoformat(), "until": wait_until.isoformat()}
        changes.setdefault("waits", (*(self.step.waits or ()), wait)[-KEPT_WAITS:])
        changes.setdefault("deliveries", self.step.deliveries + 1)
        self.write(reason, claim=None, wait_until=wait_until, **changes)
        self.services.queue.send(self.message, seconds)

    def settle(self, state: StepState, reason: str, **changes: Any) -> Settled:
        """Write the end of this direction; the claim goes with it."""
        when = self.services.clock.now()
        name = "finished_at" if self.message.direction is Direction.FORWARD else "compensation_finished_at"
        changes.setdefault(name, when)
        self.write(reason, state=state, claim=None, wait_until=None, **changes)
        log.info(
            "step %s of %s is %s: %s", self.step.step_id, self.step.deployment_id, state.value, reason or "as planned"
        )
        return self.settled()

    def settled(self) -> Settled:
        """What the orchestration is told of the row as it stands."""
        return Settled(self.step.deployment_id, self.step.ordinal, self.step.state)
