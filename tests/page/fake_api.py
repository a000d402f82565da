"""The HTTP API as the page sees it, with deployments made up in a test: for thousands of them, and for rare states.

Records are the app's own, so their shape is the API's; the page's files come through the app's own `page.serve`, with
its headers. test_contract.py compares this fake with the real API's document.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from shared.domain.labels import has_labels, parse_labels
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.web import page
from shared.web.deployments import step_json
from shared.web.http import HttpError, Request

KEY = "a-function-key-of-this-test"
COOKIE = "AppServiceAuthSession"
MAX_LIMIT = 200


@dataclass
class Deployment:
    """The journal of one deployment."""

    header: DeploymentRecord
    steps: list[StepRecord] = field(default_factory=list[StepRecord])
    audit: list[AuditEntry] = field(default_factory=list[AuditEntry])
    allowed: tuple[str, ...] = ()
    parts: dict[str, str] = field(default_factory=dict[str, str])
    """The digests of its parts, by name."""


@dataclass
class World:
    """The data of the fake's answers; tests change them while the page is open."""

    deployments: dict[str, Deployment] = field(default_factory=dict[str, Deployment])
    breakers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    orphans: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    forgotten: dict[str, list[AuditEntry]] = field(default_factory=dict[str, list[AuditEntry]])
    """The audits of deployments past their retention."""
    audit_page: int = 1_000
    """Entries in a page of an audit."""
    health: dict[str, Any] = field(default_factory=lambda: {"status": "pass", "checks": {}})
    commands: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list[tuple[str, str, dict[str, Any]]])
    calls: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    key: str = KEY
    sign_in: str = ""
    """The path where a browser signs in; then no key is accepted."""
    roles: tuple[str, ...] = ("Reader",)
    """The roles of who is signed in."""
    has_session: bool = True
    """False: the session of every browser has ended."""
    broken: bool = False
    """Answer 503 to everything except the page's files."""
    refuse: str = ""
    """Answer 409 with this detail to commands."""
    on_command: Callable[[str, str], None] = lambda verb, deployment_id: None

    def add(self, deployment: Deployment) -> Deployment:
        """Add a deployment."""
        self.deployments[deployment.header.deployment_id] = deployment
        return deployment

    def move(self, deployment_id: str, state: D, **changes: Any) -> None:
        """Move a header to a state, with an audit entry."""
        stored = self.deployments[deployment_id]
        header = stored.header
        after = header.replace(state=state, sequence=header.sequence + 1, **changes)
        entry = AuditEntry(datetime.now(UTC), "deployment", header.state.value, state.value, "test", "", after.sequence)
        self.deployments[deployment_id] = replace(stored, header=after, audit=[*stored.audit, entry])


class FakeApi:
    """A server on a free port; `url` is the page."""

    def __init__(self, world: World) -> None:
        self.world = world
        handler = type("Handler", (_Handler,), {"world": world})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.base}/api/dashboard"

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error, because a tab that is closed during an answer is not a failure."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: World

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self.world.sign_in and parts.path == self.world.sign_in:  # as App Service, after Entra has asked the person
            return self._signed_in(parse_qs(parts.query)["post_login_redirect_uri"][0])
        path = unquote(parts.path).removeprefix("/api/").rstrip("/")
        if path == "dashboard" or path.startswith("dashboard/"):
            return self._file(path.removeprefix("dashboard").strip("/"))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return self._answer(lambda: self._get(path.split("/"), query))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = [unquote(part) for part in urlsplit(self.path).path.removeprefix("/api/").split("/")]
        self._answer(lambda: self._post(path, body))

    def _signed_in(self, back: str) -> None:
        self.send_response(302)
        self.send_header("Set-Cookie", f"{COOKIE}=1; Path=/; HttpOnly; SameSite=Lax")
        self.send_header("Location", back)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, name: str) -> None:
        route = {"file": name} if name else {}
        headers = {key.lower(): value for key, value in self.headers.items()}
        try:
            reply = page.serve(Request("GET", self.path, route, {}, headers), sign_in=self.world.sign_in)
        except HttpError as error:
            return self._send(error.status, {"title": error.detail})
        self.send_response(reply.status)
        for key, value in {**reply.headers, "Content-Type": reply.content_type}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
        return None

    def _answer(self, make: Callable[[], tuple[int, Any]]) -> None:
        if refusal := self._refusal():
            return self._send(*refusal)
        if self.world.broken:
            return self._send(503, {"title": "Service Unavailable", "status": 503, "detail": "storage is unavailable"})
        status, body = make()
        return self._send(status, body)

    def _refusal(self) -> tuple[int, Any] | None:
        """Return what answers a caller who is not known."""
        if not self.world.sign_in:
            return None if self.headers.get("x-functions-key") == self.world.key else (401, None)
        if f"{COOKIE}=1" not in self.headers.get("cookie", "") or not self.world.has_session:
            return 401, {"title": "Unauthorized", "status": 401, "detail": "sign in", "sign_in": self.world.sign_in}
        if "x-fabric-saga-page" not in self.headers or self.headers.get("x-functions-key") is not None:
            return 403, {"title": "Forbidden", "status": 403, "detail": "not from the page"}
        return None

    def _send(self, status: int, body: Any) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if status == 200 and self.command == "GET":
            if self.headers.get("if-none-match") == etag:
                status, content = 304, b""
        else:
            etag = ""
        self.world.calls.append((f"{self.command} {self.path}", status))
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _get(self, path: list[str], query: dict[str, str]) -> tuple[int, Any]:
        world = self.world
        match path:
            case ["me"]:
                return 200, {"signed_in": True, "name": "anna", "object_id": "a", "roles": list(world.roles)}
            case ["deployments"]:
                return 200, self._list(query)
            case ["deployments", deployment_id] if deployment_id in world.deployments:
                found = world.deployments[deployment_id]
                steps = [step_json(step) for step in found.steps]
                return 200, {**found.header.to_json(), "steps": steps, "allowed": list(found.allowed)}
            case ["deployments", deployment_id, "parts"] if deployment_id in world.deployments:
                parts = world.deployments[deployment_id].parts
                return 200, {"items": [{"name": name, "digest": digest} for name, digest in sorted(parts.items())]}
            case ["deployments", deployment_id, "audit"] if deployment_id in world.deployments:
                return 200, self._audit(world.deployments[deployment_id].audit, query)
            case ["deployments", deployment_id, "audit"] if deployment_id in world.forgotten:
                return 200, self._audit(world.forgotten[deployment_id], query)
            case ["breakers"]:
                return 200, {"items": world.breakers}
            case ["orphans"]:
                return 200, {"items": world.orphans, "looked_at": 1, "is_complete": True}
            case ["health"]:
                return (200 if world.health["status"] != "fail" else 503), world.health
            case _:
                return 404, {"title": "Not Found", "status": 404, "detail": "no such deployment"}

    def _audit(self, entries: list[AuditEntry], query: dict[str, str]) -> dict[str, Any]:
        start, limit = int(query.get("cursor", "0")), self.world.audit_page
        following = str(start + limit) if start + limit < len(entries) else None
        return {"items": [entry.to_json() for entry in entries[start : start + limit]], "next": following}

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        newest = sorted(self.world.deployments.values(), key=lambda d: d.header.accepted_at, reverse=True)
        fitting = [
            d.header
            for d in newest
            if query.get("state", d.header.state.value) == d.header.state.value
            and query.get("target", d.header.target) == d.header.target
            and has_labels(d.header.labels, parse_labels([query["label"]] if "label" in query else []))
            and not (query.get("open") == "true" and d.header.state in DEPLOYMENT_ENDED)
        ]
        start, limit = int(query.get("cursor", "0")), min(MAX_LIMIT, int(query.get("limit", "50")))
        following = str(start + limit) if start + limit < len(fitting) else None
        return {"items": [header.to_json() for header in fitting[start : start + limit]], "next": following}

    def _post(self, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        world = self.world
        match path:
            case ["deployments", deployment_id, verb] if deployment_id in world.deployments:
                if world.refuse:
                    return 409, {"title": "Conflict", "status": 409, "detail": world.refuse}
                world.commands.append((verb, deployment_id, body))
                world.on_command(verb, deployment_id)
                state = world.deployments[deployment_id].header.state.value
                return 202, {"deployment_id": deployment_id, "state": state, "message": f"{verb} is noted"}
            case ["breakers", name, "reset"]:
                world.commands.append(("reset", name, body))
                for breaker in world.breakers:
                    if breaker["name"] == name:
                        breaker.update(state="closed", failures=0)
                return 200, {"name": name, "state": "closed", "failures": 0, "reason": "", "is_shared": True}
            case _:
                return 404, {"title": "Not Found", "status": 404}


def header(number: int, state: D, now: datetime, **changes: Any) -> DeploymentRecord:
    """Return the header of a deployment; the higher its number, the older it is."""
    accepted = now - timedelta(seconds=7 * number + 5)
    ended = state in DEPLOYMENT_ENDED
    record = DeploymentRecord(
        deployment_id=f"build-{90_000 - number}",
        name=("sales", "finance", "supply-chain", "people", "marketing")[number % 5],
        target=f"contoso-{('dev', 'test', 'prod')[number % 3]}-{number % 7}",
        state=state,
        manifest_hash=hashlib.sha256(str(number).encode()).hexdigest(),
        accepted_at=accepted,
        requested_by=("release-pipeline", "nightly", "data-team@contoso.example")[number % 3],
        step_count=8,
        started_at=accepted + timedelta(seconds=1),
        finished_at=accepted + timedelta(seconds=4 + number % 40) if ended else None,
    )
    return record.replace(**changes)


def step(deployment_id: str, ordinal: int, step_id: str, state: S, **changes: Any) -> StepRecord:
    """Return a lakehouse step, changed as given."""
    record = StepRecord(
        deployment_id=deployment_id,
        ordinal=ordinal,
        step_id=step_id,
        kind="lakehouse",
        spec={"displayName": step_id, "password": "what-must-not-be-shown"},
        needs=(),
        refers_to={},
        timeout_seconds=3600,
        state=state,
    )
    return record.replace(**changes)
