"""What travels on the queues: plain dictionaries outside, frozen records inside."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from shared.domain.json import JsonObject


class Direction(StrEnum):
    """Which way a step is to be moved."""

    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True)
class StepMessage:
    """Asks for one step to be moved as far as it can go now. Saying it twice does no harm."""

    deployment_id: str
    ordinal: int
    direction: Direction

    def to_json(self) -> JsonObject:
        """As it stands on the queue."""
        return {
            "deployment_id": self.deployment_id,
            "ordinal": self.ordinal,
            "direction": self.direction.value,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        """Raises ValueError, KeyError or TypeError where it is not such a message."""
        ordinal = data["ordinal"]
        if not isinstance(ordinal, int) or not isinstance(data["deployment_id"], str):
            raise TypeError("deployment_id must be a string and ordinal an integer")
        return cls(data["deployment_id"], ordinal, Direction(data["direction"]))


STEP_EVENT = "step_settled"
"""Raised on the orchestration when a step has settled; payload: {"ordinal", "state"}."""

COMMAND_EVENT = "command"
"""Raised on the orchestration when a person asked for something; the journal holds what."""
