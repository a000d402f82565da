"""Deliveries of large items at the same time: how many of them have their content in memory."""

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.manifest import compile_manifest
from shared.domain.messages import Direction, StepMessage
from shared.domain.ports import FabricReply
from shared.domain.records import Claim, Intent, StepRecord
from shared.domain.states import DeploymentState, IntentAction, StepState
from shared.saga.content_budget import MIB, ContentBudget
from shared.saga.payloads import Payloads
from shared.saga.step import execution
from shared.saga.submission.acceptance import Acceptance
from shared.steps import KINDS, STEPS
from shared.steps.repository_item import RepositoryItemKind
from tests.fakes import MemoryBlobs
from tests.simulation import repositories
from tests.unit.saga.fixture import SagaFixture

WORKSPACE = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
COUNT, AT_ONCE = 24, 3


class Slow:
    """The port Fabric, as far as a create uses it: no create is answered before `answers` is set."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.answers = threading.Event()
        self.bytes: list[int] = []
        self._ids = itertools.count()

    def identity(self) -> str:
        return "me"

    def list(self, path: str, query: Any = None) -> Iterator[dict[str, Any]]:
        return iter([*self.rows])

    def send(self, method: str, path: str, body: Any = None, query: Any = None) -> FabricReply:
        assert (method, path) == ("POST", f"/workspaces/{WORKSPACE}/items")
        self.bytes.append(len(json.dumps(body)))
        assert self.answers.wait(30.0)
        row = {name: body[name] for name in ("displayName", "type", "description")}
        self.rows.append({**row, "id": f"00000000-0000-4000-8000-{next(self._ids):012x}"})
        return FabricReply(201, self.rows[-1])


def large_items(fabric: Any) -> tuple[SagaFixture, list[StepMessage]]:
    """Return a running deployment of notebooks of 1 MiB each, and a message for each of them. There is room for three
    at a time."""
    saga, blobs = SagaFixture(), MemoryBlobs()
    rows = [repositories.item(blobs, "Notebook", f"n{number}", "x" * (MIB - 4096)) for number in range(COUNT)]
    step = repositories.step(WORKSPACE, rows)
    manifest = {"name": "m", "target": "t", "steps": [{**step, "needs": []}]}
    compile_manifest(manifest, KINDS)
    acceptance = Acceptance(saga.journal, blobs, Payloads(blobs), saga.clock, KINDS)
    acceptance.accept(json.dumps({"deployment_id": "d", "manifest": manifest}).encode(), "message")
    saga.change_header(state=DeploymentState.RUNNING, started_at=saga.clock.now())
    changed = {"fabric": fabric, "payloads": Payloads(blobs), "kinds": STEPS}
    saga.services = replace(saga.services, **changed, content=ContentBudget(AT_ONCE * MIB))
    return saga, [StepMessage("d", step.ordinal, Direction.FORWARD) for step in items(saga)]


def items(saga: SagaFixture) -> list[StepRecord]:
    """Return the rows of the notebooks."""
    rows = [each.record for each in saga.journal.steps("d")]
    return [row for row in rows if row.kind == RepositoryItemKind.name]


def test_items_beyond_the_room_come_back_later_and_use_no_attempt() -> None:
    """All are delivered at once, and no create is answered while they are: three are sent."""
    fabric = Slow()
    saga, messages = large_items(fabric)
    with ThreadPoolExecutor(COUNT) as pool:
        deliveries = [pool.submit(execution.execute_step, saga.services, message) for message in messages]
        while len(saga.queue.waiting) + len(fabric.bytes) < COUNT:
            assert not [each.exception() for each in deliveries if each.done() and each.exception()]
            fabric.answers.wait(0.01)
        assert saga.services.content.held <= AT_ONCE * MIB
        fabric.answers.set()
    assert len(fabric.bytes) == AT_ONCE
    waiting = [step for step in items(saga) if step.state is StepState.PENDING]
    assert len(waiting) == COUNT - AT_ONCE
    assert {(step.attempt, step.claim, step.started_at, step.error) for step in waiting} == {(0, None, None, None)}
    assert saga.services.content.held == 0
    for _ in range(100):
        saga.clock.advance(5.0)
        for message in saga.queue.due():
            execution.execute_step(saga.services, message)
    assert {step.state for step in items(saga)} == {StepState.SUCCEEDED}
    assert len(fabric.bytes) == COUNT


@pytest.mark.law(3)
def test_step_without_room_stays_uncertain_about_the_call_of_a_delivery_that_died() -> None:
    """Its claim is the only trace of the call, and the delivery that finds no room releases it."""
    saga, [message, *_] = large_items(Slow())
    claim = Claim("dead", saga.clock.now() + timedelta(seconds=15), 1, acts=True)
    intent = Intent(IntentAction.CREATE, "saga d")
    saga.change(
        message.ordinal, state=StepState.INTENT, claim=claim, fence=1, intent=intent, started_at=saga.clock.now()
    )
    saga.clock.advance(16.0)
    saga.services.content.holder("another", saga.clock.now).take(AT_ONCE * MIB)
    execution.execute_step(saga.services, message)
    step = items(saga)[0]
    assert (step.state, step.claim, step.attempt) == (StepState.INTENT, None, 0)
    assert step.ambiguous
