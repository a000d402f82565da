"""A simulated tenant without a network: the model, a clock that a test sets, and calls with one identity or another."""

import json
from typing import Any
from urllib.parse import parse_qsl

from local.fabric_simulator import control
from local.fabric_simulator.bare import part
from local.fabric_simulator.definitions import NEEDED
from local.fabric_simulator.http import Reply, Request
from local.fabric_simulator.model import FabricModel

ME = "00000000-0000-0000-0000-000000000001"
OTHER = "00000000-0000-0000-0000-0000000000aa"
CAPACITY = "00000000-0000-0000-0000-000000000004"
API, OPERATIONS = "http://api.example", "http://operations.example"


def definition_of(item_type: str) -> dict[str, Any]:
    """Return the smallest definition that the simulator takes for a type."""
    named = [row[0].replace("*", "x") for row in NEEDED.get(item_type, (("x.json",),))]
    texts = {path: "x" if path.endswith((".py", ".tmdl", ".pq", ".rdl")) else "{}" for path in named}
    return {"parts": [part(path, text) for path, text in texts.items()]}


def completed(item_type: str, definition: dict[str, Any]) -> dict[str, Any]:
    """Return a definition with the parts that its type needs besides."""
    there = {part["path"] for part in definition["parts"]}
    more = [part for part in definition_of(item_type)["parts"] if part["path"] not in there]
    return {**definition, "parts": [*definition["parts"], *more]}


PARTS: dict[str, Any] = {"parts": [part("notebook-content.py", "x")]}
"""The definition of a notebook."""


class Tenant:
    """A model, and the identity that calls it."""

    def __init__(self, *, profile: str = "instant", seed: int = 0, time_scale: float = 1.0) -> None:
        self.now = 1_000_000.0
        self.model = FabricModel(
            lambda: self.now,
            seed=seed,
            profile=profile,
            time_scale=time_scale,
            api_url=API,
            operations_url=OPERATIONS,
        )

    def call(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        identity: str = ME,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """Make a call; `url` may begin with either host."""
        path, _, query = url.removeprefix(API).removeprefix(OPERATIONS).partition("?")
        given = {"authorization": self.token(identity)} if headers is None else headers
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        return self.model.handle(Request(method, path, dict(parse_qsl(query)), given, data))

    def token(self, identity: str = ME) -> str:
        """Return the header that signs an identity in."""
        return f"Bearer sim.{identity}.{int(self.now) + 3600}"

    def follow(self, reply: Reply) -> Any:
        """Wait for an operation, and return its result; None if it has none."""
        operation = self.model.store.operations[reply.headers["x-ms-operation-id"]]
        self.now = max(self.now, operation.over_at or 0.0)
        polled = self.call("GET", reply.headers["Location"])
        return self.get(polled.headers["Location"]) if "Location" in polled.headers else None

    def get(self, url: str, **more: Any) -> Any:
        """Return the body of a GET that succeeds."""
        reply = self.call("GET", url, **more)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make a call to the control API."""
        return control.handle(
            self.model, method, f"/_sim/{path}", {}, b"" if body is None else json.dumps(body).encode()
        )

    def update_settings(self, **settings: Any) -> None:
        self.model.update_settings(settings)

    def fault(self, action: dict[str, Any], when: dict[str, Any] | None = None, **match: str) -> None:
        """Replace all fault rules by one."""
        self.model.faults.replace([{"match": match, "when": when or {}, "action": action}])

    def workspace(self, name: str = "w", **more: Any) -> str:
        """Create a workspace, and return its id."""
        reply = self.call("POST", "/v1/workspaces", {"displayName": name, **more})
        assert reply.status == 201, reply
        return json.loads(reply.body)["id"]

    def item(self, workspace: str, item_type: str = "DataPipeline", name: str = "i", **more: Any) -> str:
        """Create an item, at once or through an operation, and return its id."""
        body = {"type": item_type, "displayName": name, **more}
        reply = self.call("POST", f"/v1/workspaces/{workspace}/items", body)
        assert reply.status in (201, 202), reply
        if reply.status == 201:
            return json.loads(reply.body)["id"]
        self.now = max(self.now, self.model.store.operations[reply.headers["x-ms-operation-id"]].over_at or 0.0)
        return self.get(f"{reply.headers['Location']}/result")["id"]


def code_of(reply: Reply) -> str:
    """Return the error code of a refusal, which is the same in body and header."""
    body = json.loads(reply.body)
    assert body["errorCode"] == reply.headers["x-ms-public-api-error-code"]
    assert body["requestId"] == reply.headers["RequestId"]
    return body["errorCode"]
