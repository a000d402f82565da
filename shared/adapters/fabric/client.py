"""The client of the Fabric REST API: typed answers, typed errors, paging, operations. Implements the port `Fabric`.

An operation is polled once for each call of `poll`; the client never waits for one.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import tenacity

from shared.adapters.fabric.errors import code_of, error_from, retry_after, text_of
from shared.adapters.fabric.responses import next_token, normal, operation_state, read_json, rows_of
from shared.adapters.fabric.token_identity import identity_of
from shared.adapters.fabric.transport import AnswerLostError, NothingSentError
from shared.domain.address import AddressError, read
from shared.domain.errors import FabricAmbiguousError, FabricError, FabricRefusedError, FabricTransientError
from shared.domain.fabric_codes import TOKEN_CODES
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import FabricReply, Gate, OperationStarted, OperationStatus, Tokens, Transport
from shared.domain.redaction import MASK
from shared.domain.states import OperationState

log = logging.getLogger(__name__)

OPERATION_DOMAINS = (".fabric.microsoft.com", ".analysis.windows.net", ".powerbi.com")
"""Domains of operations: 656 of 663 recorded Locations are on wabi-<region>-redirect.analysis.windows.net."""
_OPERATION_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_MAX_PAGES = 10_000
_MIN_TOKEN = 15
"""Characters. A shorter token is used only by tests, and masking it would remove letters from words."""


class FabricClient:
    """Thread-safe. A read is retried in the process for a few seconds after a transient error. A mutating call is sent
    once, and repeated only if it certainly did not arrive (no connection) or was refused unread (401).
    """

    def __init__(
        self,
        base_url: str,
        tokens: Tokens,
        transport: Transport,
        *,
        operation_hosts: frozenset[str] = frozenset(),
        gate: Gate | None = None,
        attempts: int = 3,
        budget_seconds: float = 6.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._tokens = tokens
        self._transport = transport
        self._gate = gate
        self._operation_hosts = {host.lower() for host in operation_hosts} | {read(self._base).netloc}
        self._now = now
        self._read_retry = self._retry(tenacity.retry_if_exception(_is_transient), attempts, budget_seconds, sleep)
        self._send_retry = self._retry(tenacity.retry_if_exception(_not_sent), attempts, budget_seconds, sleep)

    def identity(self) -> str:
        """Return the object id in the current token; empty if the token does not contain it. Raises as
        `Tokens.token`."""
        return identity_of(self._tokens.token())

    def get(self, path: str, query: dict[str, str] | None = None) -> JsonObject:
        """Return one resource in the normal form (responses.py). Raises subclasses of FabricError."""
        return normal(self._read(self._url(path, query), f"GET {path}")[2] or {})

    def list(self, path: str, query: dict[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield the rows of all pages, by continuationToken. Raises FabricRefusedError if a token repeats, and
        FabricTransientError if a page does not say clearly whether it is the last one."""
        seen: set[str] = set()
        parameters = dict(query or {})
        for _ in range(_MAX_PAGES):
            page = self._read(self._url(path, parameters), f"GET {path}")[2] or {}
            yield from rows_of(page, f"GET {path}")
            token = next_token(page, f"GET {path}")
            if not token:
                return
            if token in seen:
                break
            seen.add(token)
            parameters["continuationToken"] = token
        raise FabricRefusedError("the pages of this list lead round in a circle", call=f"GET {path}")

    def send(
        self, method: str, path: str, body: JsonObject | None = None, query: dict[str, str] | None = None
    ) -> FabricReply:
        """Send one mutating call. Raises FabricAmbiguousError if it may have had its effect."""
        content = None if body is None else json.dumps(body).encode()
        url, call = self._url(path, query), f"{method} {path}"
        status, headers, answer = self._send_retry(self._exchange, method, url, call, content, True)
        return FabricReply(status, None if answer is None else normal(answer), self._operation(status, headers))

    def poll(self, operation_id: str, location: str | None) -> OperationStatus:
        """Poll a long-running operation once, at its own Location if that is one of Fabric's."""
        url = self._operation_url(operation_id, location)
        _, headers, body = self._read(url, f"GET /operations/{operation_id}")
        state, unknown = operation_state((body or {}).get("status"))
        if unknown:
            log.warning("operation %s: %s; it is asked about again", operation_id, unknown)
        if state is OperationState.SUCCEEDED:
            return OperationStatus(OperationState.SUCCEEDED, has_result="location" in headers)
        if state is OperationState.RUNNING:
            return OperationStatus(OperationState.RUNNING, has_result=False, message=unknown)
        error = as_object((body or {}).get("error")) or {}
        retriable = error.get("isRetriable")
        return OperationStatus(
            OperationState.FAILED,
            has_result=False,
            error_code=text_of(error.get("errorCode")),
            message=text_of(error.get("message")),
            is_retriable=retriable if isinstance(retriable, bool) else None,
            request_id=text_of(error.get("requestId")) or headers.get("requestid"),
        )

    def result(self, operation_id: str, location: str | None) -> JsonObject | None:
        """Return the result of a succeeded operation, or None if Fabric says that it has no result."""
        url = f"{self._operation_url(operation_id, location)}/result"
        try:
            body = self._read(url, f"GET /operations/{operation_id}/result")[2]
            return None if body is None else normal(body)
        except FabricError as error:
            if error.error_code == "OperationHasNoResult":
                return None
            raise

    def _read(self, url: str, call: str) -> tuple[int, dict[str, str], JsonObject | None]:
        return self._read_retry(self._exchange, "GET", url, call, None, False)

    def _exchange(
        self, method: str, url: str, call: str, content: bytes | None, is_mutating: bool
    ) -> tuple[int, dict[str, str], JsonObject | None]:
        token = self._tokens.token()
        status, headers, raw = self._once(method, url, call, content, token, is_mutating)
        if status == 401 or _is_of_token(status, headers, raw):
            # The call was refused unread, so it can be sent again, once, with a new token: the old one may have
            # expired.
            self._tokens.invalidate(token)
            status, headers, raw = self._once(method, url, call, content, self._tokens.token(), is_mutating)
        body = _json(raw)
        if 200 <= status < 300:
            if body is None and raw.strip() not in (b"", b"null"):
                kind = FabricAmbiguousError if is_mutating else FabricTransientError
                raise kind("the answer is not JSON: a proxy's page?", call=call, status=status)
            if not is_mutating and not raw.strip():
                # Fabric answers reads with JSON, at least with `null`. An answer that was cut in its head looks like
                # this, and would be an empty list: the engine would create what exists already.
                raise FabricTransientError("the answer is empty: did it break off?", call=call, status=status)
            return status, headers, body
        raise error_from(call, status, headers, body, is_mutating=is_mutating, now=self._now())

    def _once(
        self, method: str, url: str, call: str, content: bytes | None, token: str, is_mutating: bool
    ) -> tuple[int, dict[str, str], bytes]:
        def exchange() -> tuple[int, dict[str, str], bytes]:
            return self._sent(method, url, call, content, token, is_mutating)

        return exchange() if self._gate is None else self._gate.through(method, call.partition(" ")[2], exchange)

    def _sent(
        self, method: str, url: str, call: str, content: bytes | None, token: str, is_mutating: bool
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the answer. An answer that may be a failure of the service is raised, so that the gate counts it."""
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        if content is not None:
            headers["content-type"] = "application/json"
        began = time.perf_counter()
        try:
            status, answered, raw = self._transport.exchange(method, url, headers, content)
        except NothingSentError as error:
            raise FabricTransientError(str(error), call=call) from None
        except AnswerLostError as error:
            kind = FabricAmbiguousError if is_mutating else FabricTransientError
            raise kind(str(error), call=call) from None
        if status >= 400 and len(token) > _MIN_TOKEN:
            # An answer that quotes the request would put the token into the journal.
            raw = raw.replace(token.encode(), MASK.encode())
        log.debug("%s: %d in %.3f s, request %s", call, status, time.perf_counter() - began, answered.get("requestid"))
        if (status == 408 or status >= 500) and not _is_of_token(status, answered, raw):
            raise error_from(call, status, answered, _json(raw), is_mutating=is_mutating, now=self._now())
        return status, answered, raw

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        parameters = "&".join(f"{quote(k)}={quote(v, safe='')}" for k, v in (query or {}).items())
        return f"{self._base}/v1{quote(path)}" + (f"?{parameters}" if parameters else "")

    def _operation(self, status: int, headers: Mapping[str, str]) -> OperationStarted | None:
        if status != 202:
            return None
        location = headers.get("location")
        named = (headers.get("x-ms-operation-id", "").strip(), _last_segment(location or ""))
        operation_id = next(filter(_OPERATION_ID.fullmatch, named), "")
        if not operation_id:
            # assignToCapacity is accepted without an operation to poll. If an id is not one that can be polled, what
            # the accepted call did is found by looking.
            return None
        return OperationStarted(operation_id, location, retry_after(headers, self._now()))

    def _operation_url(self, operation_id: str, location: str | None) -> str:
        """Return the operation's Location if the token may be sent there, else its documented address on the API's
        host."""
        if not _OPERATION_ID.fullmatch(operation_id):
            raise FabricRefusedError(f"{operation_id[:64]!r} is not an operation id", call="GET /operations/{id}")
        if location is not None and self.is_allowed(location):
            return location.split("?", 1)[0].rstrip("/")
        return f"{self._base}/v1/operations/{operation_id}"

    def is_allowed(self, location: str) -> bool:
        """Return True if a token may be sent to this address: Fabric's own domains over https, or what settings
        allow."""
        try:
            address = read(location)
        except AddressError:
            return False
        if address.netloc in self._operation_hosts:
            return address.scheme == "https" or address.is_loopback
        is_https = address.scheme == "https" and address.port in (None, 443)
        return is_https and address.host.endswith(OPERATION_DOMAINS)

    @staticmethod
    def _retry(
        when: tenacity.retry_base, attempts: int, budget_seconds: float, sleep: Callable[[float], None]
    ) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=when,
            stop=tenacity.stop_after_attempt(attempts) | tenacity.stop_after_delay(budget_seconds),
            wait=tenacity.wait_random_exponential(multiplier=0.3, max=2.0),
            sleep=sleep,
            reraise=True,
        )


def _last_segment(location: str) -> str:
    try:
        return urlsplit(location).path.rstrip("/").rsplit("/", 1)[-1]
    except ValueError:  # not an address; the call was accepted nevertheless
        return ""


def _is_transient(error: BaseException) -> bool:
    """Return True if a read can be repeated at once. If Fabric named a time, the engine comes back at that time."""
    return isinstance(error, FabricTransientError) and error.counts_as_attempt and error.retry_after_seconds is None


def _not_sent(error: BaseException) -> bool:
    """Return True if the connection failed. If the gate rejected the call, the engine comes back at the time that the
    gate named."""
    return (
        isinstance(error, FabricTransientError)
        and error.counts_as_attempt
        and error.status is None
        and not isinstance(error, FabricAmbiguousError)
    )


def _is_of_token(status: int, headers: Mapping[str, str], raw: bytes) -> bool:
    """Return True if an answer refuses the call because of its token, under whatever status."""
    return status >= 400 and code_of(headers, _json(raw)) in TOKEN_CODES


def _json(raw: bytes) -> JsonObject | None:
    try:
        return as_object(read_json(raw)) if raw else None
    except (ValueError, RecursionError):
        return None
