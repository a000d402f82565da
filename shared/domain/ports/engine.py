"""The clock and the durable engine."""

from datetime import datetime
from typing import Protocol

from shared.domain.json import JsonObject


class Clock(Protocol):
    """The time, which tests control."""

    def now(self) -> datetime:
        """Return the present, aware and in UTC."""
        ...


class Orchestrations(Protocol):
    """The durable engine, as far as the saga needs it."""

    def start(self, deployment_id: str) -> None:
        """Start the orchestration of a deployment unless it is running. Safe to repeat."""
        ...

    def raise_event(self, deployment_id: str, name: str, payload: JsonObject) -> None:
        """Send an event to the orchestration; do nothing if it does not exist."""
        ...

    def is_running(self, deployment_id: str) -> bool:
        """Return True if the orchestration exists and has not ended."""
        ...

    def forget(self, deployment_id: str) -> None:
        """Delete the history of an ended orchestration. A missing history is not an error."""
        ...
