"""The API over memory: each response is checked against the OpenAPI document before a test sees it."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared import bootstrap
from shared.adapters.breaker.circuit_breakers import CircuitBreakers
from shared.adapters.secrets.environment import EnvironmentSecrets
from shared.adapters.secrets.manager import SecretManager
from shared.bootstrap.parts import NOBODY
from shared.domain.access import KEYS, AccessPolicy
from shared.domain.breaker import BreakerPolicy
from shared.domain.errors import StorageUnavailableError
from shared.domain.flags import ALL_ON
from shared.domain.json import JsonObject
from shared.domain.ports import Callers
from shared.domain.telemetry import NoTelemetry
from shared.saga.health.monitor import Monitor
from shared.saga.submission.acceptance import Acceptance
from shared.steps import KINDS
from shared.web import openapi
from shared.web.api import ROUTES, answer
from shared.web.backend import Backend, HealthAnswer, Route
from shared.web.http import Reply, Request
from shared.web.watching import Watching
from tests.fakes import MemoryBlobs, MemoryBreakers, MemorySignals
from tests.unit.saga.fixture import SagaFixture

DOCUMENTS = {signs_in: openapi.document(ROUTES, signs_in=signs_in) for signs_in in (False, True)}
DOCUMENT = DOCUMENTS[False]
MANIFEST: JsonObject = {"name": "m", "steps": [{"id": "w", "kind": "workspace", "with": {"displayName": "w"}}]}


class Engine:
    """The durable engine's client, which records its calls or is unavailable."""

    def __init__(self) -> None:
        self.received: list[tuple[str, ...]] = []
        self.is_away = False

    def start(self, deployment_id: str) -> None:
        if self.is_away:
            raise StorageUnavailableError("the durable engine does not answer")
        self.received.append(("start", deployment_id))

    def raise_event(self, deployment_id: str, name: str, payload: JsonObject) -> None:
        self.received.append((deployment_id, name))

    def running_since(self, deployment_id: str) -> datetime | None:
        return None

    def abandon(self, deployment_id: str) -> None: ...

    def forget(self, deployment_id: str) -> None: ...


class Api:
    """The app's API over memory."""

    def __init__(self, *, callers: Callers | None = None, access: AccessPolicy = KEYS) -> None:
        self.saga, self.engine, self.queue = SagaFixture(), Engine(), list[str]()
        self.journal, self.blobs, self.watching = self.saga.journal, MemoryBlobs(), Watching()
        services = replace(self.saga.services, policy=replace(self.saga.services.policy, access=access))
        acceptance = Acceptance(
            self.journal,
            self.blobs,
            services.payloads,
            self.saga.clock,
            KINDS,
            services.policy.retention_seconds,
            access,
        )
        self.signs_in = access.signs_in
        telemetry = NoTelemetry()
        self.app = bootstrap.App(
            services,
            acceptance,
            self.saga.locks,
            CircuitBreakers(MemoryBreakers(), BreakerPolicy(), self.saga.clock.now),
            {},
            ALL_ON,
            telemetry,
            SecretManager(EnvironmentSecrets(lambda name: "")),
            MemorySignals(),
            Monitor({}, cache_seconds=0.0, now=self.saga.clock.now, telemetry=telemetry),
            submit=lambda text, delay_seconds=0.0: self.queue.append(text),
            callers=callers or NOBODY,
        )

    def ask(
        self, method: str, path: str, body: Any = b"", headers: Mapping[str, str] | None = None, media: str = ""
    ) -> Reply:
        """Send a request, and check its reply against the document."""
        route, parameters = route_of(method, path.split("?")[0])
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": media or "application/json", **(headers or {})}
        request = Request.of(method, f"http://host/api/{path}", parameters, sent, lambda: content)
        names = ("health_live", "health_ready", "health")
        health: dict[str, HealthAnswer] = {name: lambda: (True, {"status": "pass"}) for name in names}
        backend = Backend(lambda: self.app, self.engine, health, self.watching, signs_in=self.signs_in)
        reply = answer(route.handler, request, backend)
        check_reply(route, reply, self.signs_in)
        return reply


def route_of(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the route of a path, and the values of its parameters."""
    for route in ROUTES:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", re.escape(route.path).replace(r"\{", "{").replace(r"\}", "}"))
        if route.method == method and (match := re.fullmatch(pattern, path)):
            return route, match.groupdict()
    raise AssertionError(f"no route for {method} {path}")


def check_reply(route: Route, reply: Reply, signs_in: bool) -> None:
    """Check that the document has this status, type and shape, and that every required header is present."""
    response = _response(signs_in, route, reply.status)
    for name, header in response.get("headers", {}).items():
        assert name in reply.headers or not header["required"]
    if "content" not in response:
        assert reply.body == b"" or route.method == "HEAD"  # the host sends no body for HEAD
        return
    media = reply.content_type.split(";")[0]
    if "schema" in response["content"][media]:
        _validator(signs_in, route, reply.status, media).validate(json_body(reply))


def _response(signs_in: bool, route: Route, status: int) -> JsonObject:
    responses = DOCUMENTS[signs_in]["paths"][f"/{route.path}"][route.method.lower()]["responses"]
    assert str(status) in responses
    return responses[str(status)]


@cache
def _validator(signs_in: bool, route: Route, status: int, media: str) -> Draft202012Validator:
    schema = _response(signs_in, route, status)["content"][media]["schema"]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator({**schema, "components": DOCUMENTS[signs_in]["components"]})


def json_body(reply: Reply) -> Any:
    """Return the body as JSON."""
    return json.loads(reply.body)


@pytest.fixture
def api() -> Api:
    return Api()
