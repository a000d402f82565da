"""The receiver of notifications."""

from dataclasses import dataclass
from typing import Protocol

from shared.domain.json import JsonObject


@dataclass(frozen=True)
class Refusal:
    """Why an event was not taken, if a later try makes sense, and how long the receiver asks to wait before it."""

    message: str
    may_pass: bool = True
    retry_after_seconds: float = 0.0


class Receiver(Protocol):
    """Takes events."""

    def send(self, event_id: str, event: JsonObject) -> Refusal | None:
        """Send an event; None if it was taken. Raises nothing."""
        ...
