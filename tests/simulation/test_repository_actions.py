"""The actions on items of a repository that have their definitions, and their compensation."""

import pytest

from local.fabric_simulator import publishing
from local.fabric_simulator.shortcuts import OneLakePaths
from shared.cli.render.timeline import timeline
from shared.domain.flags import FeatureFlags
from shared.domain.policy import EnginePolicy
from shared.domain.states import DeploymentState, StepState
from shared.saga.command.verbs import Verb
from tests.simulation import repositories
from tests.simulation.actions_in_schedule import ActionsInSchedule
from tests.simulation.edges import WORKSPACE
from tests.simulation.test_repository import BALL, manifest
from tests.simulation.world import World


def content(world: World, cores: int, value_set: str) -> dict[str, object]:
    """Return a repository of an environment and a variable library."""
    blobs = world.blobs
    return repositories.step(
        WORKSPACE,
        [
            repositories.item(blobs, "Environment", "spark", f"driver_cores: {cores}\n"),
            repositories.item(blobs, "VariableLibrary", "names", "{}", valueSet=value_set),
        ],
    )


def published(world: World) -> tuple[str, str]:
    """Return what the environment has published, and the active value set."""
    items = {i.name: i for w in world.model.store.workspaces.values() for i in w.standing()}
    parts = publishing.settled(items["spark"], world.clock.now().timestamp()).published
    return parts["Setting/Sparkcompute.yml"].decode(), items["names"].value_set


@pytest.mark.law(1)
def test_environment_is_published_and_value_set_chosen_and_both_are_restored() -> None:
    """After a failed second deployment, the first one's settings are published again and its value set is active."""
    world = World(3)
    world.submit(manifest(content(world, 4, "PROD")))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert published(world) == ("driver_cores: 4\n", "PROD")
    world.submit(manifest(content(world, 8, "Default value set"), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert published(world) == ("driver_cores: 4\n", "PROD")
    world.submit(manifest(content(world, 8, "Default value set")), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert published(world) == ("driver_cores: 8\n", "Default value set")


def test_unchanged_environment_is_not_published_again() -> None:
    """A publish takes minutes."""
    world = World(3)
    world.submit(manifest(content(world, 4, "PROD")))
    world.run()
    calls = len(world.model.calls)
    world.submit(manifest(content(world, 4, "PROD")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert [c["path"] for c in world.model.calls[calls:] if c["method"] != "GET"] == []


def lakes(world: World, *links: str, transform: dict[str, object] | None = None) -> dict[str, object]:
    """Return a repository of two lakehouses, one of which has shortcuts of these names into the other."""
    targets = dict.fromkeys(links, "raw")
    return repositories.step(
        WORKSPACE,
        [
            repositories.lakehouse(world.blobs, "clean", targets, transform),
            repositories.lakehouse(world.blobs, "raw", {}),
        ],
    )


def links_of(world: World) -> dict[str, str]:
    """Return the shortcuts of the lakehouse `clean` by name, each with the name of the lakehouse that it points to."""
    items = {i.name: i for w in world.model.store.workspaces.values() for i in w.standing()}
    names = {i.id: i.name for i in items.values()}
    shortcuts = items["clean"].part(OneLakePaths).shortcuts.values()
    return {each["name"]: names[each["target"]["oneLake"]["itemId"]] for each in shortcuts}


def shortcuts(world: World) -> list[str]:
    """Return the names of the shortcuts of all items."""
    items = [i for w in world.model.store.workspaces.values() for i in w.standing()]
    return sorted(name for i in items for _, name in i.part(OneLakePaths).shortcuts)


def put_by_hand(world: World, name: str, target: str = "clean") -> None:
    """Let a person put a shortcut into the lakehouse `clean`, in place of one of that name."""
    for workspace in world.model.store.workspaces.values():
        items = {i.name: i for i in workspace.standing()}
        place = {"workspaceId": workspace.id, "itemId": items[target].id, "path": "Files"}
        row = {"name": name, "path": "Files", "target": {"type": "OneLake", "oneLake": place}}
        items["clean"].part(OneLakePaths).shortcuts[("Files", name)] = row


@pytest.mark.law(1)
def test_shortcuts_of_a_repository_are_made_changed_and_restored() -> None:
    """A failed deployment leaves the shortcuts of the one before, and a person's; the next one deletes what it had made
    and does not list any more."""
    world = World(3)
    world.submit(manifest(lakes(world, "orders", "customers")))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert links_of(world) == {"orders": "raw", "customers": "raw"}
    put_by_hand(world, "own")
    put_by_hand(world, "orders")
    before = links_of(world)
    world.submit(manifest(lakes(world, "orders", "prices"), BALL), "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert links_of(world) == before == {"orders": "clean", "customers": "raw", "own": "clean"}
    world.submit(manifest(lakes(world, "orders", "prices")), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert links_of(world) == {"orders": "raw", "prices": "raw", "own": "clean"}
    assert [told(world, each) for each in "df"] == ["nothing to remove", "removed 1 shortcut"]


def told(world: World, deployment_id: str) -> str:
    """Return what the step that removes shortcuts did: in its row and the timeline, and as the reason of the audit."""
    rows = [s.record for s in world.journal.steps(deployment_id)]
    [row] = [row for row in rows if row.kind == "removed_shortcuts"]
    [line] = [line for line in timeline(world.journal.header(deployment_id).record, rows) if row.step_id in line]
    [reason] = [
        entry.reason
        for entry in world.journal.audit(deployment_id)
        if entry.subject == f"step_{row.ordinal:05}" and entry.after == StepState.SUCCEEDED
    ]
    assert row.done == reason
    assert f"({row.done})" in line
    return reason


@pytest.mark.law(1)
@pytest.mark.parametrize("verb", [Verb.RESUME, Verb.COMPENSATE])
def test_shortcut_whose_create_got_no_answer_is_accounted_for_without_a_rollback(verb: Verb) -> None:
    """The intent of its step says so: a person who resumes has it, and one who rolls back does not (seed 9111569)."""
    world = World(3, EnginePolicy().under(FeatureFlags(rollback=False)))
    rule = {"match": {"method": "POST", "path": ".*/shortcuts"}, "when": {"times": 1}, "action": {"reset": "after"}}
    world.model.faults.replace([rule])
    clean = repositories.lakehouse(world.blobs, "clean_lake", {"orders": "raw_lake"})
    lakehouses = [clean, repositories.lakehouse(world.blobs, "raw_lake", {})]
    world.submit(manifest(repositories.step(WORKSPACE, lakehouses)))
    while not world.model.faults.shown()[0]["injected"]:
        assert world.step() or world.pass_time() is None
    world.cancel("d")
    assert world.run() == [DeploymentState.FAILED]
    [row] = [s.record for s in world.journal.steps("d") if s.record.kind == "repository_shortcut"]
    assert (row.state, row.ambiguous, row.resource) == (StepState.FAILED, True, None)
    assert shortcuts(world) == ["orders"]
    actions = ActionsInSchedule.of(1, world)
    actions.is_on = True
    assert list(actions.violations(["d"])) == []
    assert world.ask(verb).accepted
    world.run()
    assert world.state() is (DeploymentState.SUCCEEDED if verb is Verb.RESUME else DeploymentState.CANCELLED)
    assert shortcuts(world) == (["orders"] if verb is Verb.RESUME else [])


@pytest.mark.law(2)
def test_shortcut_that_somebody_made_or_pointed_elsewhere_is_not_deleted() -> None:
    """A shortcut stays if it was found, has another destination now, or was made again by a person."""
    world = World(3)
    world.submit(manifest(lakes(world)))
    world.run()
    put_by_hand(world, "found", "raw")
    world.submit(manifest(lakes(world, "found", "moved", "again")), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    put_by_hand(world, "moved", "clean")
    world.submit(manifest(lakes(world)), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert links_of(world) == {"found": "raw", "moved": "clean"}
    put_by_hand(world, "again", "raw")
    world.submit(manifest(lakes(world)), "g")
    assert world.run("g") == [DeploymentState.SUCCEEDED]
    assert links_of(world) == {"found": "raw", "moved": "clean", "again": "raw"}


def test_deleted_shortcut_is_ours_again_after_the_deployment_is_retired() -> None:
    """The shortcut comes back with the note that it was created here, so that it can be deleted later."""
    world = World(3)
    world.submit(manifest(lakes(world, "orders")))
    world.run()
    world.clock.advance(60.0)
    world.submit(manifest(lakes(world)), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    assert links_of(world) == {}
    world.ask(Verb.RETIRE, "e")
    assert world.run("e") == [DeploymentState.COMPENSATED]
    assert links_of(world) == {"orders": "raw"}
    world.submit(manifest(lakes(world)), "f")
    assert world.run("f") == [DeploymentState.SUCCEEDED]
    assert links_of(world) == {}


def test_unchanged_shortcuts_share_their_lists() -> None:
    """Nothing is sent, however many there are. Without a pace, no list is later than the start of the deployment."""
    world = World(3, pace=0.1)
    names = [f"link{n}" for n in range(12)]
    world.submit(manifest(lakes(world, *names)))
    world.run()
    calls = len(world.model.calls)
    world.submit(manifest(lakes(world, *names)), "e")
    assert world.run("e") == [DeploymentState.SUCCEEDED]
    seen = [c for c in world.model.calls[calls:] if c["path"].endswith("/shortcuts")]
    assert {c["method"] for c in seen} == {"GET"}
    assert len(seen) <= 3, len(seen)


@pytest.mark.parametrize("seed", range(12))
def test_shortcuts_under_crashes_end_as_without_them(seed: int) -> None:
    world = World(seed)
    world.submit(manifest(lakes(world, "orders", "customers")))
    world.run()
    put_by_hand(world, "orders")
    before = links_of(world)
    world.crash_rate, world.overtake_rate = 0.06, 0.03
    world.submit(manifest(lakes(world, "orders", "prices"), *([BALL] if seed % 2 else [])), "e")
    [end] = world.run("e")
    if seed % 2:
        assert (end, links_of(world)) == (DeploymentState.COMPENSATED, before)
    else:
        assert (end, links_of(world)) == (DeploymentState.SUCCEEDED, {"orders": "raw", "prices": "raw"})
