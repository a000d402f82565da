"""The result of one check, and the exception that a failed check raises."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    HELD = "held"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """The result of a check. `text` says what was seen, or what is wrong and what to do next; it contains no secret."""

    name: str
    verdict: Verdict
    text: str

    def line(self) -> str:
        """Return the outcome as it is printed."""
        return f"{self.verdict:8} {self.name:12} {self.text}"


class CheckError(Exception):
    """A check did not hold. The message says what is wrong and what to do next."""
