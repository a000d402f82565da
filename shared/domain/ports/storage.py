"""Payloads, queues, target locks and signals in storage."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.domain.messages import StepMessage


class Blobs(Protocol):
    """Content-addressed payloads too large for a row or a message."""

    def put(self, content: bytes) -> str:
        """Store the content, and return the SHA-256 (hex) that names it. Safe to repeat."""
        ...

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Return those of the digests under which nothing is stored."""
        ...

    def put_pieces(self, digest: str, size: int, pieces: Iterable[bytes]) -> None:
        """Store a content of `size` bytes in pieces, so that it is never in memory as a whole. Safe to repeat.

        `digest` must be its hash, which the caller has checked; `get` checks it again.
        """
        ...

    def get(self, digest: str, room: Callable[[int], None] | None = None) -> bytes:
        """Return the content. `room` is called with its size before all of it is in memory.

        Raises NotFoundError; InvalidInputError if the content does not have that hash; what `room` raises.
        """
        ...


class StepQueue(Protocol):
    """The queue `deployment-steps`."""

    def send(self, message: StepMessage, delay_seconds: float = 0.0) -> None:
        """Deliver the message, at least once, not before `delay_seconds` (0 to 7 days; whole seconds, rounded up)."""
        ...

    def send_all(self, messages: Sequence[StepMessage]) -> None:
        """Deliver each message at least once, without a delay. If it raises, some may have been sent."""
        ...

    def oldest_due(self) -> datetime | None:
        """Return when the oldest message that waits for a worker was due, as of some seconds ago; None if none waits.

        Messages that a worker has taken, or that are due later, do not count."""
        ...


@dataclass(frozen=True)
class QueueDepth:
    """The approximate number of messages in a queue, waiting ones included, and when the oldest visible one arrived."""

    name: str
    messages: int
    oldest_at: datetime | None


@dataclass(frozen=True)
class Lock:
    """The lease of a target lock: the holder, the end, and the fencing token, which grows with every holder."""

    holder: str
    expires_at: datetime
    fence: int


class Locks(Protocol):
    """One deployment at a time for each target."""

    def acquire(self, target: str, holder: str, now: datetime, lease_seconds: float) -> Lock:
        """Take, keep or renew the lease. Returns the present lock, whose holder may be another deployment."""
        ...

    def release(self, target: str, holder: str) -> None:
        """Release the lease; do nothing if another deployment holds it."""
        ...


@dataclass(frozen=True)
class SweepSignal:
    """The last sweep, for monitors: its end, its duration, the numbers of what it found, and the first ids of each."""

    at: datetime
    seconds: float
    counts: dict[str, int]
    names: dict[str, list[str]] = field(default_factory=lambda: dict[str, list[str]]())


@dataclass(frozen=True)
class PoisonSignal:
    """The number of messages that ended on a poison queue since the app was installed, and the time of the last one."""

    count: int
    last_at: datetime
    queue: str


@dataclass(frozen=True)
class DriftedTarget:
    """A target that differs from its last successful deployment: how many steps drifted, and the first of them."""

    target: str
    deployment_id: str
    count: int
    items: tuple[str, ...]


@dataclass(frozen=True)
class DriftSignal:
    """A round of the drift watch. While it is not finished, `after` is the last target that was planned.

    `targets` counts those that were planned, `unread` those of which the drift could not be told.
    """

    began_at: datetime
    finished_at: datetime | None = None
    after: str = ""
    targets: int = 0
    unread: int = 0
    drifted: tuple[DriftedTarget, ...] = ()


class Signals(Protocol):
    """The signals for monitors, which no single worker has. All methods raise StorageUnavailableError."""

    def record_sweep(self, sweep: SweepSignal) -> None:
        """Store a sweep in place of the one before."""
        ...

    def last_sweep(self) -> SweepSignal | None:
        """Return the last one; None before the first."""
        ...

    def record_drift(self, drift: DriftSignal) -> None:
        """Store a round of the drift watch in place of the one before."""
        ...

    def last_drift(self) -> DriftSignal | None:
        """Return the last one; None before the first."""
        ...

    def record_poison_message(self, queue: str, at: datetime) -> None:
        """Count one poison message. Raises ConflictError if too many workers count at the same time."""
        ...

    def poison_signal(self) -> PoisonSignal | None:
        """Return the last one; None before the first."""
        ...
