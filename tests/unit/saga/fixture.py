"""Journals in memory with deployments in any state, and the services to act on them."""

from datetime import datetime
from typing import Any

from shared.domain.json import JsonObject
from shared.domain.policy import EnginePolicy
from shared.domain.ports import Change
from shared.domain.records import DeploymentRecord, RecordedError, StepRecord
from shared.domain.states import DeploymentState, StepState
from shared.saga.payloads import Payloads
from shared.saga.step.delivery import Services
from tests.fake_journal import MemoryJournal
from tests.fakes import FakeClock, MemoryBlobs, MemoryLocks, MemoryStepQueue

ERROR = RecordedError("Fabric said no", "Ask for a role.")


class RecordingOrchestrations:
    """The port Orchestrations that runs nothing, and records every call."""

    def __init__(self) -> None:
        self.received: list[tuple[str, ...]] = []

    def start(self, deployment_id: str) -> None:
        """Record the start."""
        self.received.append(("start", deployment_id))

    def raise_event(self, deployment_id: str, name: str, payload: JsonObject) -> None:
        """Record the event."""
        self.received.append((deployment_id, name, str(payload.get("state", payload.get("command")))))

    def running_since(self, deployment_id: str) -> datetime | None:
        return None

    def abandon(self, deployment_id: str) -> None:
        """Record the call."""
        self.received.append(("abandon", deployment_id))

    def forget(self, deployment_id: str) -> None: ...


class SagaFixture:
    """The services that the activities use."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.queue = MemoryStepQueue(self.clock)
        self.locks = MemoryLocks()
        self.orchestrations = RecordingOrchestrations()
        nothing: Any = None
        self.services = Services(
            journal=self.journal,
            queue=self.queue,
            payloads=Payloads(MemoryBlobs()),
            fabric=nothing,
            clock=self.clock,
            kinds={},
            policy=EnginePolicy(),
            new_id=lambda: "id",
        )

    def deployment(
        self, state: DeploymentState, *steps: StepState | StepRecord, deployment_id: str = "d", **changes: Any
    ) -> DeploymentRecord:
        """Create a deployment; a step given as a state needs the step before it."""
        record = DeploymentRecord(deployment_id, "m", "target", state, "hash", self.clock.now()).replace(**changes)
        rows = [s if isinstance(s, StepRecord) else row(i, s) for i, s in enumerate(steps)]
        rows = [r.replace(deployment_id=deployment_id) for r in rows]
        return self.journal.create(record.replace(step_count=len(rows)), rows, "test")

    def header(self, deployment_id: str = "d") -> DeploymentRecord:
        """Return the present header."""
        return self.journal.header(deployment_id).record

    def states(self) -> list[StepState]:
        """Return the states of all steps."""
        return [s.record.state for s in self.journal.steps("d")]

    def change(self, ordinal: int, **changes: Any) -> None:
        """Write a step, as a delivery would."""
        _, before = self.journal.step("d", ordinal)
        self.journal.write_step(Change(before, before.record.replace(**changes), "test", ""))

    def change_header(self, **changes: Any) -> None:
        """Write the header, as another activity would."""
        self.change_header_of("d", **changes)

    def change_header_of(self, deployment_id: str, **changes: Any) -> None:
        """Write the header of a deployment, as an activity would."""
        before = self.journal.header(deployment_id)
        self.journal.write_header(Change(before, before.record.replace(**changes), "test", ""))

    def sent(self) -> list[tuple[int, str]]:
        """Take the visible messages off the queue and return them."""
        self.clock.advance(0)
        return sorted((m.ordinal, m.direction.value) for m in self.queue.due())


def row(ordinal: int, state: StepState, **changes: Any) -> StepRecord:
    """Return a step that needs the step before it."""
    needs = (ordinal - 1,) if ordinal else ()
    record = StepRecord("d", ordinal, f"s{ordinal}", "workspace", {}, needs, {}, 60.0, state=state)
    if state is StepState.FAILED:
        record = record.replace(error=ERROR)
    return record.replace(**changes)
