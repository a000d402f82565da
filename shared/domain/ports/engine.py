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

    def running_since(self, deployment_id: str) -> datetime | None:
        """Return when the orchestration was started if it exists and has not ended, else None.

        An orchestration that hangs counts as running: its deployment's heartbeat shows that it does nothing.
        """
        ...

    def abandon(self, deployment_id: str) -> None:
        """End an orchestration that hangs, so that a later `start` starts another. It may end some time after that."""
        ...

    def forget(self, deployment_id: str) -> None:
        """Delete the history of an ended orchestration. A missing history is not an error."""
        ...
