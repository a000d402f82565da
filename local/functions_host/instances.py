"""An orchestration instance as a row: what both stores of the engine write and read."""

# The protobuf classes have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing.in_memory_backend import OrchestrationInstance

COLUMNS = (
    "id, name, status, version, input, output, custom_status, created, updated, completed, failure, history, pending"
)
_CLOSERS = {
    "taskCompleted": "taskScheduledId",
    "taskFailed": "taskScheduledId",
    "subOrchestrationInstanceCompleted": "taskScheduledId",
    "subOrchestrationInstanceFailed": "taskScheduledId",
    "timerFired": "timerId",
}


def closed_ids(events: list[Any]) -> set[int]:
    """Return the ids of the tasks and timers that have their result already."""
    closed: set[int] = set()
    for event in events:
        kind = event.WhichOneof("eventType")
        if kind in _CLOSERS:
            closed.add(getattr(getattr(event, kind), _CLOSERS[kind]))
    return closed


def row_of(instance: OrchestrationInstance, pending: Sequence[Any] | None = None) -> tuple[Any, ...]:
    """Return the columns of an instance. `pending` are its events outside of its history, by default all."""
    if pending is None:
        pending = [*instance.dispatched_events, *instance.pending_events]
    return (
        instance.instance_id,
        instance.name,
        instance.status,
        instance.version,
        instance.input,
        instance.output,
        instance.custom_status,
        _seconds(instance.created_at),
        _seconds(instance.last_updated_at),
        _seconds(instance.completed_at),
        instance.failure_details.SerializeToString() if instance.failure_details else None,
        pb.HistoryChunk(events=instance.history).SerializeToString(),
        pb.HistoryChunk(events=pending).SerializeToString(),
    )


def instance_of(row: Sequence[Any]) -> OrchestrationInstance:
    """Return the instance with these columns. Raises DecodeError, TypeError, ValueError."""
    created, updated, completed = (_moment(value) for value in row[7:10])
    instance = OrchestrationInstance(
        instance_id=row[0],
        name=row[1],
        status=row[2],
        version=row[3],
        input=row[4],
        output=row[5],
        custom_status=row[6],
        created_at=created or datetime.now(UTC),
        last_updated_at=updated or datetime.now(UTC),
        completed_at=completed,
        failure_details=pb.TaskFailureDetails.FromString(row[10]) if row[10] else None,
    )
    instance.history = list(pb.HistoryChunk.FromString(row[11]).events)
    instance.pending_events = list(pb.HistoryChunk.FromString(row[12]).events)
    return instance


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
