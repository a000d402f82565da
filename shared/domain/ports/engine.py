"""The clock and the durable engine."""

from datetime import datetime
from typing import Protocol

from shared.domain.json import JsonObject


class Clock(Protocol):
    """The time, so that tests own it."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...


class Orchestrations(Protocol):
    """The durable engine, as far as the saga needs it."""

    def start(self, deployment_id: str) -> None:
        """Start the orchestration of a deployment unless it is running; harmless to repeat."""
        ...

    def raise_event(self, deployment_id: str, name: str, payload: JsonObject) -> None:
        """Tell the orchestration something; does nothing where it is gone."""
        ...

    def is_running(self, deployment_id: str) -> bool:
        """Whether the engine knows it and it has not ended."""
        ...

    def forget(self, deployment_id: str) -> None:
        """Drop the history of an orchestration that has ended; one that is gone already is no error."""
        ...
