"""Connections, bindings, shortcuts and schedules in the simulator."""

import json
from typing import Any

import pytest

from tests.simulator.plays import BASIC, CRON, SECRET, SQL, connect, definition, ok
from tests.simulator.tenant import ME, OTHER, Tenant, code_of, completed, definition_of

NOBODY = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c99"


@pytest.fixture
def t() -> Tenant:
    """Return a tenant in which nothing takes time."""
    return Tenant()


def test_connection_never_shows_its_secret(t: Tenant) -> None:
    """Neither an answer nor the simulator's state contains the password that was sent."""
    connection = connect(t)
    change = {"connectivityType": "ShareableCloud", "credentialDetails": BASIC}
    shown = [t.call("PATCH", f"/v1/connections/{connection}", change).body, t.call("GET", "/v1/connections").body]
    shown.append(json.dumps(t.control("GET", "state")[1]).encode())
    assert all(b"Basic" in text and SECRET.encode() not in text for text in shown)


def test_connection_is_seen_by_principals_with_a_role(t: Tenant) -> None:
    """Another principal sees the connection as soon as it has a role, and changes it only as an owner."""
    connection = connect(t)
    root = f"/v1/connections/{connection}"
    assert t.get("/v1/connections", identity=OTHER)["value"] == []
    assert code_of(t.call("GET", root, identity=OTHER)) == "EntityNotFound"
    ok(t, "POST", f"{root}/roleAssignments", {"principal": {"id": OTHER, "type": "User"}, "role": "User"})
    assert t.get(root, identity=OTHER)["id"] == connection
    assert t.call("DELETE", root, identity=OTHER).status == 403
    ok(t, "PATCH", f"{root}/roleAssignments/{OTHER}", {"role": "Owner"})
    assert t.call("DELETE", root, identity=OTHER).status == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"displayName": "SQL"}, "DuplicateConnectionName"),
        ({"connectionDetails": {"type": "Nothing"}}, "InvalidConnectionDetails"),
        ({"connectionDetails": {**SQL, "parameters": []}}, "InvalidConnectionDetails"),
        ({"credentialDetails": {}}, "InvalidCredentialDetails"),
        ({"connectivityType": "VirtualNetworkGateway"}, "InvalidInput"),
    ],
)
def test_connection_is_checked(t: Tenant, change: dict[str, Any], code: str) -> None:
    """A connection that Fabric would not create is refused."""
    connect(t)
    body = {"displayName": "new", "connectivityType": "ShareableCloud", "connectionDetails": SQL}
    assert code_of(t.call("POST", "/v1/connections", {**body, "credentialDetails": BASIC, **change})) == code
    assert len(t.get("/v1/connections")["value"]) == 1


def test_model_is_bound_by_the_exact_path(t: Tenant) -> None:
    """A data source of the model's definition is bound and unbound; another path, type or connection is refused."""
    workspace, connection = t.workspace(), connect(t)
    sources = definition(model_bim=json.dumps({"e": 'Sql.Database("server", "database"), Web.Contents("https://x")'}))
    model = t.item(workspace, "SemanticModel", definition=completed("SemanticModel", sources))
    rows, bind = (
        f"/v1/workspaces/{workspace}/items/{model}/connections",
        f"/v1/workspaces/{workspace}/semanticModels/{model}/bindConnection",
    )
    assert [row["connectivityType"] for row in t.get(rows)["value"]] == ["None", "None"]
    details = {"type": "SQL", "path": "server;database"}
    good = {"id": connection, "connectivityType": "ShareableCloud", "connectionDetails": details}
    ok(t, "POST", bind, {"connectionBinding": good})
    assert [row.get("id") for row in t.get(rows)["value"]] == [connection, None]
    for wrong, code in (
        ({"connectionDetails": {**details, "path": "server;database/"}}, "BindConnectionDetailNotFound"),
        ({"connectionDetails": {"type": "Web", "path": "https://x"}}, "InvalidRequest"),
        ({"id": NOBODY}, "EntityNotFound"),
    ):
        assert code_of(t.call("POST", bind, {"connectionBinding": {**good, **wrong}})) == code
    ok(t, "POST", bind, {"connectionBinding": {"connectivityType": "None", "connectionDetails": details}})
    assert [row.get("id") for row in t.get(rows)["value"]] == [None, None]


def test_item_uses_the_connections_that_its_definition_names(t: Tenant) -> None:
    """A pipeline shows the connection whose id it contains; a warehouse does not support the call."""
    workspace, connection = t.workspace(), connect(t)
    named = definition(pipeline__content_json=f'{{"connection": "{connection}"}}')
    pipeline = t.item(workspace, definition=completed("DataPipeline", named))
    root = f"/v1/workspaces/{workspace}/items"
    assert [row["id"] for row in t.get(f"{root}/{pipeline}/connections")["value"]] == [connection]
    warehouse = t.item(workspace, "Warehouse", "w")
    assert code_of(t.call("GET", f"{root}/{warehouse}/connections")) == "OperationNotSupportedForItem"


# Shortcuts.


def shortcut(t: Tenant, root: str, policy: str = "", **change: Any) -> tuple[int, Any]:
    """Create a shortcut to the lakehouse's own files; return the status, and the body or the first detail's code."""
    workspace, lakehouse = root.split("/")[3], root.split("/")[5]
    place = {"workspaceId": workspace, "itemId": lakehouse, "path": "Files", **change.pop("place", {})}
    body = {"path": "Tables", "name": "one", "target": {"oneLake": place}, **change}
    query = f"?shortcutConflictPolicy={policy}" if policy else ""
    reply = t.call("POST", f"{root}{query}", body)
    return reply.status, json.loads(reply.body)


@pytest.fixture
def shortcuts(t: Tenant) -> str:
    """Return the path of the shortcuts of a lakehouse."""
    workspace = t.workspace()
    return f"/v1/workspaces/{workspace}/items/{t.item(workspace, 'Lakehouse', 'l')}/shortcuts"


def test_shortcut_target_must_exist(t: Tenant, shortcuts: str) -> None:
    """A target is a root of an item, a path that was seeded or a shortcut; every other one is refused."""
    workspace, lakehouse = shortcuts.split("/")[3], shortcuts.split("/")[5]
    for wrong in ({"path": "Tables/sales"}, {"itemId": NOBODY}, {"workspaceId": NOBODY}):
        status, body = shortcut(t, shortcuts, place=wrong)
        assert (status, body["moreDetails"][0]["message"]) == (400, "Target path doesn't exist")
    item = {"id": NOBODY, "type": "Lakehouse", "displayName": "filled", "oneLakePaths": ["Tables/sales/2026"]}
    t.control("POST", "seed", {"workspaces": [{"id": workspace, "items": [item]}]})
    for path in ("Tables/sales/2026", "Tables/sales", "/Tables"):
        status, _ = shortcut(t, shortcuts, "CreateOrOverwrite", place={"itemId": NOBODY, "path": path})
        assert status in (200, 201), path
    status, _ = shortcut(t, shortcuts, name="two", place={"itemId": lakehouse, "path": "Tables/one/below"})
    assert status == 201
    bad: tuple[dict[str, Any], ...] = (
        {"target": {}},
        {"target": {"adlsGen2": {"connectionId": NOBODY}}},
        {"path": "Elsewhere"},
    )
    for wrong in bad:
        assert shortcut(t, shortcuts, name="three", **wrong)[0] == 400


def test_shortcut_conflict_policy_decides(t: Tenant, shortcuts: str) -> None:
    """An existing name is refused, replaced or made unique, as the policy says; the list shows a slash before paths."""
    assert shortcut(t, shortcuts, "OverwriteOnly")[0] == 404
    assert shortcut(t, shortcuts)[0] == 201
    status, body = shortcut(t, shortcuts)
    assert (status, body["moreDetails"][0]["errorCode"]) == (409, "ShorcutsOperationNotAllowed")
    assert shortcut(t, shortcuts, "CreateOrOverwrite")[0] == shortcut(t, shortcuts, "OverwriteOnly")[0] == 200
    status, body = shortcut(t, shortcuts, "GenerateUniqueName")
    assert status == 201
    assert body["name"] != "one"
    shortcut(t, shortcuts, path="Files/deep/er")
    listed = [(row["path"], row["name"]) for row in t.get(shortcuts)["value"]]
    assert listed == [("/Tables", "one"), ("/Tables", body["name"]), ("/Files/deep/er", "one")]
    assert [row["name"] for row in t.get(f"{shortcuts}?parentPath=Files")["value"]] == ["one"]
    ok(t, "GET", f"{shortcuts}/Files/deep/er/one")
    ok(t, "DELETE", f"{shortcuts}//Files/deep/er/one")
    assert t.call("GET", f"{shortcuts}/Files/deep/er/one").status == 404


def test_shortcuts_in_bulk_succeed_and_fail_one_by_one(t: Tenant, shortcuts: str) -> None:
    """The operation succeeds, and its result says which shortcut failed and why."""
    place = {"workspaceId": shortcuts.split("/")[3], "itemId": shortcuts.split("/")[5]}
    rows = [
        {"path": "Files", "name": name, "target": {"oneLake": {**place, "path": path}}}
        for name, path in (("good", "Files"), ("bad", "Tables/none"))
    ]
    result = t.follow(t.call("POST", f"{shortcuts}/bulkCreate", {"createShortcutRequests": rows}))
    assert [row["status"] for row in result["value"]] == ["Succeeded", "Failed"]
    assert result["value"][1]["error"]["errorCode"] == "BadRequest"
    assert [row["name"] for row in t.get(shortcuts)["value"]] == ["good"]


def test_shortcut_is_deleted_with_its_lakehouse(t: Tenant, shortcuts: str) -> None:
    """A lakehouse of the same name has none of the shortcuts of its predecessor."""
    workspace, lakehouse = shortcuts.split("/")[3], shortcuts.split("/")[5]
    shortcut(t, shortcuts)
    t.call("DELETE", f"/v1/workspaces/{workspace}/items/{lakehouse}")
    again = t.item(workspace, "Lakehouse", "l")
    assert t.get(f"/v1/workspaces/{workspace}/items/{again}/shortcuts")["value"] == []


# Schedules.


def test_schedules_belong_to_item_and_job_type(t: Tenant) -> None:
    """A schedule is found under its own item and job type only, in any case of the job type."""
    workspace = t.workspace()
    one, two = (f"/v1/workspaces/{workspace}/items/{t.item(workspace, name=n)}/jobs" for n in ("a", "b"))
    schedule = ok(t, "POST", f"{one}/Pipeline/schedules", CRON)
    assert (schedule["owner"]["id"], schedule["configuration"]) == (ME, CRON["configuration"])
    assert t.get(f"{one}/pipeline/schedules")["value"] == [schedule]
    for at in (f"{two}/Pipeline", f"{one}/Other"):
        assert t.get(f"{at}/schedules")["value"] == []
        for method in ("GET", "DELETE"):
            assert code_of(t.call(method, f"{at}/schedules/{schedule['id']}")) == "ScheduleNotFound"
    changed = ok(t, "PATCH", f"{one}/Pipeline/schedules/{schedule['id']}", {**CRON, "enabled": False})
    assert changed == {**schedule, "enabled": False}


def test_schedules_are_checked_and_counted(t: Tenant) -> None:
    """An incomplete schedule and a twenty-first one are refused."""
    workspace = t.workspace()
    at = f"/v1/workspaces/{workspace}/items/{t.item(workspace)}/jobs/Pipeline/schedules"
    configuration: Any = CRON["configuration"]
    for wrong in (
        {**CRON, "enabled": "yes"},
        {"enabled": True},
        {**CRON, "configuration": {**configuration, "type": "Weekly"}},
        {**CRON, "configuration": {**configuration, "type": "Sometimes"}},
        {**CRON, "configuration": {**configuration, "interval": None}},
    ):
        assert code_of(t.call("POST", at, wrong)) == "InvalidInput"
    for _ in range(20):
        ok(t, "POST", at, CRON)
    assert code_of(t.call("POST", at, CRON)) == "ScheduleExceedsLimit"


def test_schedules_of_a_definition_are_put_with_it(t: Tenant) -> None:
    """The part `.schedules` adds schedules, replaces its own at the next update, and leaves those of others."""
    workspace = t.workspace()
    rows = [{"jobType": "Pipeline", **CRON}, {"jobType": "Pipeline", **CRON, "enabled": False}]
    part = completed("DataPipeline", definition(_schedules=json.dumps({"schedules": rows})))
    item = t.item(workspace, definition=part)
    root = f"/v1/workspaces/{workspace}/items/{item}"
    at = f"{root}/jobs/Pipeline/schedules"
    assert [row["enabled"] for row in t.get(at)["value"]] == [True, False]
    own = ok(t, "POST", at, CRON)
    part = completed("DataPipeline", definition(_schedules=json.dumps({"schedules": rows[1:]})))
    ok(t, "POST", f"{root}/updateDefinition", {"definition": part})
    assert [row["enabled"] for row in t.get(at)["value"]] == [True, False]
    assert t.get(at)["value"][0]["id"] == own["id"]
    ok(t, "POST", f"{root}/updateDefinition", {"definition": definition_of("DataPipeline")})
    assert len(t.get(at)["value"]) == 2
    reply = t.call(
        "POST", f"{root}/updateDefinition", {"definition": completed("DataPipeline", definition(_schedules="[]"))}
    )
    assert code_of(reply) == "CorruptedPayload"
