"""The kind `git_update`: what it refuses, what a rollback restores, and what it leaves alone."""

import base64
from typing import Any

import pytest

from local.fabric_simulator import control
from local.fabric_simulator.bulk import root_of
from local.fabric_simulator.folders import Folders
from local.fabric_simulator.git_sync import GitLink
from shared.domain.manifest import compile_manifest
from shared.domain.records import Intent
from shared.domain.states import DeploymentState, IntentAction
from shared.saga.command.verbs import Verb
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action, StepChange
from shared.steps import KINDS, STEPS
from shared.steps.definition_parts import PLATFORM
from shared.steps.git_update import GitUpdateKind
from shared.steps.kind import GuardError, Snapshot
from tests.simulation import git_branches
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.fault_table import BRANCH, SIGN_IN, put_connections
from tests.simulation.git_branches import CHANGED, LAKE, RENAMED, files, push, send, without
from tests.simulation.laws import encoded
from tests.simulation.world import World
from tests.unit.steps.tenant import MARKER, PERSON, problems

KIND = GitUpdateKind()
FIELDS: dict[str, Any] = {"workspaceId": WORKSPACE}


def manifest(*, fails: bool = False, **changes: Any) -> dict[str, Any]:
    """Return a manifest that updates a workspace, followed by a step that cannot succeed if it `fails`."""
    steps: list[dict[str, Any]] = [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "update", "kind": "git_update", "with": {**FIELDS, **changes}},
    ]
    if fails:
        ball = {**FIELDS, "type": "Crystal", "displayName": "ball"}
        steps.append({"id": "ball", "kind": "item", "needs": ["update"], "with": ball})
    return {"name": "m", "steps": steps}


def world(*, is_behind: bool = True) -> World:
    """Return a tenant with a workspace that is connected with a branch and behind it."""
    made = World(3)
    control.seed(made.model, {"workspaces": [{"displayName": "sales", "roleAssignments": [own_role()]}]})
    put_connections(made.model, is_bound=False)
    if is_behind:
        git_branches.put_behind(made.model, place(made).id, BRANCH)
    return made


def place(made: World) -> Any:
    """Return the workspace as the simulator stores it."""
    return next(iter(made.model.store.workspaces.values()))


def contents(made: World) -> list[tuple[str, str, str]]:
    """Return path, description and text of each item."""
    found = [
        (root_of(place(made), item), item.description, part["path"], part["payload"])
        for item in place(made).items.values()
        for part in (item.definition or {"parts": []})["parts"]
        if part["path"] != PLATFORM
    ]
    return sorted((path, about, f"{name} {base64.b64decode(text).decode()}") for path, about, name, text in found)


def call(made: World, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Make a call in the workspace as another person with the same rights."""
    return send(made.model, method, f"/v1/workspaces/{place(made).id}{path}", body)


def edit(made: World, name: str, text: str) -> None:
    """Change a notebook in the workspace."""
    item = next(i for i in place(made).items.values() if i.name == name)
    payload = base64.b64encode(text.encode()).decode()
    part = {"path": "notebook-content.py", "payload": payload, "payloadType": "InlineBase64"}
    call(made, "POST", f"/items/{item.id}/updateDefinition", {"definition": {"parts": [part]}})


def error_of(made: World) -> str:
    """Return the error of the step."""
    error = next(s.record.error for s in made.journal.steps("d") if s.record.step_id == "update")
    return error.message if error is not None else ""


def planned(made: World, **changes: Any) -> StepChange:
    """Return what a dry run says of the step."""
    graph = compile_manifest(manifest(**changes), KINDS)
    found = dry_run(made.services.fabric, STEPS, graph, clock=made.clock, sleep=lambda _: None)
    return next(step for step in found.steps if step.id == "update")


def test_plan_names_each_item_and_what_a_rollback_cannot_restore() -> None:
    """A dry run reads the status of Git and every definition, and changes nothing."""
    made = world()
    before = contents(made)
    change = planned(made)
    assert change.action is Action.UPDATE
    assert [name.partition(" (")[0] for name in sorted(change.files)] == [
        "Notebook/changed modified",
        "Notebook/gone deleted",
        "Notebook/new added",
        "Notebook/renamed modified",
    ]
    assert change.restorable == "lossy"
    assert contents(made) == before
    assert not [c for c in made.model.calls if c["path"].endswith("updateFromGit")]


def test_plan_of_a_workspace_at_the_head_changes_nothing() -> None:
    made = world()
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert planned(made).action is Action.UNCHANGED
    made.submit({**manifest(), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.SUCCEEDED]
    assert len([c for c in made.model.calls if c["path"].endswith("updateFromGit")]) == 1


def test_plan_of_a_workspace_that_is_not_connected_is_blocked() -> None:
    change = planned(world(is_behind=False))
    assert change.action is Action.BLOCKED
    assert "is not connected to Git" in change.reason


def test_plan_expects_the_connection_of_an_earlier_step() -> None:
    """A step that connects the workspace before makes the update possible."""
    made = world(is_behind=False)
    push(made.model, BRANCH, git_branches.OLD)
    data = manifest()
    link = {"id": "git", "kind": "git_connection", "with": {**FIELDS, **BRANCH, "connectionId": SIGN_IN}}
    data["steps"][1]["needs"] = ["git"]
    data["steps"].insert(1, link)
    found = dry_run(made.services.fabric, STEPS, compile_manifest(data, KINDS), clock=made.clock, sleep=lambda _: None)
    assert next(step.action for step in found.steps if step.id == "update") is Action.UPDATE
    made.submit(data)
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert [path for path, _, _ in contents(made)] == ["/changed.Notebook", "/gone.Notebook", "/renamed.Notebook"]


@pytest.mark.parametrize("number", range(3))
def test_rollback_restores_every_definition_whatever_fails(number: int) -> None:
    """After a later failure, after an update that fails in the middle, and after a lost answer: as before, item by
    item."""
    made = world()
    before, folders = contents(made), len(place(made).part(Folders).by_id)
    actions: list[dict[str, Any]] = [{}, {"operation": "fail"}, {"reset": "after"}]
    rule = {"match": {"method": "POST", "path": ".*updateFromGit"}, "action": actions[number]}
    if actions[number]:
        rules = [{**rule, "when": {"nth": 1}}] if "reset" in actions[number] else [rule]
        assert control.handle(made.model, "POST", "/_sim/faults", {}, encoded(rules))[0] == 200
    made.submit(manifest(fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert contents(made) == before
    assert len(place(made).part(Folders).by_id) == folders
    sent = [c for c in made.model.calls if c["path"].endswith("updateFromGit")]
    assert len(sent) == 1 or number == 1


def test_swapped_names_are_restored() -> None:
    """Two items that exchange their names in the branch have their own again."""
    made = world()
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    root = {**files("Notebook", "changed", CHANGED, "x = 2"), **files("Notebook", "other", RENAMED, "", folder="Raw/")}
    swapped = {**files("Notebook", "other", CHANGED, "x = 3"), **files("Notebook", "changed", RENAMED, "y = 3")}
    push(made.model, BRANCH, {**without(root), **swapped})
    before = contents(made)
    made.submit({**manifest(fails=True), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.COMPENSATED]
    assert contents(made) == before


def test_item_with_data_is_deleted_only_if_its_name_is_allowed() -> None:
    """The update is refused before it is sent; with the permission, the item is deleted."""
    made = world(is_behind=False)
    push(made.model, BRANCH, files("Lakehouse", "lake", LAKE, "{}"), place(made).id)
    push(made.model, BRANCH, {**without(files("Lakehouse", "lake", LAKE, "{}")), "README.md": "no lake"})
    made.submit(manifest())
    assert made.run() == [DeploymentState.COMPENSATED]
    assert "$.with.allowDataLoss: the branch does not contain lake.Lakehouse any more" in error_of(made)
    assert [i.name for i in place(made).items.values() if i.type == "Lakehouse"] == ["lake"]
    made.submit({**manifest(allowDataLoss=["Lake.Lakehouse"]), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.SUCCEEDED]
    assert [i.name for i in place(made).items.values() if i.type == "Lakehouse"] == []


def test_conflict_is_refused_or_resolved_as_asked() -> None:
    """Without a resolution nothing is sent; PreferRemote is compensated to the workspace's own version."""
    made = world()
    edit(made, "changed", "mine")
    before = contents(made)
    made.submit(manifest())
    assert made.run() == [DeploymentState.COMPENSATED]
    assert "have both changed changed.Notebook: set PreferRemote or PreferWorkspace" in error_of(made)
    made.submit({**manifest(fails=True, conflictResolution="PreferRemote"), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.COMPENSATED]
    assert contents(made) == before


def test_conflict_that_the_workspace_wins_leaves_its_item() -> None:
    made = world()
    edit(made, "changed", "mine")
    made.submit(manifest(conflictResolution="PreferWorkspace"))
    assert made.run() == [DeploymentState.SUCCEEDED]
    assert ("/changed.Notebook", "old", "notebook-content.py mine") in contents(made)
    assert "/Raw/other.Notebook" in [path for path, _, _ in contents(made)]


def test_commit_that_is_not_the_head_is_refused() -> None:
    """Fabric updates to the head only, so another commit is a clear error, and the head's hash is accepted."""
    made = world()
    made.submit(manifest(commit="0" * 40))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert "$.with.commit: the head of the branch is" in error_of(made)
    assert "or bring the branch to the commit that is wanted" in error_of(made)
    head = push(made.model, BRANCH, {})
    made.submit({**manifest(commit=head), "name": "again"}, "d2")
    assert made.run("d2") == [DeploymentState.SUCCEEDED]
    [outputs] = [s.record.outputs for s in made.journal.steps("d2") if s.record.step_id == "update"]
    assert outputs is not None
    assert outputs["commit"] == head


def test_resumed_update_reads_its_before_image_anew() -> None:
    """The branch and an item of the workspace were changed during the hold: the old pieces are not the before-image of
    the update that is made now."""
    made = world()
    match = {"method": "POST", "path": ".*/getDefinition"}
    refusal = {"status": 403, "body": {"errorCode": "InsufficientPrivileges", "message": "x"}}
    rules = [{"match": match, "when": {"nth": 2}, "action": refusal}]
    assert control.handle(made.model, "POST", "/_sim/faults", {}, encoded(rules))[0] == 200
    made.submit({**manifest(fails=True, conflictResolution="PreferRemote"), "onFailure": "hold"})
    made.run(hours=1.0)
    assert made.state() is DeploymentState.HELD
    assert control.handle(made.model, "POST", "/_sim/faults", {}, encoded([]))[0] == 200
    edit(made, "changed", "mine")
    push(made.model, BRANCH, {"README.md": "more"})
    before = contents(made)
    assert made.ask(Verb.RESUME).accepted
    made.run(hours=1.0)
    assert len([c for c in made.model.calls if c["path"].endswith("updateFromGit") and c["effect"]]) == 1
    assert made.ask(Verb.COMPENSATE).accepted
    assert made.run() == [DeploymentState.COMPENSATED]
    assert contents(made) == before


def begun(made: World) -> tuple[dict[str, Any], Intent, Snapshot]:
    """Return the spec, the intent with its whole before-image, and the resource, as the engine has them."""
    spec = {"workspaceId": place(made).id}
    found = KIND.find(made.services.fabric, spec)
    assert found is not None
    gathered, pieces = KIND.gather(made.services.fabric, spec, None, 0, None), dict[str, Any]()
    while not gathered.is_complete:
        answer = None
        if gathered.operation is not None:
            answer = made.services.fabric.result(gathered.operation.id, gathered.operation.location)
        gathered = KIND.gather(made.services.fabric, spec, gathered.image, len(pieces), answer)
        pieces |= dict([gathered.piece] if gathered.piece is not None else [])
    before = {**(gathered.image or {}), KIND.pieces: pieces}
    return spec, Intent(IntentAction.UPDATE, MARKER, before, found.resource.id), found


def surveyed(made: World, spec: dict[str, Any], intent: Intent) -> list[str]:
    """Return the names of the items that the survey calls the update's."""
    fabric = made.services.fabric
    found = KIND.survey(fabric, spec, intent, None)
    if not isinstance(found, dict):
        found = KIND.survey(fabric, spec, intent, fabric.result(found.id, found.location))
    assert isinstance(found, dict)
    return [place(made).items[item_id].name for item_id in found["created"]]


def test_item_of_a_stranger_with_the_name_of_an_added_one_stays() -> None:
    """Git's status shows an item that is not in Git as an uncommitted one: the update did not create it."""
    made = world()
    spec, intent, _ = begun(made)
    call(made, "POST", "/items", {"type": "Notebook", "displayName": "new"})
    assert surveyed(made, spec, intent) == []


def test_item_of_a_stranger_that_was_committed_stays() -> None:
    """Somebody deleted the item that the update had added, and committed another one of that name."""
    made = world()
    made.submit(manifest())
    assert made.run() == [DeploymentState.SUCCEEDED]
    [added] = [i.id for i in place(made).items.values() if i.name == "new"]
    call(made, "DELETE", f"/items/{added}")
    call(made, "POST", "/items", {"type": "Notebook", "displayName": "new"})
    call(made, "POST", "/git/commitToGit", {"mode": "All", "comment": "mine"})
    assert made.ask(Verb.RETIRE).accepted
    assert made.run() == [DeploymentState.COMPENSATED]
    assert [i.name for i in place(made).items.values() if i.name in ("new", "changed")] == ["changed", "new"]


def test_added_item_is_the_updates_own() -> None:
    made = world()
    spec, intent, found = begun(made)
    for each in KIND.apply(spec, intent):
        send(made.model, each.method, f"/v1{each.path}", each.body)
    assert KIND.took_effect(made.services.fabric, spec, intent)
    assert surveyed(made, spec, intent) == ["new"]
    assert KIND.verify(made.services.fabric, spec, found.resource, intent)["commit"] == push(made.model, BRANCH, {})


def test_nothing_proves_what_the_update_created_after_somebody_disconnected() -> None:
    """A person has to look."""
    made = world()
    spec, intent, _ = begun(made)
    for each in KIND.apply(spec, intent):
        send(made.model, each.method, f"/v1{each.path}", each.body)
    place(made).part(GitLink).link = None
    with pytest.raises(GuardError, match="'new'"):
        KIND.survey(made.services.fabric, spec, intent, None)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"commit": "main"}, "$.commit"),
        ({"conflictResolution": "Both"}, "$.conflictResolution"),
        ({"allowDataLoss": "lake.Lakehouse"}, "$.allowDataLoss"),
        ({"workspaceId": None}, "$.workspaceId"),
    ],
)
def test_bad_update_is_a_problem(changes: dict[str, Any], where: str) -> None:
    assert where in problems(KINDS["git_update"], {"workspaceId": PERSON, **changes})


@pytest.mark.parametrize("count", range(1, 13))
def test_before_image_and_what_the_update_made_fit_into_the_row_together(count: int) -> None:
    """Both may be small enough for the row, and too large for it together."""
    made = world(is_behind=False)
    ids = [f"{number:08x}-0000-4000-8000-000000000001" for number in range(2 * count)]
    old = [files("Notebook", f"n{i}", ids[i], "x = 1") for i in range(count)]
    new = [files("Notebook", f"n{i}", ids[i], "x = 2") for i in range(2 * count)]
    for number, each in enumerate([old, new]):
        merged = {path: text for one in each for path, text in one.items()}
        push(made.model, BRANCH, merged, "" if number else place(made).id)
    before = contents(made)
    made.submit(manifest(fails=True))
    assert made.run() == [DeploymentState.COMPENSATED]
    assert contents(made) == before
