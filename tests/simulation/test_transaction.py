"""Transactions of scripts over the whole system in memory: committed, rolled back by the script, or by the sweeper."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.fabric_simulator import control
from shared.domain.errors import FabricNotFoundError, InvalidInputError
from shared.domain.messages import Direction, StepMessage
from shared.domain.policy import EnginePolicy, RetryPolicy
from shared.domain.ports import Locks, Telemetry
from shared.domain.states import DeploymentState, StepState
from shared.domain.telemetry import Event
from shared.saga.audit.verify import read, verify
from shared.saga.command.commands import command
from shared.saga.command.handling import handle
from shared.saga.command.verbs import Verb
from shared.saga.scripts.rows import TrackedResource
from shared.saga.step import execution
from shared.saga.step.delivery import Services
from shared.scripting.transaction import (
    DeploymentTransaction,
    ResourceType,
    RollbackError,
    RolledBackError,
    TransactionError,
)
from tests.fakes import MemoryTelemetry
from tests.simulation.edges import IDENTITY, Crash
from tests.simulation.laws import encoded
from tests.simulation.world import World

pytestmark = pytest.mark.law(3)

PERSON = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
MISSING = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c99"
QUICK = EnginePolicy(backward=RetryPolicy(max_attempts=3, base_seconds=1.0, max_seconds=2.0))
LEASE = EnginePolicy().script_lease_seconds


@dataclass(frozen=True)
class ScriptApp:
    """The part of the app that runs in a script's process: without the durable engine."""

    services: Services
    locks: Locks
    submit: Callable[[str], object]


class Shop:
    """A world with a workspace of another actor, and scripts that work in it."""

    def __init__(self, policy: EnginePolicy = QUICK, seed: int = 0, telemetry: Telemetry | None = None) -> None:
        self.world = World(seed, policy, telemetry=telemetry)
        roles = [{"id": IDENTITY, "type": "ServicePrincipal", "role": "Admin"}]
        items = [{"type": "Lakehouse", "displayName": "theirs"}]
        row = {"displayName": "sales", "roleAssignments": roles, "items": items}
        self.workspace = control.seed(self.world.model, {"workspaces": [row]})["workspaces"][0]["id"]

    def transaction(self, deployment_id: str = "s", *, target: str = "T", **options: Any) -> DeploymentTransaction:
        """Return a transaction that has not begun."""
        return DeploymentTransaction(
            "script",
            target=target,
            deployment_id=deployment_id,
            app=ScriptApp(self.world.services, self.world.locks, self.world.submit_text),
            sleep=self.world.clock.advance,
            **options,
        )

    def lakehouse(self, name: str, description: str = "", workspace: str = "") -> str:
        """Create a lakehouse as a script does, and return its id."""
        body = {"displayName": name, "description": description}
        reply = self.world.fabric.send("POST", f"/workspaces/{workspace or self.workspace}/lakehouses", body)
        assert reply.body is not None
        return reply.body["id"]

    def run(self, script: Callable[[DeploymentTransaction], None], **options: Any) -> None:
        with self.transaction(**options) as transaction:
            script(transaction)

    def break_off(self, transaction: DeploymentTransaction, name: str, error: BaseException, *, was_made: bool) -> None:
        """Register a lakehouse, and raise before or after creating it."""
        with transaction.creating(ResourceType.LAKEHOUSE, name=name, workspace_id=self.workspace) as pending:
            if was_made:
                self.lakehouse(name, pending.description())
            raise error

    def kill(self, transaction: DeploymentTransaction) -> None:
        """Kill the process: no heartbeat follows, and the end of the `with` block does not run."""
        transaction._close()

    def recover(self, deployment_id: str = "s") -> DeploymentState:
        """Run the sweeper, and return how the deployment ended."""
        [state] = self.world.run(deployment_id, hours=2.0)
        return state

    def deletes(self) -> list[str]:
        """Return the names of the deleted resources, in order."""
        return [thing["displayName"] for thing in self.world.model.store.deleted]

    def fault(self, path: str, method: str = "DELETE", **rule: Any) -> None:
        """Refuse these calls."""
        action = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "no", "requestId": "r-7"}}
        rules = [{"match": {"method": method, "path": path}, "action": action, **rule}]
        control.handle(self.world.model, "POST", "/_sim/faults", {}, encoded(rules))

    def heal(self) -> None:
        control.handle(self.world.model, "POST", "/_sim/faults", {}, encoded([]))


def row_states(shop: Shop, deployment_id: str = "s") -> list[StepState]:
    """Return the states of the tracked resources, in order."""
    return [row.record.state for row in shop.world.journal.steps(deployment_id)]


def test_transaction_commits_at_the_end_of_the_block_and_keeps_everything() -> None:
    """A committed transaction has succeeded, and neither sweeper nor orchestration changes it."""
    shop = Shop()
    with shop.transaction() as transaction:
        bronze = shop.lakehouse("bronze")
        transaction.track_resource(ResourceType.LAKEHOUSE, bronze, workspace_id=shop.workspace, name="bronze")
        stats = transaction.get_stats()
        assert (stats["state"], stats["resources"], stats["states"]) == ("running", 1, {"succeeded": 1})
    assert shop.world.state("s") is DeploymentState.SUCCEEDED
    shop.world.clock.advance(10 * LEASE)
    shop.world.sweep()
    assert shop.world.names() == {"sales": ["bronze", "theirs"]}
    assert [e.actor for e in shop.world.journal.audit("s") if e.subject == "step_00000"] == ["script"]


def test_transaction_is_rolled_back_in_reverse_if_an_exception_leaves_the_block() -> None:
    """All tracked resources are deleted, the last one first; what existed stays; the exception is raised on."""
    shop = Shop()

    def script(transaction: DeploymentTransaction) -> None:
        for name in ("bronze", "silver", "gold"):
            made = shop.lakehouse(name)
            transaction.track_resource(ResourceType.LAKEHOUSE, made, workspace_id=shop.workspace, name=name)
        body = {"principal": {"id": PERSON, "type": "User"}, "role": "Viewer"}
        shop.world.fabric.send("POST", f"/workspaces/{shop.workspace}/roleAssignments", body)
        transaction.track_resource(ResourceType.ROLE_ASSIGNMENT, PERSON, workspace_id=shop.workspace, role="Viewer")
        _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        shop.run(script)
    assert shop.world.state("s") is DeploymentState.COMPENSATED
    assert shop.deletes() == ["gold", "silver", "bronze"]
    assert shop.world.names() == {"sales": ["theirs"]}
    assert PERSON not in shop.world.model.store.workspaces[shop.workspace].roles
    header = shop.world.journal.header("s").record
    assert header.error is not None
    assert header.error.message == "the script raised ZeroDivisionError"


def test_transaction_deletes_its_own_workspace_after_the_contents() -> None:
    """A workspace that the script created is deleted last, and not at all while something unknown is in it."""
    shop = Shop()
    transaction = shop.transaction().start()
    workspace = shop.world.fabric.send("POST", "/workspaces", {"displayName": "new"}).body
    assert workspace is not None
    transaction.track_resource(ResourceType.WORKSPACE, workspace["id"], name="new")
    inside = shop.lakehouse("bronze", workspace=workspace["id"])
    transaction.track_resource(ResourceType.LAKEHOUSE, inside, workspace_id=workspace["id"], name="bronze")
    stranger = shop.lakehouse("stranger", workspace=workspace["id"])
    with pytest.raises(RollbackError, match="stranger") as caught:
        transaction.rollback()
    assert [u.state for u in caught.value.report.resources] == ["compensated", "compensation_failed"]
    assert shop.world.state("s") is DeploymentState.STUCK
    shop.world.fabric.send("DELETE", f"/workspaces/{workspace['id']}/items/{stranger}")
    assert transaction.rollback().left == []
    assert shop.world.names() == {"sales": ["theirs"]}


def test_transaction_rollback_in_the_block_ends_the_transaction() -> None:
    """After the rollback the end of the block commits nothing, and whatever is tracked later is rolled back at once."""
    shop = Shop()
    with shop.transaction() as transaction:
        bronze = shop.lakehouse("bronze")
        transaction.track_resource(ResourceType.LAKEHOUSE, bronze, workspace_id=shop.workspace)
        report = transaction.rollback()
    assert (report.state, report.left) == ("compensated", [])
    assert shop.world.state("s") is DeploymentState.COMPENSATED
    silver = shop.lakehouse("silver")
    with pytest.raises(RolledBackError, match="is rolled back"):
        transaction.track_resource(ResourceType.LAKEHOUSE, silver, workspace_id=shop.workspace)
    assert shop.world.names() == {"sales": ["theirs"]}


@pytest.mark.parametrize("was_made", [True, False])
def test_transaction_of_a_killed_script_is_rolled_back_by_the_sweeper(was_made: bool) -> None:
    """The resource that the script was just creating is found by its marker; one with the name and without the marker
    belongs to another actor."""
    shop = Shop()
    transaction = shop.transaction().start()
    transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)
    with transaction.creating(ResourceType.LAKEHOUSE, name="silver", workspace_id=shop.workspace) as pending:
        pending.created(shop.lakehouse("silver", pending.description("made by a script")))
    with pytest.raises(Crash):
        shop.break_off(transaction, "gold", Crash(), was_made=was_made)
    shop.lakehouse("unrelated", "[saga:0123456789ab]")
    shop.kill(transaction)
    assert row_states(shop) == [StepState.SUCCEEDED, StepState.SUCCEEDED, StepState.INTENT]
    assert shop.recover() is DeploymentState.COMPENSATED
    assert shop.world.names() == {"sales": ["theirs", "unrelated"]}
    error = shop.world.journal.header("s").record.error
    assert error is not None
    assert "sent no heartbeat" in error.message


def test_transaction_of_a_living_script_is_left_alone() -> None:
    """While it sends heartbeats, however long, sweeper and orchestration leave it alone; without heartbeats they do
    not."""
    shop = Shop()
    transaction = shop.transaction().start()
    transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)
    for _ in range(20):
        shop.world.clock.advance(LEASE * 0.9)
        transaction.journal.heartbeat()
        assert shop.world.sweep().restarted == []
        shop.world.start("s")  # An orchestration that was started by mistake.
        while shop.world.step():
            pass
        assert not shop.world.is_running("s")
    assert shop.world.state("s") is DeploymentState.RUNNING
    assert row_states(shop) == [StepState.SUCCEEDED]
    transaction.commit()
    assert shop.world.state("s") is DeploymentState.SUCCEEDED


def test_transaction_step_is_never_applied_by_a_delivery() -> None:
    """A forward message for what a script is just creating does nothing. When the transaction is rolled back, the step
    is given up uncreated."""
    shop = Shop()
    transaction = shop.transaction().start()
    with transaction.creating(ResourceType.LAKEHOUSE, name="silver", workspace_id=shop.workspace) as pending:
        calls = len(shop.world.model.calls)
        assert execution.execute_step(shop.world.services, StepMessage("s", 0, Direction.FORWARD)) is None
        assert len(shop.world.model.calls) == calls
        pending.created(shop.lakehouse("silver", pending.description()))
    with pytest.raises(RuntimeError):
        shop.break_off(transaction, "gold", RuntimeError(), was_made=False)
    transaction.journal.start_rollback("tester", None)
    settled = execution.execute_step(shop.world.services, StepMessage("s", 1, Direction.FORWARD))
    assert settled is not None
    assert settled.state is StepState.FAILED
    assert shop.world.names() == {"sales": ["silver", "theirs"]}
    transaction.rollback()
    assert shop.world.names() == {"sales": ["theirs"]}


def test_transaction_commit_keeps_what_was_created_before_a_caught_exception() -> None:
    """The outcome is looked up: what exists is kept, and what does not exist is recorded as absent."""
    shop = Shop()
    with shop.transaction() as transaction:
        for name, is_made in (("silver", True), ("gold", False)):
            with pytest.raises(RuntimeError):
                shop.break_off(transaction, name, RuntimeError(), was_made=is_made)
    assert row_states(shop) == [StepState.SUCCEEDED, StepState.FAILED]
    assert verify(read(shop.world.journal, "s")).is_proven
    handle(shop.world.services, shop.world.locks, shop.world, command(Verb.RETIRE, "s", "operator"))
    assert shop.recover() is DeploymentState.COMPENSATED
    assert verify(read(shop.world.journal, "s")).is_proven
    assert shop.world.names() == {"sales": ["theirs"]}


def test_transaction_commit_leaves_nothing_unresolved_while_another_thread_continues() -> None:
    """A resource that is added between the last look and the end is looked up too: a committed row that is still
    unresolved could never be rolled back."""
    shop = Shop()
    transaction = shop.transaction().start()
    transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)
    journal, resolve, late = transaction.journal, transaction.journal.resolve, ["silver"]

    def resolved_a_moment_too_early() -> None:
        resolve()
        while late:
            journal.append(TrackedResource("Lakehouse", name=late.pop(), workspace_id=shop.workspace), is_there=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "resolve", resolved_a_moment_too_early)
        transaction.commit()
    assert row_states(shop) == [StepState.SUCCEEDED, StepState.FAILED]
    handle(shop.world.services, shop.world.locks, shop.world, command(Verb.RETIRE, "s", "operator"))
    assert shop.recover() is DeploymentState.COMPENSATED


def test_transaction_cancelled_by_a_person_also_rolls_back_what_comes_afterwards() -> None:
    """The script gets the cancel at its next call; what it created in the meantime is rolled back too."""
    shop = Shop()
    transaction = shop.transaction().start()
    transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)
    handle(shop.world.services, shop.world.locks, shop.world, command(Verb.CANCEL, "s", "operator"))
    assert shop.recover() is DeploymentState.CANCELLED
    with pytest.raises(RolledBackError, match="operator"):
        shop.break_off(transaction, "silver", AssertionError("nothing new may be begun"), was_made=True)
    with pytest.raises(RolledBackError, match="is rolled back"):
        transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("gold"), workspace_id=shop.workspace)
    with pytest.raises(RolledBackError):
        transaction.commit()
    assert shop.world.names() == {"sales": ["theirs"]}


def test_transaction_resource_tracked_during_the_rollback_is_rolled_back_with_the_rest() -> None:
    """A resource that is tracked between the cancel and its compensation is rolled back with the rest."""
    shop = Shop()

    def script(transaction: DeploymentTransaction) -> None:
        transaction.journal.start_rollback("operator", None)
        transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)

    with pytest.raises(RolledBackError):
        shop.run(script)
    assert row_states(shop) == [StepState.COMPENSATED]
    assert shop.world.names() == {"sales": ["theirs"]}


def test_transaction_compensation_that_fails_is_retried_reported_and_finished_by_the_sweeper() -> None:
    """Fabric refuses each try: nothing is reported as compensated, and the sweeper compensates it when it can."""
    shop = Shop()
    transaction = shop.transaction().start()
    for name in ("bronze", "silver"):
        transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse(name), workspace_id=shop.workspace, name=name)
    stuck = shop.world.journal.steps("s")[0].record.resource
    assert stuck is not None
    shop.fault(f".*/items/{stuck.id}")
    with pytest.raises(RollbackError) as caught:
        transaction.rollback()
    [left] = caught.value.report.left
    assert (left.resource.name, left.state) == ("bronze", "compensation_failed")
    assert left.error is not None
    assert (left.error.error_code, left.error.status) == ("InsufficientPrivileges", 403)
    tries = [c for c in shop.world.model.calls if c["method"] == "DELETE" and c["path"].endswith(stuck.id)]
    assert len(tries) == QUICK.backward.max_attempts
    assert shop.world.names() == {"sales": ["bronze", "theirs"]}
    assert shop.world.state("s") is DeploymentState.STUCK
    shop.heal()
    assert shop.recover() is DeploymentState.COMPENSATED
    assert shop.world.names() == {"sales": ["theirs"]}


def test_transaction_exception_has_a_note_of_what_could_not_be_rolled_back() -> None:
    """The script gets its own exception, with a note."""
    shop = Shop()

    def script(transaction: DeploymentTransaction) -> None:
        bronze = shop.lakehouse("bronze")
        transaction.track_resource(ResourceType.LAKEHOUSE, bronze, workspace_id=shop.workspace, name="bronze")
        shop.fault(".*/items/.*")
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        shop.run(script)
    assert any("not everything is rolled back" in note and "bronze" in note for note in caught.value.__notes__)


def test_transaction_rollback_that_runs_out_of_time_is_left_to_the_sweeper() -> None:
    """If Fabric asks to wait longer than the script may, the sweeper finishes the rollback."""
    shop = Shop(EnginePolicy())
    transaction = shop.transaction(rollback_seconds=5).start()
    transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)
    answer = {"status": 429, "headers": {"Retry-After": "60"}, "body": {"errorCode": "RequestBlocked", "message": "x"}}
    rule = {"match": {"method": "DELETE"}, "when": {"nth": 1}, "action": answer}
    control.handle(shop.world.model, "POST", "/_sim/faults", {}, encoded([rule]))
    with pytest.raises(RollbackError):
        transaction.rollback()
    assert shop.world.names() == {"sales": ["bronze", "theirs"]}
    assert shop.recover() is DeploymentState.COMPENSATED
    assert shop.world.names() == {"sales": ["theirs"]}


def test_transaction_custom_compensation_is_called_in_order_and_again_if_it_raised() -> None:
    """The script itself calls it between the others, the last one first."""
    shop = Shop()
    done: list[str] = []

    def flaky() -> None:
        done.append("try")
        if done.count("try") < 2:
            raise OSError("secret in here")

    transaction = shop.transaction().start()
    transaction.track_custom("the first", lambda: done.append("first"))
    transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)
    transaction.track_custom("the second", lambda: done.append(f"second, before {shop.world.names()}"))
    transaction.track_custom("the flaky", flaky)
    assert transaction.rollback().left == []
    assert done == ["try", "second, before {'sales': ['bronze', 'theirs']}", "first", "try"]
    assert "secret" not in str([entry.to_json() for entry in shop.world.journal.audit("s")])


def test_transaction_custom_compensation_of_a_killed_script_is_reported_as_lost() -> None:
    """The rest is rolled back. The deployment does not end `compensated`; its error says what is left for a person."""
    shop = Shop()
    transaction = shop.transaction().start()
    transaction.track_custom("a row in a ledger", lambda: None)
    transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)
    shop.kill(transaction)
    assert shop.recover() is DeploymentState.STUCK
    [lost, roll_back] = [row.record for row in shop.world.journal.steps("s")]
    assert (lost.state, roll_back.state) == (StepState.COMPENSATION_FAILED, StepState.COMPENSATED)
    assert lost.compensation_error is not None
    assert "a row in a ledger" in lost.compensation_error.message
    assert shop.world.names() == {"sales": ["theirs"]}


def test_transaction_dry_run_writes_and_deletes_nothing() -> None:
    """It uses neither journal nor lock nor Fabric; the result counts what would happen."""
    shop = Shop()
    calls = len(shop.world.model.calls)

    def script(transaction: DeploymentTransaction) -> None:
        transaction.track_resource(ResourceType.LAKEHOUSE, MISSING, workspace_id=shop.workspace)
        transaction.track_custom("anything", lambda: pytest.fail("was called"))
        with transaction.creating(ResourceType.NOTEBOOK, name="clean", workspace_id=shop.workspace) as pending:
            assert "[saga:" in pending.description("words")
        assert (transaction.get_stats()["state"], transaction.get_stats()["resources"]) == ("dry_run", 3)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        shop.run(script, dry_run=True)
    assert list(shop.world.journal.deployments()) == []
    assert len(shop.world.model.calls) == calls
    with shop.transaction(dry_run=True) as transaction, pytest.raises(InvalidInputError):
        transaction.track_resource(ResourceType.LAKEHOUSE, "bronze", workspace_id=shop.workspace)


def test_transaction_is_rolled_back_although_rollback_is_switched_off() -> None:
    """The flag is about rollbacks that nobody requested; a transaction requests one by its name, even if its script
    died."""
    shop = Shop(replace(QUICK, rollback=False))
    for how in ("rollback", "kill", "cancel"):
        transaction = shop.transaction(how).start()
        transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse(how), workspace_id=shop.workspace)
        if how == "rollback":
            transaction.rollback()
        elif how == "cancel":
            handle(shop.world.services, shop.world.locks, shop.world, command(Verb.CANCEL, how, "operator"))
        shop.kill(transaction)
        assert shop.recover(how) in (DeploymentState.COMPENSATED, DeploymentState.CANCELLED)
    assert shop.world.names() == {"sales": ["theirs"]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((ResourceType.LAKEHOUSE, "bronze"), "id"),
        ((ResourceType.LAKEHOUSE, MISSING), "workspace_id"),
        ((ResourceType.WORKSPACE, ""), "id"),
        ((ResourceType.ROLE_ASSIGNMENT, PERSON), "role"),
        (("../workspaces", MISSING), "type"),
    ],
)
def test_transaction_refuses_a_resource_that_could_not_be_rolled_back(arguments: tuple[str, str], says: str) -> None:
    """The refusal comes at once, and names the resource."""
    shop = Shop()
    with shop.transaction() as transaction:
        with pytest.raises(InvalidInputError, match=says):
            transaction.track_resource(*arguments)
        with pytest.raises(FabricNotFoundError):
            transaction.track_resource(ResourceType.LAKEHOUSE, MISSING, workspace_id=shop.workspace)


def test_transaction_waits_for_its_target_and_frees_it() -> None:
    """One at a time: a deployment waits for the script, the next script waits for that deployment, and a script that
    waits too long gets an error."""
    shop = Shop()
    first = shop.transaction("s1").start()
    with pytest.raises(TransactionError, match="s1"):
        shop.transaction("s2", wait_seconds=10).start()
    assert shop.world.state("s2") is DeploymentState.CANCELLED
    manifest = {"name": "m", "target": "T", "steps": [{"id": "w", "kind": "workspace", "with": {"displayName": "x"}}]}
    shop.world.submit(manifest, "d")
    while shop.world.step():
        pass
    assert shop.world.state("d") is DeploymentState.ACCEPTED
    first.commit()
    assert shop.recover("d") is DeploymentState.SUCCEEDED
    with pytest.raises(TransactionError, match="another deployment"):
        shop.transaction("d").start()
    with shop.transaction("s3"):
        pass
    assert shop.world.state("s3") is DeploymentState.SUCCEEDED


def test_transaction_that_died_waiting_is_ended_when_its_turn_comes() -> None:
    """It created nothing, and must not block the target."""
    shop = Shop()
    first = shop.transaction("s1").start()

    class Killed(BaseException):
        pass

    def die(_: float) -> None:
        raise Killed

    second = shop.transaction("s2")
    second._sleep = die
    with pytest.raises(Killed):
        second.start()
    first.commit()
    assert shop.recover("s2") is DeploymentState.COMPENSATED


def test_transaction_that_has_ended_cannot_be_used_again() -> None:
    """The same holds before it began."""
    shop = Shop()
    transaction = shop.transaction()
    for call in (transaction.commit, transaction.rollback, transaction.get_stats):
        with pytest.raises(TransactionError):
            call()
    with transaction:
        pass
    bronze = shop.lakehouse("bronze")
    with pytest.raises(TransactionError, match="committed"):
        transaction.track_resource(ResourceType.LAKEHOUSE, bronze, workspace_id=shop.workspace)
    with pytest.raises(TransactionError, match="committed"):
        transaction.rollback()


@settings(max_examples=150)
@given(st.integers(0, 10**9))
def test_law_script_killed_at_any_instant_leaves_all_or_nothing(seed: int) -> None:
    """Any call may be the script's last, forward or backward: a committed transaction is complete, any other leaves
    nothing."""
    shop = Shop(seed=seed)
    world, chance = shop.world, shop.world.chance
    names = chance.sample(["bronze", "silver", "gold", "clean"], chance.randint(1, 4))
    made: list[str] = []

    def script() -> None:
        transaction = shop.transaction().start()
        place = shop.workspace
        if chance.random() < 0.5:
            with transaction.creating(ResourceType.WORKSPACE, name="new") as pending:
                body = {"displayName": "new", "description": pending.description()}
                place = (world.fabric.send("POST", "/workspaces", body).body or {})["id"]
                pending.created(place)
        for name in names:
            with transaction.creating(ResourceType.LAKEHOUSE, name=name, workspace_id=place) as pending:
                pending.created(shop.lakehouse(name, pending.description(), place))
                made.append(name)
        if chance.random() < 0.5:
            transaction.rollback()
        else:
            transaction.commit()

    world.crash_rate = chance.choice([0.01, 0.03, 0.1])
    with contextlib.suppress(Crash):
        script()
    world.crash_rate = 0.0
    if not world.journal.page(1):
        return  # It died before it began.
    state = shop.recover()
    assert verify(read(world.journal, "s")).is_proven
    stored = sorted(name for items in world.names().values() for name in items)
    if state is DeploymentState.SUCCEEDED:
        assert stored == sorted([*names, "theirs"])
    else:
        assert state is DeploymentState.COMPENSATED, state
        assert stored == ["theirs"]
        assert set(world.names()) == {"sales"}


def test_transaction_window_of_track_resource_is_as_documented() -> None:
    """If a script is killed between its call and track_resource, nobody knows of the resource. `creating` exists for
    that: the row that it writes before the call keeps the law above."""
    shop = Shop()
    transaction = shop.transaction().start()
    shop.lakehouse("gold")
    shop.kill(transaction)
    assert shop.recover() is DeploymentState.COMPENSATED
    assert shop.world.names() == {"sales": ["gold", "theirs"]}


def test_transaction_emits_the_events_of_a_deployment() -> None:
    """Each create and each compensation is one event, and so is the end, whichever process wrote the move."""
    reported = MemoryTelemetry()
    shop = Shop(telemetry=reported)
    transaction = shop.transaction().start()
    transaction.track_resource(ResourceType.LAKEHOUSE, shop.lakehouse("bronze"), workspace_id=shop.workspace)
    transaction.rollback()
    events = [event.name for event in reported.events()]
    made = [Event.STEP_STARTED, Event.STEP_FINISHED]
    compensated = [Event.ROLLBACK_STARTED, Event.STEP_COMPENSATED, Event.DEPLOYMENT_FINISHED]
    assert {name: events.count(name) for name in made + compensated} == dict.fromkeys(made + compensated, 1)
