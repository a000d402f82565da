"""Recorded conversations, replayed to the simulator, with every answer compared.

A conversation runs in order against one tenant. Before it begins, the tenant gets what `situation` finds to have
existed before; after that nothing is seeded. The recording decides what is drawn: the time of each call, when an
operation ends, and when Fabric shows a companion within the range that `companions` states. A throttled call (429)
meets a quota that other callers have used up, as there. A call of a route that is not served is not replayed, nor is a
poll of an operation that such a call began.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.catalogue import TYPED_ROUTES
from local.fabric_simulator.http import Reply
from local.fabric_simulator.store import Item, Operation
from tests.simulator import replay_areas
from tests.simulator.comparison import Comparison, Difference, Ids
from tests.simulator.recordings import GUID, OPERATION, Exchange, is_served, route_of
from tests.simulator.situation import Situation, rows_of
from tests.simulator.tenant import API, OPERATIONS, Tenant

HEADERS = ("Location", "Retry-After", "x-ms-operation-id", "Content-Type", "x-ms-public-api-error-code", "ETag")
"""The headers that are compared; of `home-cluster-uri`, whether there is one. ETag is compared in a conversation that
has one, because it was removed from some recordings."""
MIXED = frozenset({"Warehouse", "VariableLibrary", "SparkJobDefinition"})
"""The types whose creation was recorded both ways with the same request: at once, and as an operation."""
_ITEM = re.compile(rf"/v1/workspaces/({GUID.pattern})/([A-Za-z]+)/({GUID.pattern})")
_OPEN = re.compile(r"\$(\.value\[.*\])?\.(properties|definition)\..*|\$\.definition\.parts.*")


class Replay:
    """A tenant in which one conversation is repeated.

    With `own_times` the simulator itself draws when it first shows a companion of an item that the conversation
    created; of an item that was there before, nothing says how old it is.
    """

    def __init__(self, exchanges: list[Exchange], *, own_times: bool = False) -> None:
        self.own_times = own_times
        self.exchanges = [replay_areas.unmasked({**e, "route": route_of(e)}) for e in exchanges]
        self.listed_areas: set[str] = set()
        self.ids = Ids()
        self.tenant = Tenant(profile="realistic")
        self.tenant.now = _time_of(exchanges[0])
        self.situation = Situation(exchanges)
        self.identity = self.situation.identity
        seed = self.situation.seed()
        known = [row["id"] for row in seed["principals"]]
        self.tenant.update_settings(quota_per_minute=0, name_reservation_seconds=0.0, known_principals=known)
        control.seed(self.tenant.model, seed)
        for recorded_id in (*self.situation.seeded, *known, *(row["id"] for row in seed["capacities"])):
            self.ids.learn(recorded_id, recorded_id)
        self.about: dict[str, str] = {}
        self.next = 0
        self._has_tags = any("etag" in exchange["headers"] for exchange in exchanges)

    def play(self) -> list[Difference] | None:
        """Repeat the next call; return how its answer differs, or None if it cannot be replayed."""
        exchange, at = self.exchanges[self.next], self.next
        self.next += 1
        operation = OPERATION.fullmatch(exchange["path"])
        is_known = operation is None or operation[1] in self.ids.here
        if not is_served(route_of(exchange)) or not is_known:
            return None
        self.tenant.now = max(self.tenant.now, _time_of(exchange))
        if operation:
            self._let_end(self._operation(operation[1]), exchange)
        found = self.situation.found_by(at)
        if found:
            control.seed(self.tenant.model, {"workspaces": [{**found, "id": self.ids.here[found["id"]]}]})
            for row in (*found["items"], *found["folders"]):
                self.ids.learn(row["id"], row["id"])
        self._let_companions_show(exchange)
        self._let_azure_approve(exchange)
        if exchange["path"].startswith("/v1/connections/supportedConnectionTypes"):  # Fabric's release has others.
            control.seed(self.tenant.model, {"connectionTypes": rows_of(exchange)})
        self._need_in_areas(exchange)
        if exchange["path"] == "/v1/capacities":  # Azure Resource Manager makes and deletes them, not Fabric.
            self._let_capacities_be(rows_of(exchange))
        reply = self._call(exchange)
        self.tenant.update_settings(create_at_once=[], create_later=[])
        self._learn_operation(exchange, reply, at)
        return self._differences(exchange, reply)

    def _call(self, exchange: Exchange) -> Reply:
        body = exchange["request"]
        if exchange["method"] == "POST" and exchange["status"] in (201, 202):
            kind = _type_created(exchange)
            self.tenant.update_settings(create_at_once=[kind] if kind in MIXED and exchange["status"] == 201 else [])
            self.tenant.update_settings(create_later=[kind] if kind in MIXED and exchange["status"] == 202 else [])
        mapped = self.ids.mapped_body(body)
        url = self.ids.mapped(exchange["path"])
        if exchange["status"] == 429:
            return self._throttled(exchange["method"], url, mapped)
        host = API if exchange["host"] == "api.fabric.microsoft.com" else OPERATIONS
        token = f"Bearer sim.{self.identity}.{int(self.tenant.now) + 3600}"
        headers = {"authorization": token, "host": host.partition("//")[2]}
        if not isinstance(mapped, str):
            return self.tenant.call(exchange["method"], url, mapped, headers=headers)
        # A form with a file; its first line is the boundary.
        boundary = mapped.partition("\r\n")[0].removeprefix("--")
        headers["content-type"] = f"multipart/form-data; boundary={boundary}"
        return self.tenant.call(exchange["method"], url, headers=headers, raw=mapped.encode())

    def _need_in_areas(self, exchange: Exchange) -> None:
        """Create what a call finds in an area whose first list was not played yet, and the levers that it shows."""
        code = (exchange["response"] or {}).get("errorCode") if isinstance(exchange["response"], dict) else None
        self.tenant.update_settings(require_capacity=code == "WorkspaceHasNoCapacityAssigned")
        place = replay_areas.place_of(exchange)
        if place is None or place in self.listed_areas:
            return
        store = self.tenant.model.store
        found = _ITEM.match(exchange["path"]) or re.match(rf"/v1/workspaces/({GUID.pattern})", exchange["path"])
        held = store.workspaces.get(self.ids.mapped(found[1])) if found else None
        one = held.items.get(self.ids.mapped(found[3])) if found and held and found.re is _ITEM else None
        mapped, facts = (json.loads(self.ids.mapped(json.dumps(v))) for v in (exchange, self.situation.facts))
        replay_areas.need(store, held, one, mapped, facts, self.identity)
        is_list = exchange["method"] == "GET" and exchange["path"].partition("?")[0] == place
        if is_list and not place.endswith("instances"):  # The recording decides how a job goes on.
            self.listed_areas.add(place)

    def _throttled(self, method: str, url: str, body: Any) -> Reply:
        """Return the answer to a call when other calls have used up the quota of this minute."""
        self.tenant.update_settings(quota_per_minute=1)
        self.tenant.call("GET", "/v1/workspaces", identity=self.identity)
        reply = self.tenant.call(method, url, body, identity=self.identity)
        self.tenant.update_settings(quota_per_minute=0)
        return reply

    # The values that the recording decides.

    def _operation(self, recorded_id: str) -> Operation:
        return self.tenant.model.store.operations[self.ids.here[recorded_id]]

    def _learn_operation(self, exchange: Exchange, reply: Reply, at: int) -> None:
        """Let the operation that a call began correspond to the recorded one, and end when that one ended."""
        recorded, own = exchange["headers"].get("x-ms-operation-id"), reply.headers.get("x-ms-operation-id")
        if not recorded or not own or recorded in self.ids.here:
            return
        self.ids.learn(recorded, own)
        item = _ITEM.match(exchange["path"])
        self.about[recorded] = item[3] if item else ""
        polls = [e["response"] for e in self.exchanges[at:] if e["path"] == f"/v1/operations/{recorded}"]
        for poll in polls:
            self._operation(recorded).began_at = _fabric_time(poll["createdTimeUtc"])
            if poll["status"] == "Succeeded":
                self._end_at(self._operation(recorded), _fabric_time(poll["lastUpdatedTimeUtc"]))
                break

    def _let_end(self, operation: Operation, exchange: Exchange) -> None:
        """Let a polled operation be in the state that the recording shows."""
        is_running = isinstance(exchange["response"], dict) and exchange["response"].get("status") == "Running"
        if is_running:
            self._end_at(operation, max(operation.over_at or 0.0, self.tenant.now + 1.0))
        elif operation.over_at is not None and operation.over_at > self.tenant.now:
            self._end_at(operation, self.tenant.now)

    def _end_at(self, operation: Operation, at: float) -> None:
        """Move the end of an operation, with the items that appear then and their companions."""
        was, operation.over_at = operation.over_at, at
        if was is None:
            return
        appear = {item.id for item in self._items() if item.visible_at == was}
        for item in self._items():
            maker = self._maker(item)
            if item.id in appear or item.maker_id in appear:
                later = at - was
                item.visible_at += later
                item.created_at += later if maker else 0.0
                first, last = item.shown_between or (0.0, 0.0)
                item.shown_between = (first + later, last + later) if item.shown_between else None

    def _let_capacities_be(self, rows: list[dict[str, Any]]) -> None:
        ids = {row["id"] for row in rows}
        control.seed(self.tenant.model, {"capacities": rows})
        for gone in self.tenant.model.store.capacities.keys() - ids:
            del self.tenant.model.store.capacities[gone]
        for one in ids:
            self.ids.learn(one, one)

    def _let_azure_approve(self, exchange: Exchange) -> None:
        """Let a private endpoint have the connection that the recording shows: it is approved in Azure."""
        if (
            not exchange["route"].startswith("GET /v1/workspaces/{id}/managedPrivateEndpoints")
            or exchange["status"] != 200
        ):
            return
        workspace = self.ids.mapped(exchange["path"].split("/")[3])
        for row in rows_of(exchange) or [exchange["response"]]:
            if row.get("connectionState", {}).get("status") == "Approved":
                seed = {"id": self.ids.mapped(row["id"]), "connectionState": row["connectionState"]}
                control.seed(self.tenant.model, {"workspaces": [{"id": workspace, "privateEndpoints": [seed]}]})

    def _items(self) -> list[Item]:
        return [i for w in self.tenant.model.store.workspaces.values() for i in w.items.values()]

    def _maker(self, item: Item) -> Item | None:
        return next((i for i in self._items() if i.id == item.maker_id), None) if item.maker_id else None

    def _let_companions_show(self, exchange: Exchange) -> None:
        """Let each companion be shown or hidden as the recording says, if that is within its range."""
        now = self.tenant.now
        named = re.match(rf"/v1/workspaces/({GUID.pattern})/([A-Za-z]+)", exchange["path"])
        workspace = self.tenant.model.store.workspaces.get(self.ids.mapped(named[1])) if named else None
        if workspace is None or exchange["method"] != "GET" or exchange["status"] != 200:
            return
        is_list = re.fullmatch(rf"/v1/workspaces/{GUID.pattern}/items", exchange["path"]) is not None
        drawn = [i for i in workspace.items.values() if i.shown_between]
        if self.own_times:
            drawn = [i for i in drawn if i.shown_between and i.shown_between[1] == float("inf")]
        listed = self._listed(exchange, drawn) if is_list else set[str]()
        for item in drawn:
            first, last = item.shown_between or (0.0, 0.0)
            says = item.id in listed if is_list else self._is_ready(exchange, item)
            if says and item.visible_at > now and first <= now:
                item.visible_at = now
            elif says is False and item.visible_at <= now < last and self.ids.there.get(item.id) is None:
                item.visible_at = now + 0.001

    def _listed(self, exchange: Exchange, drawn: list[Item]) -> set[str]:
        """Return the companions that a recorded list shows; one that was made in the recording comes first."""
        listed: set[str] = set()
        for row in rows_of(exchange):
            mapped = self.ids.here.get(row["id"])
            alike = [i for i in drawn if i.id not in self.ids.there and i.id not in listed and self._is_alike(row, i)]
            alike.sort(key=lambda item: item.name in self.situation.aliases)
            if mapped or alike:
                listed.add(mapped or alike[0].id)
        return listed

    def _is_alike(self, row: dict[str, Any], item: Item) -> bool:
        name, digits = self.situation.aliases.get(item.name, item.name), re.compile("[0-9]{14}")
        return (row["type"], digits.sub("", row["displayName"])) == (item.type, digits.sub("", name))

    def _is_ready(self, exchange: Exchange, item: Item) -> bool | None:
        """Return what a typed GET says of the item's SQL endpoint; None if it says nothing."""
        body = exchange["response"] if isinstance(exchange["response"], dict) else {}
        endpoint = (body.get("properties") or {}).get("sqlEndpointProperties")
        if not endpoint or self.ids.here.get(body.get("id", "")) != item.maker_id:
            return None
        return endpoint["provisioningStatus"] == "Success"

    # The comparison.

    def _differences(self, exchange: Exchange, reply: Reply) -> list[Difference]:
        simulated = json.loads(reply.body) if reply.body else None
        if reply.status != exchange["status"]:
            return [Difference("status", f"{reply.status} for {exchange['status']}", exchange["response"], simulated)]
        comparison = Comparison(self.ids, self._open_places(exchange), self.situation.aliases)
        comparison.compare(exchange["response"], simulated)
        return self._header_differences(exchange, reply) + comparison.found

    def _open_places(self, exchange: Exchange) -> Callable[[str], bool]:
        operation, item = OPERATION.fullmatch(exchange["path"]), _ITEM.match(exchange["path"])
        about = self.about.get(operation[1], "") if operation else item[3] if item else ""
        if about not in self.situation.seeded:
            return lambda at: False
        return lambda at: _OPEN.fullmatch(at) is not None and "[.platform]" not in at

    def _header_differences(self, exchange: Exchange, reply: Reply) -> list[Difference]:
        found = [] if reply.headers.get("RequestId") else [Difference("RequestId", "absent")]
        for name in HEADERS if self._has_tags else HEADERS[:-1]:
            recorded, simulated = exchange["headers"].get(name.lower()), reply.headers.get(name)
            if name == "Location" and recorded:
                recorded = re.sub("https://([^/]+)", _host, recorded)
            if name == "Retry-After" and exchange["status"] == 429 and 1 <= int(simulated or 0) <= 60:
                continue  # The rest of the minute in which the quota was used up.
            sort = self._header_sort(recorded, simulated)
            if sort:
                found.append(Difference(name, sort, recorded, simulated))
        if ("home-cluster-uri" in exchange["headers"]) != ("home-cluster-uri" in reply.headers):
            found.append(Difference("home-cluster-uri", "extra" if "home-cluster-uri" in reply.headers else "absent"))
        return found

    def _header_sort(self, recorded: str | None, simulated: str | None) -> str | None:
        if recorded is None or simulated is None:
            return None if recorded == simulated else "extra" if recorded is None else "absent"
        if recorded.startswith('"') and simulated.startswith('"'):  # An entity tag: empty, or drawn.
            return None if (recorded == '""') == (simulated == '""') else "value"
        theirs, ours = GUID.findall(recorded), GUID.findall(simulated)
        if len(theirs) == len(ours):
            for pair in zip(theirs, ours, strict=True):
                self.ids.learn(*pair)
        return None if self.ids.mapped(recorded) == simulated else "value"


def _host(found: re.Match[str]) -> str:
    return API if found[1] == "api.fabric.microsoft.com" else OPERATIONS


def _type_created(exchange: Exchange) -> str:
    word = exchange["path"].rpartition("/")[2].lower()
    body = exchange["request"] if isinstance(exchange["request"], dict) else {}
    return TYPED_ROUTES.get(word) or str(body.get("type", ""))


def _time_of(exchange: Exchange) -> float:
    return parsedate_to_datetime(exchange["headers"]["date"]).timestamp()


def _fabric_time(text: str) -> float:
    return datetime.fromisoformat(text[:26].rstrip("Z")).replace(tzinfo=UTC).timestamp()
