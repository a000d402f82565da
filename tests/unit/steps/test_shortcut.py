"""The kind `shortcut`: created, given another destination, and compensated only while it is the step's."""

from typing import Any

import pytest

from local.fabric_simulator.shortcuts import OneLakePaths
from shared.domain.errors import FabricTransientError
from shared.domain.records import Intent
from shared.domain.states import IntentAction
from shared.steps import STEPS
from shared.steps.shortcut import ShortcutKind
from tests.unit.steps.tenant import MARKER, OTHER, PERSON, Tenant, problems

KIND = STEPS["shortcut"]


def made(t: Tenant, path: str = "Tables") -> tuple[dict[str, Any], OneLakePaths]:
    """Return the `with` of a shortcut in a lakehouse to the lakehouse itself, and what the lakehouse has."""
    place = t.workspace(items=[{"type": "Lakehouse", "displayName": "lake"}])
    lake = t.item(place, "lake")
    target = {"oneLake": {"workspaceId": place, "itemId": lake.id, "path": path}}
    spec: dict[str, Any] = {
        "workspaceId": place,
        "itemId": lake.id,
        "path": "/Files/",
        "name": "link",
        "target": target,
    }
    return spec, lake.part(OneLakePaths)


def test_shortcut_is_created_and_deleted() -> None:
    """A list shows the path with a slash before it; a slash in the manifest makes no difference."""
    t = Tenant()
    spec, held = made(t)
    assert KIND.find(t.fabric, spec) is None
    resource = t.create(KIND, spec)
    assert set(held.shortcuts) == {("Files", "link")}
    assert KIND.verify(t.fabric, spec, resource, Intent(IntentAction.CREATE, MARKER))["name"] == "link"
    t.compensate(KIND, spec, Intent(IntentAction.CREATE, MARKER), resource)
    assert held.shortcuts == {}


def test_shortcut_that_somebody_pointed_elsewhere_stays() -> None:
    """The compensation deletes nothing that is not the step's any more."""
    t = Tenant()
    spec, held = made(t)
    resource = t.create(KIND, spec)
    held.shortcuts[("Files", "link")]["target"]["oneLake"]["path"] = "Files"
    t.compensate(KIND, spec, Intent(IntentAction.CREATE, MARKER), resource)
    assert set(held.shortcuts) == {("Files", "link")}


def test_shortcut_gets_its_old_destination_back() -> None:
    t = Tenant()
    spec, held = made(t)
    old = {**spec, "target": {"oneLake": {**spec["target"]["oneLake"], "path": "Files"}}}
    t.create(KIND, old)
    found, intent = t.image(KIND, spec)
    assert KIND.changes(spec, found) == ["target"]
    t.send(KIND.apply(spec, intent))
    assert held.shortcuts[("Files", "link")]["target"]["oneLake"]["path"] == "Tables"
    t.compensate(KIND, spec, intent, found.resource)
    assert held.shortcuts[("Files", "link")]["target"]["oneLake"]["path"] == "Files"


def test_shortcut_gets_its_old_transform_back() -> None:
    """A person's shortcut may have a transform, which a manifest cannot name; a rollback restores it too."""
    t = Tenant()
    spec, held = made(t)
    t.create(KIND, {**spec, "target": {"oneLake": {**spec["target"]["oneLake"], "path": "Files"}}})
    transform = {"type": "csvToDelta", "properties": {"delimiter": ","}}
    held.shortcuts[("Files", "link")]["transform"] = transform
    found, intent = t.image(KIND, spec)
    t.send(KIND.apply(spec, intent))
    t.compensate(KIND, spec, intent, found.resource)
    assert held.shortcuts[("Files", "link")].get("transform") == transform


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"path": "Elsewhere"}, "$.path"),
        ({"path": "Files/../Tables"}, "$.path"),
        ({"path": "Files/."}, "$.path"),
        ({"name": "a/b"}, "$.name"),
        ({"name": ".."}, "$.name"),
        ({"target": {}}, "$.target"),
        ({"target": {"oneLake": {}, "adlsGen2": {}}}, "$.target"),
        ({"target": {"ftp": {}}}, "$.target"),
    ],
)
def test_bad_shortcut_is_a_problem(changes: dict[str, Any], where: str) -> None:
    good = {"workspaceId": PERSON, "itemId": OTHER, "path": "Files", "name": "n", "target": {"oneLake": {}}}
    assert set(problems(KIND, {**good, **changes})) == {where}


def test_shortcut_may_have_dots_in_its_names() -> None:
    more = {"path": "Files/.hidden/..x/a..b", "name": "orders.v2"}
    assert not problems(KIND, {"workspaceId": PERSON, "itemId": OTHER, "target": {"oneLake": {}}, **more})


CSV: dict[str, Any] = {"type": "csvToDelta", "properties": {"delimiter": ",", "skipFilesWithErrors": True}}


def test_update_keeps_the_transform_that_the_manifest_does_not_name() -> None:
    """Fabric takes one away that the request does not name again."""
    t = Tenant()
    spec, held = made(t)
    t.create(KIND, {**spec, "target": {"oneLake": {**spec["target"]["oneLake"], "path": "Files"}}, "transform": CSV})
    assert held.shortcuts[("Files", "link")]["transform"] == CSV
    found, intent = t.image(KIND, spec)
    assert KIND.changes(spec, found) == ["target"]
    t.send(KIND.apply(spec, intent))
    assert held.shortcuts[("Files", "link")]["transform"] == CSV


@pytest.mark.parametrize("new", [{"type": "csvToDelta", "properties": {"delimiter": ";"}}, {}])
def test_transform_is_set_and_restored(new: dict[str, Any]) -> None:
    """An empty one takes it away."""
    t = Tenant()
    spec, held = made(t)
    resource = t.create(KIND, {**spec, "transform": CSV})
    changed = {**spec, "transform": new}
    found, intent = t.image(KIND, changed)
    assert KIND.changes(changed, found) == ["transform"]
    t.send(KIND.apply(changed, intent))
    assert held.shortcuts[("Files", "link")].get("transform", {}) == new
    t.compensate(KIND, changed, intent, resource)
    assert held.shortcuts[("Files", "link")]["transform"] == CSV


@pytest.mark.parametrize("name", ["shortcut", "repository_shortcut"])
def test_members_that_fabric_adds_to_a_transform_change_nothing(name: str) -> None:
    """One that is wanted and has another value does."""
    kind, shown = STEPS[name], {**CSV, "includeSubfolders": False, "properties": {**CSV["properties"], "more": 1}}
    t = Tenant()
    spec, held = made(t)
    t.create(KIND, {**spec, "transform": shown})
    plain = {**spec, "path": "Files"}
    for wanted, changes in ((CSV, []), ({**CSV, "type": "parquet"}, ["transform"])):
        found = kind.find(t.fabric, plain)
        assert found is not None
        assert kind.changes({**plain, "transform": wanted}, found) == changes
    assert len(held.shortcuts) == 1


@pytest.mark.law(1)
@pytest.mark.parametrize("name", ["shortcut", "repository_shortcut"])
@pytest.mark.parametrize("is_there", [False, True])
def test_shortcut_that_fabric_shows_with_another_transform_does_not_stay(name: str, is_there: bool) -> None:
    """The step fails, because its transform is not shown; its rollback restores what was there, or deletes it."""
    kind, t = STEPS[name], Tenant()
    spec, held = made(t)
    spec |= {"path": "Files", "transform": CSV}
    old = {**spec, "target": {"oneLake": {**spec["target"]["oneLake"], "path": "Files"}}, "transform": {}}
    if is_there:
        t.create(KIND, old)
    found, intent = t.image(kind, spec) if is_there else (None, Intent(IntentAction.CREATE, MARKER))
    t.send(kind.apply(spec, intent))
    held.shortcuts[("Files", "link")]["transform"] = {"type": "other"}
    shown = kind.find(t.fabric, spec)
    assert shown is not None
    assert kind.recognises(spec, intent, shown, uncertain=True)
    t.compensate(kind, spec, intent, shown.resource)
    assert [row["target"]["oneLake"]["path"] for row in held.shortcuts.values()] == ["Files"] * is_there
    if found is not None:
        again = kind.find(t.fabric, spec)
        assert again is not None
        assert kind.compensate(spec, intent, again) == []


def test_shortcut_with_a_transform_that_fabric_could_not_make_is_an_error() -> None:
    """The operation itself has succeeded: only its result says what became of the shortcut."""
    kind = ShortcutKind()
    error = {"errorCode": "EntityNotFound", "message": "the target is not there"}
    with pytest.raises(FabricTransientError, match="the target is not there"):
        kind.check_result({}, {"value": [{"status": "Succeeded"}, {"status": "Failed", "error": error}]})
    kind.check_result({}, {"value": [{"status": "Succeeded"}]})
    kind.check_result({}, {"name": "link", "path": "Files"})
