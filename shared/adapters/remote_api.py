"""Lets the command line read the journal and submit through the app's own HTTP API.

A message of the queue `deployments` becomes the equivalent request. Errors are those of storage, so that the command
line handles an outage of either in the same way.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import requests

from shared.adapters.causes import log_cause
from shared.adapters.connections import EnvironmentSession, no_connection
from shared.domain.address import AddressError, secure
from shared.domain.errors import (
    ConflictError,
    FabricError,
    FabricTransientError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    Problem,
    SagaError,
    StorageAuthError,
    StorageUnavailableError,
)
from shared.domain.forgotten import ForgottenError
from shared.domain.json import JsonObject, as_list, as_object, canonical
from shared.domain.ports import Versioned
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState

TIMEOUTS_SECONDS, HEALTH_TIMEOUTS_SECONDS = (10.0, 100.0), (10.0, 20.0)
"""To connect, and between two parts of the answer."""
TAKEN = (200, 202, 304)
_PAGE = 200
_DIGESTS = 1_000
"""Digests of one request."""


type Proof = Callable[[], dict[str, str]]
"""Returns the header that proves the caller, for each request: a token is renewed before it ends."""


def key_header(key: str) -> Proof:
    """Return the header of a function key."""
    return lambda: {"x-functions-key": key}


def token_header(token: Callable[[], str]) -> Proof:
    """Return the header of a signed-in caller."""
    return lambda: {"Authorization": f"Bearer {token()}"}


class RemoteApi:
    """One app. The proof is sent in a header, over https only (except to this machine), and redirects are not
    followed."""

    def __init__(self, url: str, proof: Proof) -> None:
        """`url` is the app's address, with or without `/api`. Raises InvalidInputError if it cannot be used."""
        try:
            address = secure(url, "the key or token")
        except AddressError as error:
            raise InvalidInputError([Problem("--url", f"the app's address {error}")]) from None
        if address.query:
            raise InvalidInputError([Problem("--url", "the app's address must not have a '?'")])
        self._host = address.netloc
        self._base = address.url if address.path.strip("/") else f"{address.url}/api"
        self._session: requests.Session = EnvironmentSession()
        self._proof = proof

    def get(self, path: str, query: dict[str, str] | None = None, etag: str = "") -> requests.Response:
        """Return the answer. Raises as `_answer`."""
        headers = {"If-None-Match": etag} if etag else {}
        return self._answer("GET", path, params=query, headers=headers)

    def post(
        self, path: str, body: bytes, media_type: str, query: dict[str, str] | None = None, traceparent: str = ""
    ) -> JsonObject:
        """Return the answer. Raises as `_answer`."""
        headers = {"Content-Type": media_type} | ({"traceparent": traceparent} if traceparent else {})
        return self.body(self._answer("POST", path, params=query, data=body, headers=headers))

    def put(self, path: str, body: "_Pieces") -> JsonObject:
        """Return the answer. Raises as `_answer`."""
        headers = {"Content-Type": "application/octet-stream"}
        return self.body(self._answer("PUT", path, (200, 201), data=body, headers=headers))

    def health(self) -> JsonObject:
        """Return the details of health; a failing app answers 503 with the same details. Raises as `_answer`."""
        return self.body(self._answer("GET", "/health", (*TAKEN, 503), timeout=HEALTH_TIMEOUTS_SECONDS))

    def body(self, answer: requests.Response) -> JsonObject:
        """Return the object in an answer. Raises SagaError if it has none."""
        try:
            found = as_object(answer.json())
        except (ValueError, RecursionError):
            found = None
        if found is None:
            raise self._not_this_app(answer.status_code)
        return found

    def rows(self, answer: requests.Response, body: JsonObject, name: str) -> list[JsonObject]:
        """Return the objects in a list of an answer's body. Raises SagaError if it has no such list."""
        found = as_list(body.get(name))
        rows = [as_object(row) for row in found or []]
        if found is None or None in rows:
            raise self._not_this_app(answer.status_code)
        return [row for row in rows if row is not None]

    def _not_this_app(self, status: int) -> SagaError:
        return SagaError(f"what answers at {self._host} is not this app (HTTP {status}): is that its address?")

    def _answer(
        self, method: str, path: str, taken: Collection[int] = TAKEN, *, timeout: Any = TIMEOUTS_SECONDS, **options: Any
    ) -> requests.Response:
        """Return an answer whose status is in `taken`. Raises StorageUnavailableError (no answer, 5xx),
        StorageAuthError (401), ForbiddenError (403), NotFoundError, ConflictError, InvalidInputError with the problems,
        and SagaError for the rest."""
        headers = {**options.pop("headers", {}), **self._proven()}
        try:
            answer = self._session.request(
                method, self._base + path, timeout=timeout, allow_redirects=False, headers=headers, **options
            )
        except requests.RequestException as error:
            why = no_connection(error) or f"it does not answer ({type(error).__name__})"
            own = StorageUnavailableError(f"the API at {self._host} cannot be reached: {why}")
            raise log_cause(own, error) from None
        media_type = answer.headers.get("Content-Type", "")
        if answer.status_code in (404, 200, 202) and "json" not in media_type:
            raise self._not_this_app(answer.status_code)
        if answer.status_code in taken and (answer.status_code == 304 or "json" in media_type):
            return answer
        raise _error(answer)

    def _proven(self) -> dict[str, str]:
        """Return the header that proves the caller. Raises StorageAuthError, StorageUnavailableError."""
        try:
            return self._proof()
        except FabricTransientError as error:
            raise StorageUnavailableError(str(error)) from None
        except FabricError as error:
            raise StorageAuthError(f"{error}; sign in (for example `az login`), and check FABRIC_SAGA_SCOPE") from None


def _error(answer: requests.Response) -> SagaError:
    status = answer.status_code
    try:
        text = as_object(answer.json()) or {}
    except (ValueError, RecursionError):
        text = {}
    detail = str(text.get("detail") or f"the API answers {status}")
    if 300 <= status < 400:
        return SagaError(f"{detail} and leads to another address, which would get the key: give the app's own address")
    if status in (401, 403):
        remedy = detail if "detail" in text else "set FUNCTION_KEY to a function key of the app"
        return (ForbiddenError if status == 403 else StorageAuthError)(f"the API answers {status}: {remedy}")
    if status >= 500:
        return StorageUnavailableError(f"the API answers {status}: {detail}")
    if status == 404:
        kept = as_object(text.get("deployment"))
        return ForgottenError(DeploymentRecord.from_json(kept, ignore_unknown=True)) if kept else NotFoundError(detail)
    if status == 409:
        return ConflictError(detail)
    rows = [as_object(row) or {} for row in as_list(text.get("problems")) or []]
    problems = [Problem(str(row.get("path")), str(row.get("message")), _count(row.get("count"))) for row in rows]
    return InvalidInputError(problems) if problems else SagaError(detail)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 1


class _Pieces:
    """A body of a known length that is sent in pieces; it can be sent once."""

    def __init__(self, size: int, pieces: Iterable[bytes]) -> None:
        self._size, self._pieces = size, pieces

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


class RemoteJournal:
    """Implements the port `JournalReads`. An answer contains header and steps, so both are read by one request."""

    def __init__(self, api: RemoteApi) -> None:
        self._api = api
        self._looked: dict[str, tuple[str, JsonObject]] = {}

    def header(self, deployment_id: str) -> Versioned[DeploymentRecord]:
        """Return the header. Raises NotFoundError."""
        etag, known = self._looked.get(deployment_id, ("", {}))
        answer = self._api.get(f"/deployments/{quote(deployment_id, safe='')}", etag=etag)
        if answer.status_code != 304:
            etag, known = answer.headers.get("ETag", ""), self._api.body(answer)
            self._api.rows(answer, known, "steps")
            self._looked = {deployment_id: (etag, known)}
        return Versioned(DeploymentRecord.from_json(known, ignore_unknown=True), etag)

    def steps(self, deployment_id: str) -> list[Versioned[StepRecord]]:
        """Return the steps that came with the header last time, or read them now. They have no specs (except for the
        question of an approval), claims or before-images."""
        if deployment_id not in self._looked:
            try:
                self.header(deployment_id)
            except NotFoundError:
                return []
        etag, known = self._looked[deployment_id]
        return [
            Versioned(StepRecord.from_json({**row, "spec": row.get("asks", {})}, ignore_unknown=True), etag)
            for row in known["steps"]
        ]

    def audit(self, deployment_id: str) -> list[AuditEntry]:
        """Return the audit, oldest entry first; it is empty if the deployment does not exist."""
        path, query, found = f"/deployments/{quote(deployment_id, safe='')}/audit", dict[str, str](), list[AuditEntry]()
        while True:
            try:
                answer = self._api.get(path, query)
            except NotFoundError:
                return []
            page = self._api.body(answer)
            rows = self._api.rows(answer, page, "items")
            found += [AuditEntry.from_json(row, ignore_unknown=True) for row in rows]
            if not page.get("next"):
                return found
            query = {"cursor": str(page["next"])}

    def page(
        self,
        limit: int,
        *,
        target: str | None = None,
        states: Collection[DeploymentState] = (),
        open_only: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> list[DeploymentRecord]:
        """Return headers as the port says, by as many requests as necessary."""
        query = {"target": target} if target is not None else {}
        query |= {"state": ",".join(states)} if states else {}
        query |= {"open": "true"} if open_only else {}
        query |= {"label": ",".join(f"{name}={value}" for name, value in labels.items())} if labels else {}
        query |= {"limit": str(max(1, min(limit, _PAGE)))}
        found: list[DeploymentRecord] = []
        while True:
            answer = self._api.get("/deployments", query)
            page = self._api.body(answer)
            items = self._api.rows(answer, page, "items")
            found += [DeploymentRecord.from_json(item, ignore_unknown=True) for item in items]
            if not page.get("next") or len(found) >= limit:
                return found[:limit]
            query["cursor"] = str(page["next"])


class RemoteBreakers:
    """Implements the port `BreakerAdmin`."""

    def __init__(self, api: RemoteApi) -> None:
        self._api = api

    def items(self) -> list[JsonObject]:
        """Return all breakers. Raises as RemoteApi."""
        answer = self._api.get("/breakers")
        return self._api.rows(answer, self._api.body(answer), "items")

    def reset(self, name: str) -> JsonObject:
        """Close a breaker for all workers. Raises NotFoundError, and as RemoteApi."""
        return self._api.post(f"/breakers/{quote(name, safe='')}/reset", b"", "application/json")


class RemoteAdmin:
    """Sends submissions and commands as requests, and reads health and plans. Blobs of a submission stay in memory."""

    def __init__(self, api: RemoteApi) -> None:
        self._api = api
        self._blobs: dict[str, bytes] = {}

    @property
    def breakers(self) -> "RemoteBreakers":
        """Return the app's circuit breakers."""
        return RemoteBreakers(self._api)

    def health(self) -> JsonObject:
        """Return the details of the app's health. Raises as RemoteApi."""
        return self._api.health()

    def plan(self, manifest: Any) -> JsonObject:
        """Return the dry run of a packed manifest, as the app's identity sees the tenant. Raises as RemoteApi."""
        return self._api.post("/plan", canonical(manifest).encode("utf-8", "surrogatepass"), "application/json")

    def put(self, content: bytes) -> str:
        """Keep a blob and return its digest; it is sent with the submission that names it."""
        digest = hashlib.sha256(content).hexdigest()
        self._blobs[digest] = content
        return digest

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Return those of the digests that the app has not stored. Raises as RemoteApi."""
        found: list[str] = []
        wanted = list(dict.fromkeys(digests))
        for start in range(0, len(wanted), _DIGESTS):
            body = canonical({"digests": wanted[start : start + _DIGESTS]}).encode()
            answer = self._api.post("/payloads/missing", body, "application/json")
            found += [str(digest) for digest in as_list(answer.get("missing")) or []]
        return found

    def put_pieces(self, digest: str, size: int, pieces: Iterable[bytes]) -> None:
        """Store a content with the app, in pieces. Raises as RemoteApi."""
        self._api.put(f"/payloads/{digest}", _Pieces(size, pieces))

    def get(self, digest: str, room: Callable[[int], None] | None = None) -> bytes:
        """Return a blob of a submission, which is in memory already. Raises NotFoundError."""
        if digest not in self._blobs:
            raise NotFoundError("the API does not return payloads")
        return self._blobs[digest]

    def submit(self, text: str, delay_seconds: float = 0.0) -> None:
        """Send a message now. Raises InvalidInputError if the app rejects it, ConflictError if the id belongs to
        another manifest or the state does not allow the command, and as RemoteApi; SagaError if a delay is
        requested."""
        if delay_seconds:
            raise SagaError("over the API, nothing can be sent for later")
        message: JsonObject = json.loads(text)
        requester = str(message.get("requested_by") or "")
        if "command" in message:
            body = {name: value for name in ("reason", "step") if (value := message.get(name))}
            path = f"/deployments/{quote(message['deployment_id'], safe='')}/{message['command']}"
            self._api.post(path, canonical({"requested_by": requester, **body}).encode(), "application/json")
            return
        query = {"id": message["deployment_id"]} | ({"requested_by": requester} if requester else {})
        traceparent = str(message.get("traceparent") or "")
        self._api.post("/deployments", self._body(message), "application/yaml", query, traceparent)

    def redeploy(
        self, deployment_id: str, new_id: str, requested_by: str, labels: Mapping[str, str] | None = None
    ) -> JsonObject:
        """Submit the manifest of an ended deployment under a new id, with these labels in place of its own (None: with
        its own). Raises ConflictError if that is not possible, and as `submit`."""
        body: JsonObject = {"id": new_id} | ({"requested_by": requested_by} if requested_by else {})
        if labels is not None:
            body["labels"] = dict(labels)
        path = f"/deployments/{quote(deployment_id, safe='')}/redeploy"
        return self._api.post(path, canonical(body).encode(), "application/json")

    def _body(self, message: JsonObject) -> bytes:
        """Return the manifest as it was written. JSON is also YAML, and an unreadable manifest is sent unchanged, so
        that the app answers what is wrong."""
        if "manifest_blob" in message:
            return self._blobs.pop(message["manifest_blob"])
        if "manifest_text" in message:
            return str(message["manifest_text"]).encode("utf-8", "surrogatepass")
        return canonical(message["manifest"]).encode("utf-8", "surrogatepass")
