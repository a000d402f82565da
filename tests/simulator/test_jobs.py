"""Jobs, restore points, deleted items, tags, domains and bulk calls in the simulator."""

import base64
import json
from typing import Any

import pytest

from tests.simulator.plays import definition, ok
from tests.simulator.tenant import OTHER, Tenant, code_of, completed

NOBODY = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c99"


@pytest.fixture
def t() -> Tenant:
    """Return a tenant in which nothing takes time."""
    return Tenant()


@pytest.fixture
def slow() -> Tenant:
    """Return a tenant with recorded durations, and without a quota."""
    tenant = Tenant(profile="realistic")
    tenant.update_settings(quota_per_minute=0)
    return tenant


def run(t: Tenant, workspace: str, item: str, job_type: str) -> str:
    """Run a job, and return the path of its instance."""
    reply = t.call("POST", f"/v1/workspaces/{workspace}/items/{item}/jobs/instances?jobType={job_type}")
    assert reply.status == 202, reply
    return reply.headers["Location"]


def test_job_passes_through_its_states(slow: Tenant) -> None:
    """A job has not started, is in progress, and is completed; then it can no longer be cancelled."""
    workspace = slow.workspace()
    job = run(slow, workspace, slow.item(workspace), "pipeline")
    seen: list[tuple[str, bool]] = []
    for seconds in (0, 5, 1000):
        slow.now += seconds
        shown = slow.get(job)
        seen.append((shown["status"], shown["endTimeUtc"] is not None))
    assert seen == [("NotStarted", False), ("InProgress", False), ("Completed", True)]
    assert code_of(slow.call("POST", f"{job}/cancel")) == "JobAlreadyCompleted"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"operation": "fail", "error": {"errorCode": "E", "message": "m"}}, "Failed"),
        ({"operation": "never"}, "InProgress"),
    ],
)
def test_job_can_fail_or_never_end(slow: Tenant, fault: dict[str, Any], status: str) -> None:
    """A fault rule lets a job fail with an error of the test's choice, or run until it is cancelled."""
    workspace = slow.workspace()
    slow.fault(fault, path=".*/jobs/.*")
    job = run(slow, workspace, slow.item(workspace), "Pipeline")
    slow.now += 100_000
    shown = slow.get(job)
    assert shown["status"] == status
    assert (shown["failureReason"] or {}).get("message") == ("m" if status == "Failed" else None)
    if status == "InProgress":
        assert slow.call("POST", f"{job}/cancel").status == 202
        assert slow.get(job)["status"] == "Cancelled"


def test_job_type_must_be_one_of_the_item(t: Tenant) -> None:
    """A job type of another item type is refused, and so is a request without a job type."""
    workspace = t.workspace()
    root = f"/v1/workspaces/{workspace}/items/{t.item(workspace)}/jobs"
    for url in (f"{root}/instances", f"{root}/instances?jobType=RunNotebook", f"{root}/sparkjob/instances"):
        reply = t.call("POST", url)
        assert (reply.status, code_of(reply)) == (400, "InvalidJobType")


def test_job_of_a_notebook_has_the_exit_value_of_its_code(t: Tenant) -> None:
    """The exit value is shown for a completed job, by the notebooks' own route."""
    workspace = t.workspace()
    code = completed("Notebook", definition(notebook__content_py='x = 1\nnotebookutils.notebook.exit("42 rows")\n'))
    notebook = t.item(workspace, "Notebook", "n", definition=code)
    job = run(t, workspace, notebook, "RunNotebook").rpartition("/")[2]
    shown = t.get(f"/v1/workspaces/{workspace}/notebooks/{notebook}/jobs/execute/instances/{job}?beta=true")
    assert (shown["status"], shown["properties"]["exitValue"]) == ("Completed", "42 rows")


def test_job_that_runs_already_is_deduped(slow: Tenant) -> None:
    """A second maintenance of the same lakehouse is deduped while the first one runs; a pipeline runs twice."""
    workspace = slow.workspace()
    for item_type, job_type, second in (
        ("Lakehouse", "TableMaintenance", "Deduped"),
        ("DataPipeline", "Pipeline", "NotStarted"),
    ):
        item = slow.item(workspace, item_type, "i")
        first = run(slow, workspace, item, job_type)
        assert slow.get(run(slow, workspace, item, job_type))["status"] == second
        assert slow.get(first)["status"] == "NotStarted"


def test_restore_point_brings_the_warehouse_back(slow: Tenant) -> None:
    """One restore point is created at a time; a restore gives the warehouse its earlier definition."""
    workspace = slow.workspace()
    warehouse = slow.item(workspace, "Warehouse", "w")
    root = f"/v1/workspaces/{workspace}/warehouses/{warehouse}/restorePoints"
    reply = slow.call("POST", root, {"displayName": "before"})
    assert code_of(slow.call("POST", root, {})) == "RestorePointCreationAlreadyInProgress"
    point = slow.follow(reply)["id"]
    item = slow.model.store.workspaces[workspace].items[warehouse]
    item.definition = definition(x="y")
    slow.follow(slow.call("POST", f"{root}/{point}/restore"))
    assert item.definition is None
    ok(slow, "DELETE", f"{root}/{point}")
    assert code_of(slow.call("POST", f"{root}/{point}/restore")) == "RestorePointNotFound"


# Deleted items.


def test_deleted_item_can_be_recovered_if_the_tenant_allows_it(t: Tenant) -> None:
    """Without the switch a DELETE is final; with it the item comes back with its id and companions."""
    workspace = t.workspace()
    root = f"/v1/workspaces/{workspace}"
    lakehouse = t.item(workspace, "Lakehouse", "l")
    assert code_of(t.call("GET", f"{root}/recoverableItems")) == "TenantSwitchDisabled"
    t.update_settings(item_recovery=True)
    before = t.get(f"{root}/items")["value"]
    ok(t, "DELETE", f"{root}/items/{lakehouse}")
    assert [row["id"] for row in t.get(f"{root}/recoverableItems")["value"]] == [lakehouse]
    assert t.get(f"{root}/items")["value"] == []
    ok(t, "POST", f"{root}/recoverableItems/{lakehouse}/recover")
    assert t.get(f"{root}/items")["value"] == before
    assert t.get(f"{root}/recoverableItems")["value"] == []


def test_deleted_item_is_gone_permanently_if_asked(t: Tenant) -> None:
    """An admin may delete an item permanently, a contributor may not; an eventhouse is always deleted permanently."""
    t.update_settings(item_recovery=True)
    workspace = t.workspace()
    root = f"/v1/workspaces/{workspace}"
    t.call("POST", f"{root}/roleAssignments", {"principal": {"id": OTHER, "type": "User"}, "role": "Contributor"})
    item, house = t.item(workspace), t.item(workspace, "Eventhouse", "e")
    reply = t.call("DELETE", f"{root}/items/{item}?hardDelete=true", identity=OTHER)
    assert (reply.status, code_of(reply)) == (403, "InsufficientWorkspaceRole")
    ok(t, "DELETE", f"{root}/items/{item}?hardDelete=true")
    ok(t, "DELETE", f"{root}/items/{house}")
    assert t.get(f"{root}/recoverableItems")["value"] == []


def test_deleted_item_keeps_its_folder_and_not_its_name(t: Tenant) -> None:
    """The folder of a deleted item is not empty; the item cannot be recovered while another has its name."""
    t.update_settings(item_recovery=True)
    workspace = t.workspace()
    root = f"/v1/workspaces/{workspace}"
    folder = ok(t, "POST", f"{root}/folders", {"displayName": "f"})["id"]
    item = t.item(workspace, name="same", folderId=folder)
    ok(t, "DELETE", f"{root}/items/{item}")
    assert code_of(t.call("DELETE", f"{root}/folders/{folder}")) == "FolderNotEmpty"
    other = t.item(workspace, name="same")
    recover = f"{root}/recoverableItems/{item}/recover"
    assert code_of(t.call("POST", recover)) == "ItemDisplayNameAlreadyInUse"
    ok(t, "DELETE", f"{root}/items/{other}?hardDelete=true")
    assert ok(t, "POST", recover)["folderId"] == folder


# Tags and domains.


def test_tags_are_shown_until_they_are_unapplied_or_deleted(t: Tenant) -> None:
    """An item shows its tags in lists, by their present names."""
    workspace = t.workspace()
    rows = [{"displayName": name} for name in ("gold", "raw")]
    gold, raw = (
        tag["id"] for tag in ok(t, "POST", "/v1/admin/tags/bulkCreateTags", {"createTagsRequest": rows})["tags"]
    )
    item = t.item(workspace)
    root = f"/v1/workspaces/{workspace}/items"
    ok(t, "POST", f"{root}/{item}/applyTags", {"tags": [gold, raw, gold]})
    ok(t, "PATCH", f"/v1/admin/tags/{raw}", {"displayName": "bronze"})
    assert [tag["displayName"] for tag in t.get(root)["value"][0]["tags"]] == ["gold", "bronze"]
    ok(t, "POST", f"{root}/{item}/unapplyTags", {"tags": [gold]})
    ok(t, "DELETE", f"/v1/admin/tags/{raw}")
    assert "tags" not in t.get(root)["value"][0]
    for body, code in (({"tags": [raw]}, "EntityNotFound"), ({}, "InvalidInputs")):
        assert code_of(t.call("POST", f"{root}/{item}/applyTags", body)) == code
    again = t.call(
        "POST",
        "/v1/admin/tags/bulkCreateTags",
        {"createTagsRequest": [{"displayName": "new"}, {"displayName": "GOLD"}]},
    )
    assert code_of(again) == "EntityConflict"
    assert [tag["displayName"] for tag in t.get("/v1/tags")["value"]] == ["gold"]


def test_domain_holds_workspaces_until_it_is_deleted(t: Tenant) -> None:
    """A workspace enters a domain at its creation or later, and stays when the domain is deleted."""
    domain = ok(t, "POST", "/v1/admin/domains", {"displayName": "sales"})["id"]
    assert code_of(t.call("POST", "/v1/admin/domains", {"displayName": "SALES"})) == "EntityConflict"
    assert t.call("POST", "/v1/workspaces", {"displayName": "w", "domainId": NOBODY}).status == 404
    one, two = t.workspace("one", domainId=domain), t.workspace("two")
    ok(t, "POST", f"/v1/workspaces/{two}/assignToDomain", {"domainId": domain})
    listed = f"/v1/admin/domains/{domain}/workspaces"
    assert [row["id"] for row in t.get(listed)["value"]] == [one, two]
    ok(t, "POST", f"/v1/admin/domains/{domain}/unassignWorkspaces", {"workspacesIds": [two]})
    assert [row["id"] for row in t.get(listed)["value"]] == [one]
    ok(t, "DELETE", f"/v1/admin/domains/{domain}")
    assert "domainId" not in t.get(f"/v1/workspaces/{one}")


# Many definitions.


def _platform(item_type: str, name: str, logical_id: str) -> str:
    return json.dumps({"metadata": {"type": item_type, "displayName": name}, "config": {"logicalId": logical_id}})


def _part(path: str, text: str) -> dict[str, str]:
    return {"path": path, "payload": base64.b64encode(text.encode()).decode(), "payloadType": "InlineBase64"}


def _import(t: Tenant, workspace: str, parts: list[dict[str, str]]) -> list[dict[str, Any]]:
    reply = t.call("POST", f"/v1/workspaces/{workspace}/items/bulkImportDefinitions", {"definitionParts": parts})
    assert reply.status == 202, reply
    return t.follow(reply)["importItemDefinitionsDetails"]


ONE, TWO = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002"


def test_bulk_import_creates_in_order_and_updates_by_logical_id(t: Tenant) -> None:
    """An item that another refers to is created first, its id replaces the logical id; the second import updates."""
    workspace = t.workspace()
    parts = [
        _part("/a/Load.DataPipeline/.platform", _platform("DataPipeline", "Load", ONE)),
        _part("/a/Load.DataPipeline/pipeline-content.json", json.dumps({"notebook": TWO})),
        _part("/b/Clean.Notebook/.platform", _platform("Notebook", "Clean", TWO)),
        _part("/b/Clean.Notebook/notebook-content.py", "# nothing\n"),
    ]
    for operation in ("Create", "Update"):
        details = _import(t, workspace, parts)
        assert [(row["itemDisplayName"], row["operationType"]) for row in details] == [
            ("Clean", operation),
            ("Load", operation),
        ]
    ids = {row["displayName"]: row["id"] for row in t.get(f"/v1/workspaces/{workspace}/items")["value"]}
    assert sorted(ids) == ["Clean", "Load"]
    read = ok(t, "POST", f"/v1/workspaces/{workspace}/items/{ids['Load']}/getDefinition")["definition"]["parts"]
    content = next(base64.b64decode(p["payload"]) for p in read if p["path"] == "pipeline-content.json")
    assert json.loads(content) == {"notebook": ids["Clean"]}
    export = t.call("POST", f"/v1/workspaces/{workspace}/items/bulkExportDefinitions", {"mode": "All"})
    roots = sorted(row["rootPath"] for row in t.follow(export)["itemDefinitionsIndex"])
    assert roots == ["/a/Load.DataPipeline", "/b/Clean.Notebook"]


def test_bulk_import_is_refused_or_fails_for_one_item(t: Tenant) -> None:
    """A file outside of items, the same name twice and a circle are refused; one bad item fails alone."""
    workspace = t.workspace()
    one = _part("One.Notebook/.platform", _platform("Notebook", "One", ONE))
    two = _part("Two.Notebook/.platform", _platform("Notebook", "Two", TWO))
    circle = [_part("One.Notebook/notebook-content.py", TWO), _part("Two.Notebook/notebook-content.py", ONE)]
    for parts, code in (
        ([one, _part("lost.txt", "")], "InvalidFilesPath"),
        ([one, _part("Same.Notebook/.platform", _platform("Notebook", "One", TWO))], "DuplicateDisplayNameAndType"),
        ([one, two, *circle], "DependenciesCouldNotBeResolved"),
        ([_part("One.Notebook/.platform", "{}")], "CorruptedPayload"),
    ):
        reply = t.call("POST", f"/v1/workspaces/{workspace}/items/bulkImportDefinitions", {"definitionParts": parts})
        assert (reply.status, code_of(reply)) == (400, code)
    bad = _part("Bad.CrystalBall/.platform", _platform("CrystalBall", "Bad", TWO))
    details = _import(t, workspace, [one, circle[0], bad])
    assert {row["itemDisplayName"]: row["operationStatus"] for row in details} == {"One": "Succeeded", "Bad": "Failed"}
