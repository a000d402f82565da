"""fabric_retry: the engine's classification of errors for users' own functions, and never a doubled effect."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
import requests

from shared.domain.errors import (
    FabricAmbiguousError,
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricNameReservedError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
)
from shared.scripting.resilience import fabric_retry


@pytest.fixture(autouse=True)
def retry_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the feature on, as in the sample settings."""
    monkeypatch.setenv("FEATURE_USE_RETRY_LOGIC", "true")


class Flaky:
    """A function that raises the given errors in turn, and then returns."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.slept: list[float] = []

    def __call__(self, value: int = 7) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value

    def through(self, **options: Any) -> int:
        """Call it through the decorator, with a sleep that only records."""
        call: Callable[[], int] = fabric_retry(sleep=self.slept.append, **options)(lambda: self())
        return call()


def transient(**fields: Any) -> FabricTransientError:
    """Return a 503."""
    return FabricTransientError("x", call="GET /x", status=503, **fields)


def answered(status: int, method: str = "GET", headers: dict[str, str] | None = None, body: str = "{}") -> Exception:
    """Return the error that requests raises for such a response."""
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers or {})
    response._content = body.encode()
    response.request = requests.Request(method, "https://api.fabric.microsoft.com/v1/workspaces").prepare()
    return requests.HTTPError("x", response=response)


def unanswered(kind: type[requests.RequestException], method: str) -> Exception:
    """Return the error that requests raises without a response."""
    return kind("x", request=requests.Request(method, "https://x.example").prepare())


def test_fabric_retry_with_and_without_arguments() -> None:
    """Both forms keep the function's name, arguments and result."""

    @fabric_retry
    def plain(value: int) -> int:
        """Words."""
        return value

    @fabric_retry(max_attempts=2)
    def given(value: int) -> int:
        return value + 1

    assert (plain(1), given(value=1)) == (1, 2)
    assert (plain.__name__, plain.__doc__) == ("plain", "Words.")


@pytest.mark.parametrize(
    "error",
    [
        transient(),
        FabricNameReservedError("x", call="POST /x"),
        FabricTransientError("x", call="POST /x", status=429, counts_as_attempt=False),
        answered(503),
        answered(408),
        answered(429, "POST"),
        answered(400, "POST", body='{"errorCode": "ItemDisplayNameNotAvailableYet"}'),
        answered(400, "POST", body='{"errorCode": "Odd", "isRetriable": true}'),
        unanswered(requests.ConnectTimeout, "POST"),
        unanswered(requests.ReadTimeout, "GET"),
        unanswered(requests.ConnectionError, "GET"),
    ],
)
def test_fabric_retry_repeats_transient_errors(error: BaseException) -> None:
    """It decides by the same table as the engine."""
    flaky = Flaky(error, error)
    assert flaky.through() == 7
    assert flaky.calls == 3
    assert all(1.0 <= seconds <= 60.0 for seconds in flaky.slept)


@pytest.mark.parametrize(
    "error",
    [
        FabricRefusedError("x", call="POST /x", status=400),
        FabricAuthError("x", call="GET /x", status=403),
        FabricConflictError("x", call="POST /x", status=409),
        FabricNotFoundError("x", call="GET /x", status=404),
        answered(400, "POST"),
        answered(401),
        answered(403),
        answered(404),
        answered(409, "POST", body='{"errorCode": "ItemDisplayNameAlreadyInUse"}'),
        ValueError("a bug of the caller's"),
        OSError("a file of the caller's"),
        KeyboardInterrupt(),
    ],
)
def test_fabric_retry_raises_final_errors_at_once(error: BaseException) -> None:
    """It is the same error object, after one call."""
    flaky = Flaky(error)
    with pytest.raises(type(error)) as caught:
        flaky.through(idempotent=True)
    assert caught.value is error
    assert (flaky.calls, flaky.slept) == (1, [])


@pytest.mark.parametrize(
    "error",
    [
        FabricAmbiguousError("x", call="POST /x"),
        answered(500, "POST"),
        answered(504, "PATCH"),
        unanswered(requests.ReadTimeout, "POST"),
        unanswered(requests.ConnectionError, "DELETE"),
        requests.ConnectionError("of a call that is not known"),
    ],
)
def test_fabric_retry_repeats_no_call_that_may_have_taken_effect(error: BaseException) -> None:
    """Such a call is repeated only if its caller declares it idempotent."""
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        flaky.through()
    assert flaky.calls == 1
    flaky = Flaky(error)
    assert flaky.through(idempotent=True) == 7
    assert flaky.calls == 2


def test_fabric_retry_gives_up_after_its_attempts_with_the_last_error() -> None:
    """Every attempt counts, throttled ones too."""
    errors: list[FabricError] = [FabricTransientError(str(i), call="x", counts_as_attempt=False) for i in range(9)]
    flaky = Flaky(*errors)
    with pytest.raises(FabricTransientError) as caught:
        flaky.through(max_attempts=4)
    assert caught.value is errors[3]
    assert flaky.calls == 4


def test_fabric_retry_waits_within_its_bounds_with_jitter() -> None:
    """Full jitter between the minimum and the maximum wait."""
    flaky = Flaky(*[transient() for _ in range(30)])
    flaky.through(max_attempts=31, min_wait=2.0, max_wait=9.0)
    assert all(2.0 <= seconds <= 9.0 for seconds in flaky.slept)
    assert len(set(flaky.slept[4:])) > 5


def test_fabric_retry_obeys_retry_after_exactly_or_gives_up() -> None:
    """It never retries too early: a Retry-After above the maximum wait is raised at once."""
    flaky = Flaky(transient(retry_after_seconds=7.0), answered(429, headers={"Retry-After": "11"}))
    assert flaky.through() == 7
    assert flaky.slept == [7.0, 11.0]
    flaky = Flaky(answered(429, headers={"Retry-After": "61"}))
    with pytest.raises(requests.HTTPError):
        flaky.through()
    assert (flaky.calls, flaky.slept) == (1, [])


def test_fabric_retry_switched_off_calls_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag is read at each call, and not when the module is imported."""
    flaky = Flaky(transient())
    call = fabric_retry(flaky)
    monkeypatch.setenv("FEATURE_USE_RETRY_LOGIC", "false")
    with pytest.raises(FabricTransientError):
        call()
    assert flaky.calls == 1


def test_fabric_retry_refuses_invalid_arguments() -> None:
    """Invalid bounds and coroutines are refused at the decorator."""

    async def later() -> None:
        return

    for options in ({"max_attempts": 0}, {"min_wait": 5.0, "max_wait": 1.0}, {"min_wait": -1.0}):
        with pytest.raises(ValueError, match="max_attempts"):
            fabric_retry(**options)  # pyright: ignore[reportCallIssue, reportArgumentType]  # any of them
    with pytest.raises(TypeError):
        fabric_retry(later)


def test_fabric_retry_logs_no_text_of_another_librarys_error(caplog: pytest.LogCaptureFixture) -> None:
    """The text may quote the request, and with it a token."""
    flaky = Flaky(requests.ConnectTimeout("Bearer hush"))
    flaky.through(idempotent=True)
    assert "ConnectTimeout" in caplog.text
    assert "hush" not in caplog.text


class _Server(BaseHTTPRequestHandler):
    answers: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        status = self.answers.pop(0)
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None: ...


def test_fabric_retry_works_with_requests() -> None:
    """The calls go to a real server, and to a port without a listener."""
    _Server.answers = [503, 429, 200]
    server = HTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    slept: list[float] = []

    @fabric_retry(sleep=slept.append)
    def get() -> int:
        answer = requests.get(f"http://127.0.0.1:{server.server_port}/v1/workspaces", timeout=20)
        answer.raise_for_status()
        return answer.status_code

    try:
        assert get() == 200
    finally:
        server.shutdown()
        server.server_close()
    assert len(slept) == 2

    @fabric_retry(max_attempts=2, sleep=slept.append)
    def post() -> None:
        requests.post("http://127.0.0.1:1/v1/workspaces", timeout=5)

    with pytest.raises(requests.ConnectionError):
        post()
    assert len(slept) == 3, "a call that was not sent must be retried"
