"""HTTP exchanges over pooled connections. An error says whether the request may have reached the server."""

from collections.abc import Mapping

import requests
from urllib3.exceptions import NewConnectionError

from shared.adapters.causes import log_cause
from shared.adapters.connections import EnvironmentSession, no_connection
from shared.domain.errors import FabricTransientError
from shared.domain.ports import Transport

MAX_ANSWER_BYTES = 64 * 1024 * 1024


class NothingSentError(Exception):
    """The connection failed, so the request had no effect."""


class AnswerLostError(Exception):
    """The request may have been received, but its answer was lost."""


class RequestsTransport:
    """Implements `Transport` with one session of `requests`. Redirects are not followed, and nothing is repeated."""

    def __init__(self, connect_timeout: float = 5.0, read_timeout: float = 30.0) -> None:
        self._timeouts = (connect_timeout, read_timeout)
        self._session = EnvironmentSession()

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body. Raises NothingSentError or AnswerLostError; an answer above 64 MiB is
        lost."""
        try:
            with self._session.request(
                method,
                url,
                headers=dict(headers),
                data=body,
                timeout=self._timeouts,
                allow_redirects=False,
                stream=True,
            ) as answer:
                content = answer.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
                if len(content) > MAX_ANSWER_BYTES:
                    raise AnswerLostError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
                return answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, content
        except AnswerLostError:
            raise
        except Exception as error:
            own = _own_error(error)
            if own is None:
                raise
            raise log_cause(own, error) from None


def _own_error(error: Exception) -> NothingSentError | AnswerLostError | None:
    """Return what an error says about the request, or None if it is not an error of the connection."""
    reason = _reason(error)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NothingSentError("no connection in time")
    if isinstance(error, requests.exceptions.ConnectionError):
        if why := no_connection(error):
            return NothingSentError(why)
        if isinstance(error, requests.exceptions.SSLError):
            # TLS also breaks after the request (a garbled record, an alert); only a certificate is certainly before it.
            return AnswerLostError(f"the secure connection broke: {reason}")
        if _never_connected(error):
            return NothingSentError(f"no connection: {reason}")
        return AnswerLostError(f"the connection broke: {reason}")
    if isinstance(error, requests.exceptions.RequestException):
        return AnswerLostError(f"no answer: {reason}")
    # A broken body is read below requests, which then does not wrap the error.
    if isinstance(error, OSError) or type(error).__module__.startswith("urllib3"):
        return AnswerLostError(f"the answer broke off: {reason}")
    return None


def answered_status(base_url: str, transport: Transport) -> int:
    """Return the status of a call without a token: any status proves that the service responds, and no quota is used.
    Raises FabricTransientError if the answer is missing; its text contains no address."""
    try:
        return transport.exchange("GET", f"{base_url}/v1/workspaces", {}, None)[0]
    except (NothingSentError, AnswerLostError) as error:
        raise FabricTransientError(str(error), call="GET /workspaces") from None


def _never_connected(error: requests.exceptions.ConnectionError) -> bool:
    cause: object = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", cause), NewConnectionError)


def _reason(error: Exception) -> str:
    """Return the type of the error; the text of urllib3 would repeat addresses and object ids."""
    cause: object = error.args[0] if error.args else error
    return type(getattr(cause, "reason", cause)).__name__
