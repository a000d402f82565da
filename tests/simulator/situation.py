"""Finds what existed before a recording began, as far as the recording shows it. A replay seeds nothing else.

An item existed before if the first list of its workspace shows it, or if a call names it before that list, and no
recorded call created it. After a workspace's first list nothing is added to it: whatever a later list shows, a replayed
call must have created, or Fabric itself.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.catalogue import TYPED_ROUTES
from local.fabric_simulator.companions import COMPANIONS
from local.fabric_simulator.definitions import platform_of
from tests.simulator.recordings import GUID, OPERATION, Exchange
from tests.simulator.tenant import CAPACITY, ME

Row = dict[str, Any]
_IN_WORKSPACE = re.compile(rf"/v1/workspaces/({GUID.pattern})(?:/([A-Za-z]+)(?:/({GUID.pattern}))?)?")
_LISTS = ("items", "folders", "roleAssignments")
_NOT_ITEMS = frozenset({"folders", "roleAssignments", "managedPrivateEndpoints", "spark", "git"})
_NO_ID = "00000000-0000-0000-0000-000000000000"
_STAMP = re.compile("[0-9]{14}")


def rows_of(exchange: Exchange) -> list[Row]:
    """Return the rows of a list."""
    body = exchange["response"]
    rows = body.get("value") if isinstance(body, dict) and exchange["status"] == 200 else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


@dataclass
class Situation:
    """The seeds of a conversation: capacities and workspaces; and the ids of the items and roles in them."""

    exchanges: list[Exchange]
    created: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    facts: dict[str, Row] = field(default_factory=lambda: dict[str, Row]())
    identity: str = ME
    seeded: set[str] = field(default_factory=lambda: set[str]())
    aliases: dict[str, str] = field(default_factory=lambda: dict[str, str]())

    def __post_init__(self) -> None:
        results = {m[1]: e["response"] for e in self.exchanges if (m := OPERATION.fullmatch(e["path"])) and m[2]}
        for i, exchange in enumerate(self.exchanges):
            self._learn_facts(exchange["response"])
            if exchange["method"] == "POST" and exchange["status"] in (201, 202):
                operation = exchange["headers"].get("x-ms-operation-id")
                body = results.get(operation) if operation else exchange["response"]
                if isinstance(body, dict) and isinstance(body.get("id"), str):
                    self.created.setdefault(body["id"], i)
        admins = [r["id"] for e in self.exchanges for r in rows_of(e) if r.get("role") == "Admin" and "principal" in r]
        self.identity = admins[0] if admins else ME

    def _learn_facts(self, value: Any) -> None:
        if isinstance(value, list):
            for row in value:
                self._learn_facts(row)
        elif isinstance(value, dict):
            if isinstance(value.get("id"), str):
                self.facts[value["id"]] = {**value, **self.facts.get(value["id"], {})}
            for inner in value.values():
                self._learn_facts(inner)

    def seed(self) -> dict[str, Any]:
        """Return what existed before, in the form that the simulator's control API takes."""
        return {"capacities": self._capacities(), "workspaces": self._workspaces(), "principals": self._principals()}

    def _capacities(self) -> list[Row]:
        lists = [rows_of(e) for e in self.exchanges if e["path"].partition("?")[0] == "/v1/capacities"]
        region = next((f["capacityRegion"] for f in self.facts.values() if "capacityRegion" in f), "West Europe")
        return lists[0] if lists else [{"id": CAPACITY, "sku": "F16", "region": region}]

    def _principals(self) -> list[Row]:
        """Return the directory: every principal that the recording shows, with the type that Fabric shows for it."""
        found = {self.identity: {"id": self.identity, "type": "User"}}
        for row in self.facts.values():
            principal = row.get("principal")
            if isinstance(principal, dict) and "type" in principal:
                found[principal["id"]] = {"id": principal["id"], "type": principal["type"]}
        return list(found.values())

    def _workspaces(self) -> list[Row]:
        first = next((i for i, e in enumerate(self.exchanges) if _is_list(e, "GET /v1/workspaces")), None)
        rows = {} if first is None else {r["id"]: r for r in rows_of(self.exchanges[first])}
        for i, exchange in enumerate(self.exchanges):
            for workspace in GUID.findall(" ".join(re.findall(rf"/workspaces/{GUID.pattern}", exchange["path"]))):
                if first is None or i < first:
                    rows.setdefault(workspace, {"displayName": f"w {workspace}", **self.facts.get(workspace, {})})
        return [self._workspace({**r, "id": i}, first) for i, r in rows.items() if not self._is_created(i, first)]

    def _is_created(self, recorded_id: str, before: int | None) -> bool:
        at = self.created.get(recorded_id)
        return at is not None and (before is None or at < before)

    def _workspace(self, row: Row, first: int | None) -> Row:
        own = str(row["id"])
        lists = {word: self._first_list(own, word) for word in _LISTS}
        items, folders, roles = (self._rows(own, word, *lists[word]) for word in _LISTS)
        folders += self._folders_named(own, lists["folders"][0], folders, items)
        held = {r["id"] for r in roles}
        roles = [{"id": r["id"], "type": r["principal"]["type"], "role": r["role"]} for r in roles if "principal" in r]
        if self.identity not in held:
            roles.append({"id": self.identity, "type": "User", "role": "Admin"})
        self.seeded |= {own} | {i["id"] for i in items} | {f["id"] for f in folders}
        folders = [self._renamed(folder) for folder in folders]
        items = [self._renamed(item) for item in _with_makers(items)]
        return {**row, "items": items, "folders": folders, "roleAssignments": roles}

    def found_by(self, at: int) -> Row | None:
        """Return what the first list of a workspace finds that a recorded call created, and in which no recorded call
        created anything: another recording did, between its creation and this list."""
        path = self.exchanges[at]["path"].partition("?")[0].split("/")
        if (
            len(path) != 5
            or path[4] not in ("items", "folders")
            or not _is_list(self.exchanges[at], "GET " + "/".join(path))
        ):
            return None
        own = path[3]
        first, rows = self._first_list(own, path[4])
        inside = [i for i in self.created.values() if i < at and f"/workspaces/{own}/" in self.exchanges[i]["path"]]
        if first != at or own not in self.created or inside or not rows:
            return None
        self.seeded |= {row["id"] for row in rows}
        items = [self._renamed(item) for item in _with_makers(rows)] if path[4] == "items" else []
        return {"id": own, "items": items, "folders": rows if path[4] == "folders" else []}

    def _renamed(self, item: Row) -> Row:
        """Return an item with a name that no other has: the recorder gave several things one name, which is then
        taken here although it was free there."""
        name = f"{item['displayName']}_before_{len(self.aliases)}"
        self.aliases[name] = item["displayName"]
        return {**item, "displayName": name}

    def _first_list(self, workspace: str, word: str) -> tuple[int | None, list[Row]]:
        path = f"GET /v1/workspaces/{workspace}/{word}"
        at = next((i for i, e in enumerate(self.exchanges) if _is_list(e, path)), None)
        return at, [] if at is None else rows_of(self.exchanges[at])

    def _rows(self, workspace: str, word: str, first: int | None, listed: list[Row]) -> list[Row]:
        """Return the listed rows that nothing created, and those that a call names before the list."""
        rows = {r["id"]: r for r in listed if not self._is_created(r["id"], first)}
        makers = [self.facts[i] for i in self.created if self._is_created(i, first) and i in self.facts]
        rows = {i: r for i, r in rows.items() if not any(_is_companion(r, maker) for maker in makers)}
        late = self._late(workspace, first) if word == "items" else []
        rows |= {r["id"]: {**r, "isHidden": True} for r in late if r["id"] not in rows}
        for i, exchange in enumerate(self.exchanges[:first]):
            named = _IN_WORKSPACE.match(exchange["path"])
            if not named or named[1] != workspace or named[3] is None or self._is_created(named[3], i):
                continue
            if exchange["status"] == 404 or (named[2] if named[2] in _NOT_ITEMS else "items") != word:
                continue
            rows.setdefault(named[3], self._assumed(word, named[2], named[3], exchange))
        return list(rows.values())

    def _folders_named(self, workspace: str, first: int | None, listed: list[Row], items: list[Row]) -> list[Row]:
        """Return the folders that items and requests name before the first list of folders."""
        bodies = [e["request"] for e in self.exchanges[:first] if f"/workspaces/{workspace}/" in e["path"]]
        sent = [body for body in bodies if isinstance(body, dict)]
        members = ("folderId", "parentFolderId", "targetFolderId")
        named = {str(row[m]) for row in (*items, *sent) for m in members if row.get(m) not in (None, "", _NO_ID)}
        known = {row["id"] for row in listed} | set(self.created)
        return [{"id": i, "displayName": f"f {i[:8]}"} for i in named if i not in known and first is None]

    def _late(self, workspace: str, first: int | None) -> list[Row]:
        """Return the staging items that a later list shows, of a dataflow that no call of the recording created."""
        if first is None or any(self.facts[i].get("type") == "Dataflow" for i in self.created if i in self.facts):
            return []
        lists = [e for e in self.exchanges[first + 1 :] if _is_list(e, f"GET /v1/workspaces/{workspace}/items")]
        return [r for e in lists for r in rows_of(e) if re.search(r"Staging\w+_[0-9]{14}$", r["displayName"])]

    def _assumed(self, word: str, collection: str, own: str, exchange: Exchange) -> Row:
        facts = self.facts.get(own, {})
        if word == "roleAssignments":
            return {"id": own, "principal": {"id": own, "type": "User"}, "role": "Member", **facts}
        row = {"displayName": f"i {own[:8]}", **facts, "id": own}
        if word == "items" and "type" not in row:
            at_once = "DataPipeline" if exchange["status"] == 200 else "Notebook"
            if "/jobs/" in exchange["path"]:
                kinds = {"RunNotebook": "Notebook", "Pipeline": "DataPipeline", "sparkjob": "SparkJobDefinition"}
                at_once = next((kind for word, kind in kinds.items() if word in exchange["path"]), "Notebook")
            elif "/shortcuts" in exchange["path"]:
                at_once = "Lakehouse"
            elif exchange["path"].endswith("/connections") and exchange["status"] == 400:
                at_once = "Warehouse"
            row["type"] = TYPED_ROUTES.get(collection.lower()) or _type_in(exchange) or at_once
        return row


def _type_in(exchange: Exchange) -> str | None:
    """Return the item type that a definition in a request or an answer says in its `.platform`."""
    for body in (exchange["request"], exchange["response"]):
        found = platform_of(body.get("definition")).get("type") if isinstance(body, dict) else None
        if found:
            return str(found)
    return None


def _is_list(exchange: Exchange, path: str) -> bool:
    own = f"{exchange['method']} {exchange['path'].partition('?')[0]}"
    return own == path and exchange["status"] == 200


def _is_companion(row: Row, maker: Row) -> bool:
    """Return True if Fabric may have added the row's item to the maker's."""
    for companion in COMPANIONS.get(str(maker.get("type")), ()):
        name = companion.name.format(name=maker.get("displayName"), stamp="")
        if row.get("type") == companion.type and _STAMP.sub("", str(row.get("displayName"))) == name:
            return True
    return False


def _with_makers(items: list[Row]) -> list[Row]:
    """Return the items as seeds. A companion names its item, and an item that is listed without its SQL endpoint gets
    it as a hidden one, which a later list may show: the recording does not say how old the item is."""
    seeds: list[Row] = []
    taken: set[tuple[str, str]] = set()
    for row in items:
        makers = (m for m in items if m is not row and (m["id"], row["type"]) not in taken and _is_companion(row, m))
        maker = next(makers, None)
        taken |= {(maker["id"], row["type"])} if maker else set()
        payload = {"enableSchemas": True} if "defaultSchema" in (row.get("properties") or {}) else {}
        seed = {
            k: v for k, v in row.items() if k in ("id", "type", "displayName", "description", "folderId", "isHidden")
        }
        seeds.append({**seed, "creationPayload": payload, "makerId": maker["id"] if maker else None})
    return seeds
