"""The debug log of what an adapter's error leaves out."""

import logging

import pytest

from shared.adapters.causes import causes_of, log_cause
from shared.adapters.storage.clients import mapped
from shared.domain.errors import StorageUnavailableError


class Foreign(Exception):
    """A vendor's error that keeps its cause as an attribute."""

    def __init__(self, text: str, reason: BaseException | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.status_code = 503


def raised(error: Exception) -> Exception:
    """Return the error with a traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


def test_causes_are_logged_with_types_statuses_and_places(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "shared.adapters.causes")
    own = StorageUnavailableError("no answer")
    assert log_cause(own, raised(Foreign("x", ConnectionRefusedError(111, "refused")))) is own
    (line,) = caplog.messages
    assert line.startswith("StorageUnavailableError: ")
    assert "Foreign HTTP 503 at test_causes.py:" in line
    assert "<- builtins.ConnectionRefusedError errno 111" in line


def test_causes_are_logged_without_their_texts(caplog: pytest.LogCaptureFixture) -> None:
    """A vendor's text may contain a key or a signed address."""
    caplog.set_level(logging.DEBUG)
    log_cause(ValueError("own"), Foreign("sig=SECRET", OSError("key=SECRET")))
    assert caplog.messages
    assert "SECRET" not in caplog.text


def test_causes_are_not_walked_unless_debug_is_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_cause(ValueError("own"), Foreign("x"))
    assert caplog.messages == []


def test_causes_that_refer_to_each_other_end() -> None:
    error, other = Foreign("a"), Foreign("b")
    error.reason, other.reason = other, error
    assert causes_of(error) == [error, other]


def test_storage_logs_the_causes_of_its_errors(caplog: pytest.LogCaptureFixture) -> None:
    from azure.core.exceptions import ServiceRequestError

    caplog.set_level(logging.DEBUG, "shared.adapters.causes")
    with pytest.raises(StorageUnavailableError), mapped("table", "read"):
        raise ServiceRequestError("https://account.example/?sig=SECRET")
    assert "azure.core.exceptions.ServiceRequestError" in caplog.text
    assert "SECRET" not in caplog.text
