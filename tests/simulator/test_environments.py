"""Environments in the simulator: what is staged, what is published, and one publish at a time."""

import base64
import json
from typing import Any

import pytest

from tests.simulator.plays import definition, ok
from tests.simulator.tenant import OTHER, Tenant, code_of, completed

YML = "dependencies:\n- pip:\n  - sums==1.2\n"
STAGED = definition(Setting__Sparkcompute_yml="driver_cores: 16\n", Libraries__PublicLibraries__environment_yml=YML)


@pytest.fixture
def t() -> Tenant:
    """Return a tenant with recorded durations, and without a quota."""
    tenant = Tenant(profile="realistic")
    tenant.update_settings(quota_per_minute=0)
    return tenant


@pytest.fixture
def root(t: Tenant) -> str:
    """Return the path of an environment that was created by a definition."""
    workspace = t.workspace()
    return f"/v1/workspaces/{workspace}/environments/{t.item(workspace, 'Environment', 'e', definition=STAGED)}"


def state(t: Tenant, root: str) -> Any:
    """Return the state of the last publish; typed GET and typed list show the same."""
    details = t.get(root)["properties"]["publishDetails"]
    assert details["componentPublishInfo"]["sparkLibraries"]["state"] == details["state"]
    return details["state"]


def test_environment_is_staged_until_it_is_published(t: Tenant, root: str) -> None:
    """A definition changes what is staged; only a publish that has ended changes what is published."""
    assert t.get(f"{root}/staging/sparkcompute")["driverCores"] == 16
    assert t.get(f"{root}/sparkcompute")["driverCores"] == 8
    libraries = [{"libraryType": "External", "name": "sums", "version": "1.2"}]
    assert t.get(f"{root}/staging/libraries?beta=false")["libraries"] == libraries
    assert code_of(t.call("GET", f"{root}/libraries?beta=false")) == "EnvironmentLibrariesNotFound"
    reply = t.call("POST", f"{root}/staging/publish?beta=False")
    assert (reply.status, reply.headers["Retry-After"], state(t, root)) == (202, "120", "Running")
    assert t.get(f"{root}/sparkcompute")["driverCores"] == 8
    version = t.get(root)["properties"]["publishDetails"]["targetVersion"]
    assert t.follow(reply)["publishDetails"]["targetVersion"] == version
    assert state(t, root) == "Success"
    assert t.get(f"{root}/sparkcompute")["driverCores"] == 16
    assert t.get(f"{root}/libraries?beta=false")["libraries"] == libraries
    change = definition(Setting__Sparkcompute_yml="driver_cores: 32\n")
    t.follow(t.call("POST", f"{root}/updateDefinition", {"definition": change}))
    assert t.get(f"{root}/staging/sparkcompute")["driverCores"] == 32
    assert t.get(f"{root}/sparkcompute")["driverCores"] == 16


def test_environment_without_new_libraries_is_published_at_once(t: Tenant, root: str) -> None:
    """The call that publishes Spark compute only is answered after the publish."""
    t.follow(t.call("POST", f"{root}/staging/publish?beta=false"))
    ok(t, "PATCH", f"{root}/staging/sparkcompute", {"driverCores": 4})
    reply = ok(t, "POST", f"{root}/staging/publish")
    assert reply["publishDetails"]["state"] == "Success"
    assert t.get(f"{root}/sparkcompute")["driverCores"] == 4


def test_environment_has_one_publish_at_a_time(t: Tenant, root: str) -> None:
    """A second publish is refused while one runs; a cancelled one publishes nothing, and then another may begin."""
    assert code_of(t.call("POST", f"{root}/staging/cancelPublish")) == "InvalidEnvironmentCancel"
    reply = t.call("POST", f"{root}/staging/publish?beta=false")
    for query in ("", "?beta=false"):
        refused = t.call("POST", f"{root}/staging/publish{query}")
        assert (refused.status, code_of(refused)) == (400, "InvalidEnvironmentPublish")
    assert ok(t, "POST", f"{root}/staging/cancelPublish")["publishDetails"]["state"] == "Cancelled"
    assert t.get(reply.headers["Location"])["status"] == "Failed"
    t.now += 1000
    assert (state(t, root), t.get(f"{root}/sparkcompute")["driverCores"]) == ("Cancelled", 8)
    assert t.call("POST", f"{root}/staging/publish?beta=false").status == 202


@pytest.mark.parametrize(("fault", "expected"), [("fail", "Failed"), ("never", "Running")])
def test_environment_publish_can_fail_or_never_end(t: Tenant, root: str, fault: str, expected: str) -> None:
    """A fault rule lets the publish fail or hang; nothing is published then."""
    t.fault({"operation": fault}, path=".*/publish")
    t.call("POST", f"{root}/staging/publish?beta=false")
    t.now += 100_000
    assert state(t, root) == expected
    assert t.call("GET", f"{root}/libraries").status == 404


def test_environment_spark_compute_names_its_pool(t: Tenant, root: str) -> None:
    """The staged pool is found by name among the workspace's pools; an unknown one is refused, and so is a bad size."""
    workspace = root.split("/")[3]
    pool = ok(t, "POST", f"/v1/workspaces/{workspace}/spark/pools", {"name": "big", "nodeSize": "Large"})
    at = f"{root}/staging/sparkcompute"
    shown = ok(t, "PATCH", at, {"instancePool": {"name": "big", "type": "Workspace"}, "sparkProperties": {"a": "b"}})
    assert shown["instancePool"] == {"name": "big", "type": "Workspace", "id": pool["id"]}
    assert (shown["sparkProperties"], shown["driverCores"]) == ({"a": "b"}, 16)
    sent = t.follow(t.call("POST", f"{root}/getDefinition"))["definition"]["parts"]
    text = next(base64.b64decode(p["payload"]) for p in sent if p["path"] == "Setting/Sparkcompute.yml")
    assert pool["id"].encode() in text
    for wrong in ({"instancePool": {"name": "small", "type": "Workspace"}}, {"driverCores": 5}):
        assert code_of(t.call("PATCH", at, wrong)) == "EnvironmentValidationFailed"


def test_environment_is_published_by_contributors_only(t: Tenant, root: str) -> None:
    """A viewer sees what is published, and publishes nothing."""
    roles = f"/v1/workspaces/{root.split('/')[3]}/roleAssignments"
    t.call("POST", roles, {"principal": {"id": OTHER, "type": "User"}, "role": "Viewer"})
    assert t.call("GET", f"{root}/sparkcompute", identity=OTHER).status == 200
    assert t.call("POST", f"{root}/staging/publish", identity=OTHER).status == 403


def test_variable_library_has_only_value_sets_of_its_definition(t: Tenant) -> None:
    """The active value set is one of the definition's, or the default one."""
    workspace = t.workspace()
    library = t.item(
        workspace, "VariableLibrary", definition=completed("VariableLibrary", definition(valueSets__prod_json="{}"))
    )
    root = f"/v1/workspaces/{workspace}/variableLibraries/{library}"
    for name in ("prod", "Default value set"):
        shown = ok(t, "PATCH", root, {"properties": {"activeValueSetName": name}})
        assert shown["properties"]["activeValueSetName"] == name
    reply = t.call("PATCH", root, {"properties": {"activeValueSetName": "test"}})
    assert (reply.status, reply.headers["x-sim-synthetic"]) == (400, "true")
    assert json.loads(t.call("GET", root).body)["properties"]["activeValueSetName"] == "Default value set"
