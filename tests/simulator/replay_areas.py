"""Prepares the replay of a recorded call in the areas beside workspaces, items and roles."""

from collections.abc import Iterator
from typing import Any

from local.fabric_simulator.connections import Connection, Connections
from local.fabric_simulator.domains import Domains
from local.fabric_simulator.gateways import Gateways, seeded
from local.fabric_simulator.jobs import Job, Jobs
from local.fabric_simulator.schedules import Schedule, Schedules
from local.fabric_simulator.shortcuts import OneLakePaths
from local.fabric_simulator.spark_pools import STARTER_ID, Spark
from local.fabric_simulator.store import Item, Store, Workspace
from tests.simulator.tenant import ME

Exchange = dict[str, Any]
AREAS = ("connections", "folders", "jobs", "shortcuts", "spark")
"""The words of a path whose list shows something other than items."""
_MASK = "mock"


def unmasked(exchange: Exchange) -> Exchange:
    """Return the exchange of a connection with details and credentials in the place of what the recorder masked."""
    if not exchange["route"].partition(" ")[2].startswith("/v1/connections"):
        return exchange
    request, response = dict(exchange["request"] or {}), exchange["response"]
    if _MASK in str(request.get("connectionDetails", "")):
        server, database = response["connectionDetails"]["path"].split(";")
        values = {"server": server, "database": database}
        rows = [{"name": n, "dataType": "Text", "value": v} for n, v in values.items()]
        request["connectionDetails"] = {"type": "SQL", "creationMethod": "Sql", "parameters": rows}
    if _MASK in str(request.get("credentialDetails", "")):
        request["credentialDetails"] = {"credentials": {"credentialType": "Basic", "username": "u"}}
    return {**exchange, "request": request or exchange["request"], "response": _without_masks(response)}


def _without_masks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_masks(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_masks(v) for v in value]
    return None if isinstance(value, str) and value.startswith(_MASK) and "detail" in value else value


def rows(exchange: Exchange, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the resources that the recorded call found: those of a list, or the one that the path names."""
    parts = exchange["path"].partition("?")[0].split("/")
    response = exchange["response"]
    if exchange["method"] == "GET" and isinstance(response, dict) and isinstance(response.get("value"), list):
        yield from response["value"]
    elif exchange["status"] != 404 and "-" in parts[-1] and len(parts[-1]) == 36:
        yield {"id": parts[-1], **facts.get(parts[-1], {}), **(response or {})}


def place_of(exchange: Exchange) -> str | None:
    """Return the part of a path that names an area's collection; None for a call of another area."""
    parts = exchange["path"].partition("?")[0].split("/")
    words = ("connections", "spark", "schedules", "shortcuts", "domains", "instances", "gateways")
    at = next((i for i, word in enumerate(parts) if word in words), None)
    return None if at is None else "/".join(parts[: at + 1])


def need(
    store: Store, workspace: Workspace | None, item: Item | None, exchange: Exchange, facts: Any, me: str = ME
) -> None:
    """Create the connections, pools, schedules and shortcuts that the recorded call found; `me` owns them."""
    parts = exchange["path"].partition("?")[0].split("/")
    if "connections" in parts[:3]:
        for row in [{"id": parts[3], **facts.get(parts[3], {})}] if len(parts) > 4 else rows(exchange, facts):
            if row.get("id") != "supportedConnectionTypes" and "id" in row:
                _need_connection(store, row, me)
        if "roleAssignments" in parts:
            _need_connection_roles(store.part(Connections).by_id[parts[3]], parts, exchange)
    elif "gateways" in parts[:3]:
        for row in [{"id": parts[3], **facts.get(parts[3], {})}] if len(parts) > 4 else rows(exchange, facts):
            _need_gateway(store, row, me)
    elif workspace and "spark" in parts:
        for row in rows(exchange, facts) if "pools" in parts else ():
            if row["id"] != STARTER_ID:
                workspace.part(Spark).pools.setdefault(row["id"], {"name": "p", "type": "Workspace", **row})
    elif item and "schedules" in parts:
        for row in rows(exchange, facts):
            shown = {"enabled": True, "createdDateTime": "2026-01-01T00:00:00", **row}
            shown.setdefault("owner", {"id": ME, "type": "User"})
            item.part(Schedules).by_id.setdefault(row["id"], Schedule(parts[7], shown))
    elif item and "instances" in parts and len(parts) > 8:
        _need_job(item, parts, exchange, facts)
    elif exchange["route"].startswith(("GET /v1/admin/domains", "PATCH /v1/admin", "DELETE /v1/admin/domains")):
        found = (exchange["response"] or {}).get("domains", [])
        for row in found or [{"id": parts[4], **facts.get(parts[4], {})} for _ in parts[4:5]]:
            shown = {"contributorsScope": "AllTenant", "displayName": row["id"], "description": "", **row}
            store.part(Domains).by_id.setdefault(row["id"], shown)
    elif item and "shortcuts" in parts:
        _need_shortcut(item, parts, exchange)


def _need_gateway(store: Store, row: dict[str, Any], me: str) -> None:
    known = store.part(Gateways).by_id
    if row["id"] not in known:
        known[row["id"]] = seeded({"type": "VirtualNetwork", **row, "roleAssignments": [{"id": me, "role": "Admin"}]})


def _need_connection(store: Store, row: dict[str, Any], me: str) -> None:
    known = store.part(Connections).by_id
    if row["id"] in known:
        return
    details = {"connectivityType": "ShareableCloud", "connectionDetails": {"type": "SQL", "path": "s;d"}}
    shown = {"displayName": row["id"], "privacyLevel": "None", "allowConnectionUsageInGateway": False}
    credentials = {"credentialType": "Basic", "singleSignOnType": "None"}
    given = {name: value for name, value in row.items() if value is not None}
    connection = Connection({**details, **shown, "credentialDetails": credentials, **given})
    connection.roles[me] = {"id": me, "principal": {"id": me, "type": "User"}, "role": "Owner"}
    known[row["id"]] = connection


def _need_connection_roles(connection: Connection, parts: list[str], exchange: Exchange) -> None:
    found: list[dict[str, Any]] = exchange["response"]["value"] if exchange["method"] == "GET" else []
    if exchange["method"] in ("PATCH", "DELETE") and parts[-1] not in connection.roles:
        found = [{"id": parts[-1], "principal": {"id": parts[-1], "type": "User"}, "role": "Owner"}]
    for row in found:
        connection.roles.setdefault(row["id"], row)


def _need_job(item: Item, parts: list[str], exchange: Exchange, facts: Any) -> None:
    """Create the job instance, or let it have the recorded status."""
    row = exchange["response"] or {}
    job = item.part(Jobs).by_id.setdefault(parts[8], Job(parts[8], row.get("jobType", "RunNotebook"), 0.0, None))
    job.activity_id = job.activity_id or row.get("rootActivityId") or parts[8]
    status = row.get("status", "InProgress")
    job.over_at = None if status == "InProgress" else job.began_at
    job.outcome = status


def _need_shortcut(item: Item, parts: list[str], exchange: Exchange) -> None:
    at = "/".join(parts[7:-1]), parts[-1]
    body = exchange["request"] or {}
    if exchange["method"] == "POST":
        at = body["path"], body["name"]
    is_there = exchange["status"] == 200
    held = item.part(OneLakePaths).shortcuts
    if is_there and at not in held and at[0]:
        found = exchange["response"] or {}
        held[at] = {"name": at[1], "path": at[0], "target": found.get("target") or {"type": "OneLake"}}
