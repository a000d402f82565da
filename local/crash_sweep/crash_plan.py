"""The files through which sweep and host communicate: the plan, the recording, and the mark of the kill."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from local import files

PLAN_VARIABLE = "CRASH_SWEEP_PLAN"
"""The environment variable that names the plan's file."""

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Boundary:
    """The `nth` exchange of a name (from 1). `phases` are the moments at which a kill makes a difference."""

    name: str
    nth: int
    phases: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} #{self.nth}"


@dataclass(frozen=True)
class CrashPlan:
    """The plan of one run.

    Only exchanges of `deployment_id` are counted. `known` are the ids in the manifest, which are the same in each run.
    The host kills itself at the exchange `name` number `nth`, in `phase`; with an empty name it does not.
    """

    deployment_id: str
    known: tuple[str, ...] = ()
    record: bool = False
    name: str = ""
    nth: int = 0
    phase: str = ""

    def write(self, file: Path) -> None:
        """Write the plan for the host, and delete the results of earlier plans."""
        crashed_file(file).unlink(missing_ok=True)
        record_file(file).unlink(missing_ok=True)
        files.write_object(file, asdict(self))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the plan that `write` wrote."""
        data: dict[str, Any] = json.loads(file.read_text())
        data["known"] = tuple(data["known"])
        return cls(**data)


def crashed_file(plan: Path) -> Path:
    """Return the file that the host writes just before it kills itself, so that the next host does not do it again."""
    return plan.with_suffix(".crashed")


def record_file(plan: Path) -> Path:
    """Return the file in which the host records one line of JSON for each exchange."""
    return plan.with_suffix(".record")


def recorded(plan: Path) -> list[Boundary]:
    """Return the boundaries that the host recorded, in order."""
    file = record_file(plan)
    if not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [Boundary(row["name"], row["nth"], tuple(row["phases"])) for row in rows]
