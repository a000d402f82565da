"""Settings of a workspace or an item: what a step sets, what it leaves, and what its compensation restores."""

from typing import Any

import pytest

from local.fabric_simulator.item_connections import IMPLICIT, Bindings
from local.fabric_simulator.spark_pools import Spark
from local.fabric_simulator.tags import Applied
from shared.domain.errors import FabricTransientError, InvalidInputError
from shared.domain.manifest import compile_manifest
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps import KINDS, STEPS
from shared.steps.kind import Snapshot
from shared.steps.setting import contains, projected
from tests.simulation.edges import WORKSPACE
from tests.simulation.fault_table import CONNECTIONS, MODEL, TAGS, put_connections, put_tenant
from tests.simulation.world import World
from tests.unit.steps.tenant import OTHER, PERSON, Tenant, problems

SPARK, TAGGED = STEPS["spark_settings"], STEPS["tags"]


def test_spark_settings_that_somebody_changed_since_are_left_alone() -> None:
    """Of two settings that the step changed, only the one that still has the step's value is restored."""
    t = Tenant()
    place = t.workspace()
    wanted = {"job": {"sessionTimeoutInMinutes": 45}, "automaticLog": {"enabled": False}}
    spec: dict[str, Any] = {"workspaceId": place, "settings": wanted}
    found, intent = t.image(SPARK, spec)
    assert SPARK.changes(spec, found) == ["job", "automaticLog"]
    t.send(SPARK.apply(spec, intent))
    spark = t.stored(place).part(Spark)
    spark.settings["job"]["sessionTimeoutInMinutes"] = 90
    t.compensate(SPARK, spec, intent, found.resource)
    assert spark.settings["job"] == {"conservativeJobAdmissionEnabled": False, "sessionTimeoutInMinutes": 90}
    assert spark.settings["automaticLog"] == {"enabled": True}


def test_spark_setting_that_is_not_shown_is_refused_before_the_call() -> None:
    """It could not be restored."""
    t = Tenant()
    spec: dict[str, Any] = {"workspaceId": t.workspace(), "settings": {"environment": {"size": "own"}}}
    with pytest.raises(InvalidInputError, match=r"\$\.with\.settings\.environment\.size: .* could not be restored"):
        SPARK.allow(t.fabric, spec, SPARK.find(t.fabric, spec))


@pytest.mark.parametrize("shown", [{}, {"name": None}, {"name": ""}, {"name": "own"}])
def test_default_environment_is_set_and_restored_also_if_there_was_none(shown: dict[str, Any]) -> None:
    """Fabric shows no name of an environment for such a workspace, and the empty name stands for none."""
    t = Tenant()
    place = t.workspace()
    settings = t.stored(place).part(Spark).settings
    settings["environment"] |= shown
    wanted = {"environment": {"name": "spark", "runtimeVersion": "1.3"}}
    spec: dict[str, Any] = {"workspaceId": place, "settings": wanted}
    found, intent = t.image(SPARK, spec)
    SPARK.allow(t.fabric, spec, found)
    assert SPARK.changes(spec, found) == ["environment"]
    t.send(SPARK.apply(spec, intent))
    assert t.stored(place).part(Spark).settings["environment"]["name"] == "spark"
    t.compensate(SPARK, spec, intent, found.resource)
    assert t.stored(place).part(Spark).settings["environment"].get("name") == (shown.get("name") or None)


@pytest.mark.parametrize("shown", [None, "20", True, [], {}])
def test_spark_setting_that_is_shown_as_null_or_of_another_type_is_not_changed(shown: Any) -> None:
    """The rollback would send that in place of the value."""
    t = Tenant()
    place = t.workspace()
    t.stored(place).part(Spark).settings["job"]["sessionTimeoutInMinutes"] = shown
    spec: dict[str, Any] = {"workspaceId": place, "settings": {"job": {"sessionTimeoutInMinutes": 45}}}
    with pytest.raises(FabricTransientError, match="another form of settings"):
        SPARK.allow(t.fabric, spec, SPARK.find(t.fabric, spec))


def test_tags_of_others_stay() -> None:
    """The step adds one tag to another one, and its compensation removes only that."""
    t = Tenant()
    place = t.workspace()
    world = World()
    world.model = t.model
    put_tenant(world, is_tagged=True)
    spec: dict[str, Any] = {"workspaceId": place, "tags": list(TAGS)}
    found, intent = t.image(TAGGED, spec)
    t.send(TAGGED.apply(spec, intent))
    applied = t.stored(place).part(Applied)
    assert [tag["id"] for tag in applied.tags] == list(TAGS)
    t.compensate(TAGGED, spec, intent, found.resource)
    assert [tag["id"] for tag in applied.tags] == [TAGS[0]]


@pytest.mark.parametrize(
    ("kind", "spec", "where", "what"),
    [
        ("tags", {"tags": []}, "$.tags", "must contain 1 to 10 ids"),
        ("tags", {"tags": ["sales"]}, "$.tags", "entry 0 must be the GUID of a tag"),
        ("spark_settings", {"settings": {}}, "$.settings", "is required, with at least one setting"),
        ("spark_settings", {"settings": {"spools": {}}}, "$.settings", "'spools' is not one of: automaticLog"),
        ("capacity_assignment", {}, "$.capacityId", "is required"),
        ("domain_assignment", {"domainId": "sales"}, "$.domainId", "must be a GUID"),
    ],
)
def test_bad_setting_is_a_problem(kind: str, spec: dict[str, Any], where: str, what: str) -> None:
    assert what in problems(STEPS[kind], {"workspaceId": PERSON, **spec})[where]


def test_connection_for_another_source_is_refused_with_the_sources_that_there_are() -> None:
    t = Tenant()
    place = t.workspace(items=[{"type": "SemanticModel", "displayName": "model"}])
    spec: dict[str, Any] = {"workspaceId": place, "itemId": t.item(place, "model").id, "connectionId": OTHER}
    spec["source"] = {"type": "SQL", "path": "server;database"}
    with pytest.raises(InvalidInputError, match=r"a connection for SQL server;database, .* It has: none"):
        STEPS["connection_binding"].find(t.fabric, spec)


@pytest.mark.parametrize("kind", ["tags", "connection_binding"])
def test_setting_of_an_item_that_somebody_deleted_is_gone_with_it(kind: str) -> None:
    """Otherwise its compensation would be tried for ever."""
    t = Tenant()
    place = t.workspace(items=[{"type": "SemanticModel", "displayName": "model"}])
    spec: dict[str, Any] = {"workspaceId": place, "itemId": t.item(place, "model").id, "tags": [OTHER]}
    spec |= {"source": {"type": "SQL", "path": "server;database"}, "connectionId": OTHER}
    resource = Resource(STEPS[kind].name, f"{spec['itemId']}/{kind}", "model", place)
    t.fabric.send("DELETE", f"/workspaces/{place}/items/{spec['itemId']}")
    assert STEPS[kind].locate(t.fabric, spec, resource) is None


def test_binding_of_a_source_that_the_item_does_not_have_any_more_is_gone() -> None:
    t = Tenant()
    place = t.workspace(items=[{"type": "SemanticModel", "displayName": "model"}])
    spec: dict[str, Any] = {"workspaceId": place, "itemId": t.item(place, "model").id, "connectionId": OTHER}
    spec["source"] = {"type": "SQL", "path": "server;database"}
    resource = Resource("ConnectionBinding", f"{spec['itemId']}/connection_binding", "server;database", place)
    assert STEPS["connection_binding"].locate(t.fabric, spec, resource) is None


def bound_model(t: Tenant, bound: str | None) -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    """Return the spec of a binding to the second connection, and the bindings of its model, whose source has one."""
    place = t.workspace(items=[MODEL])
    put_connections(t.model, is_bound=False)
    item = t.item(place, "model")
    source = {"type": "SQL", "path": "server;database"}
    if bound is not None:
        item.part(Bindings).by_source[("SQL", "server;database")] = bound
    spec: dict[str, Any] = {"workspaceId": place, "itemId": item.id, "connectionId": CONNECTIONS[1]}
    return {**spec, "source": source, "connectivityType": "ShareableCloud"}, item.part(Bindings).by_source


@pytest.mark.parametrize("bound", [None, IMPLICIT, CONNECTIONS[0]])
def test_source_is_bound_again_as_it_was(bound: str | None) -> None:
    """To nothing, to the implicit connection of a model with single sign-on, or to the earlier connection."""
    t = Tenant()
    spec, bindings = bound_model(t, bound)
    kind = STEPS["connection_binding"]
    found, intent = t.image(kind, spec)
    kind.allow(t.fabric, spec, found)
    t.send(kind.apply(spec, intent))
    assert list(bindings.values()) == [CONNECTIONS[1]]
    t.compensate(kind, spec, intent, found.resource)
    assert list(bindings.values()) == ([] if bound is None else [bound])


def test_source_is_bound_again_without_a_connectivity_type_that_fabric_did_not_show() -> None:
    """That of the new connection may be another one."""
    t = Tenant()
    spec, _ = bound_model(t, CONNECTIONS[0])
    before = {"connectionId": CONNECTIONS[0], "connectivityType": None}
    image = Snapshot(Resource("ConnectionBinding", "b", "", spec["workspaceId"]), {"connectionId": CONNECTIONS[1]})
    [call] = STEPS["connection_binding"].compensate(spec, Intent(IntentAction.UPDATE, "m", before), image)
    assert call.body == {"connectionBinding": {"connectionDetails": spec["source"], "id": CONNECTIONS[0]}}


@pytest.mark.parametrize("word", ["ShareableCloud", "VirtualNetworkGateway", None])
def test_source_whose_connection_is_not_named_is_not_bound_to_another(word: str | None) -> None:
    t = Tenant()
    spec, _ = bound_model(t, None)
    found = Snapshot(Resource("ConnectionBinding", "b", "", ""), {"connectionId": "", "connectivityType": word})
    with pytest.raises(FabricTransientError, match="names no connection of SQL server;database"):
        STEPS["connection_binding"].allow(t.fabric, spec, found)


def test_setting_of_a_workspace_that_another_step_creates_comes_after_it() -> None:
    """A reference orders the steps, so a setting needs no more than the id."""
    spec = {"workspaceId": WORKSPACE, "domainId": OTHER}
    steps = [
        {"id": "domain", "kind": "domain_assignment", "with": spec},
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
    ]
    assert compile_manifest({"name": "m", "steps": steps}, KINDS).steps[0].needs == ("ws",)


def test_part_of_a_value_is_compared_and_restored() -> None:
    """Members that are not wanted may have any value, and are not restored."""
    shown = {"pool": {"name": "Own", "id": "7"}, "log": True}
    assert contains(shown, {"pool": {"name": "own"}})
    assert not contains(shown, {"pool": {"name": "own", "type": "Workspace"}})
    assert projected(shown, {"pool": {"name": "x", "type": "y"}}) == {"pool": {"name": "Own"}}
