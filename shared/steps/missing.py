"""The record of something that a step needs and Fabric does not show."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """Something that a step names by its id and that Fabric does not show: what is missing, and what to do."""

    id: str
    what: str
    remedy: str
