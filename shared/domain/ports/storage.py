"""Payloads, queues, target locks and signals in storage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.domain.messages import StepMessage


class Blobs(Protocol):
    """Content-addressed payloads too large for a row or a message."""

    def put(self, content: bytes) -> str:
        """Store and return the SHA-256 (hex) that names it; storing the same twice is harmless."""
        ...

    def get(self, digest: str) -> bytes:
        """Raises NotFoundError; raises InvalidInputError where the content does not have that hash."""
        ...


class StepQueue(Protocol):
    """The queue `deployment-steps`."""

    def send(self, message: StepMessage, delay_seconds: float = 0.0) -> None:
        """Deliver the message, at least once, not before `delay_seconds` (0 to 7 days; whole seconds, rounded up)."""
        ...

    def send_all(self, messages: Sequence[StepMessage]) -> None:
        """Deliver each message at least once, without a delay. If it raises, some may have been sent."""
        ...


@dataclass(frozen=True)
class QueueDepth:
    """About how many messages a queue holds, waiting ones included, and when the oldest visible one was put there."""

    name: str
    messages: int
    oldest_at: datetime | None


@dataclass(frozen=True)
class Lock:
    """A lease on a target: who holds it until when, and the fencing number that grows with every holder."""

    holder: str
    expires_at: datetime
    fence: int


class Locks(Protocol):
    """One deployment at a time for each target."""

    def acquire(self, target: str, holder: str, now: datetime, lease_seconds: float) -> Lock:
        """Take, keep or renew the lease; the Lock returned is the one that stands, perhaps another's."""
        ...

    def release(self, target: str, holder: str) -> None:
        """Give the lease back; does nothing where another holds it by now."""
        ...


@dataclass(frozen=True)
class SweepSignal:
    """A sweep, as it is left for monitors: when it ended, how long it took, how many it found of what, and the
    ids of the first few of each."""

    at: datetime
    seconds: float
    counts: dict[str, int]
    names: dict[str, list[str]] = field(default_factory=lambda: dict[str, list[str]]())


@dataclass(frozen=True)
class PoisonSignal:
    """How many messages ended on a poison queue since the app was installed, and when the last one did."""

    count: int
    last_at: datetime
    queue: str


class Signals(Protocol):
    """What monitors must know and no single worker does. All methods raise StorageUnavailableError."""

    def record_sweep(self, sweep: SweepSignal) -> None:
        """Keep it in place of the one before."""
        ...

    def last_sweep(self) -> SweepSignal | None:
        """None where there was none yet."""
        ...

    def record_poison_message(self, queue: str, at: datetime) -> None:
        """Count one more. Raises ConflictError where too many others count at once."""
        ...

    def poison_signal(self) -> PoisonSignal | None:
        """None where there was none yet."""
        ...
