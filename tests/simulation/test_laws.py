"""The laws of the design, over thousands of small accidents, and the proof that each law's mechanism is needed."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.fabric_simulator import catalogue, control
from shared.domain.breaker import BreakerPolicy
from shared.domain.ports import Versioned
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, StepState
from tests.fake_journal import MemoryJournal
from tests.simulation.edges import IDENTITY, WORKSPACE, Crash, own_role
from tests.simulation.world import World

pytestmark = pytest.mark.law(1, 3)

PRINCIPAL = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c0"
WS = WORKSPACE
MEDALLION: dict[str, Any] = {
    "name": "medallion",
    "steps": [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        *(
            {"id": n, "kind": "lakehouse", "with": {"workspaceId": WS, "displayName": n}}
            for n in ("bronze", "silver", "gold")
        ),
        {
            "id": "team",
            "kind": "principals",
            "with": {
                "workspaceId": WS,
                "principals": [
                    {"principalId": f"{PRINCIPAL}{i}", "principalType": "User", "role": "Viewer"} for i in range(2)
                ],
            },
        },
        {
            "id": "nb",
            "kind": "item",
            "needs": ["bronze"],
            "with": {
                "workspaceId": WS,
                "type": "Notebook",
                "displayName": "clean",
                "definition": {"parts": [{"path": "notebook-content.py", "text": "x = 1"}]},
            },
        },
    ],
}
BAD = {
    "id": "bad",
    "kind": "item",
    "needs": ["nb", "silver", "gold", "team"],
    "with": {"workspaceId": WS, "type": "CrystalBall", "displayName": "x"},
}
WHOLE = {"sales": ["bronze", "clean", "gold", "silver"]}


def failing() -> dict[str, Any]:
    """Return the medallion with a last step that cannot succeed."""
    manifest = copy.deepcopy(MEDALLION)
    manifest["steps"].append(BAD)
    return manifest


def check_laws(world: World) -> None:
    """Check laws 1 to 3 after a run: a legal final state, and in Fabric exactly what that state means."""
    state = world.state()
    assert state in DEPLOYMENT_ENDED, world.log
    if state is DeploymentState.SUCCEEDED:
        assert world.names() == WHOLE
        assert {s.record.state for s in world.journal.steps("d")} == {StepState.SUCCEEDED}
    else:
        assert world.names() == {}, world.log
    created = [c for c in world.model.calls if c["method"] == "POST" and c["effect"]]  # Its answer may be lost.
    known = {s.record.resource.id for s in world.journal.steps("d") if s.record.resource}
    stored = {w.id for w in world.model.store.workspaces.values()}
    stored |= {i.id for w in world.model.store.workspaces.values() for i in w.standing()}
    assert created or state is not DeploymentState.SUCCEEDED
    assert stored <= known, "something stands in Fabric that the journal does not know"
    moves = [(e.subject, e.before, e.after) for e in world.journal.audit("d") if e.before != e.after]
    assert len(moves) == len({(e.subject, e.sequence) for e in world.journal.audit("d") if e.before != e.after})


def test_world_success_applies_everything_and_calls_create_once() -> None:
    """Without faults, each resource is created by exactly one call."""
    world = World()
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.SUCCEEDED]
    check_laws(world)
    posts = [c["path"] for c in world.model.calls if c["method"] == "POST"]
    assert len(posts) == 7


def test_world_failure_rolls_everything_back_in_reverse_order() -> None:
    """Compensation deletes items before their workspace, and removes the roles that were added."""
    world = World()
    world.submit(failing())
    assert world.run() == [DeploymentState.COMPENSATED]
    check_laws(world)
    assert world.model.store.deleted[-1]["type"] == "Workspace"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), fails=st.booleans(), rate=st.sampled_from([0.01, 0.05, 0.15]))
def test_law_any_crash_leaves_all_or_nothing(seed: int, fails: bool, rate: float) -> None:
    """Processes die before and after any port call, in any interleaving, and the deployment still ends lawfully."""
    world = World(seed, crash_rate=rate)
    world.submit(failing() if fails else MEDALLION)
    world.run(hours=2.0)
    world.crash_rate = 0.0
    world.run(hours=24.0)
    check_laws(world)
    assert world.state() is (DeploymentState.COMPENSATED if fails else DeploymentState.SUCCEEDED)


FAULTS: list[dict[str, Any]] = [
    {"reset": "after"},
    {"reset": "before"},
    {"status": 503, "body": {"errorCode": "ServiceUnavailable"}},
    {"status": 500, "effect": "after", "body": {"errorCode": "UnknownError"}},
    {"status": 429, "body": {"errorCode": "RequestBlocked"}, "headers": {"Retry-After": "7"}},
    {"operation": "fail"},
]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rules=st.lists(
        st.tuples(st.sampled_from(FAULTS), st.sampled_from(["POST", "GET", "DELETE"]), st.floats(0.02, 0.3)),
        min_size=1,
        max_size=3,
    ),
)
def test_law_any_fault_leaves_all_or_nothing(seed: int, rules: list[tuple[dict[str, Any], str, float]]) -> None:
    """Answers lost after the effect, resets, 5xx, 429 and failing operations: the step is retried after a look, or the
    deployment is rolled back."""
    world = World(seed)
    world.model.faults.replace([{"match": {"method": m}, "when": {"probability": p}, "action": a} for a, m, p in rules])
    world.submit(MEDALLION)
    world.run(hours=1.0)
    world.model.faults.replace([])
    world.run(hours=24.0)
    check_laws(world)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), at=st.integers(0, 60), what=st.sampled_from(["lose", "cancel", "duplicate"]))
def test_law_lost_orchestration_cancel_and_doubled_messages(seed: int, at: int, what: str) -> None:
    """At a random instant the task hub is deleted, a person cancels, or every message is delivered twice."""
    world = World(seed)
    world.submit(MEDALLION)
    for _ in range(at):
        if not world.step():
            world.pass_time()
    if what == "lose":
        world.lose_orchestration("d")
    elif what == "cancel" and world.state() not in DEPLOYMENT_ENDED:
        world.cancel("d")
    else:
        for _, _, message in list(world.queue.waiting):
            world.queue.send(message)
        world.ready += list(world.ready)
    world.run(hours=24.0)
    check_laws(world)


@pytest.mark.law(2)
def test_law_adopted_resources_are_never_deleted() -> None:
    """Existing resources are used and left alone, even when everything is rolled back."""
    world = World()
    workspace = _foreign(world, "Sales", ["bronze"])
    world.submit(failing())
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {"Sales": ["bronze"]}
    assert {d["id"] for d in world.model.store.deleted}.isdisjoint({workspace})


@pytest.mark.law(2)
@pytest.mark.parametrize("lost", ["before", "after"])
def test_law_foreign_resource_between_look_and_act_is_not_deleted(lost: str) -> None:
    """Another actor creates a lakehouse with our name between our look and our create: it stays."""
    world = World()
    world.submit(failing())
    original = world.model.handle
    seen = {"done": False}

    def handle(request: Any) -> Any:
        is_ours = request.method == "POST" and request.path.endswith("/lakehouses") and b'"silver"' in request.body
        if is_ours and not seen["done"]:
            seen["done"] = True
            workspace = next(iter(world.model.store.workspaces.values()))
            _put(world, workspace.id, "Lakehouse", "silver")
            if lost == "before":
                reply = original(request)
                return type(reply)(reply.status, reply.headers, reply.body, 0.0, True)
        return original(request)

    world.model.handle = handle
    world.run(hours=3.0)
    names = {i.name for w in world.model.store.workspaces.values() for i in w.standing()}
    assert names == {"silver"}
    assert "silver" not in {d["displayName"] for d in world.model.store.deleted}
    assert world.state() is DeploymentState.STUCK  # Our workspace cannot be deleted while it is there.
    error = next(s.record for s in world.journal.steps("d") if s.record.step_id == "ws").compensation_error
    assert error is not None
    assert "did not create: Lakehouse 'silver'" in error.message


def test_law_stuck_deployment_is_finished_by_the_sweeper_when_the_obstacle_is_removed() -> None:
    """Stuck is not the end: the sweeper tries again until the deployment is compensated."""
    world = World()
    world.submit(failing())
    world.model.faults.replace([{"match": {"method": "DELETE"}, "action": {"status": 503}}])
    world.run(hours=3.0)
    assert world.state() is DeploymentState.STUCK
    world.model.faults.replace([])
    assert world.run(hours=6.0) == [DeploymentState.COMPENSATED]
    check_laws(world)


def test_law_stuck_deployment_stays_visible_while_it_is_tried_again() -> None:
    """From the moment when it becomes stuck until it is compensated, the deployment is `stuck`: in its header, in the
    sweeper's count for health, and in the list of stuck deployments. The tries continue in that time."""
    world = World()
    world.submit(failing())
    world.model.faults.replace([{"match": {"method": "DELETE"}, "action": {"status": 503}}])
    world.run(hours=3.0)
    assert world.state() is DeploymentState.STUCK
    tries = 0
    until = world.clock.now() + timedelta(hours=1)
    while world.clock.now() < until:
        assert world.state() is DeploymentState.STUCK
        tries += world.journal.header("d").record.may_compensate
        shown = world.journal.page(5, states=[DeploymentState.STUCK], open_only=True)
        assert [header.deployment_id for header in shown] == ["d"]
        if not world.step():
            world.pass_time()
    assert tries
    assert world.sweep().stuck == ["d"]
    world.model.faults.replace([])
    assert world.run(hours=6.0) == [DeploymentState.COMPENSATED]
    check_laws(world)


def test_law_one_deployment_per_target_in_order_of_arrival() -> None:
    """A second deployment waits for the first; a deployment with `concurrency: reject` is rejected."""
    world = World()
    world.submit({**MEDALLION, "target": "T"}, "d")
    world.clock.advance(1)
    world.submit({**MEDALLION, "target": " t "}, "second")
    world.submit({**MEDALLION, "target": "t", "concurrency": "reject"}, "third")
    states = world.run("d", "second", "third")
    assert states == [DeploymentState.SUCCEEDED, DeploymentState.SUCCEEDED, DeploymentState.REJECTED]
    first, second = (world.journal.header(d).record for d in ("d", "second"))
    assert first.finished_at is not None
    assert second.started_at is not None
    assert second.started_at >= first.finished_at
    assert second.lock_fence > first.lock_fence


def test_law_update_is_restored_from_the_before_image() -> None:
    """A changed description, role and definition are restored."""
    world = World()
    workspace = _foreign(world, "sales", [], description="old words")
    part = {"path": "notebook-content.py", "payload": "b2xk", "payloadType": "InlineBase64"}
    item = _put(world, workspace, "Notebook", "clean", {"parts": [part]})
    stored = world.model.store.workspaces[workspace]
    stored.roles[f"{PRINCIPAL}0"] = {"id": f"{PRINCIPAL}0", "type": "User", "role": "Contributor"}
    manifest = failing()
    manifest["steps"][0]["with"] |= {"description": "new words", "ifExists": "update"}
    manifest["steps"][5]["with"]["ifExists"] = "update"
    world.submit(manifest)
    changed: list[str] = []
    while world.state() is not DeploymentState.COMPENSATING:
        changed = [stored.description, (stored.items[item].definition or {})["parts"][0]["payload"]]
        if not world.step():
            world.pass_time()
    assert changed == ["new words", "eCA9IDE="]
    assert world.run() == [DeploymentState.COMPENSATED]
    assert stored.description == "old words"
    assert stored.roles[f"{PRINCIPAL}0"]["role"] == "Contributor"
    assert (stored.items[item].definition or {})["parts"][0] == part


def test_name_reserved_after_a_delete_is_waited_for() -> None:
    """A name that Fabric reserves for five minutes is not a failure: the step waits and succeeds."""
    world = World()
    workspace = _foreign(world, "sales", [])
    until = world.clock.now().timestamp() + 300
    world.model.store.workspaces[workspace].reserved[("Lakehouse", catalogue.ignoring_case("bronze"))] = until
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert 300 <= (world.clock.now().timestamp() - until + 300) <= 360


# The mechanisms are needed: without them, the same schedules break the laws.


def violations(seeds: range, manifest: dict[str, Any]) -> Iterator[int]:
    """Return the seeds of these schedules that end unlawfully."""
    for seed in seeds:
        world = World(seed, crash_rate=0.08)
        world.submit(manifest)
        try:
            world.run(hours=2.0)
            world.crash_rate = 0.0
            world.run(hours=24.0)
            check_laws(world)
            posts = [c for c in world.model.calls if c["method"] == "POST" and c["effect"]]
            names = [(c["path"].rsplit("/", 1)[-1]) for c in posts]
            assert names.count("workspaces") == 1
        except AssertionError:
            yield seed


@pytest.mark.law(2)
def test_mechanism_intent_first_is_what_keeps_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the intent in the journal when the process dies, the created resource is taken for another actor's."""
    assert list(violations(range(40), failing())) == []
    original = MemoryJournal.step

    def forgetful(self: Any, deployment_id: str, ordinal: int) -> Any:
        header, row = original(self, deployment_id, ordinal)
        record = row.record
        if record.state is StepState.INTENT and record.resource is None:
            record = record.replace(state=StepState.PENDING, intent=None, claim=None)
        return header, Versioned(record, row.etag)

    monkeypatch.setattr(MemoryJournal, "step", forgetful)
    assert any(True for _ in violations(range(40), failing()))


def test_mechanism_conditional_claim_is_what_keeps_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deliveries of one message run at once: with the condition one of them acts, without it both do."""
    assert _creates_with_two_deliveries() == 1
    original = MemoryJournal._write

    def unconditional(self: Any, changes: Any) -> Any:
        fresh = [
            type(c)(type(c.before)(c.before.record, str(self._steps[c.after.deployment_id][c.after.ordinal][1])),
                    c.after, c.actor, c.reason)
            for c in changes
        ]  # fmt: skip
        return original(self, fresh)

    monkeypatch.setattr(MemoryJournal, "_write", unconditional)
    assert _creates_with_two_deliveries() == 2


def _creates_with_two_deliveries() -> int:
    """Count the POSTs of role assignments when a second delivery starts between the first one's look and its claim."""
    world = World()
    world.submit({"name": "m", "steps": [MEDALLION["steps"][0]]})
    while not world.ready and not world.queue.waiting:
        world.step()
    world.ready += world.queue.due()
    message = world.ready[0]
    original = world.model.handle
    nested = {"done": False}

    def handle(request: Any) -> Any:
        reply = original(request)
        if request.method == "GET" and request.path == "/v1/workspaces" and not nested["done"]:
            nested["done"] = True
            world.deliver(message)
        return reply

    world.model.handle = handle
    world.deliver(message)
    return sum(1 for c in world.model.calls if c["method"] == "POST" and c["path"] == "/v1/workspaces")


def test_crash_is_not_swallowed_anywhere() -> None:
    """The simulation's crash is real: no handler in the code catches it."""
    world = World(1, crash_rate=1.0)
    with pytest.raises(Crash):
        world.services.journal.header("d")


def _foreign(world: World, name: str, lakehouses: list[str], description: str = "") -> str:
    row = {
        "displayName": name,
        "description": description,
        "items": [{"type": "Lakehouse", "displayName": n} for n in lakehouses],
        "roleAssignments": [own_role()],
    }
    return control.seed(world.model, {"workspaces": [row]})["workspaces"][0]["id"]


def _put(world: World, workspace: str, item_type: str, name: str, definition: Any = None) -> str:
    item = {"type": item_type, "displayName": name, "definition": definition}
    made = control.seed(world.model, {"workspaces": [{"id": workspace, "items": [item]}]})
    return made["workspaces"][0]["items"][0]


@pytest.mark.parametrize("breaker", [None, BreakerPolicy()], ids=["without breaker", "with breaker"])
def test_fabric_down_for_an_hour_ends_lawfully(breaker: BreakerPolicy | None) -> None:
    """Fabric is unreachable for an hour in the middle of a run: all that had started is finished or rolled back when
    Fabric recovers."""
    world = World(breaker=breaker)
    world.submit(MEDALLION)
    for _ in range(25):
        if not world.step():
            world.pass_time()
    assert world.names()  # A resource exists already.
    world.model.faults.replace([{"action": {"reset": "before"}}])
    world.run(hours=1.0)
    world.model.faults.replace([])
    world.run(hours=24.0)
    check_laws(world)


def test_deployment_that_lost_its_target_waits_until_it_is_free() -> None:
    """Its lease had expired and another deployment acquired the target: it dispatches nothing, and continues later."""
    world = World()
    world.submit(MEDALLION)
    for _ in range(6):
        world.step()
    target = world.journal.header("d").record.target
    world.clock.advance(world.policy.target_lease_seconds + 1)
    lock = world.locks.acquire(target, "another", world.clock.now(), 600)
    assert lock.fence == 2
    world.lose_orchestration("d")
    world.ready.clear()
    world.queue.waiting.clear()
    world.start("d")
    began = world.clock.now()
    calls = len(world.model.calls)
    while (world.clock.now() - began).total_seconds() < 590:
        if not world.step():
            world.pass_time()
    assert len(world.model.calls) == calls
    assert world.run() == [DeploymentState.SUCCEEDED]
    check_laws(world)


def test_uncertainty_outlives_a_look_that_failed() -> None:
    """A role is added, the process dies, the next delivery's look fails, and the one after it sees the role: it is
    ours."""
    world = World()
    workspace = _foreign(world, "sales", [])
    spec = {"workspaceId": WS, "principalId": f"{PRINCIPAL}0", "principalType": "User", "role": "Viewer"}
    role = {"id": "role", "kind": "role_assignment", "with": spec}
    world.submit({"name": "m", "steps": [MEDALLION["steps"][0], role]})
    original = world.model.handle
    reported: list[str] = []

    def handle(request: Any) -> Any:
        reply = original(request)
        if request.path.endswith("/roleAssignments"):
            if request.method == "POST" and not reported:
                reported.append("died")
                raise Crash("after the role was given")
            if request.method == "GET" and reported == ["died"]:
                reported.append("look failed")
                return replace(reply, status=403)
        return reply

    world.model.handle = handle
    assert world.run() == [DeploymentState.COMPENSATED]
    assert reported == ["died", "look failed"]
    assert set(world.model.store.workspaces[workspace].roles) == {IDENTITY}
