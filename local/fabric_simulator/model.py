"""The simulator as a function of requests: it checks tokens and quotas, injects faults, handles and logs every call.

The model is pure: the time comes from `clock` and chance from `seed`; it does not sleep, open a file or listen. A reply
contains the time that the server would have taken; the server around the model waits that long.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlsplit

from local.fabric_simulator import area_state, companions, git_routes, references, routes, settings
from local.fabric_simulator.durations import call_seconds
from local.fabric_simulator.faults import Faults
from local.fabric_simulator.http import Answer, ApiError, Reply, Request
from local.fabric_simulator.store import SQL_ENDPOINT, Item, Store, Workspace, stamp
from local.fabric_simulator.world import World

QUOTA_PER_MINUTE = 500
"""Calls a minute of an identity in each of three buckets; formerly 200 ("Throttling in Microsoft Fabric")."""
DELETES_PER_MINUTE = 200
"""Deletions of items a minute of an identity, which also count in the quota above."""
WINDOW_SECONDS = 60.0
_CLUSTER = "https://wabi-simulated-redirect.analysis.windows.net/"
_EXPIRY = re.compile("[0-9]{1,12}")


class FabricModel:
    """One tenant. It is not thread-safe; the server calls it from one thread."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        seed: int = 0,
        profile: str = "instant",
        time_scale: float = 1.0,
        page_size: int = 1000,
        api_url: str = "http://127.0.0.1",
        operations_url: str = "http://127.0.0.1",
    ) -> None:
        self._clock = clock
        self._profile = profile
        self._scale = time_scale
        self._page_size = page_size
        self.api_url = api_url
        self.operations_url = operations_url
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Restore the initial state, with this seed."""
        is_realistic = self._profile == "realistic"
        self._seed = seed
        self.settings = settings.SimulatorSettings(
            page_size=self._page_size,
            name_reservation_seconds=60.0 if is_realistic else 0.0,
            quota_per_minute=QUOTA_PER_MINUTE if is_realistic else 0,
            delete_quota_per_minute=DELETES_PER_MINUTE if is_realistic else 0,
        )
        self.store = Store(seed)
        self.faults = Faults()
        self.calls: list[dict[str, Any]] = []
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}
        self._world = World(
            self.store,
            self._clock,
            self.settings,
            self._scale,
            is_realistic,
            lambda: self.operations_url,
            lambda: self.api_url,
        )

    def handle(self, request: Request) -> Reply:
        """Handle one call, from the token to the log."""
        request_id = self.store.new_id()
        fault: dict[str, Any] = {}
        effect = False
        identity = ""
        body: Any = None
        try:
            identity = self._identity(request)
            for bucket in routes.buckets(request.method, request.path):
                self._count(identity, bucket)
            fault = self.faults.inject(request.method, request.path, self.store.chance)
            if self._is_injected_before(fault):
                answer = self._injected(fault, request_id)
            else:
                self._world.identity, self._world.fault = identity, fault
                answer = routes.find(request.method, request.path)(self._world, request)
                effect = request.method != "GET"
                if "status" in fault:
                    answer = self._injected(fault, request_id)
            body = None if answer.empty else answer.body
            reply = self._reply(answer, request, request_id)
        except ApiError as error:
            reply = self._refusal(error, request, request_id)
        reply = self._delayed(reply, request, fault)
        self._log(request, reply, identity, request_id, fault, effect, _named(reply, body))
        return reply

    def bring_to_head(self, workspace_id: str, details: dict[str, Any]) -> None:
        """Connect a workspace with a branch and give it the branch's items, without a call. Raises KeyError."""
        git_routes.bring_to_head(self._world, self.store.workspaces[workspace_id.lower()], details)

    @staticmethod
    def _is_injected_before(fault: dict[str, Any]) -> bool:
        return fault.get("reset") == "before" or ("status" in fault and fault.get("effect") != "after")

    @staticmethod
    def _injected(fault: dict[str, Any], request_id: str) -> Answer:
        """Return a fault rule's answer, marked as synthetic; a refusal without a body gets one in Fabric's format."""
        status, body = int(fault.get("status", 500)), fault.get("body")
        if body is None and status >= 400:
            body = ApiError(status, "UnknownError", "An error occurred.").body(request_id)
        headers = {"x-sim-synthetic": "true"}
        if status >= 400 and isinstance(body, dict) and "errorCode" in body:
            headers["x-ms-public-api-error-code"] = str(cast(dict[str, Any], body)["errorCode"])
        return Answer(status, body, headers | fault.get("headers", {}))

    def _identity(self, request: Request) -> str:
        """Return the caller from `Bearer sim.<identity>.<expiry>`. Raises ApiError 401."""
        header = request.headers.get("authorization", "")
        if not header:
            raise ApiError(401, "TokenIsMissing", "The access token is missing.", synthetic=True)
        parts = header.removeprefix("Bearer ").split(".")
        if not header.startswith("Bearer ") or len(parts) != 3 or parts[0] != "sim" or not _EXPIRY.fullmatch(parts[2]):
            raise ApiError(401, "InvalidToken", "The access token is not valid.", synthetic=True)
        if int(parts[2]) <= self._clock():
            message = "Access token has expired, resubmit with a new access token"
            raise ApiError(401, "TokenExpired", message, synthetic=True)
        return parts[1].lower()

    def _count(self, identity: str, bucket: str) -> None:
        """Count a call in the minute of its identity and bucket. Raises ApiError 429 with the end of the minute."""
        settings = self.settings
        limit = settings.delete_quota_per_minute if bucket == "deletes" else settings.quota_per_minute
        if limit <= 0:
            return
        now, length = self._clock(), WINDOW_SECONDS / self._scale
        began, used = self._windows.get((identity, bucket), (now, 0))
        if now - began >= length:
            began, used = now, 0
        if used >= limit:
            wait = min(max(1, int(began + length - now)), 59)  # Recorded: 1 to 59.
            until = datetime.fromtimestamp(now + wait, UTC).strftime("%-m/%-d/%Y %-I:%M:%S %p")
            message = f"Request is blocked by the upstream service until: {until} (UTC)"
            raise ApiError(429, "RequestBlocked", message, retriable=True, headers={"Retry-After": str(wait)})
        self._windows[(identity, bucket)] = (began, used + 1)

    def _headers(self, request: Request, request_id: str) -> dict[str, str]:
        """Return the headers of every answer; those of routing only the API's own host sends. A request without a Host
        header is taken to ask for an operation where its Location says."""
        host, apart = request.headers.get("host"), urlsplit(self.operations_url).netloc
        if host == apart or (host is None and request.path.startswith("/v1/operations/")):
            return {"RequestId": request_id}
        return {"RequestId": request_id, "home-cluster-uri": _CLUSTER, "request-redirected": "true"}

    def _reply(self, answer: Answer, request: Request, request_id: str) -> Reply:
        headers = self._headers(request, request_id)
        if answer.empty:
            headers |= {"Content-Type": "application/octet-stream"}
            body = b""
        else:
            headers |= {"Content-Type": "application/json; charset=utf-8"}
            body = json.dumps(answer.body).encode()
        return Reply(answer.status, headers | answer.headers, body)

    def _refusal(self, error: ApiError, request: Request, request_id: str) -> Reply:
        headers = self._headers(request, request_id) | {"Content-Type": "application/json; charset=utf-8"}
        headers["x-ms-public-api-error-code"] = error.code
        if error.synthetic:
            headers["x-sim-synthetic"] = "true"
        return Reply(error.status, headers | error.headers, json.dumps(error.body(request_id)).encode())

    def _delayed(self, reply: Reply, request: Request, fault: dict[str, Any]) -> Reply:
        seconds = 0.0
        if self._profile == "realistic" and reply.status not in (401, 429):
            seconds = call_seconds(request.method, request.path, self.store.chance) / self._scale
        seconds += float(fault.get("delay_seconds", 0.0)) / self._scale
        return Reply(reply.status, reply.headers, reply.body, seconds, bool(fault.get("reset")))

    def _log(
        self,
        request: Request,
        reply: Reply,
        identity: str,
        request_id: str,
        fault: dict[str, Any],
        effect: bool,
        names: str | None,
    ) -> None:
        self.calls.append(
            {
                "n": len(self.calls) + 1,
                "at": self._clock(),
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "status": None if reply.reset else reply.status,
                "seconds": round(reply.delay_seconds, 4),
                "identity": identity,
                "request_id": request_id,
                "traceparent": request.headers.get("traceparent"),
                "error_code": reply.headers.get("x-ms-public-api-error-code"),
                "names": names,
                "fault": fault or None,
                "effect": effect and reply.status < 400 if not fault else effect,
            }
        )

    def now(self) -> float:
        """Return the simulated time in epoch seconds."""
        return self._clock()

    def add_companions(self, workspace: Workspace, item: Item, *, only: str | None = None) -> None:
        """Add the companions of an item that no call created, or `only` those of one type."""
        companions.add(self._world, workspace, item, only=only)

    def state(self) -> dict[str, Any]:
        """Return every resource. An item's SQL endpoint appears only as the seconds until it was shown."""
        return {
            "workspaces": [self._workspace_state(w) for w in self.store.workspaces.values()],
            "operations": [
                {
                    "id": o.id,
                    "kind": o.kind,
                    "began_at": o.began_at,
                    "over_at": o.over_at,
                    "failed": o.error is not None,
                }
                for o in self.store.operations.values()
            ],
            "capacities": list(self.store.capacities.values()),
            "deleted": self.store.deleted,
            **area_state.of_tenant(self.store),
        }

    def _workspace_state(self, workspace: Workspace) -> dict[str, Any]:
        now = self._clock()
        return {
            "id": workspace.id,
            "displayName": workspace.name,
            "description": workspace.description,
            "capacityId": workspace.capacity_id,
            "roleAssignments": list(workspace.roles.values()),
            **area_state.of_workspace(workspace),
            "items": [
                {
                    "id": i.id,
                    "type": i.type,
                    "displayName": i.name,
                    "description": i.description,
                    "createdAt": stamp(i.created_at),
                    "endpointSeconds": _endpoint_seconds(workspace, i),
                    "definition": i.definition,
                    "visible": i.visible_at <= now,
                    **area_state.of_item(i, now),
                    "dangling": references.dangling(self._world, i),
                }
                for i in workspace.standing()
            ],
        }

    def update_settings(self, changes: Any) -> dict[str, Any]:
        """Change settings by name, all or none; return all settings. Raises ValueError with the path."""
        settings.check(changes)
        for name, value in changes.items():
            setattr(self.settings, name, value)
        return asdict(self.settings)


def _endpoint_seconds(workspace: Workspace, item: Item) -> float | None:
    """Return the seconds until the item's SQL endpoint is shown; None for an item without one."""
    endpoint = companions.of(workspace, item, SQL_ENDPOINT)
    return round(endpoint.visible_at - item.created_at, 3) if endpoint else None


def _named(reply: Reply, body: Any) -> str | None:
    """Return the id of the resource or the operation in a reply; `body` is its body before it became JSON."""
    operation = reply.headers.get("x-ms-operation-id")
    return operation or (cast(dict[str, Any], body).get("id") if isinstance(body, dict) else None)
