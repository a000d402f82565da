"""The messages on the queues: JSON outside, frozen records inside."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from shared.domain.json import JsonObject


class Direction(StrEnum):
    """The direction in which a step is moved."""

    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True)
class StepMessage:
    """Move one step as far as it can go now. A second delivery of the message does no harm."""

    deployment_id: str
    ordinal: int
    direction: Direction

    def to_json(self) -> JsonObject:
        """Return the message as it is on the queue."""
        return {
            "deployment_id": self.deployment_id,
            "ordinal": self.ordinal,
            "direction": self.direction.value,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        """Parse a message. Raises ValueError, KeyError or TypeError if it is not a step message."""
        ordinal = data["ordinal"]
        if isinstance(ordinal, bool) or not isinstance(ordinal, int) or not isinstance(data["deployment_id"], str):
            raise TypeError("deployment_id must be a string and ordinal an integer")
        return cls(data["deployment_id"], ordinal, Direction(data["direction"]))


STEP_EVENT = "step_settled"
"""Raised on the orchestration when a step has settled; payload: {"ordinal", "state"}."""

TARGET_EVENT = "target_left"
"""Raised on the orchestration of the deployment that is next in line when another one leaves their target; payload: {}.
A lost, late or repeated event does no harm: the orchestration asks the journal."""

COMMAND_EVENT = "command"
"""Raised on the orchestration when a person asked for something; the journal holds what."""
