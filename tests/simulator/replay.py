"""Recorded exchanges, replayed to the simulator: the situation is created, the call repeated, the answers compared."""

import json
import re
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any

from local.fabric_simulator import control, routes
from local.fabric_simulator.catalogue import TYPED_ROUTES
from local.fabric_simulator.http import ApiError, Reply
from local.fabric_simulator.route import ROOT_IDS
from tests.simulator import replay_areas
from tests.simulator.tenant import API, CAPACITY, ME, OPERATIONS, PARTS, Tenant

Exchange = dict[str, Any]
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ANY_ID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
_WORKSPACE = re.compile(rf"/v1/workspaces/({GUID.pattern})")
_ITEM = re.compile(rf"/v1/workspaces/({GUID.pattern})/([A-Za-z]+)/({GUID.pattern})")
OPERATION = re.compile(rf"/v1/operations/({GUID.pattern})(/result)?")
HEADERS = ("Location", "Retry-After", "x-ms-operation-id", "Content-Type", "ETag", "x-ms-public-api-error-code")
"""The headers that a client acts on; besides, every answer has a RequestId."""
MIXED = "Warehouse"
"""The only type whose creation was recorded both ways, at once and as an operation."""


@cache
def is_served(route: str) -> bool:
    """Return True if the simulator serves the method and path template."""
    method, _, path = route.partition(" ")
    try:
        routes.find(method, path.replace("{id}", _ANY_ID))
    except ApiError:
        return False
    return True


def read(file: Path) -> list[Any]:
    """Return the records of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def lacking(recorded: Any, simulated: Any, at: str = "$") -> list[str]:
    """Return the recorded keys and types that the simulated JSON lacks; null matches everything."""
    if recorded is None or simulated is None:
        return []
    if isinstance(recorded, dict):
        if not isinstance(simulated, dict):
            return [f"{at}: {type(simulated).__name__} for an object"]
        found: list[str] = []
        for key, value in recorded.items():
            found += lacking(value, simulated[key], f"{at}.{key}") if key in simulated else [f"{at}.{key}: absent"]
        return found
    if isinstance(recorded, list):
        if not isinstance(simulated, list) or (recorded and not simulated):
            return [f"{at}: no rows"]
        return [gap for row in recorded for gap in lacking(row, _counterpart(row, simulated), f"{at}[]")]
    if kind_of(recorded) != kind_of(simulated):
        return [f"{at}: {kind_of(simulated)} for {kind_of(recorded)}"]
    return []


def _counterpart(row: Any, rows: list[Any]) -> Any:
    """Return the row of the same name and type, or else the one that lacks least."""
    if isinstance(row, dict):
        for names in (("id",), ("path",), ("displayName", "type")):
            same = [r for r in rows if all(n in row and r.get(n) == row[n] for n in names)]
            if same:
                return same[0]
    return min(rows, key=lambda other: len(lacking(row, other)))


def kind_of(value: Any) -> str:
    """Return the type of a JSON value; ids and times are types of their own."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if GUID.fullmatch(value):
        return "id"
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
        return "time with zone"
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", value):
        return "time without zone"
    return "string"


class Replay:
    """A tenant, and the ids in it that correspond to the recorded ids."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self.tenant = Tenant(profile="realistic")
        self.tenant.update_settings(quota_per_minute=0)
        self.ids: dict[str, str] = {}
        self.gone: set[str] = set()
        self.facts: dict[str, dict[str, Any]] = {}
        for exchange in exchanges:
            self._learn_facts(exchange["response"])
        region = next((f["capacityRegion"] for f in self.facts.values() if "capacityRegion" in f), "West Europe")
        self._seed({"capacities": [{"id": CAPACITY, "sku": "F16", "region": region}]})

    def _seed(self, body: Any) -> None:
        control.seed(self.tenant.model, body)

    def _learn_facts(self, value: Any) -> None:
        """Collect what the recording says of each id."""
        if isinstance(value, list):
            for row in value:
                self._learn_facts(row)
        elif isinstance(value, dict):
            if isinstance(value.get("id"), str) and ("displayName" in value or "principal" in value):
                self.facts[value["id"]] = {**value, **self.facts.get(value["id"], {})}
            for inner in value.values():
                self._learn_facts(inner)

    def mapped(self, text: str) -> str:
        """Return the text with recorded ids replaced by the tenant's."""
        return GUID.sub(lambda m: self.ids.get(m[0], m[0]), text)

    def known(self, recorded_id: str) -> bool:
        """Return True if the id has, or had, a counterpart."""
        return recorded_id in self.ids

    # The situation.

    def prepare(self, exchange: Exchange) -> bool:
        """Create what the call needs and did not create itself, and return False if that is not possible."""
        self.tenant.now = max(self.tenant.now, parsedate_to_datetime(exchange["headers"]["date"]).timestamp())
        path, response = exchange["path"].partition("?")[0], exchange["response"]
        operation = OPERATION.fullmatch(path)
        if operation:
            return self._prepare_operation(operation[1], exchange)
        if exchange["route"] == "GET /v1/workspaces":
            for row in response["value"]:
                self._need_workspace(row["id"], row)
            return True
        at = _WORKSPACE.match(path)
        if at:
            self._need_workspace(at[1], self.facts.get(at[1], {}))
        for row in self._folders_named(exchange):
            if at:
                self._need_folder(at[1], row)
        item = _ITEM.match(path)
        if item and item[2] == "folders":
            self._need_folder(item[1], self._folder_row(item[3]))
        elif item and item[2] == "roleAssignments":
            assumed = {"id": item[3], "principal": {"type": "User"}, "role": "Member"}
            self._need_role(item[1], {**assumed, **self.facts.get(item[3], {})})
        elif item:
            self._need_item(item[1], self._row_of(exchange, item[2], item[3]))
        self._need_in_areas(exchange, at and at[1], item and item[3])
        is_list = exchange["method"] == "GET" and isinstance(response, dict) and "value" in response
        if is_list and at and not any(word in path.split("/") for word in replay_areas.AREAS):
            for row in response["value"]:
                if "roleAssignments" in path:
                    self._need_role(at[1], row)
                else:
                    self._need_item(at[1], row)
        self._need_created(exchange)
        return True

    def _folders_named(self, exchange: Exchange) -> list[dict[str, Any]]:
        """Return the folders that a list shows, that a request names, or that the items of an answer are in."""
        response, path = exchange["response"], exchange["path"].partition("?")[0]
        rows: list[Any] = response.get("value") or [] if isinstance(response, dict) else []
        found = rows if path.endswith("/folders") else []
        names = ("folderId", "parentFolderId", "targetFolderId")
        bodies = [b for b in (exchange["request"], response, *rows) if isinstance(b, dict)]
        return [*found, *(self._folder_row(body[name]) for body in bodies for name in names if body.get(name))]

    def _need_in_areas(self, exchange: Exchange, workspace: str | None, item: str | None) -> None:
        """Create what the call found in an area of the API, and what a request names as the target of a shortcut."""
        body = exchange["request"]
        place = body.get("target", {}).get("oneLake") if isinstance(body, dict) else None
        if place:
            self._need_workspace(place["workspaceId"], self.facts.get(place["workspaceId"], {}))
            self._need_item(place["workspaceId"], self._row_of(exchange, "lakehouses", place["itemId"]))
        for row in body.get("items", []) if isinstance(body, dict) and workspace else ():
            self._need_item(str(workspace), self._row_of(exchange, "notebooks", row["id"]))
        code = (exchange["response"] or {}).get("errorCode") if isinstance(exchange["response"], dict) else None
        self.tenant.update_settings(
            require_capacity=code == "WorkspaceHasNoCapacityAssigned",
            known_principals=[] if code == "UnknownError" else None,
        )
        store = self.tenant.model.store
        held = store.workspaces.get(self.mapped(workspace)) if workspace else None
        one = held.items.get(self.mapped(item)) if held and item else None
        facts, mapped = (json.loads(self.mapped(json.dumps(value))) for value in (self.facts, exchange))
        replay_areas.need(store, held, one, mapped, facts)

    def _need_created(self, exchange: Exchange) -> None:
        body = exchange["request"]
        if exchange["method"] == "POST" and isinstance(body, dict) and body.get("type") == MIXED:
            self.tenant.update_settings(create_at_once=[MIXED] if exchange["status"] == 201 else [])

    def _row_of(self, exchange: Exchange, collection: str, item_id: str) -> dict[str, Any]:
        row = {"id": item_id, "displayName": f"i{len(self.ids)}", **self.facts.get(item_id, {})}
        if "type" not in row:
            guess = "DataPipeline" if exchange["status"] == 200 else "Notebook"
            if "/jobs/" in exchange["path"]:
                kinds = {"RunNotebook": "Notebook", "Pipeline": "DataPipeline", "sparkjob": "SparkJobDefinition"}
                guess = next((kinds[k] for k in kinds if k in exchange["path"]), "Notebook")
            elif "/shortcuts" in exchange["path"]:
                guess = "Lakehouse"
            elif exchange["path"].endswith("/connections") and exchange["status"] == 400:
                guess = "Warehouse"
            row["type"] = TYPED_ROUTES.get(collection.lower(), guess)
        return row

    def _need_workspace(self, recorded_id: str, row: dict[str, Any]) -> None:
        if self.known(recorded_id):
            return
        seeded = {"displayName": f"workspace {recorded_id}", **row, "id": recorded_id}
        seeded["roleAssignments"] = [{"id": ME, "type": "User", "role": "Admin"}]
        self._seed({"workspaces": [seeded]})
        self.ids[recorded_id] = recorded_id

    def _need_item(self, workspace: str, row: dict[str, Any]) -> None:
        """Create an item that the recording found. If it was a companion of another item, the tenant's companion is
        its counterpart."""
        if self.known(row["id"]):
            return
        there = self.tenant.get(f"/v1/workspaces/{self.mapped(workspace)}/items")["value"]
        taken = set(self.ids.values())
        same = [
            r
            for r in there
            if (r["type"], r["displayName"]) == (row["type"], row["displayName"]) and r["id"] not in taken
        ]
        if same:
            self.ids[row["id"]] = same[0]["id"]
            return
        schemas = {"enableSchemas": "defaultSchema" in (row.get("properties") or {})}
        seeded = {**row, "definition": PARTS, "creationPayload": schemas}
        self._seed({"workspaces": [{"id": self.mapped(workspace), "items": [seeded]}]})
        self.ids[row["id"]] = row["id"]

    def _need_folder(self, workspace: str, row: dict[str, Any]) -> None:
        """Create a folder that the recording found, or that a call names, and the folders above it."""
        if self.known(row["id"]) or row["id"] in ROOT_IDS:
            return
        above = row.get("parentFolderId")
        if above:
            self._need_folder(workspace, self._folder_row(above))
        seeded = {**row, "parentFolderId": self.mapped(above) if above else None}
        self._seed({"workspaces": [{"id": self.mapped(workspace), "folders": [seeded]}]})
        self.ids[row["id"]] = row["id"]

    def _folder_row(self, folder_id: str) -> dict[str, Any]:
        return {"displayName": f"f{len(self.ids)}", **self.facts.get(folder_id, {}), "id": folder_id}

    def _need_role(self, workspace: str, row: dict[str, Any]) -> None:
        held = self.tenant.model.store.workspaces[self.mapped(workspace)].roles
        if row["id"] not in held and row["id"] not in self.gone:
            seeded = {"id": row["id"], "type": row["principal"]["type"], "role": row["role"]}
            self._seed({"workspaces": [{"id": self.mapped(workspace), "roleAssignments": [seeded]}]})

    def _prepare_operation(self, recorded_id: str, exchange: Exchange) -> bool:
        if not self.known(recorded_id):
            return False
        operation = self.tenant.model.store.operations[self.ids[recorded_id]]
        if exchange["response"] and exchange["response"].get("status") == "Running":
            operation.over_at = self.tenant.now + 60.0
        elif operation.over_at is not None:
            self.tenant.now = max(self.tenant.now, operation.over_at)
        return True

    def begin(self, recorded_id: str, *, with_result: bool) -> None:
        """Begin an operation. An exchange that is replayed alone needs it."""
        workspace = self.tenant.workspace("of the operation")
        self._need_folder(workspace, {"id": _ANY_ID, "displayName": "f"})
        item = self.tenant.item(workspace, "Notebook", "n", folderId=_ANY_ID, definition=PARTS)
        word = "getDefinition" if with_result else "updateDefinition"
        url = f"/v1/workspaces/{workspace}/items/{item}/{word}"
        if with_result:
            url, body = f"/v1/workspaces/{workspace}/notebooks", {"displayName": "m", "folderId": _ANY_ID}
        else:
            body = {"definition": PARTS}
        self.ids[recorded_id] = self.tenant.call("POST", url, body).headers["x-ms-operation-id"]

    # The call.

    def play(self, exchange: Exchange) -> list[str]:
        """Repeat the call, and return how the answer differs from the recorded one."""
        exchange = replay_areas.unmasked(exchange)
        request = exchange["request"]
        body = None if request is None else json.loads(self.mapped(json.dumps(request)))
        path = self.mapped(exchange["path"])
        more: dict[str, Any] = {}
        if isinstance(body, str):  # A form with a file; its first line is the boundary.
            boundary = body.partition("\r\n")[0].removeprefix("--")
            headers = {
                "authorization": self.tenant.token(),
                "content-type": f"multipart/form-data; boundary={boundary}",
            }
            more |= {"raw": body.encode(), "headers": headers}
        if exchange["status"] == 429:
            self._use_up_the_quota(exchange["method"], path)
        reply = self.tenant.call(exchange["method"], path, body, **more)
        self.tenant.update_settings(quota_per_minute=0)
        simulated = json.loads(reply.body) if reply.body else None
        if reply.status != exchange["status"]:
            return [f"status {reply.status} for {exchange['status']}: {reply.body[:200]!r}"]
        self._learn_ids(exchange, reply, simulated)
        found = self._header_differences(exchange, reply)
        own = json.loads(self.mapped(json.dumps(exchange["response"])))
        found += lacking(own, simulated)
        if exchange["response"] is not None and simulated is None:
            found.append("no body")
        if exchange["method"] == "DELETE" and GUID.fullmatch(exchange["path"].rpartition("/")[2]):
            self._check_gone(exchange, found)
        return found

    def _use_up_the_quota(self, method: str, path: str) -> None:
        """Let the next call of this kind be one too many; calls that are not in the recording made that one so."""
        self.tenant.update_settings(quota_per_minute=1)
        while self.tenant.call(method, path).status != 429:
            pass

    def _check_gone(self, exchange: Exchange, found: list[str]) -> None:
        last = GUID.findall(exchange["path"])[-1]
        self.gone.add(last)
        listed = self.tenant.get(self.mapped(exchange["path"]).rpartition("/")[0])
        rows = listed["domains"] if "domains" in listed else listed["value"]
        if any(row["id"] == self.ids.get(last, last) for row in rows):
            found.append("listed after its deletion")

    def _learn_ids(self, exchange: Exchange, reply: Reply, simulated: Any) -> None:
        recorded = exchange["response"]
        if isinstance(recorded, dict) and isinstance(simulated, dict) and "id" in recorded and "id" in simulated:
            self.ids.setdefault(recorded["id"], simulated["id"])
            if exchange["route"] == "POST /v1/workspaces":  # A user made the recordings.
                me = {"id": ME, "type": "User", "role": "Admin"}
                self._seed({"workspaces": [{"id": simulated["id"], "roleAssignments": [me]}]})
        job = re.search(rf"/jobs/instances/({GUID.pattern})$", exchange["headers"].get("location", ""))
        if job:
            self.ids.setdefault(job[1], reply.headers["Location"].rpartition("/")[2])
        operation = exchange["headers"].get("x-ms-operation-id")
        if operation and "x-ms-operation-id" in reply.headers:
            self.ids.setdefault(operation, reply.headers["x-ms-operation-id"])

    def _header_differences(self, exchange: Exchange, reply: Reply) -> list[str]:
        found = [] if reply.headers.get("RequestId") else ["no RequestId"]
        for name in HEADERS:
            recorded, simulated = exchange["headers"].get(name.lower()), reply.headers.get(name)
            if name == "ETag" and recorded is None:
                continue  # It was removed from the recordings.
            if recorded is None or simulated is None:
                if recorded != simulated:
                    found.append(f"{name}: {simulated} for {recorded}")
            elif name == "Location":
                expected = re.sub("https://([^/]+)", self._host, self.mapped(recorded))
                if simulated != expected:
                    found.append(f"Location: {simulated} for {expected}")
            elif name == "Retry-After" and exchange["status"] == 429:
                found += [] if 0 < int(simulated) <= 61 else [f"{name}: {simulated} for {recorded}"]
            elif self.mapped(recorded) != simulated:
                found.append(f"{name}: {simulated} for {recorded}")
        return found

    @staticmethod
    def _host(found: re.Match[str]) -> str:
        return API if found[1] == "api.fabric.microsoft.com" else OPERATIONS
