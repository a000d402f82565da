"""The outcome of a forward or compensating action for its step. The action returns it, and `Delivery.persist` alone
turns it into the conditional write of the row, the message on the queue and the event for the orchestration.

An action also writes its row by itself before a call that changes something in Fabric (`Delivery.claim`): what such a
write says must be in the journal before the call is sent.
"""

from dataclasses import dataclass, field

from shared.domain.records import StepChanges
from shared.domain.states import StepState


@dataclass(frozen=True)
class Settle:
    """The step moves to `state` and needs no further delivery in this direction; the orchestration gets an event."""

    state: StepState
    reason: str
    changes: StepChanges = field(default_factory=StepChanges)


@dataclass(frozen=True)
class Reschedule:
    """The step is delivered again after `seconds`, or at its deadline if that is sooner. A reason is audited."""

    seconds: float
    reason: str = ""
    changes: StepChanges = field(default_factory=StepChanges)


@dataclass(frozen=True)
class Repeat:
    """The step was settled by an earlier delivery: only the event is raised again, because it may have been lost."""


@dataclass(frozen=True)
class Ignore:
    """Nothing is written, sent or raised: the step is not this delivery's to move, or not now."""


type Attempt = Settle | Reschedule
"""The outcomes of an action that has started."""
type Outcome = Settle | Reschedule | Repeat | Ignore
