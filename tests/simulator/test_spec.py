"""Every answer of the simulator, success or refusal, validated against Microsoft's published OpenAPI."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import fabric_simulator
from local.fabric_simulator.catalogue import (
    NO_DEFINITION,
    NOT_CREATED,
    TYPED_ROUTES,
    UPDATE_LATER,
    UPDATE_WITHOUT_RESULT,
)
from local.fabric_simulator.http import Reply
from tests.conftest import reference
from tests.simulator import plays_network
from tests.simulator.openapi import Operation, Spec
from tests.simulator.plays import PLAYS
from tests.simulator.tenant import CAPACITY, ME, OTHER, Tenant, definition_of

NOBODY = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c99"
RECORDED_ELSEWHERE = {"PrincipalNotFound", "WorkspaceRoleNotAllowedForServicePrincipalProfile"}
"""Codes seen in real traffic, but not in the selection of it beside the repository."""
COLLECTIONS = {
    "lakehouses", "notebooks", "dataPipelines", "environments", "warehouses", "semanticModels", "reports",
    "eventhouses", "kqlDatabases",
}  # fmt: skip
"""Collections with a published file of their own; all other types are validated as plain items."""


@pytest.fixture(scope="module")
def spec() -> Spec:
    """Return the published files."""
    return Spec(reference("fabric_spec"))


class Checked(Tenant):
    """A tenant that validates every answer, and collects the operations seen and the differences."""

    def __init__(self, spec: Spec, **more: Any) -> None:
        super().__init__(**more)
        self.spec = spec
        self.seen: set[tuple[str, int]] = set()
        self.wrong: list[str] = []
        self.results: dict[str, tuple[Operation, Any]] = {}
        self.update_settings(page_size=2)
        self.control("POST", "seed", {"capacities": [{"id": CAPACITY}, {"id": OTHER, "state": "Inactive"}, {"id": ME}]})

    def call(self, method: str, url: str, *arguments: Any, **more: Any) -> Reply:
        """Make a call and validate its answer; the result of an operation is validated as the answer that it
        replaces."""
        reply = super().call(method, url, *arguments, **more)
        path, _, query = re.sub(r"^http://[^/]+", "", url).partition("?")
        operation = self.spec.find(method, path, query)
        if operation is None:
            self.wrong += [f"{method} {path}: not published"] if "/v1/operations" in path else []
            return reply
        self.seen.add((operation.name, reply.status))
        self.wrong += [f"{operation.name} {reply.status}: {p}" for p in self.spec.problems(operation, reply)]
        if reply.status == 202 and "x-ms-operation-id" in reply.headers:
            schema = next(operation.responses[s].get("schema") for s in ("201", "200") if s in operation.responses)
            self.results[reply.headers["x-ms-operation-id"]] = operation, schema
        started = self.results.get(path.split("/")[3]) if path.endswith("/result") else None
        if reply.status == 200 and started and started[1]:
            found = self.spec.violations(*started, json.loads(reply.body))
            self.wrong += [f"result of {started[0].name}: {f}" for f in found]
        return reply

    def follow(self, reply: Reply) -> Any:
        """Poll an operation while it runs and when it is over, and fetch its result, if it has one."""
        location = reply.headers["Location"]
        self.call("GET", location)
        result = super().follow(reply)
        self.call("GET", f"{location}/result")
        return result


def body_for(item_type: str, name: str) -> dict[str, Any]:
    """Return the body that a create of the type needs."""
    definition = {} if item_type in NO_DEFINITION else {"definition": definition_of(item_type)}
    return {"displayName": name, "description": "d", "folderId": NOBODY, **definition}


def play_workspaces(t: Checked) -> str:
    """Make every call for workspaces and roles, and return the id of a workspace that is left."""
    workspace = t.workspace("one", capacityId=CAPACITY, description="d")
    bare = t.workspace("two")
    t.workspace("three")
    folder = {"id": NOBODY, "displayName": "f"}
    t.control("POST", "seed", {"workspaces": [{"id": workspace, "folders": [folder]}]})
    t.get("/v1/workspaces")
    t.get("/v1/workspaces?continuationToken=2")
    t.get("/v1/capacities")
    for one in (workspace, bare):
        t.get(f"/v1/workspaces/{one}")
        t.call("PATCH", f"/v1/workspaces/{one}", {"description": "other"})
    t.update_settings(capacity_assignment_seconds=5)
    t.call("POST", f"/v1/workspaces/{bare}/assignToCapacity", {"capacityId": CAPACITY})
    t.get(f"/v1/workspaces/{bare}")
    t.call("POST", f"/v1/workspaces/{bare}/unassignFromCapacity")
    roles = f"/v1/workspaces/{workspace}/roleAssignments"
    for i, kind in enumerate(("User", "Group", "ServicePrincipal", "ServicePrincipalProfile")):
        principal = {"id": f"{NOBODY[:-1]}{i}", "type": kind}
        t.call("POST", roles, {"principal": principal, "role": "Viewer"})
        t.call("POST", roles, {"principal": principal, "role": "Viewer"})
        t.get(f"{roles}/{principal['id']}")
        t.call("PATCH", f"{roles}/{principal['id']}", {"role": "contributor"})
    t.get(roles)
    t.get(f"{roles}?continuationToken=2")
    t.call("DELETE", f"{roles}/{NOBODY[:-1]}0")
    t.call("DELETE", f"{roles}/{ME}")
    t.call("DELETE", f"/v1/workspaces/{bare}")
    return workspace


def play_items(t: Checked, workspace: str, collection: str, item_type: str) -> None:
    """Make every call for an item, through its own collection or the generic one."""
    root = f"/v1/workspaces/{workspace}/{collection}"
    names = (f"a_{item_type}_{collection}", f"b_{item_type}_{collection}", f"c_{item_type}_{collection}")
    for name in names:
        reply = t.call("POST", root, {**body_for(item_type, name), "type": item_type})
        if reply.status == 202:
            t.follow(reply)
    t.call("POST", root, {**body_for(item_type, names[0]), "type": item_type})
    t.update_settings(create_at_once=[item_type])
    t.call("POST", root, {**body_for(item_type, f"d_{collection}"), "type": item_type})
    t.update_settings(create_at_once=[])
    rows = t.get(f"{root}?type={item_type}")["value"]
    t.get(f"{root}?continuationToken=2")
    one = f"{root}/{next(r['id'] for r in rows if r['type'] == item_type)}"
    t.get(one)
    t.now += 20.0
    t.get(one)
    t.call("PATCH", one, {"description": "other"})
    t.call("PATCH", one, {"displayName": names[1]})
    for word, body in (("getDefinition", None), ("updateDefinition", {"definition": definition_of(item_type)})):
        reply = t.call("POST", f"{one}/{word}", body)
        if reply.status == 202:
            t.follow(reply)
    t.call("POST", f"{one}/updateDefinition", {"definition": {"parts": []}})
    t.call("DELETE", one)
    t.call("GET", one)


def every_call(spec: Spec, workspace: str) -> Iterator[tuple[str, str]]:
    """Make a call of each published operation that is served, for resources that do not exist."""
    for _, operation in spec.served:
        path = operation.path.replace("{workspaceId}", workspace)
        yield operation.method, re.sub(r"\{[^}]+\}", NOBODY, path)


def refused(t: Checked, workspace: str) -> None:
    """Let each operation be refused: by sign-in, quota, a missing resource, a paused capacity in each of its ways,
    and an injected fault."""
    for method, path in every_call(t.spec, workspace):
        t.call(method, path, {}, headers={})
        t.call(method, path, {}, headers={"authorization": "Bearer sim.x.1"})
        t.call(method, path.replace(workspace, NOBODY), raw=b"{")
        if method == "POST":
            t.call(method, path, {})
        for status in (429, 500, 503):
            t.fault({"status": status, "headers": {"Retry-After": "1"}})
            t.call(method, path, {})
        t.model.faults.replace([])
        t.update_settings(quota_per_minute=1)
        t.call(method, path, {}, identity=f"{method} {path}")
        t.call(method, path, {}, identity=f"{method} {path}")
        t.update_settings(quota_per_minute=0)
        for mode in ("400", "404", "500"):
            t.update_settings(paused_capacity=mode)
            if method != "DELETE":
                t.call(method, path, {})
        t.update_settings(paused_capacity="")


@pytest.mark.parametrize("profile", ["instant", "realistic"])
def test_spec_every_answer_conforms(spec: Spec, profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every answer of a served route matches the published contract: status, headers, required members, types,
    enums."""
    t = Checked(spec, profile=profile)
    t.update_settings(quota_per_minute=0, name_reservation_seconds=30)
    workspace = play_workspaces(t)
    for collection in sorted(COLLECTIONS):
        play_items(t, workspace, collection, TYPED_ROUTES[collection.lower()])
    for item_type in sorted(set(TYPED_ROUTES.values()) - NOT_CREATED):
        play_items(t, workspace, "items", item_type)
    for play in (*PLAYS, *plays_network.PLAYS):
        play(t, workspace)
    refused(t, workspace)
    names = {o.name for _, o in spec.served}
    succeeded = {name for name, status in t.seen if status < 400}
    failed = {name for name, status in t.seen if status >= 400}
    with capsys.disabled():
        count = len(t.seen)
        print(f"\npublished operations served: {len(names)}; operation+status pairs validated ({profile}): {count}")
    assert sorted(set(t.wrong)) == [], "\n".join(sorted(set(t.wrong)))
    assert names - failed == set()
    # Kinds whose definition cannot be read, or is always changed later, have no other answer to show.
    assert {n for n in names - succeeded if "Definition" not in n} == set()
    assert len(names) >= 205


def test_spec_failed_and_running_operations_conform(spec: Spec) -> None:
    """A failed operation shows its error in the published form, and is marked as synthetic."""
    t = Checked(spec)
    workspace = t.workspace()
    t.fault({"operation": "fail"}, method="POST")
    reply = t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": "n"})
    poll = t.call("GET", reply.headers["Location"])
    assert json.loads(poll.body)["status"] == "Failed"
    assert poll.headers["x-sim-synthetic"] == "true"
    t.fault({"operation": "never"}, method="POST")
    reply = t.call("POST", f"/v1/workspaces/{workspace}/notebooks", {"displayName": "o"})
    assert json.loads(t.call("GET", reply.headers["Location"]).body)["status"] == "Running"
    t.call("GET", f"{reply.headers['Location']}/result")
    assert t.wrong == []


def test_spec_validation_reports_each_difference(spec: Spec) -> None:
    """The validation can fail: it reports a missing member, a wrong type, an unknown value and a bad id."""
    t = Checked(spec)
    workspace = t.workspace()
    path = f"/v1/workspaces/{workspace}/roleAssignments"
    operation = spec.find("GET", path)
    assert operation is not None
    reply = t.call("GET", path)
    good = json.loads(reply.body)
    assert spec.problems(operation, reply) == []
    for member, value in (("id", "me"), ("id", 1), ("role", "Owner"), ("role", None), ("principal", {"type": "User"})):
        bad = {"value": [{**good["value"][0], member: value}]}
        assert spec.problems(operation, Reply(200, {}, json.dumps(bad).encode())), (member, value)
    application = {**good["value"][0]["principal"], "type": "ServicePrincipal", "servicePrincipalDetails": "x"}
    bad = {"value": [{**good["value"][0], "principal": application}]}
    assert spec.problems(operation, Reply(200, {}, json.dumps(bad).encode())) != []
    assert spec.problems(operation, Reply(204, {}, b"")) == ["status 204 is not published"]
    assert spec.problems(operation, Reply(404, {}, b'{"message": "no code"}')) != []


def test_spec_updates_that_are_operations_are_those_recorded() -> None:
    """Only a type whose update is an operation can have one without a result."""
    assert UPDATE_WITHOUT_RESULT <= UPDATE_LATER


def refusals() -> Iterator[tuple[str, str, bool]]:
    """Yield every refusal in the simulator's source: its place, its code, and whether it is marked as synthetic."""
    for file in sorted(Path(fabric_simulator.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "ApiError":
                continue
            code = node.args[1]
            known = code.value if isinstance(code, ast.Constant) else None
            yield f"{file.name}:{node.lineno}", str(known), any(k.arg == "synthetic" for k in node.keywords)


def test_spec_codes_are_published_recorded_or_marked_synthetic(spec: Spec) -> None:
    """A refusal without the synthetic mark has a code that Microsoft publishes or that was recorded."""
    recorded = (reference("fabric_traffic") / "conversations.jsonl").read_text()
    recorded += (reference("fabric_traffic") / "exchanges.jsonl").read_text()
    found = list(refusals())
    assert len(found) > 40
    unbacked = [
        f"{where} {code}"
        for where, code, is_synthetic in found
        if not is_synthetic
        and code not in RECORDED_ELSEWHERE
        and not re.search(rf"\b{code}\b", spec.text)
        and f'"errorCode":"{code}"' not in recorded.replace('": "', '":"')
    ]
    assert unbacked == []
