"""The simulator's own rules: names, conflicts, operations, pages, tokens, quotas, settings, faults, durations."""

import base64
import json
import lzma
import re
import statistics
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.fabric_simulator.catalogue import NOT_CREATED, TYPED_ROUTES
from local.fabric_simulator.durations import ALL, QUANTILES, SQL_ENDPOINT_SECONDS, call_seconds, operation_seconds
from local.fabric_simulator.http import Reply
from local.fabric_simulator.model import QUOTA_PER_MINUTE
from local.fabric_simulator.settings import SimulatorSettings
from tests.conftest import reference
from tests.simulator.tenant import API, CAPACITY, ME, OPERATIONS, OTHER, PARTS, Tenant, code_of, definition_of

NOBODY = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c99"


@pytest.fixture
def t() -> Tenant:
    """Return a tenant in which nothing takes time."""
    return Tenant()


def items_of(t: Tenant, workspace: str) -> list[tuple[str, str]]:
    """Return types and names of the listed items."""
    return [(r["type"], r["displayName"]) for r in t.get(f"/v1/workspaces/{workspace}/items")["value"]]


# Names.


def test_name_of_a_workspace_is_unique_whatever_its_case(t: Tenant) -> None:
    """A second workspace with the name is a conflict, also for a caller who cannot see the first."""
    first, second = t.workspace("Sales"), t.workspace("Other")
    for identity in (ME, OTHER):
        reply = t.call("POST", "/v1/workspaces", {"displayName": "sALES"}, identity=identity)
        assert (reply.status, code_of(reply)) == (409, "WorkspaceNameAlreadyExists")
    reply = t.call("PATCH", f"/v1/workspaces/{second}", {"displayName": "SALES", "description": "no"})
    assert (reply.status, code_of(reply)) == (409, "WorkspaceNameAlreadyExists")
    assert t.get(f"/v1/workspaces/{second}")["description"] == ""
    assert t.call("PATCH", f"/v1/workspaces/{first}", {"displayName": "SALES"}).status == 200
    t.call("DELETE", f"/v1/workspaces/{first}")
    t.workspace("Sales")


def test_name_of_an_item_is_unique_by_type_whatever_its_case(t: Tenant) -> None:
    """The same name is free for another type and in another workspace, not for the same type."""
    workspace, elsewhere = t.workspace("a"), t.workspace("b")
    t.item(workspace, "DataPipeline", "Load")
    t.item(workspace, "Notebook", "load")
    t.item(elsewhere, "DataPipeline", "load")
    body = {"type": "DataPipeline", "displayName": "LOAD"}
    reply = t.call("POST", f"/v1/workspaces/{workspace}/items", body)
    assert (reply.status, code_of(reply)) == (409, "ItemDisplayNameAlreadyInUse")
    t.update_settings(conflict_status=400)
    assert t.call("POST", f"/v1/workspaces/{workspace}/dataPipelines", body).status == 400


def test_name_of_an_item_cannot_be_changed_to_a_taken_one(t: Tenant) -> None:
    """A rename is checked as a create is, and a refused one changes nothing; the own name in another case is free."""
    workspace = t.workspace()
    one, _ = t.item(workspace, name="one"), t.item(workspace, name="two")
    url = f"/v1/workspaces/{workspace}/items/{one}"
    reply = t.call("PATCH", url, {"displayName": "TWO", "description": "no"})
    assert (reply.status, code_of(reply)) == (409, "ItemDisplayNameAlreadyInUse")
    assert (t.get(url)["displayName"], t.get(url)["description"]) == ("one", "")
    assert t.call("PATCH", url, {"displayName": "ONE"}).status == 200


def test_name_is_taken_while_its_creation_runs(t: Tenant) -> None:
    """An item under creation is not listed, but its name is taken."""
    workspace = t.workspace()
    t.fault({"operation": "never"})
    assert t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": "n"}).status == 202
    reply = t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": "n"})
    assert code_of(reply) == "ItemDisplayNameAlreadyInUse"
    assert items_of(t, workspace) == []


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_name_stays_reserved_after_deletion_for_the_set_time(scale: float) -> None:
    """The name of a deleted item is refused as retriable until the time is over, then it is free."""
    t = Tenant(time_scale=scale)
    t.update_settings(name_reservation_seconds=60)
    workspace = t.workspace()
    item = t.item(workspace, name="gone")
    assert t.call("DELETE", f"/v1/workspaces/{workspace}/items/{item}").status == 200
    body = {"type": "DataPipeline", "displayName": "GONE"}
    for _ in range(2):
        reply = t.call("POST", f"/v1/workspaces/{workspace}/items", body)
        assert (reply.status, code_of(reply)) == (409, "ItemDisplayNameNotAvailableYet")
        assert json.loads(reply.body)["isRetriable"] is True
        t.now += 59.0 / scale / 2
    t.now += 1.5 / scale
    assert t.call("POST", f"/v1/workspaces/{workspace}/items", body).status == 201


@pytest.mark.parametrize(
    ("item_type", "name", "is_good"),
    [
        ("Lakehouse", "bronze_1", True),
        ("Lakehouse", "bronze-1", False),
        ("Lakehouse", "1bronze", False),
        ("Warehouse", "1w", True),
        ("Environment", "e e", True),
        ("DataPipeline", "my pipeline - 1", True),
        ("DataPipeline", " ", False),
        ("DataPipeline", "x" * 257, False),
    ],
)
def test_name_follows_the_rules_of_its_type(t: Tenant, item_type: str, name: str, is_good: bool) -> None:
    """Some types allow letters, digits and underscores only."""
    body = {"type": item_type, "displayName": name}
    reply = t.call("POST", f"/v1/workspaces/{t.workspace()}/items", body)
    assert (reply.status < 300) == is_good
    assert is_good or code_of(reply) == "InvalidInput"


# Roles.


def test_role_conflicts_and_refusals(t: Tenant) -> None:
    """A POST never updates a role, not even the creator's; the last admin stays; only admins change roles; a caller
    without a role sees nothing."""
    url = f"/v1/workspaces/{t.workspace()}/roleAssignments"
    person = {"principal": {"id": OTHER, "type": "User"}, "role": "member"}
    made = t.call("POST", url, person)
    assert (made.status, json.loads(made.body)["role"]) == (201, "Member")
    assert made.headers["Location"] == f"{API}{url}/{OTHER}"
    own = {"principal": {"id": ME, "type": "ServicePrincipal"}, "role": "Viewer"}
    for body in (person, own):
        reply = t.call("POST", url, body)
        assert (reply.status, code_of(reply)) == (409, "PrincipalAlreadyHasWorkspaceRolePermissions")
    for method, sent in (("DELETE", None), ("PATCH", {"role": "Viewer"})):
        assert code_of(t.call(method, f"{url}/{ME}", sent)) == "LastAdminCannotBeRemoved"
    reply = t.call("DELETE", f"{url}/{ME}", identity=OTHER)
    assert (reply.status, code_of(reply)) == (403, "InsufficientPrivileges")
    reply = t.call("GET", url, identity=NOBODY)
    assert (reply.status, code_of(reply)) == (404, "WorkspaceNotFound")
    assert code_of(t.call("GET", f"{url}/{NOBODY}")) == "EntityNotFound"
    t.call("PATCH", f"{url}/{OTHER}", {"role": "Admin"})
    assert t.call("DELETE", f"{url}/{ME}").status == 200
    assert t.call("GET", url).status == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"role": "Viewer"}, "InvalidInput"),
        ({"principal": {"id": "a@b.example", "type": "User"}, "role": "Viewer"}, "InvalidInput"),
        ({"principal": {"id": NOBODY, "type": "Robot"}, "role": "Viewer"}, "InvalidInput"),
        ({"principal": {"id": NOBODY, "type": "User"}, "role": "Owner"}, "InvalidInput"),
        ({"principal": {"id": NOBODY, "type": "User"}, "role": "Viewer"}, "PrincipalNotFound"),
    ],
)
def test_role_refusals_are_400(t: Tenant, body: dict[str, Any], code: str) -> None:
    """A principal must be an object id that the directory knows."""
    t.update_settings(known_principals=[OTHER])
    reply = t.call("POST", f"/v1/workspaces/{t.workspace()}/roleAssignments", body)
    assert (reply.status, code_of(reply)) == (400, code)


# Operations.


def test_operation_starts_with_null_and_a_location_elsewhere() -> None:
    """The answer is 202: the body is `null`, the Location is on the other host, and Retry-After is 20 whatever the
    duration."""
    t = Tenant(profile="realistic")
    workspace = t.workspace()
    reply = t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": "n", "definition": PARTS})
    assert (reply.status, reply.body) == (202, b"null")
    operation = reply.headers["x-ms-operation-id"]
    assert reply.headers["Location"] == f"{OPERATIONS}/v1/operations/{operation}"
    assert (reply.headers["Retry-After"], reply.headers["ETag"]) == ("20", '""')
    running = t.call("GET", reply.headers["Location"])
    body = json.loads(running.body)
    assert (body["status"], body["percentComplete"], body["error"]) == ("Running", None, None)
    assert (running.headers["Location"], running.headers["Retry-After"]) == (reply.headers["Location"], "20")
    assert code_of(t.call("GET", f"{reply.headers['Location']}/result")) == "OperationHasNoResult"
    assert items_of(t, workspace) == []
    t.now += 10.0
    done = t.call("GET", reply.headers["Location"])
    assert json.loads(done.body)["status"] == "Succeeded"
    assert done.headers["Location"] == f"{reply.headers['Location']}/result"
    assert "Retry-After" not in done.headers
    assert t.get(done.headers["Location"])["displayName"] == "n"
    assert items_of(t, workspace) == [("Notebook", "n")]


def test_operation_may_have_no_result(t: Tenant) -> None:
    """An update of a report succeeds without a result: no Location, and 400 for a request of it; any other has the
    item."""
    workspace = t.workspace()
    for kind, has_result in (("Report", False), ("Notebook", True), ("Environment", True)):
        item = t.item(workspace, kind, definition=definition_of(kind))
        url = f"/v1/workspaces/{workspace}/items/{item}/updateDefinition"
        location = t.call("POST", url, {"definition": definition_of(kind)}).headers["Location"]
        done = t.call("GET", location)
        assert json.loads(done.body)["status"] == "Succeeded"
        assert ("Location" in done.headers) == has_result
        reply = t.call("GET", f"{location}/result")
        assert reply.status == (200 if has_result else 400)
        assert has_result or code_of(reply) == "OperationHasNoResult"
    assert code_of(t.call("GET", f"/v1/operations/{NOBODY}")) == "OperationNotFound"


@pytest.mark.parametrize("fate", ["fail", "never"])
def test_operation_fails_or_never_ends_on_request(t: Tenant, fate: str) -> None:
    """A failed operation shows its error and leaves no item; one without an end runs on."""
    workspace = t.workspace()
    error = {"errorCode": "NotebookBroken", "message": "m"}
    action = {"operation": fate, **({"error": error} if fate == "fail" else {})}
    t.fault(action, method="POST", path=".*/notebooks")
    reply = t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": "n"})
    assert reply.status == 202
    t.now += 100_000.0
    body = t.get(reply.headers["Location"])
    assert (body["status"], body["error"]) == (("Failed", error) if fate == "fail" else ("Running", None))
    assert items_of(t, workspace) == []


def test_definition_round_trip(t: Tenant) -> None:
    """The definition that was sent is returned, beside a `.platform` that is JSON whatever the name."""
    workspace = t.workspace()
    sent = definition_of("DataPipeline")
    item = t.item(workspace, "DataPipeline", 'a "quoted" \\ name', definition=sent)
    url = f"/v1/workspaces/{workspace}/items/{item}"
    other = {"parts": [{**sent["parts"][0], "payload": "eyJhIjoxfQ=="}]}
    for kept in (sent, other):
        parts = json.loads(t.call("POST", f"{url}/getDefinition").body)["definition"]["parts"]
        assert parts[0] == kept["parts"][0]
        assert parts[1]["path"] == ".platform"
        assert json.loads(base64.b64decode(parts[1]["payload"]))["metadata"]["type"] == "DataPipeline"
        assert t.call("POST", f"{url}/updateDefinition", {"definition": other}).status == 200
    warehouse = t.item(workspace, "Warehouse", "wh")
    for word in ("getDefinition", "updateDefinition"):
        reply = t.call("POST", f"/v1/workspaces/{workspace}/items/{warehouse}/{word}", {"definition": PARTS})
        assert code_of(reply) == "OperationNotSupportedForItem"


# A lakehouse and its SQL endpoint.


def test_sql_endpoint_appears_beside_a_lakehouse_and_is_deleted_with_it() -> None:
    """It appears seconds later with the lakehouse's name, cannot be changed, and is deleted with it."""
    t = Tenant(profile="realistic")
    workspace = t.workspace()
    lakehouse = t.item(workspace, "Lakehouse", "bronze", creationPayload={"enableSchemas": True})
    url = f"/v1/workspaces/{workspace}"
    assert items_of(t, workspace) == [("Lakehouse", "bronze")]
    before = t.get(f"{url}/lakehouses/{lakehouse}")["properties"]
    assert before["defaultSchema"] == "dbo"
    nothing = {"connectionString": None, "id": None, "provisioningStatus": "InProgress"}
    assert before["sqlEndpointProperties"] == nothing
    t.now += SQL_ENDPOINT_SECONDS[0] - 0.1
    assert len(items_of(t, workspace)) == 1
    t.now += SQL_ENDPOINT_SECONDS[1] - SQL_ENDPOINT_SECONDS[0] + 0.2
    assert items_of(t, workspace) == [("Lakehouse", "bronze"), ("SQLEndpoint", "bronze")]
    after = t.get(f"{url}/lakehouses/{lakehouse}")["properties"]["sqlEndpointProperties"]
    assert after["provisioningStatus"] == "Success"
    endpoint = t.get(f"{url}/items?type=SQLEndpoint")["value"][0]["id"]
    assert endpoint == after["id"]
    assert "properties" not in t.get(f"{url}/items/{lakehouse}")
    for method, rest in (("DELETE", ""), ("PATCH", ""), ("POST", "/getDefinition"), ("POST", "/updateDefinition")):
        reply = t.call(method, f"{url}/items/{endpoint}{rest}", {"displayName": "x", "definition": PARTS})
        assert code_of(reply) == "OperationNotSupportedForItem", (method, rest)
    assert t.call("DELETE", f"{url}/items/{lakehouse}").status == 200
    assert items_of(t, workspace) == []


# Pages.


def lists(t: Tenant) -> list[str]:
    """Yield the address of every list, each with five rows in it."""
    t.control("POST", "seed", {"capacities": [{"id": f"{CAPACITY[:-1]}{i}"} for i in range(5)]})
    first, *_ = [t.workspace(f"w{i}") for i in range(5)]
    root = f"/v1/workspaces/{first}"
    for i in range(4):
        principal = {"id": f"{OTHER[:-1]}{i}", "type": "User"}
        t.call("POST", f"{root}/roleAssignments", {"principal": principal, "role": "Viewer"})
    for item_type in sorted(set(TYPED_ROUTES.values()) - NOT_CREATED):
        t.update_settings(create_at_once=[item_type])
        for i in range(5):
            needs = item_type in ("Report", "SemanticModel")
            definition = {"definition": definition_of(item_type)} if needs else {}
            t.item(first, item_type, f"{item_type}{i}", **definition)
    typed = [f"{root}/{collection}" for collection, kind in TYPED_ROUTES.items() if kind not in NOT_CREATED]
    filtered = [f"{root}/items?type=Notebook", f"{root}/items?type=Lakehouse&recursive=true"]
    return ["/v1/workspaces", "/v1/capacities", f"{root}/roleAssignments", f"{root}/items", *filtered, *typed]


def test_page_setting_pages_every_list(t: Tenant) -> None:
    """Every list comes in pages that together are the list, by token as by address, and the last page has neither."""
    for url in lists(t):
        t.update_settings(page_size=1000)
        whole = t.get(url)["value"]
        assert len(whole) >= 5, url
        t.update_settings(page_size=len(whole))
        assert "continuationToken" not in t.get(url), "a full page that is the last has no next"
        t.update_settings(page_size=2)
        for by_address in (True, False):
            rows: list[Any] = []
            at, pages = url, 0
            while True:
                page = t.get(at)
                rows += page["value"]
                pages += 1
                if "continuationToken" not in page:
                    assert "continuationUri" not in page
                    break
                assert len(page["value"]) == 2
                assert page["continuationUri"].startswith(API + url.partition("?")[0])
                separator = "&" if "?" in url else "?"
                by_token = f"{url}{separator}continuationToken={page['continuationToken']}"
                at = page["continuationUri"] if by_address else by_token
            assert rows == whole, (url, by_address)
            assert pages == -(-len(whole) // 2), url


@pytest.mark.parametrize("token", ["x", "-1", "²", "9" * 5000, "1.5"])
def test_page_token_that_is_not_valid_is_refused(t: Tenant, token: str) -> None:
    """A token that the simulator did not issue is 400."""
    reply = t.call("GET", f"/v1/workspaces?continuationToken={token}")
    assert (reply.status, code_of(reply)) == (400, "InvalidParameter")


# Tokens and quotas.


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "TokenIsMissing"),
        ("Basic abc", "InvalidToken"),
        ("Bearer", "InvalidToken"),
        ("Bearer sim.me", "InvalidToken"),
        ("Bearer jwt.me.99999999", "InvalidToken"),
        ("Bearer sim.me.soon", "InvalidToken"),
        ("Bearer sim.me.²", "InvalidToken"),
        (f"Bearer sim.me.{'9' * 5000}", "InvalidToken"),
        ("Bearer sim.me.1000000", "TokenExpired"),
    ],
)
def test_token_missing_bad_or_expired_is_401(t: Tenant, header: str | None, code: str) -> None:
    """Without a valid token nothing is served, changed or counted."""
    headers = {} if header is None else {"authorization": header}
    reply = t.call("POST", "/v1/workspaces", {"displayName": "w"}, headers=headers)
    assert (reply.status, code_of(reply)) == (401, code)
    assert t.model.state()["workspaces"] == []
    good = t.call("GET", "/v1/workspaces", headers={"authorization": "Bearer sim.me.1000001"})
    assert good.status == 200


def test_quota_has_three_buckets_for_each_identity() -> None:
    """500 calls a minute are allowed for platform, operations and jobs each; 429 says when the window ends; then all
    are allowed again."""
    t = Tenant(profile="realistic")
    buckets = ("/v1/workspaces", f"/v1/operations/{NOBODY}", f"/v1/workspaces/{NOBODY}/items/{NOBODY}/jobs/instances")
    assert t.model.settings.quota_per_minute == QUOTA_PER_MINUTE == 500
    for url in buckets:
        assert all(t.call("GET", url).status != 429 for _ in range(500)), url
        t.now += 1.0
    for i, url in enumerate(buckets):
        reply = t.call("GET", url)
        assert (reply.status, code_of(reply)) == (429, "RequestBlocked")
        wait = int(reply.headers["Retry-After"])
        assert 57 + i <= wait <= 58 + i
        assert json.loads(reply.body)["isRetriable"] is True
        assert "Request is blocked by the upstream service until: " in json.loads(reply.body)["message"]
        assert t.call("GET", url, identity=OTHER).status != 429
    assert [c["status"] for c in t.model.calls].count(429) == 3
    t.now += int(t.call("GET", buckets[2]).headers["Retry-After"])
    assert all(t.call("GET", url).status != 429 for url in buckets)


def test_quota_of_deletions_is_narrower() -> None:
    """200 deletions of items a minute, and they count in the other quota too; those of workspaces have none of their
    own."""
    t = Tenant(profile="realistic")
    item = f"/v1/workspaces/{NOBODY}/notebooks/{NOBODY}"
    assert all(t.call("DELETE", item).status != 429 for _ in range(200))
    assert t.call("DELETE", item).status == 429
    assert all(t.call("DELETE", f"/v1/workspaces/{NOBODY}").status != 429 for _ in range(300))
    assert t.call("GET", "/v1/workspaces").status == 429


def test_quota_window_follows_the_time_scale() -> None:
    """With a time scale of ten, a window is six seconds long, and Retry-After says so."""
    t = Tenant(profile="realistic", time_scale=10.0)
    t.update_settings(quota_per_minute=1)
    assert t.call("GET", "/v1/workspaces").status == 200
    reply = t.call("GET", "/v1/workspaces")
    assert int(reply.headers["Retry-After"]) in (6, 7)
    t.now += int(reply.headers["Retry-After"])
    assert t.call("GET", "/v1/workspaces").status == 200


# Capacity.


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [("400", 400, "CapacityNotActive"), ("404", 404, "WorkspaceNotFound"), ("500", 500, "InternalServerError")],
)
def test_capacity_paused_answers_in_each_way(t: Tenant, mode: str, status: int, code: str) -> None:
    """Everything in the workspace is refused as the setting says, marked as synthetic, and accepted again after
    resuming."""
    workspace = t.workspace()
    item = t.item(workspace)
    t.update_settings(paused_capacity=mode)
    for method, rest in (("GET", ""), ("GET", "/items"), ("GET", f"/items/{item}"), ("POST", "/items"), ("DELETE", "")):
        reply = t.call(method, f"/v1/workspaces/{workspace}{rest}")
        assert (reply.status, code_of(reply)) == (status, code), (method, rest)
        assert reply.headers["x-sim-synthetic"] == "true"
    assert t.call("GET", "/v1/workspaces").status == (500 if mode == "500" else 200)
    t.update_settings(paused_capacity="")
    assert items_of(t, workspace) == [("DataPipeline", "i")]


def test_capacity_assignment_shows_its_progress() -> None:
    """The answer is 202 without Location, id, Retry-After or body; the workspace shows InProgress until the time is
    over."""
    t = Tenant(time_scale=2.0)
    t.control("POST", "seed", {"capacities": [{"id": CAPACITY}, {"id": OTHER, "state": "Inactive"}]})
    t.update_settings(capacity_assignment_seconds=30)
    url = f"/v1/workspaces/{t.workspace()}"
    assert t.get(url)["capacityAssignmentProgress"] == "Completed"
    reply = t.call("POST", f"{url}/assignToCapacity", {"capacityId": CAPACITY})
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (202, b"", "application/octet-stream")
    assert not reply.headers.keys() & {"Location", "x-ms-operation-id", "Retry-After"}
    assert (t.get(url)["capacityId"], t.get(url)["capacityAssignmentProgress"]) == (CAPACITY, "InProgress")
    t.now += 14.9
    assert t.get(url)["capacityAssignmentProgress"] == "InProgress"
    t.now += 0.2
    assert t.get(url)["capacityAssignmentProgress"] == "Completed"
    assert t.get(url)["capacityRegion"] == "West Europe"
    assert t.call("POST", f"{url}/unassignFromCapacity").status == 202
    assert "capacityId" not in t.get(url)


@pytest.mark.parametrize(
    ("capacity", "status", "code"),
    [(OTHER, 400, "CapacityNotInActiveState"), (NOBODY, 404, "CapacityNotFound"), ("x", 400, "InvalidInput")],
)
def test_capacity_that_cannot_be_assigned_is_refused(t: Tenant, capacity: str, status: int, code: str) -> None:
    """A paused, unknown or malformed capacity is refused on creation as on assignment; PATCH ignores a capacity."""
    t.control("POST", "seed", {"capacities": [{"id": CAPACITY}, {"id": OTHER, "state": "Inactive"}]})
    workspace = t.workspace()
    assign = f"/v1/workspaces/{workspace}/assignToCapacity"
    for url in ("/v1/workspaces", assign):
        reply = t.call("POST", url, {"displayName": "other", "capacityId": capacity})
        assert (reply.status, code_of(reply)) == (status, code)
    assert t.call("POST", assign, {}).status == 400
    assert "capacityId" not in json.loads(t.call("PATCH", f"/v1/workspaces/{workspace}", {"capacityId": CAPACITY}).body)
    t.update_settings(require_capacity=True)
    reply = t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": "n"})
    assert (reply.status, code_of(reply)) == (403, "FeatureNotAvailable")
    t.call("POST", assign, {"capacityId": CAPACITY})
    assert t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": "n"}).status == 202


# Settings, faults and seeds that cannot be used.


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"page_size": 5, "nope": 1}, "$.nope"),
        ({"page_size": 5, "conflict_status": 418}, "$.conflict_status"),
        ({"page_size": 0}, "$.page_size"),
        ({"page_size": True}, "$.page_size"),
        ({"page_size": 5, "name_reservation_seconds": -1}, "$.name_reservation_seconds"),
        ({"page_size": 5, "list_lag_seconds": "3"}, "$.list_lag_seconds"),
        ({"page_size": 5, "capacity_assignment_seconds": None}, "$.capacity_assignment_seconds"),
        ({"page_size": 5, "quota_per_minute": 1.5}, "$.quota_per_minute"),
        ({"page_size": 5, "paused_capacity": "503"}, "$.paused_capacity"),
        ({"page_size": 5, "require_capacity": "no"}, "$.require_capacity"),
        ({"page_size": 5, "known_principals": "x"}, "$.known_principals"),
        ({"page_size": 5, "create_at_once": [1]}, "$.create_at_once"),
        ([1], "$"),
    ],
)
def test_setting_that_is_not_valid_is_refused_and_nothing_changes(t: Tenant, settings: Any, path: str) -> None:
    """One bad setting leaves all others unchanged."""
    before = t.control("GET", "settings")[1]
    status, body = t.control("POST", "settings", settings)
    assert status == 400
    assert f"{path}:" in body["error"]
    assert t.control("GET", "settings") == (200, before)


def test_settings_can_all_be_set(t: Tenant) -> None:
    """Every setting accepts its present value."""
    status, body = t.control("POST", "settings", {**t.control("GET", "settings")[1], "page_size": 7})
    assert (status, body["page_size"]) == (200, 7)
    assert set(body) == set(vars(SimulatorSettings()))


GOOD_RULE: dict[str, Any] = {"name": "first", "action": {"status": 503}}


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ("x", "$"),
        ({"rules": 1}, "$"),
        ([GOOD_RULE, 5], "$[1]"),
        ([GOOD_RULE, {}], "$[1].action"),
        ([GOOD_RULE, {"action": {}}], "$[1].action"),
        ([{**GOOD_RULE, "colour": 1}], "$[0].colour"),
        ([{**GOOD_RULE, "match": "x"}], "$[0].match"),
        ([{**GOOD_RULE, "match": {"path": "("}}], "$[0].match.path"),
        ([{**GOOD_RULE, "match": {"path": 1}}], "$[0].match.path"),
        ([{**GOOD_RULE, "match": {"method": 1}}], "$[0].match.method"),
        ([{**GOOD_RULE, "match": {"url": "x"}}], "$[0].match.url"),
        ([{**GOOD_RULE, "when": {"often": 1}}], "$[0].when.often"),
        ([{**GOOD_RULE, "when": {"nth": 0}}], "$[0].when.nth"),
        ([{**GOOD_RULE, "when": {"nth": ["1"]}}], "$[0].when.nth"),
        ([{**GOOD_RULE, "when": {"probability": 2}}], "$[0].when.probability"),
        ([{**GOOD_RULE, "when": {"probability": "0.5"}}], "$[0].when.probability"),
        ([{**GOOD_RULE, "when": {"times": -1}}], "$[0].when.times"),
        ([{"action": {"status": 99}}], "$[0].action.status"),
        ([{"action": {"status": "503"}}], "$[0].action.status"),
        ([{"action": {"status": 503, "headers": {"Retry-After": 1}}}], "$[0].action.headers"),
        ([{"action": {"status": 503, "headers": {"a": "b\r\nc: d"}}}], "$[0].action.headers"),
        ([{"action": {"status": 503, "effect": "during"}}], "$[0].action.effect"),
        ([{"action": {"effect": "after"}}], "$[0].action.effect"),
        ([{"action": {"reset": True}}], "$[0].action.reset"),
        ([{"action": {"delay_seconds": -1}}], "$[0].action.delay_seconds"),
        ([{"action": {"operation": "explode"}}], "$[0].action.operation"),
        ([{"action": {"operation": "never", "error": {}}}], "$[0].action.error"),
        ([{"action": {"explode": 1}}], "$[0].action.explode"),
    ],
)
def test_fault_rule_that_cannot_be_used_is_refused_and_nothing_changes(t: Tenant, rules: Any, path: str) -> None:
    """One bad rule, named by its path, leaves the existing rules unchanged."""
    t.control("POST", "faults", [{"name": "before", "action": {"status": 500}}])
    before = t.control("GET", "faults")[1]
    status, body = t.control("POST", "faults", rules)
    assert status == 400
    assert f"{path}:" in body["error"]
    assert t.control("GET", "faults") == (200, before)
    assert t.call("GET", "/v1/workspaces").status == 500


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], "$"),
        ({"capacities": {}}, "$.capacities"),
        ({"capacities": [{"id": CAPACITY}, {}]}, "$.capacities[1].id"),
        ({"workspaces": [{"displayName": "a"}, {"id": NOBODY}]}, "$.workspaces[1].displayName"),
        (
            {"workspaces": [{"displayName": "a", "items": [{"type": "Notebook"}]}]},
            "$.workspaces[0].items[0].displayName",
        ),
        ({"workspaces": [{"displayName": "a", "roleAssignments": [1]}]}, "$.workspaces[0].roleAssignments[0]"),
        ({"tags": [{"id": OTHER, "displayName": "a"}], "domains": [{"id": OTHER}]}, "$.domains[0].displayName"),
        ({"connections": [{"id": OTHER}]}, "$.connections[0].connectivityType"),
    ],
)
def test_seed_that_cannot_be_used_is_refused_and_nothing_changes(t: Tenant, body: Any, path: str) -> None:
    """A seed is applied completely or not at all."""
    status, answer = t.control("POST", "seed", body)
    assert status == 400
    assert f"{path}:" in answer["error"]
    assert t.control("GET", "state")[1] == Tenant().control("GET", "state")[1]


def test_seed_of_a_tenant_is_served(t: Tenant) -> None:
    """A domain and a tag of a seed can be assigned, which the state shows; who has a role on a connection sees it."""
    named, place = {"displayName": "seeded"}, f"/v1/workspaces/{t.workspace()}"
    owner = {"id": ME, "type": "ServicePrincipal", "role": "Owner"}
    connection = {"id": OTHER.upper(), "connectivityType": "ShareableCloud", "roleAssignments": [owner]}
    body = {"domains": [{"id": CAPACITY, **named}], "tags": [{"id": OTHER, **named}], "connections": [connection]}
    assert t.control("POST", "seed", body)[0] == 200
    assert t.call("POST", f"{place}/assignToDomain", {"domainId": CAPACITY}).status == 200
    assert t.call("POST", f"{place}/applyTags", {"tags": [OTHER]}).status == 200
    shown = t.control("GET", "state")[1]["workspaces"][0]
    assert (shown["domainId"], [tag["id"] for tag in shown["tags"]]) == (CAPACITY, [OTHER])
    assert [row["id"] for row in t.get("/v1/connections")["value"]] == [OTHER]
    assert t.call("GET", f"/v1/connections/{OTHER}", identity=NOBODY).status == 404


# Faults that are injected.


def statuses(t: Tenant, count: int) -> list[int]:
    """Return the statuses of this many calls."""
    return [t.call("GET", "/v1/workspaces").status for _ in range(count)]


def test_fault_is_injected_into_the_nth_calls(t: Tenant) -> None:
    """Only calls that match are counted."""
    t.fault({"status": 503}, {"nth": 2}, method="GET", path="/v1/workspaces")
    t.get("/v1/capacities")
    assert statuses(t, 4) == [200, 503, 200, 200]
    t.fault({"status": 503}, {"nth": [1, 3]})
    assert statuses(t, 4) == [503, 200, 503, 200]
    assert (t.control("GET", "faults")[1][0]["matched"], t.control("GET", "faults")[1][0]["injected"]) == (4, 2)


def test_fault_is_injected_so_many_times(t: Tenant) -> None:
    """`times` ends it."""
    t.fault({"status": 503}, {"times": 2})
    assert statuses(t, 4) == [503, 503, 200, 200]


def test_fault_is_injected_with_its_probability(t: Tenant) -> None:
    """It is injected about as often as the rule says, never at 0 and always at 1."""
    t.fault({"status": 503}, {"probability": 0.3})
    assert 240 <= statuses(t, 1000).count(503) <= 360
    t.fault({"status": 503}, {"probability": 0})
    assert statuses(t, 50).count(503) == 0
    t.fault({"status": 503}, {"probability": 1.0, "times": 3})
    assert statuses(t, 5).count(503) == 3


def test_fault_of_the_first_matching_rule_is_injected(t: Tenant) -> None:
    """Method and path select the calls; the whole path must match."""
    rules = [
        {"match": {"path": "/v1/work"}, "action": {"status": 501}},
        {"match": {"method": "POST"}, "action": {"status": 502}},
        {"match": {"path": "/v1/work.*"}, "when": {"times": 1}, "action": {"status": 503}},
        {"action": {"status": 504}},
    ]
    t.control("POST", "faults", {"rules": rules})
    assert statuses(t, 2) == [503, 504]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("kind", ["reset", "status"])
def test_fault_side_decides_whether_the_effect_happens(t: Tenant, kind: str, side: str) -> None:
    """With `before` nothing is created. With `after` the resource is created, and the caller gets no answer."""
    action: dict[str, Any] = {"reset": side} if kind == "reset" else {"status": 500, "effect": side}
    t.fault(action, {"times": 1}, method="POST")
    reply = t.call("POST", "/v1/workspaces", {"displayName": "w"})
    assert reply.reset == (kind == "reset")
    assert kind == "reset" or reply.status == 500
    assert [w["displayName"] for w in t.model.state()["workspaces"]] == (["w"] if side == "after" else [])
    call = t.control("GET", "calls")[1][-1]
    assert (call["effect"], call["status"], call["fault"]) == (
        side == "after",
        None if kind == "reset" else 500,
        action,
    )


def test_fault_status_without_a_body_gets_one_in_fabrics_form(t: Tenant) -> None:
    """Such a refusal looks like Fabric's. A rule's own body and headers take precedence, and its code is in the
    header."""
    t.fault({"status": 503, "headers": {"Retry-After": "7"}})
    reply = t.call("GET", "/v1/workspaces")
    assert (code_of(reply), reply.headers["Retry-After"]) == ("UnknownError", "7")
    t.fault({"status": 409, "body": {"errorCode": "Mine", "message": "m"}})
    reply = t.call("GET", "/v1/workspaces")
    assert (json.loads(reply.body)["message"], reply.headers["x-ms-public-api-error-code"]) == ("m", "Mine")
    t.fault({"status": 200, "body": {"value": []}})
    assert json.loads(t.call("GET", "/v1/workspaces").body) == {"value": []}


def test_fault_delays_the_answer_by_the_scaled_time() -> None:
    """The call is done, and its answer waits."""
    t = Tenant(time_scale=4.0)
    t.fault({"delay_seconds": 6})
    reply = t.call("POST", "/v1/workspaces", {"displayName": "w"})
    assert (reply.status, reply.delay_seconds) == (201, 1.5)


def test_list_lag_setting_hides_new_items() -> None:
    """New items are not visible for the setting's time; their names are taken."""
    t = Tenant()
    t.update_settings(list_lag_seconds=10)
    workspace = t.workspace()
    t.item(workspace)
    assert items_of(t, workspace) == []
    t.now += 11.0
    assert len(items_of(t, workspace)) == 1


# Synthetic answers.


def test_synthetic_answers_are_marked(t: Tenant) -> None:
    """An answer without a recording or a published file is marked; one with either is not."""
    workspace = t.workspace()
    item = t.item(workspace)
    url = f"/v1/workspaces/{workspace}"

    def is_marked(reply: Reply) -> bool:
        return reply.headers.get("x-sim-synthetic") == "true"

    assert is_marked(t.call("POST", "/v1/workspaces", {"displayName": "w"}))
    assert is_marked(t.call("POST", f"{url}/items", {"type": "DataPipeline", "displayName": "i"}))
    assert is_marked(t.call("DELETE", f"{url}/roleAssignments/{ME}"))
    assert is_marked(t.call("GET", "/v1/nothing"))
    assert is_marked(t.call("GET", "/v1/workspaces", headers={}))
    assert not is_marked(t.call("GET", f"{url}/items/{item}"))
    assert not is_marked(t.call("GET", f"{url}/items/{NOBODY}"))
    t.update_settings(name_reservation_seconds=60)
    t.call("DELETE", f"{url}/items/{item}")
    assert is_marked(t.call("POST", f"{url}/items", {"type": "DataPipeline", "displayName": "i"}))
    t.fault({"operation": "fail"}, {"times": 1}, method="POST")
    failed = t.call("POST", f"{url}/notebooks", {"displayName": "n"})
    assert is_marked(t.call("GET", failed.headers["Location"]))
    t.fault({"status": 500}, {"times": 1})
    assert is_marked(t.call("GET", url))
    t.update_settings(paused_capacity="404")
    assert is_marked(t.call("GET", url))


# Runs and durations.


def run(seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run calls with random parts, and return the calls and what is left."""
    t = Tenant(profile="realistic", seed=seed)
    t.model.faults.replace([{"when": {"probability": 0.2}, "action": {"status": 503}}])
    for i in range(30):
        reply = t.call("POST", "/v1/workspaces", {"displayName": f"w{i}"})
        t.now += reply.delay_seconds
        if reply.status == 201:
            url = f"/v1/workspaces/{json.loads(reply.body)['id']}/notebooks"
            t.now += t.call("POST", url, {"displayName": "n"}).delay_seconds
    return t.model.calls, t.model.state()


def test_seed_determines_the_run() -> None:
    """The same seed gives the same ids, faults and durations; another seed gives others; a reset starts the sequence
    again."""
    assert run(7) == run(7)
    assert run(7) != run(8)
    t = Tenant(seed=7)
    first = t.workspace()
    t.update_settings(page_size=3)
    t.fault({"status": 500}, {"nth": 9})
    assert t.control("POST", "reset", {"seed": 7}) == (200, {})
    assert t.model.settings == SimulatorSettings()
    assert (t.control("GET", "calls")[1], t.control("GET", "faults")[1]) == ([], [])
    assert t.workspace() == first


def recorded_seconds() -> dict[str, Any]:
    """Return the recorded quantiles by the simulator's kind of operation; of two routes of a kind, the one with more
    samples."""
    rows: dict[str, Any] = json.loads((reference("fabric_traffic") / "operation_seconds.json").read_text())[
        "operations"
    ]
    found: dict[str, Any] = {}
    for name, row in sorted(rows.items(), key=lambda pair: pair[1]["n"]):
        route, _, item_type = name.partition(" type=")
        found[f"create {item_type}" if item_type else route.rpartition("/")[2]] = row
    del found["all"]
    return found


def test_duration_medians_are_those_recorded() -> None:
    """Over 2000 draws of each kind, medians are within a quarter of the recorded ones, tails as heavy, and nothing
    longer."""
    recorded = recorded_seconds()
    assert len(recorded) >= 14
    chance = Tenant().model.store.chance
    for kind, row in recorded.items():
        drawn = sorted(operation_seconds(kind, chance) for _ in range(2000))
        assert abs(statistics.median(drawn) / row["p50"] - 1) <= 0.25, kind
        for share, name in ((0.9, "p90"), (0.99, "p99")):
            within = sum(d <= row[name] for d in drawn) / 2000
            assert row[name] == row["max"] or abs(within - share) <= 0.03, (kind, name)
        assert drawn[-1] <= row["max"], kind
        assert drawn[0] >= row["p50"] / 2, kind
    everything = json.loads((reference("fabric_traffic") / "operation_seconds.json").read_text())["operations"]["all"]
    assert tuple(everything[k] for k in ("p50", "p90", "p99", "max")) == ALL


def definition_seconds() -> dict[str, list[float]]:
    """Return the recorded seconds of getDefinition by item type."""
    path = reference("fabric_traffic") / "all_conversations.jsonl.xz"
    with lzma.open(path, "rt") as lines:
        rows: list[Any] = [row for line in lines for row in json.loads(line)["exchanges"]]
    types, read = dict[str, str](), dict[str, str]()
    found = dict[str, dict[str, float]]()
    for row in rows:
        answer = row["response"] if isinstance(row["response"], dict) else {}
        for each in [answer, *(answer.get("value") or [])]:
            if isinstance(each, dict) and isinstance(each.get("id"), str) and isinstance(each.get("type"), str):
                types[each["id"].lower()] = each["type"]
    for row in rows:
        answer = row["response"] if isinstance(row["response"], dict) else {}
        if of := re.search(r"/([0-9a-f-]{36})/getDefinition", row["path"]):
            read[row["headers"].get("x-ms-operation-id", "")] = types.get(of[1].lower(), "")
        operation = re.search(r"/operations/([0-9a-f-]{36})(?:$|\?)", row["path"])
        if operation and operation[1] in read and answer.get("status") == "Succeeded":
            began, ended = (datetime.fromisoformat(answer[n][:26]) for n in ("createdTimeUtc", "lastUpdatedTimeUtc"))
            found.setdefault(read[operation[1]], {})[operation[1]] = (ended - began).total_seconds()
    return {item_type: sorted(seconds.values()) for item_type, seconds in found.items()}


def test_duration_of_reading_a_definition_is_that_of_its_type() -> None:
    """A notebook's takes less than a second, a database's half a minute; the rows are the recorded quantiles."""
    recorded = definition_seconds()
    rows = {kind.partition(" ")[2]: row for kind, row in QUANTILES.items() if kind.startswith("getDefinition ")}
    assert len(rows) >= 6
    for item_type, (p50, p90, _, maximum) in rows.items():
        seconds = recorded[item_type]
        assert len(seconds) >= 5
        at = [seconds[min(len(seconds) - 1, int(share * len(seconds)))] for share in (0.5, 0.9)]
        assert (p50, p90, maximum) == pytest.approx((*at, seconds[-1]), abs=0.01), item_type
    t = Tenant(profile="realistic")
    chance = t.model.store.chance
    assert max(operation_seconds("getDefinition Notebook", chance) for _ in range(500)) < 1.0
    assert operation_seconds("getDefinition KQLDatabase", chance) <= QUANTILES["getDefinition"][3]


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_duration_of_created_operations_is_drawn_for_their_kind(scale: float) -> None:
    """Creates through the API last as long as drawn, divided by the time scale, and no time in the instant profile."""
    t = Tenant(profile="realistic", time_scale=scale)
    t.update_settings(quota_per_minute=0)
    workspace = t.workspace()
    for i in range(400):
        t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": f"n{i}"})
    lasted = [(o.over_at or 0.0) - o.began_at for o in t.model.store.operations.values()]
    p50, _, _, maximum = QUANTILES["create Notebook"]
    assert abs(statistics.median(lasted) * scale / p50 - 1) <= 0.25
    assert max(lasted) * scale <= maximum + 0.01
    instant = Tenant()
    instant.item(instant.workspace(), "Notebook")
    assert [o.over_at == o.began_at for o in instant.model.store.operations.values()] == [True]


def test_duration_of_calls_is_scaled_and_zero_for_early_refusals() -> None:
    """A realistic call takes its mean within a quarter; 401 and 429 take no time; an instant call takes none at all."""
    t = Tenant(profile="realistic", time_scale=2.0)
    t.update_settings(quota_per_minute=2)
    reply = t.call("POST", "/v1/workspaces", {"displayName": "w"})
    assert 0.75 * 7.4 / 2 <= reply.delay_seconds <= 1.25 * 7.4 / 2
    assert t.call("GET", "/v1/workspaces", headers={}).delay_seconds == 0.0
    t.call("GET", "/v1/workspaces")
    assert t.call("GET", "/v1/workspaces").delay_seconds == 0.0
    assert Tenant().call("GET", "/v1/workspaces").delay_seconds == 0.0
    drawn = [call_seconds("GET", "/v1/workspaces/x/items", t.model.store.chance) for _ in range(500)]
    assert abs(statistics.mean(drawn) / 0.67 - 1) <= 0.1


# Arbitrary input.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "displayName": st.sampled_from(["w", "i", "n n"]) | JSON,
        "type": st.sampled_from(["Lakehouse", "Notebook", "Warehouse", "VariableLibrary", "Map"]) | JSON,
        "description": st.just("d") | JSON,
        "capacityId": st.just(CAPACITY) | JSON,
        "folderId": JSON,
        "definition": st.just(PARTS) | st.fixed_dictionaries({"parts": st.lists(JSON, max_size=2)}) | JSON,
        "creationPayload": st.just({"enableSchemas": True}) | JSON,
        "principal": st.fixed_dictionaries({"id": st.just(OTHER) | JSON, "type": st.just("User") | JSON}) | JSON,
        "role": st.sampled_from(["Admin", "viewer"]) | JSON,
        "properties": JSON,
    },
)
ENDS = (
    "",
    "/items",
    "/lakehouses",
    "/variablelibraries",
    "/roleAssignments",
    "/assignToCapacity",
    "/unassignFromCapacity",
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(["POST", "PATCH"]), st.sampled_from(ENDS), BODY | JSON), max_size=6))
def test_model_answers_any_input(calls: list[tuple[str, str, Any]]) -> None:
    """No body breaks the model: every answer is Fabric's, and what it accepted can be read again."""
    t = Tenant()
    workspace = t.workspace("of a test")
    t.update_settings(create_at_once=["Lakehouse", "Warehouse", "Map"])
    for method, end, body in calls:
        rows = t.get(f"/v1/workspaces/{workspace}/items")["value"]
        urls = [f"/v1/workspaces/{workspace}{end}", *(f"/v1/workspaces/{workspace}/items/{r['id']}" for r in rows)]
        urls += [f"{u}/updateDefinition" for u in urls[1:]] + [f"{u}/getDefinition" for u in urls[1:]]
        for url in urls:
            reply = t.call(method, url, body)
            assert reply.status < 500, (method, url, body)
            assert reply.status < 400 or code_of(reply)
        for row in t.get(f"/v1/workspaces/{workspace}/items")["value"]:
            collection = next((c for c, kind in TYPED_ROUTES.items() if kind == row["type"]), "items")
            t.get(f"/v1/workspaces/{workspace}/{collection}/{row['id']}")
        t.get(f"/v1/workspaces/{workspace}/roleAssignments")
        json.dumps(t.model.state())


# Formats of definitions.


def part(path: str) -> dict[str, str]:
    """Return a part with some content."""
    return {"path": path, "payload": "e30=", "payloadType": "InlineBase64"}


def test_format_of_a_notebook_must_be_named_for_ipynb(t: Tenant) -> None:
    """This holds on create and on update: without it, Fabric takes the content for its own Git format."""
    workspace = t.workspace()
    definition: dict[str, Any] = {"parts": [part("n.ipynb")]}
    url, body = f"/v1/workspaces/{workspace}/items", {"type": "Notebook", "displayName": "n"}
    for wrong in (definition, {**definition, "format": "fabricGitSource"}):
        reply = t.call("POST", url, {**body, "definition": wrong})
        assert (reply.status, code_of(reply)) == (400, "PyToIPynbFailure")
    assert items_of(t, workspace) == []
    assert t.call("POST", url, {**body, "definition": {**definition, "format": "ipynb"}}).status == 202
    item = t.get(url)["value"][0]["id"]
    reply = t.call("POST", f"{url}/{item}/updateDefinition", {"definition": definition})
    assert (reply.status, code_of(reply)) == (400, "PyToIPynbFailure")


def test_format_of_a_spark_job_decides_whether_its_files_are_kept(t: Tenant) -> None:
    """Without SparkJobDefinitionV2 they are lost, and the answer is a success."""
    workspace = t.workspace()
    definition: dict[str, Any] = {"parts": [part("SparkJobDefinitionV1.json"), part("Main/main.py")]}
    url = f"/v1/workspaces/{workspace}/items"
    for name, chosen in (("v1", {}), ("v2", {"format": "SparkJobDefinitionV2"})):
        body = {"type": "SparkJobDefinition", "displayName": name, "definition": {**definition, **chosen}}
        item = json.loads(t.call("POST", url, body).body)["id"]
        kept = json.loads(t.call("POST", f"{url}/{item}/getDefinition").body)["definition"]["parts"]
        assert ("Main/main.py" in [p["path"] for p in kept]) == (name == "v2")


def test_definition_of_a_type_without_one_is_refused(t: Tenant) -> None:
    """This holds on create and on update."""
    body = {"type": "Warehouse", "displayName": "w", "definition": PARTS}
    reply = t.call("POST", f"/v1/workspaces/{t.workspace()}/items", body)
    assert (reply.status, code_of(reply)) == (400, "OperationNotSupportedForItem")
