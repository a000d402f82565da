"""One fault of Fabric at each call of each kind: `python -m tests.simulation.fault_table` prints the table.

A scenario is one step in an existing workspace, followed by nothing (it succeeds) or by a step that cannot succeed (it
is rolled back). Its calls are counted in a run without faults; then each fault is injected into each call once.
"""

import base64
import copy
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.domains import InDomain
from local.fabric_simulator.folders import Folders
from local.fabric_simulator.git_sync import GitLink
from local.fabric_simulator.item_connections import Bindings
from local.fabric_simulator.jobs import Jobs
from local.fabric_simulator.model import FabricModel
from local.fabric_simulator.publishing import settled
from local.fabric_simulator.schedules import Schedule, Schedules
from local.fabric_simulator.shortcuts import OneLakePaths
from local.fabric_simulator.spark_pools import Spark
from local.fabric_simulator.sql_endpoints import Tables
from local.fabric_simulator.store import Workspace
from local.fabric_simulator.tags import Applied, Tags, shown
from shared.domain.json import canonical, content_hash
from shared.domain.ports import DeployedItem
from shared.domain.ports.deployed import SCHEDULES, SHORTCUT, identity_of
from shared.domain.rate import RatePolicy
from shared.domain.states import DEPLOYMENT_ENDED
from shared.steps import KINDS
from shared.steps.definition_parts import PLATFORM
from tests.fakes import MemoryBlobs
from tests.simulation import git_branches, repositories
from tests.simulation.edges import IDENTITY, WORKSPACE, own_role
from tests.simulation.laws import encoded
from tests.simulation.world import World

FAULTS: dict[str, dict[str, Any]] = {
    "reset before": {"reset": "before"},
    "reset after": {"reset": "after"},
    "503 before": {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "x"}},
    "500 after": {"status": 500, "effect": "after", "body": {"errorCode": "UnknownError", "message": "x"}},
    "408 after": {"status": 408, "effect": "after", "body": {"errorCode": "RequestTimeout", "message": "x"}},
    "429": {"status": 429, "headers": {"Retry-After": "9"}, "body": {"errorCode": "RequestBlocked", "message": "x"}},
    "401 once": {"status": 401, "body": {"errorCode": "TokenExpired", "message": "x"}},
    "operation fails": {"operation": "fail"},
    "operation forgotten": {"status": 404, "body": {"errorCode": "OperationNotFound", "message": "x"}},
}
"""All faults are transient: a run with one must end as a run without (except for a create that fails late, see
`injections`)."""
TWINS = (("reset after", "500 after", "408 after"), ("reset before", "503 before"), ("429", "401 once"))
"""Faults that differ in the answer alone: after each of a group, Fabric is in the same state."""
PRINCIPAL = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c00"
CAPACITIES = ("00000000-0000-0000-0000-00000000ca00", "00000000-0000-0000-0000-00000000ca01")
_OLD = {"parts": [{"path": "notebook-content.py", "payload": "b2xk", "payloadType": "InlineBase64"}]}
_OLD_ALARM = {"parts": [{"path": "ReflexEntities.json", "payload": "W10=", "payloadType": "InlineBase64"}]}
_NEW = {"parts": [{"path": "notebook-content.py", "text": "new"}]}


@dataclass(frozen=True)
class Scenario:
    """A step, and what exists before it."""

    name: str
    step: dict[str, Any]
    items: tuple[dict[str, Any], ...] = ()
    role: str = ""
    has_workspace: bool = True
    capacity: str | None = None
    has_shortcut: bool = False
    has_table: bool = False
    """The first item has a shortcut that is a table, which its SQL endpoint does not show yet."""
    has_schedule: bool = False
    """True if the definition of the first item contained a schedule, which a person then switched on."""
    is_bound: bool = False
    is_tagged: bool = False
    """True if the workspace is in the first domain and has the first tag."""
    has_schedules: bool = False
    """The first item has three schedules: one that the repository lists, one of a person, and one that an earlier
    deployment created and switched off, because the repository does not list it any more."""
    has_lost_file: bool = False
    """With `has_schedules`: an earlier deployment created the first of them too, and the repository has no file now."""
    needs_part: bool = False
    """True if Fabric deletes the schedules that a new definition of their item does not contain."""
    was_listed: str = ""
    """The shortcut of the first item that an earlier deployment of the step created, and the repository does not list
    now."""
    is_behind: bool = False
    """The workspace is connected with a branch whose head has changes of each kind."""
    is_replanned: bool = False
    """The workspace is connected with a branch whose head has changes of schedules."""
    was_sent: bool = False
    """The items were created by an earlier deployment of the step, with the content that the repository has."""
    are_orphans: bool = False
    """The items were created by an earlier deployment of the step, a repository that does not contain them now."""


_PLAN: dict[str, Any] = {
    "type": "Daily",
    "startDateTime": "2026-01-01T00:00:00",
    "endDateTime": "2030-01-01T00:00:00",
    "localTimeZoneId": "UTC",
    "times": ["04:00"],
}


def _planned(*times: str) -> dict[str, Any]:
    """Return the definition of a pipeline with a schedule, switched off, for each time."""
    rows = [{"enabled": False, "jobType": "Execute", "configuration": {**_PLAN, "times": [time]}} for time in times]
    parts = {"pipeline-content.json": {"properties": {}}, ".schedules": {"schedules": rows}}
    return {"parts": [{"path": path, "text": json.dumps(content)} for path, content in parts.items()]}


def _step(kind: str, **spec: Any) -> dict[str, Any]:
    return {"id": "it", "kind": kind, "with": spec}


_EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
_PLACE = {"displayName": "sales", "ifExists": "update"}
_LAKE = {"workspaceId": WORKSPACE, "displayName": "lake"}
_RUNS = {"workspaceId": WORKSPACE, "type": "DataPipeline", "displayName": "run", "ifExists": "update"}
_RUN_THERE = {
    "type": "DataPipeline",
    "displayName": "run",
    "definition": {"parts": [{"path": "pipeline-content.json", "payload": "e30=", "payloadType": "InlineBase64"}]},
}
_BOOK = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": "book"}
_FLOW = {"workspaceId": WORKSPACE, "type": "Dataflow", "displayName": "flow"}
_TWIN = {"workspaceId": WORKSPACE, "type": "DigitalTwinBuilder", "displayName": "twin"}
_ROLE = {"workspaceId": WORKSPACE, "principalId": PRINCIPAL, "principalType": "User", "role": "Viewer"}
_IN = {"workspaceId": WORKSPACE, "displayName": "Raw"}
STORED = MemoryBlobs()
"""The files of the repository below."""
_REPOSITORY = {
    **repositories.step(
        WORKSPACE,
        [
            repositories.item(STORED, "Notebook", "load", "x = 1", folder="/Raw", description="new"),
            repositories.item(STORED, "DataPipeline", "run", "{}", ("Notebook/load",)),
            repositories.item(STORED, "Eventstream", "stream", "{}", ("Reflex/alarm",)),
            repositories.item(STORED, "Reflex", "alarm", "{}", ("Eventstream/stream",)),
        ],
        shells=("Reflex/alarm",),
    ),
    "id": "it",
}
_ACTIONS = {
    **repositories.step(
        WORKSPACE,
        [
            repositories.item(STORED, "Environment", "spark", "driver_cores: 4\n"),
            repositories.item(STORED, "VariableLibrary", "names", "{}", valueSet="PROD"),
        ],
    ),
    "id": "it",
}
_LINKED = {
    **repositories.step(
        WORKSPACE,
        [
            repositories.lakehouse(STORED, "lake", {"link": "raw", "new": "raw"}),
            repositories.lakehouse(STORED, "raw", {}),
        ],
    ),
    "id": "it",
}
_WITH_ENDPOINTS = {
    **repositories.step(
        WORKSPACE,
        [repositories.lakehouse(STORED, "lake", {"new": "raw"}), repositories.lakehouse(STORED, "raw", {})],
        refreshSqlEndpoints=True,
    ),
    "id": "it",
}
_CHECKED = {
    **repositories.step(
        WORKSPACE,
        [
            repositories.item(STORED, "Notebook", "load", "old"),
            repositories.item(STORED, "Notebook", "clean", "new"),
        ],
        unchanged="check",
    ),
    "id": "it",
}
_SCHEDULED = {
    **repositories.step(
        WORKSPACE,
        [
            repositories.scheduled(
                STORED,
                repositories.item(STORED, "DataPipeline", "run", "[]"),
                {"06:00": True, "18:00": False},
                {"parameters": {"day": 1}},
            )
        ],
    ),
    "id": "it",
}
_UNSCHEDULED = {
    **repositories.step(WORKSPACE, [repositories.item(STORED, "DataPipeline", "run", "[]")]),
    "id": "it",
}
_PIPELINE = {
    "type": "DataPipeline",
    "displayName": "run",
    "definition": {"parts": [{"path": "pipeline-content.json", "payload": "e30=", "payloadType": "InlineBase64"}]},
}
_SPARK = {"parts": [{"path": "Setting/Sparkcompute.yml", "payload": "e30=", "payloadType": "InlineBase64"}]}
_NAMES = {
    "parts": [
        {"path": path, "payload": "e30=", "payloadType": "InlineBase64"}
        for path in ("variables.json", "valueSets/PROD.json")
    ]
}
_SPARK_THERE = (
    {"type": "Environment", "displayName": "spark", "description": "old", "definition": _SPARK},
    {"type": "VariableLibrary", "displayName": "names", "description": "old", "definition": _NAMES},
)
_DEPLOYED = (
    {"type": "Notebook", "displayName": "load", "description": "old", "definition": _OLD},
    {"type": "Reflex", "displayName": "alarm", "description": "old", "definition": _OLD_ALARM},
)
_WAS_SENT = tuple(
    {"type": "Notebook", "displayName": name, "description": "", "definition": _OLD} for name in ("load", "clean")
)
"""A person has changed the second since it was sent."""
_TEST = {
    "id": "00000000-0000-0000-0000-0000000000b0",
    "type": "Notebook",
    "displayName": "test",
    "definition": {"parts": [{"path": "notebook-content.py", "payload": "bm90ZWJvb2suZXhpdCgib2siKQ=="}]},
}
_ENDLESS = {
    "id": "00000000-0000-0000-0000-0000000000b1",
    "type": "Notebook",
    "displayName": "endless",
    "definition": {"parts": [{"path": "notebook-content.py", "payload": "d2hpbGUgVHJ1ZTogcGFzcw=="}]},
}
_RUN = {"workspaceId": WORKSPACE, "jobType": "RunNotebook", "mayRunTwice": True}
DOMAINS = ("00000000-0000-0000-0000-0000000000d0", "00000000-0000-0000-0000-0000000000d1")
TAGS = ("00000000-0000-0000-0000-0000000000e0", "00000000-0000-0000-0000-0000000000e1")
_LAKE_THERE = {"id": "00000000-0000-0000-0000-0000000000b2", "type": "Lakehouse", "displayName": "lake"}
_POINTS = {
    "workspaceId": WORKSPACE,
    "itemId": _LAKE_THERE["id"],
    "path": "Files",
    "name": "link",
    "ifExists": "update",
    "target": {"oneLake": {"workspaceId": WORKSPACE, "itemId": _LAKE_THERE["id"], "path": "Tables"}},
}
CONNECTIONS = ("00000000-0000-0000-0000-0000000000f0", "00000000-0000-0000-0000-0000000000f1")
_SOURCE = {"type": "SQL", "path": "server;database"}
MODEL = {
    "id": "00000000-0000-0000-0000-0000000000b3",
    "type": "SemanticModel",
    "displayName": "model",
    "definition": {"parts": [{"path": "model.bim", "payload": "U3FsLkRhdGFiYXNlKCJzZXJ2ZXIiLCAiZGF0YWJhc2UiKQ=="}]},
}
_BINDS = {"workspaceId": WORKSPACE, "itemId": MODEL["id"], "connectionId": CONNECTIONS[1]}
BRANCH = {
    "gitProviderType": "AzureDevOps",
    "organizationName": "contoso",
    "projectName": "sales",
    "repositoryName": "sales",
    "branchName": "main",
}
SIGN_IN = "00000000-0000-0000-0000-0000000000f2"
_GIT = {"workspaceId": WORKSPACE, **BRANCH, "connectionId": SIGN_IN}
_SETTINGS = {"job": {"sessionTimeoutInMinutes": 45}, "pool": {"defaultPool": {"name": "Own", "type": "Workspace"}}}
_IN_WORKSPACE = {"workspaceId": WORKSPACE}
_WITHOUT_ORPHANS = {
    **repositories.step(WORKSPACE, [repositories.item(STORED, "Notebook", "load", "x = 1")], orphans="delete"),
    "id": "it",
}
_ORPHANS = (
    {"type": "Notebook", "displayName": "gone", "description": "old", "definition": _OLD},
    {"type": "Lakehouse", "displayName": "gone", "description": "old"},
)
_COMPUTE = {"workspaceId": WORKSPACE, "displayName": "spark", "sparkCompute": {"driver_cores": 4}}
_THERE = {"type": "Lakehouse", "displayName": "lake", "description": "old"}
SCENARIOS = (
    Scenario("workspace, created", _step("lakehouse", **_LAKE), has_workspace=False),
    Scenario("workspace, updated", _step("workspace", **_PLACE, description="new")),
    Scenario("workspace, given a capacity", _step("workspace", **_PLACE, capacityId=CAPACITIES[1])),
    Scenario(
        "workspace, moved to another capacity",
        _step("workspace", **_PLACE, description="new", capacityId=CAPACITIES[1]),
        capacity=CAPACITIES[0],
    ),
    Scenario("lakehouse, created", _step("lakehouse", **_LAKE, waitForSqlEndpoint=True)),
    Scenario("lakehouse, adopted", _step("lakehouse", **_LAKE), (_THERE,)),
    Scenario("lakehouse, updated", _step("lakehouse", **_LAKE, description="new", ifExists="update"), (_THERE,)),
    Scenario("warehouse, created", _step("warehouse", **_LAKE, collation="Latin1_General_100_BIN2_UTF8")),
    Scenario(
        "warehouse, updated",
        _step("warehouse", **_LAKE, description="new", ifExists="update"),
        ({"type": "Warehouse", "displayName": "lake", "description": "old"},),
    ),
    Scenario("item, created", _step("item", **_BOOK, definition=_NEW)),
    Scenario(
        "item, updated",
        _step("item", **_BOOK, definition=_NEW, description="new", ifExists="update"),
        ({"type": "Notebook", "displayName": "book", "description": "old", "definition": _OLD},),
    ),
    Scenario("item, given schedules", _step("item", **_RUNS, definition=_planned("05:00", "06:00")), (_RUN_THERE,)),
    Scenario(
        "item, rescheduled", _step("item", **_RUNS, definition=_planned("05:00")), (_RUN_THERE,), has_schedule=True
    ),
    Scenario("item, unscheduled", _step("item", **_RUNS, definition=_planned()), (_RUN_THERE,), has_schedule=True),
    Scenario("item with companions that stay, created", _step("item", **_FLOW)),
    Scenario("item with companions named after it, created", _step("item", **_TWIN), has_workspace=False),
    Scenario("folder, created", _step("folder", **_IN)),
    Scenario("job, run", _step("job", **_RUN, itemId=_TEST["id"], expectExitValue="ok"), (_TEST,)),
    Scenario("job, run always", _step("job", **_RUN, itemId=_TEST["id"], when="always"), (_TEST,)),
    Scenario("job, cancelled", _step("job", **_RUN, itemId=_ENDLESS["id"]) | {"timeout": "4m"}, (_ENDLESS,)),
    Scenario("capacity, assigned", _step("capacity_assignment", **_IN_WORKSPACE, capacityId=CAPACITIES[1])),
    Scenario(
        "capacity, changed",
        _step("capacity_assignment", **_IN_WORKSPACE, capacityId=CAPACITIES[1]),
        capacity=CAPACITIES[0],
    ),
    Scenario("domain, assigned", _step("domain_assignment", **_IN_WORKSPACE, domainId=DOMAINS[1])),
    Scenario("domain, changed", _step("domain_assignment", **_IN_WORKSPACE, domainId=DOMAINS[1]), is_tagged=True),
    Scenario("Spark settings, changed", _step("spark_settings", **_IN_WORKSPACE, settings=_SETTINGS)),
    Scenario("tags of a workspace", _step("tags", **_IN_WORKSPACE, tags=list(TAGS)), is_tagged=True),
    Scenario("tags of an item", _step("tags", **_IN_WORKSPACE, itemId=_TEST["id"], tags=[TAGS[0]]), (_TEST,)),
    Scenario("shortcut, created", _step("shortcut", **_POINTS), (_LAKE_THERE,)),
    Scenario("shortcut, changed", _step("shortcut", **_POINTS), (_LAKE_THERE,), has_shortcut=True),
    Scenario(
        "SQL endpoint, refreshed",
        _step("sql_endpoint_refresh", **_IN_WORKSPACE, itemId=_LAKE_THERE["id"], recreateTables=True),
        (_LAKE_THERE,),
        has_table=True,
    ),
    Scenario("SQL endpoints of a repository, refreshed", _WITH_ENDPOINTS, (_LAKE_THERE,), has_table=True),
    Scenario("Git, connected", _step("git_connection", **_GIT)),
    Scenario("environment, created", _step("environment", **_COMPUTE)),
    Scenario("environment, updated", _step("environment", **_COMPUTE, ifExists="update"), _SPARK_THERE[:1]),
    Scenario("Git, updated", _step("git_update", **_IN_WORKSPACE), is_behind=True),
    Scenario("Git, schedules updated", _step("git_update", **_IN_WORKSPACE), is_replanned=True),
    Scenario(
        "Git, updated without schedules", _step("git_update", **_IN_WORKSPACE), is_replanned=True, needs_part=True
    ),
    Scenario("connection, bound", _step("connection_binding", **_BINDS), (MODEL,)),
    Scenario("connection, changed", _step("connection_binding", **_BINDS), (MODEL,), is_bound=True),
    Scenario("items of a repository, created", _REPOSITORY),
    Scenario("items of a repository, updated", _REPOSITORY, _DEPLOYED),
    Scenario("items of a repository, checked", _CHECKED, _WAS_SENT, was_sent=True),
    Scenario("actions of a repository, after a create", _ACTIONS),
    Scenario("actions of a repository, after an update", _ACTIONS, _SPARK_THERE),
    Scenario("shortcuts of a repository, created", _LINKED),
    Scenario("shortcuts of a repository, changed", _LINKED, (_LAKE_THERE,), has_shortcut=True),
    Scenario("shortcuts of a repository, removed", _LINKED, (_LAKE_THERE,), has_shortcut=True, was_listed="Files/gone"),
    Scenario("schedules of a repository, created", _SCHEDULED),
    Scenario("schedules of a repository, changed", _SCHEDULED, (_PIPELINE,), has_schedules=True),
    Scenario(
        "schedules of a repository, deleted by Fabric", _SCHEDULED, (_PIPELINE,), has_schedules=True, needs_part=True
    ),
    Scenario("schedules of a repository, removed", _UNSCHEDULED, (_PIPELINE,), has_schedules=True, has_lost_file=True),
    Scenario("orphans of a repository", _WITHOUT_ORPHANS, _ORPHANS, are_orphans=True),
    Scenario("role, given", _step("role_assignment", **_ROLE)),
    Scenario("role, changed", _step("role_assignment", **_ROLE), role="Member"),
)


@dataclass(frozen=True)
class Outcome:
    """The result of a run: the state, and the contents of Fabric without ids and markers."""

    state: str
    fabric: str
    made: tuple[tuple[str, int], ...]


def run(scenario: Scenario, fails: bool, rule: dict[str, Any] | None = None) -> tuple[Outcome, World]:
    """Run one deployment of a scenario, with at most one rule of faults."""
    world = prepared(scenario, fails, rule)
    world.run(hours=10.0)
    return outcome(world), world


def prepared(scenario: Scenario, fails: bool, rule: dict[str, Any] | None = None) -> World:
    """Return a world to which the deployment of a scenario was submitted, with at most one rule of faults."""
    world = World(7, rate=RatePolicy(), workers=2)
    world.blobs.copy(STORED)
    control.seed(world.model, {"capacities": [{"id": capacity} for capacity in CAPACITIES]})
    if scenario.has_workspace:
        roles = [own_role()]
        if scenario.role:
            roles.append({"id": PRINCIPAL, "type": "User", "role": scenario.role})
        place = {"displayName": "sales", "description": "old", "roleAssignments": roles}
        items = copy.deepcopy(list(scenario.items))
        row = {**place, "items": items, "capacityId": scenario.capacity}
        made = control.seed(world.model, {"workspaces": [row]})["workspaces"][0]
        if scenario.are_orphans:
            found = zip(made["items"], items, strict=True)
            world.deployed.put([_note(made["id"], item_id, item) for item_id, item in found])
        if scenario.was_sent:
            put_sent(world, scenario.step["with"]["items"])
    world.model.update_settings({"schedules_need_their_part": scenario.needs_part})
    put_tenant(world, is_tagged=scenario.is_tagged)
    put_connections(world.model, is_bound=scenario.is_bound)
    if scenario.has_shortcut:
        put_shortcut(world)
    if scenario.has_table:
        put_shortcut(world, "Tables")
    if scenario.has_schedules:
        put_schedules(world, has_file=not scenario.has_lost_file)
    if scenario.was_listed:
        put_listed(world, scenario.was_listed)
    if scenario.is_behind:
        git_branches.put_behind(world.model, next(iter(world.model.store.workspaces)), BRANCH)
    if scenario.is_replanned:
        git_branches.put_replanned(world.model, next(iter(world.model.store.workspaces)), BRANCH)
    if scenario.has_schedule:
        put_schedule(world)
    steps: list[dict[str, Any]] = [{"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}, scenario.step]
    if scenario.step["kind"] == "workspace":
        steps = [scenario.step]
    if fails:
        spec = {
            "workspaceId": f"${{{{ steps.{steps[0]['id']}.outputs.id }}}}",
            "type": "Crystal",
            "displayName": "ball",
        }
        needs = [s["id"] for s in steps if s["with"].get("when") != "always"]
        steps.append({"id": "ball", "kind": "item", "needs": needs, "with": spec})
    if rule is not None:
        assert control.handle(world.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200
    manifest: dict[str, Any] = {"name": "m", "steps": copy.deepcopy(steps)}
    world.blobs.put(canonical(manifest).encode())
    world.submit(manifest)
    return world


def put_tenant(world: World, *, is_tagged: bool) -> None:
    """Put two domains and two tags into the tenant, and with `is_tagged` the first of each on every workspace."""
    store = world.model.store
    domains = [{"id": domain, "displayName": f"domain {i}"} for i, domain in enumerate(DOMAINS)]
    control.seed(
        world.model, {"domains": domains, "tags": [{"id": t, "displayName": f"tag {i}"} for i, t in enumerate(TAGS)]}
    )
    for workspace in store.workspaces.values() if is_tagged else ():
        workspace.part(InDomain).domain_id = DOMAINS[0]
        workspace.part(Applied).tags = [store.part(Tags).by_id[TAGS[0]]]


def put_connections(model: FabricModel, *, is_bound: bool) -> None:
    """Put two connections for the same source into the tenant, and with `is_bound` bind the first item to the first."""
    shared = {
        "connectivityType": "ShareableCloud",
        "roleAssignments": [{"id": IDENTITY, "type": "ServicePrincipal", "role": "Owner"}],
    }
    rows: list[dict[str, Any]] = [
        {"id": each, "displayName": each, "connectionDetails": _SOURCE, **shared} for each in CONNECTIONS
    ]
    rows.append(
        {"id": SIGN_IN, "displayName": "git", "connectionDetails": {"type": "AzureDevOpsSourceControl"}, **shared}
    )
    control.seed(model, {"connections": rows})
    assert control.handle(model, "POST", "/_sim/git", {}, encoded({"gitProviderDetails": BRANCH}))[0] == 200
    for workspace in model.store.workspaces.values() if is_bound else ():
        item = next(iter(workspace.items.values()))
        item.part(Bindings).by_source[(_SOURCE["type"], _SOURCE["path"])] = CONNECTIONS[0]


def put_shortcut(world: World, path: str = "Files") -> None:
    """Put a shortcut to the root of its own files into the first item."""
    for workspace in world.model.store.workspaces.values():
        item = next(iter(workspace.items.values()))
        place = {"workspaceId": workspace.id, "itemId": item.id, "path": "Files"}
        old: dict[str, Any] = {"name": "link", "path": path, "target": {"type": "OneLake", "oneLake": place}}
        old["transform"] = {"type": "csvToDelta", "properties": {"delimiter": ","}}
        item.part(OneLakePaths).shortcuts[(path, "link")] = old


def put_schedules(world: World, *, has_file: bool) -> None:
    """Put the schedules of `Scenario.has_schedules` into the first item."""
    for workspace in world.model.store.workspaces.values():
        item = next(iter(workspace.items.values()))
        rows: list[dict[str, Any]] = [
            {"id": world.model.store.new_id(), "enabled": is_on, "configuration": repositories.configuration(time)}
            for time, is_on in (("18:00", True), ("03:00", True), ("09:00", False))
        ]
        item.part(Schedules).by_id |= {row["id"]: Schedule("Pipeline", row) for row in rows}
        of_item = identity_of(repositories.logical_id(item.type, item.name), item.type, item.name)
        own = [
            {"id": row["id"], "configuration": row["configuration"], "isListed": row is rows[0]}
            for row in (rows[2:] if has_file else [rows[0], rows[2]])
        ]
        names = (identity_of("", SCHEDULES, of_item), item.id, SCHEDULES, item.name)
        note = (canonical(own), True, "m/it", "earlier", _EARLIER)
        world.deployed.put([DeployedItem(workspace.id, *names, *note)])


def put_listed(world: World, key: str) -> None:
    """Put a shortcut into the first item that an earlier deployment of a repository created."""
    path, _, name = key.partition("/")
    for workspace in world.model.store.workspaces.values():
        item = next(iter(workspace.items.values()))
        place = {"workspaceId": workspace.id, "itemId": item.id, "path": "Tables"}
        row = {"name": name, "path": path, "target": {"type": "OneLake", "oneLake": place}}
        item.part(OneLakePaths).shortcuts[(path, name)] = row
        of_item = identity_of(repositories.logical_id(item.type, item.name), item.type, item.name)
        names = (identity_of("", SHORTCUT, f"{of_item}/{key}"), item.id, SHORTCUT, key)
        note = (canonical({"oneLake": place}), True, "m/it", "earlier", _EARLIER)
        world.deployed.put([DeployedItem(workspace.id, *names, *note)])


def put_schedule(world: World) -> None:
    """Put a schedule that is on into the first item, as if its definition had contained it."""
    for workspace in world.model.store.workspaces.values():
        shown: dict[str, Any] = {"id": PRINCIPAL, "enabled": True, "configuration": _PLAN}
        next(iter(workspace.items.values())).part(Schedules).by_id[PRINCIPAL] = Schedule("Execute", shown, True)


def put_sent(world: World, rows: list[dict[str, Any]]) -> None:
    """Note that an earlier deployment of a repository sent these items, none of which refers to another."""
    for workspace in world.model.store.workspaces.values():
        for item in workspace.items.values():
            row = next(row for row in rows if row["displayName"] == item.name)
            names = (identity_of(row["logicalId"], item.type, item.name), item.id, item.type, item.name)
            note = (content_hash([row["template"], []]), True, "m/it", "earlier", _EARLIER)
            world.deployed.put([DeployedItem(workspace.id, *names, *note)])


def settings_of(workspace: Workspace, now: float) -> list[Any]:
    """Return what the kinds of settings can change in a workspace. `now` ends a publish whose time is over."""
    tagged = [(i.name, sorted(t["displayName"] for t in shown(i))) for i in workspace.items.values() if shown(i)]
    domain = workspace.part(InDomain).domain_id
    number = DOMAINS.index(domain) if domain else None
    own = sorted(t["displayName"] for t in shown(workspace))
    links = sorted(str(link) for i in workspace.items.values() for link in i.part(OneLakePaths).shortcuts.items())
    links += sorted(
        f"{source} {CONNECTIONS.index(bound)}"
        for i in workspace.items.values()
        for source, bound in i.part(Bindings).by_source.items()
    )
    links += sorted(
        f"{i.name} {row.shown['configuration']} {row.shown['enabled']} {row.shown.get('executionData') or {}}"
        for i in workspace.items.values()
        for row in i.part(Schedules).by_id.values()
    )
    links += sorted(f"{i.name} shows {i.part(Tables).shown}" for i in workspace.items.values() if i.part(Tables).shown)
    link = workspace.part(GitLink).link
    links += [link.is_initialized] if link else []
    environments = [i for i in workspace.items.values() if i.type == "Environment" and i.visible_at != float("inf")]
    states = [(i.name, settled(i, now)) for i in environments]
    published = sorted((name, sorted(state.published.items()), state.state) for name, state in states)
    return [number, own, sorted(tagged), links, workspace.part(Spark).settings, published]


def _note(workspace_id: str, item_id: str, row: dict[str, Any]) -> DeployedItem:
    """Return the note of an earlier deployment that created the item."""
    identity = f"{row['type']}/{row['displayName']}"
    item = (workspace_id, identity, item_id, row["type"], row["displayName"])
    return DeployedItem(*item, sent="", is_own=True, source="m/it", deployment_id="earlier", accepted_at=_EARLIER)


def outcome(world: World) -> Outcome:
    """Return the state of the deployment, and the contents of Fabric."""
    seen = list[Any]()
    for workspace in world.model.store.workspaces.values():
        # An item whose operation failed never becomes visible; an item that is only late counts.
        visible = [i for i in workspace.standing() if i.visible_at != float("inf")]
        folders = workspace.part(Folders).by_id
        names = {None: "", **{folder.id: folder.name for folder in folders.values()}}
        items = sorted((i.type, i.name, i.description, _text(i.definition), names[i.folder_id]) for i in visible)
        runs = sorted(
            (i.name, j.job_type, j.outcome, j.over_at is None) for i in visible for j in i.part(Jobs).by_id.values()
        )
        capacity = CAPACITIES.index(workspace.capacity_id) if workspace.capacity_id else None
        roles = sorted(map(str, workspace.roles.values()))
        more = settings_of(workspace, world.clock.now().timestamp())
        seen.append((workspace.name, workspace.description, capacity, items, sorted(names.values()), roles, runs, more))
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{14}", "{id}", str(seen))
    state = world.state()
    assert state in DEPLOYMENT_ENDED, state
    made = Counter(
        c["path"].rsplit("/", 1)[-1]
        for c in world.model.calls
        if c["method"] == "POST"
        and c["effect"]
        and not re.search(
            r"Definition|Capacity|Domain|Tags|/(move|publish|refreshMetadata|bulkCreate|shortcuts|schedules|"
            r"bindConnection|initializeConnection|updateFromGit)$",
            c["path"],
        )
    )
    return Outcome(state.value, text, tuple(sorted(made.items())))


def _text(definition: Any) -> str:
    """Return the parts of a definition, decoded: they hold ids."""
    parts = [part for part in (definition or {}).get("parts", []) if part["path"] != PLATFORM]
    return str(
        [(part["path"], base64.b64decode(part["payload"]).decode()) for part in parts if part["path"] != PLATFORM]
    )


@dataclass(frozen=True)
class Call:
    """A call of a run without faults: its method, its path as a pattern, its number among the calls of that pattern,
    and whether it may have begun an operation."""

    method: str
    pattern: str
    nth: int
    may_begin_operation: bool


@cache
def undisturbed(name: str, fails: bool) -> tuple[Outcome, tuple[Call, ...]]:
    """Return the outcome of a scenario without faults and every call of that run. It runs once for all faults."""
    reached, world = run(next(s for s in SCENARIOS if s.name == name), fails)
    seen: Counter[tuple[str, str]] = Counter()
    calls: list[Call] = []
    for call in world.model.calls:
        pattern = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "[^/]+", call["path"])
        seen[(call["method"], pattern)] += 1
        calls.append(Call(call["method"], pattern, seen[(call["method"], pattern)], call["status"] == 202))
    return reached, tuple(calls)


def _has_turn(fault: str, number: int) -> bool:
    """Return True if the call of this number gets the fault when each call gets one of every group of twins."""
    group = next((twins for twins in TWINS if fault in twins), (fault,))
    return group[number % len(group)] == fault


def injections(scenario: Scenario, fails: bool, fault: str, *, every_twin: bool = True) -> Iterator[tuple[str, bool]]:
    """Inject the fault into each call once, and yield the call and whether the run ended as it must.

    Without `every_twin`, a call gets one fault of each group of `TWINS`, and another one at the other end.
    """
    expected, calls = undisturbed(scenario.name, fails)
    rolled_back, _ = undisturbed(scenario.name, True)
    for number, call in enumerate(calls, start=fails):
        if not every_twin and not _has_turn(fault, number):
            continue
        if fault == "operation forgotten" and not call.pattern.startswith("/v1/operations/"):
            continue
        if fault == "operation fails" and not call.may_begin_operation:
            continue
        if fault == "operation fails" and scenario.is_behind and call.pattern.endswith("/items"):
            continue  # the name of an item that the rollback creates again stays reserved: the deployment is stuck
        rule = {"match": {"method": call.method, "path": call.pattern}, "when": {"nth": call.nth}}
        # A create that Fabric accepts and then fails may reserve its name permanently; that run is rolled back.
        is_refused = fault == "operation fails" and call.pattern.endswith(("/items", "/warehouses"))
        wanted = rolled_back if is_refused else expected
        reached, world = run(scenario, fails, {**rule, "action": FAULTS[fault]})
        if fault == "operation fails" and not any(o.error for o in world.model.store.operations.values()):
            continue  # 202, but no operation began.
        if is_refused:  # of the items of a repository, those after the refused one are never created
            reached = replace(reached, made=wanted.made)
        injected = world.model.faults.shown()[0]["injected"]
        yield f"{call.method} {call.pattern} #{call.nth}", reached == wanted and injected == 1


def kinds() -> set[str]:
    """Return the kinds of the steps that the scenarios run, after their expansion."""
    steps = [scenario.step for scenario in SCENARIOS]
    expanded = [(step["kind"], KINDS[step["kind"]].expand("it", step["with"])) for step in steps]
    return {each for kind, parts in expanded for each in ([kind] if parts is None else [p.kind for p in parts])}


def main() -> int:
    """Print the table in Markdown: the calls with a fault, and how many of those runs ended otherwise."""
    print("| kind | end | " + " | ".join(FAULTS) + " |")
    print("|---" * (len(FAULTS) + 2) + "|")
    wrong = 0
    for scenario in SCENARIOS:
        for fails, end in ((False, "succeeded"), (True, "compensated")):
            cells: list[str] = []
            for fault in FAULTS:
                found = list(injections(scenario, fails, fault))
                bad = [call for call, is_good in found if not is_good]
                wrong += len(bad)
                cells.append(f"{len(found)}" + (f" ({len(bad)} wrong: {bad[0]})" if bad else ""))
            print(f"| {scenario.name} | {end} | " + " | ".join(cells) + " |", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
