"""What the driver tells the host and the host tells the driver, by files: the plan, the recording, the strike."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

PLAN_VARIABLE = "CRASH_SWEEP_PLAN"
"""The environment variable that names the plan's file."""

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Boundary:
    """The `nth` exchange of that name (from 1). `phases` are the instants at which a kill there makes a difference."""

    name: str
    nth: int
    phases: tuple[str, ...]

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.name} #{self.nth}"


@dataclass(frozen=True)
class CrashPlan:
    """One run: the deployment whose exchanges count, names of the manifest that are no random ids, where to record,
    and where to strike (`name` empty: nowhere)."""

    deployment_id: str
    known: tuple[str, ...] = ()
    record: bool = False
    name: str = ""
    nth: int = 0
    phase: str = ""

    def write(self, file: Path) -> None:
        """Make it the host's plan; what earlier plans left is forgotten."""
        crashed_file(file).unlink(missing_ok=True)
        record_file(file).unlink(missing_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(file)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The reverse of `write`."""
        data: dict[str, Any] = json.loads(file.read_text())
        data["known"] = tuple(data["known"])
        return cls(**data)


def crashed_file(plan: Path) -> Path:
    """Written by the host in the instant before it kills itself, so that its next life does not."""
    return plan.with_suffix(".struck")


def record_file(plan: Path) -> Path:
    """A line of JSON for each exchange."""
    return plan.with_suffix(".record")


def recorded(plan: Path) -> list[Boundary]:
    """The boundaries that the host met, in order."""
    file = record_file(plan)
    if not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [Boundary(row["name"], row["nth"], tuple(row["phases"])) for row in rows]
