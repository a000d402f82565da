"""The report of a script's rollback, with one result for each resource."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.errors import TransactionError
from shared.domain.records import DeploymentRecord, RecordedError, Resource, StepRecord
from shared.domain.states import StepState

ROLLED_BACK = frozenset({StepState.COMPENSATED.value, StepState.SKIPPED.value})


@dataclass(frozen=True)
class RollbackResult:
    """The result for one tracked resource: the state of its step, and why it is not compensated."""

    resource: Resource
    state: str
    error: RecordedError | None = None


@dataclass(frozen=True)
class RollbackReport:
    """The results for all resources, the last one first."""

    deployment_id: str
    state: str
    resources: tuple[RollbackResult, ...] = ()

    @property
    def left(self) -> list[RollbackResult]:
        """Return the resources that are not compensated (yet)."""
        return [each for each in self.resources if each.state not in ROLLED_BACK]

    def __str__(self) -> str:
        if not self.left:
            return (
                f"transaction {self.deployment_id} is {self.state}: everything is rolled back ({len(self.resources)})"
            )
        named = "; ".join(
            f"{u.resource.type} '{u.resource.name}' ({u.resource.id}) is {u.state}"
            + (f": {u.error.message}" if u.error else "")
            for u in self.left
        )
        return f"transaction {self.deployment_id} is {self.state}, not everything is rolled back: {named}"


class RollbackError(TransactionError):
    """The rollback is incomplete. `report` has the rest, which the sweeper tries again."""

    def __init__(self, report: RollbackReport) -> None:
        super().__init__(str(report))
        self.report = report


def report_of(record: DeploymentRecord, rows: Sequence[StepRecord]) -> RollbackReport:
    """Build the report from the journal."""
    compensated = tuple(
        RollbackResult(row.resource or Resource(row.kind, "", row.step_id), row.state.value, row.compensation_error)
        for row in reversed(rows)
    )
    return RollbackReport(record.deployment_id, record.state.value, compensated)
