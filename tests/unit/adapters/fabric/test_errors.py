"""From Fabric's responses to the app's errors: the code decides, whatever the status; a Retry-After is parsed or
ignored."""

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.fabric.errors import MAX_RETRY_AFTER_SECONDS, error_from, retry_after
from shared.domain.errors import (
    MESSAGE_LIMIT,
    FabricAmbiguousError,
    FabricAuthError,
    FabricConflictError,
    FabricError,
    FabricNameReservedError,
    FabricNotFoundError,
    FabricRefusedError,
    FabricTransientError,
)
from shared.domain.fabric_codes import CODES, FAILURE_CODES, TOKEN_CODES, WAIT_CODES
from shared.domain.remedies import recorded, remedy

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def answer(status: int, body: dict[str, Any] | None = None, *, mutating: bool = False, **headers: str) -> FabricError:
    """Return the error of a response."""
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return error_from("POST /x", status, named, body, is_mutating=mutating, now=NOW)


@pytest.mark.parametrize("mutating", [False, True])
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 408, 409, 410, 429, 500, 503])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ItemDisplayNameNotAvailableYet", FabricNameReservedError),
        ("ItemDisplayNameAlreadyInUse", FabricConflictError),
        ("WorkspaceNameAlreadyExists", FabricConflictError),
        ("PrincipalAlreadyHasWorkspaceRolePermissions", FabricConflictError),
        ("EntityNotFound", FabricNotFoundError),
        ("ItemNotFound", FabricNotFoundError),
        ("WorkspaceNotFound", FabricNotFoundError),
        ("OperationNotFound", FabricNotFoundError),
        ("PrincipalNotFound", FabricTransientError),
        ("CapacityNotFound", FabricTransientError),
        ("FeatureNotAvailable", FabricRefusedError),
        ("InvalidInput", FabricRefusedError),
        ("GitProviderResourceNotFound", FabricRefusedError),
        ("MissingInitializationStrategy", FabricRefusedError),
        ("DuplicateLogicalId", FabricRefusedError),
        ("OperationHasNoResult", FabricRefusedError),
        ("InsufficientPrivileges", FabricAuthError),
        ("TokenExpired", FabricAuthError),
        ("InsufficientScopes", FabricAuthError),
        ("CapacityNotActive", FabricTransientError),
        ("RequestBlocked", FabricTransientError),
        ("WorkspacePreviousOperationInProgress", FabricTransientError),
    ],
)
def test_error_code_decides_whatever_the_status(
    code: str, kind: type[FabricError], status: int, mutating: bool
) -> None:
    """The same code has come with 400 and with 409, so the code decides the type."""
    error = answer(status, {"errorCode": code, "message": "m"}, mutating=mutating)
    assert type(error) is kind
    assert (error.error_code, error.status) == (code, status)
    assert type(answer(status, None, mutating=mutating, x_ms_public_api_error_code=code)) is kind


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500])
@pytest.mark.parametrize("code", sorted(FAILURE_CODES))
def test_error_code_of_a_failure_leaves_the_effect_open(code: str, status: int) -> None:
    """Fabric itself failed: a read is retried, and after a call that changes something the app looks first."""
    assert type(answer(status, {"errorCode": code})) is FabricTransientError
    assert type(answer(status, {"errorCode": code}, mutating=True)) is FabricAmbiguousError


def test_error_unknown_to_fabric_is_a_failure_unless_the_status_says_more() -> None:
    """Fabric has answered deletes with 400 UnknownError and performed them later."""
    kinds = [type(answer(s, {"errorCode": "UnknownError"}, mutating=True)) for s in (400, 500, 403, 404, 409)]
    assert kinds == [
        FabricAmbiguousError,
        FabricAmbiguousError,
        FabricAuthError,
        FabricNotFoundError,
        FabricConflictError,
    ]


@pytest.mark.parametrize(
    ("status", "read", "mutation"),
    [
        (302, FabricRefusedError, FabricRefusedError),
        (400, FabricRefusedError, FabricRefusedError),
        (401, FabricAuthError, FabricAuthError),
        (403, FabricAuthError, FabricAuthError),
        (404, FabricNotFoundError, FabricNotFoundError),
        (408, FabricTransientError, FabricAmbiguousError),
        (409, FabricConflictError, FabricConflictError),
        (410, FabricRefusedError, FabricRefusedError),
        (429, FabricTransientError, FabricTransientError),
        (430, FabricTransientError, FabricTransientError),
        (500, FabricTransientError, FabricAmbiguousError),
        (502, FabricTransientError, FabricAmbiguousError),
        (503, FabricTransientError, FabricAmbiguousError),
        (504, FabricTransientError, FabricAmbiguousError),
    ],
)
def test_error_status_decides_if_the_code_is_not_known(
    status: int, read: type[FabricError], mutation: type[FabricError]
) -> None:
    """Without a known code, a 5xx leaves the effect of a mutating call open, and makes a read transient."""
    bodies: list[dict[str, Any] | None] = [None, {}, {"errorCode": "NeverSeen"}, {"errorCode": None, "message": 7}]
    for body in bodies:
        assert type(answer(status, body)) is read
        assert type(answer(status, body, mutating=True)) is mutation


def test_error_of_throttling_is_not_an_attempt() -> None:
    """Throttling and a busy workspace are not a failed attempt, whatever the status; every other error is one."""
    for code in WAIT_CODES:
        assert not answer(400, {"errorCode": code}, mutating=True).counts_as_attempt
    assert not answer(429).counts_as_attempt
    assert not answer(430, {"errorCode": "NeverSeen"}).counts_as_attempt
    assert answer(429, {"errorCode": "InvalidInput"}).counts_as_attempt
    assert answer(503).counts_as_attempt
    assert answer(400, {"errorCode": "CapacityNotActive"}).counts_as_attempt


def test_error_retriable_flag_changes_only_a_refusal() -> None:
    """isRetriable makes an unknown or final refusal transient; an error that needs a look or a person stays as
    it is."""
    assert type(answer(400, {"errorCode": "NeverSeen", "isRetriable": True})) is FabricTransientError
    assert type(answer(400, {"errorCode": "FeatureNotAvailable", "isRetriable": True})) is FabricTransientError
    assert type(answer(404, {"errorCode": "ItemNotFound", "isRetriable": True})) is FabricNotFoundError
    assert type(answer(403, {"errorCode": "InsufficientPrivileges", "isRetriable": True})) is FabricAuthError
    assert type(answer(400, {"errorCode": "NeverSeen", "isRetriable": "true"})) is FabricRefusedError
    assert type(answer(500, {"isRetriable": False}, mutating=True)) is FabricAmbiguousError
    assert [answer(400, {"isRetriable": v}).is_retriable for v in (True, False, "yes", None)] == [
        True,
        False,
        None,
        None,
    ]


def test_error_table_has_only_types_that_decide_the_next_action() -> None:
    """No code maps to ambiguity, which means a missing response, nor to the base class."""
    assert not {FabricAmbiguousError, FabricError} & set(CODES.values())
    assert not WAIT_CODES & CODES.keys()
    assert not FAILURE_CODES & CODES.keys()
    assert CODES.keys() > TOKEN_CODES


@pytest.mark.parametrize("code", ["PrincipalNotFound", "CapacityNotFound", "ItemNotFound"])
def test_error_of_a_resource_that_may_be_new_says_so(code: str) -> None:
    """A resource that was created just now may not be known everywhere yet."""
    assert "just now" in recorded(answer(400, {"errorCode": code})).remedy


@pytest.mark.parametrize(
    ("code", "field"),
    [("MissingInitializationPolicy", "initializationStrategy"), ("PrincipalTypeNotSupported", "connectionId")],
)
def test_refused_connection_with_git_names_the_field_that_mends_it(code: str, field: str) -> None:
    assert field in remedy(answer(400, {"errorCode": code}))


def test_error_reads_every_shape_of_body() -> None:
    """Flat, nested under `error`, with details, or with headers only: code, message and request id are found."""
    flat = answer(400, {"errorCode": "C", "message": "m", "requestId": "r"})
    assert (flat.error_code, flat.detail, flat.request_id) == ("C", "m", "r")
    beside = answer(400, {"errorCode": "ItemNotFound", "error": {"code": 7, "message": "m"}})
    assert (type(beside), beside.detail) == (FabricNotFoundError, "m")
    nested = answer(400, {"error": {"code": "C", "message": "m", "requestId": "r"}}, requestid="other")
    assert (nested.error_code, nested.detail, nested.request_id) == ("C", "m", "r")
    detailed = answer(400, {"message": "m", "moreDetails": [None, 1, {"message": ""}, {"message": "why"}]})
    assert detailed.detail == "m (why)"
    assert answer(400, {"moreDetails": [{"message": "why"}]}).detail == "why"
    bare = answer(404, None, x_ms_public_api_error_code="EntityConflict", requestid="r")
    assert (type(bare), bare.request_id, bare.detail) == (FabricConflictError, "r", "HTTP 404 without a message")


def test_error_text_is_one_bounded_line() -> None:
    """Fabric's message is cut, and its line ends do not reach a log."""
    error = answer(400, {"message": "line\r\nline\t" * 1000, "errorCode": "C\nD"})
    assert len(error.detail) == MESSAGE_LIMIT
    assert "\n" not in str(error)
    assert str(answer(400, {"errorCode": "C", "message": "m", "requestId": "r"})) == (
        "POST /x: HTTP 400 C: m (request r)"
    )


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["errorCode", "code", "message", "moreDetails", "requestId", "isRetriable", "error"]


@given(st.integers(300, 599), st.dictionaries(st.sampled_from(FIELDS), ANY_JSON), st.booleans(), st.text(max_size=30))
def test_error_of_any_body_has_a_type(status: int, body: dict[str, Any], mutating: bool, text: str) -> None:
    """For any content of the fields the error is one of the app's own, with the status."""
    error = answer(status, body, mutating=mutating, retry_after=text)
    assert isinstance(error, FabricError)
    assert error.status == status
    assert error.error_code is None or isinstance(error.error_code, str)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("20", 20.0),
        (" 58 ", 58.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("3600", 3600.0),
        ("3601", MAX_RETRY_AFTER_SECONDS),
        ("9" * 400, MAX_RETRY_AFTER_SECONDS),
        ("inf", MAX_RETRY_AFTER_SECONDS),
        ("-inf", 0.0),
        ("nan", None),
        ("", None),
        ("  ", None),
        ("soon", None),
        ("0x10", None),
        ("10 seconds", None),
        ("1,5", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_SECONDS),
        ("Sun, 01 Mar 2026 12:00:30", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2020 00:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_none(text: str, seconds: float | None) -> None:
    """Whole or fractional seconds, or a date; never negative, never more than an hour; invalid text counts as
    absent."""
    assert retry_after({"retry-after": text}, NOW) == seconds
    assert answer(429, None, retry_after=text).retry_after_seconds == seconds


def test_retry_after_that_is_absent_is_none() -> None:
    assert retry_after({}, NOW) is None


@given(
    st.text(max_size=60)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,30} [A-Z][a-z]{2} [0-9]{1,30} [0-9:]{1,20} [+-]?[0-9A-Z]{0,30}")
)
@example("Mon, 01 Jan 2020 99999999999999999999:00:00 GMT")
def test_retry_after_of_any_text_is_a_valid_delay(text: str) -> None:
    """No header can break the parsing, because the response may belong to a call that took effect."""
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER_SECONDS


def test_error_types_do_not_depend_on_the_order_of_fields() -> None:
    fields = {"errorCode": "ItemNotFound", "message": "m", "requestId": "r", "isRetriable": False}
    texts = {str(answer(400, dict(order))) for order in itertools.permutations(fields.items())}
    assert len(texts) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_error_says_what_it_is_and_what_to_correct(status: int) -> None:
    """A proxy or a sign-in page answered; Fabric refused nothing."""
    error = error_from("GET /workspaces", status, {"location": "https://x.example"}, None, is_mutating=False, now=NOW)
    assert f"HTTP {status} leads to another address, which is not followed" in error.detail
    assert "FABRIC_API_BASE_URL" in remedy(error)
    assert "x.example" not in str(error)
