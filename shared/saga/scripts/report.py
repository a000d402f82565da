"""What became of a script's transaction that was put back, one resource at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.errors import TransactionError
from shared.domain.records import DeploymentRecord, RecordedError, Resource, StepRecord
from shared.domain.states import StepState

ROLLED_BACK = frozenset({StepState.COMPENSATED.value, StepState.SKIPPED.value})


@dataclass(frozen=True)
class RollbackResult:
    """What became of one tracked resource: the state of its step, and why it is not put back."""

    resource: Resource
    state: str
    error: RecordedError | None = None


@dataclass(frozen=True)
class RollbackReport:
    """What became of all of them, the last one first."""

    deployment_id: str
    state: str
    resources: tuple[RollbackResult, ...] = ()

    @property
    def left(self) -> list[RollbackResult]:
        """What is not put back (yet)."""
        return [each for each in self.resources if each.state not in ROLLED_BACK]

    def __str__(self) -> str:
        if not self.left:
            return f"transaction {self.deployment_id} is {self.state}: everything is put back ({len(self.resources)})"
        named = "; ".join(
            f"{u.resource.type} '{u.resource.name}' ({u.resource.id}) is {u.state}"
            + (f": {u.error.message}" if u.error else "")
            for u in self.left
        )
        return f"transaction {self.deployment_id} is {self.state}, not everything is put back: {named}"


class RollbackError(TransactionError):
    """Not everything is put back. `report` says what; the sweeper goes on with it."""

    def __init__(self, report: RollbackReport) -> None:
        super().__init__(str(report))
        self.report = report


def report_of(record: DeploymentRecord, rows: Sequence[StepRecord]) -> RollbackReport:
    """From the journal."""
    compensated = tuple(
        RollbackResult(row.resource or Resource(row.kind, "", row.step_id), row.state.value, row.compensation_error)
        for row in reversed(rows)
    )
    return RollbackReport(record.deployment_id, record.state.value, compensated)
