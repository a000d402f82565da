"""The log: no outside text can forge a line, whatever logs it."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import bootstrap, entry, logs
from shared.adapters.telemetry.buffered import BufferedTelemetry, Signal
from shared.adapters.telemetry.envelope import message_of, texts
from shared.domain.errors import SagaError
from shared.domain.printable import escaped
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from tests.fakes import START
from tests.unit.web.conftest import MANIFEST, Api

FORGED = "WARNING shared.web.breakers circuit breaker items closed by hand by FORGED"
ENDS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"]
TURNS = ["\x00", "\x1b[2K", "\x9b", "\u202e", "\u2066", "\ud800", "\x7f"]
LINE = re.compile(r"(LINE [A-Z]+ \S+ |  \| )")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return the log as an ordinary handler writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("LINE %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("DEBUG")
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def check_lines(text: str) -> None:
    """Check that each line starts as the formatter or a traceback starts it, and that nothing in it moves a cursor."""
    lines = text.split("\n")
    assert lines[-1] == ""
    for line in lines[:-1]:
        assert line.isprintable(), line
        assert LINE.match(line), line
        assert not line.startswith("LINE WARNING shared.web.breakers")


def forging(end: str) -> str:
    """Return a text that would be a line of its own if its line end were written unchanged."""
    return f"x{end}LINE {FORGED}"


@given(st.text())
def test_escaped_text_is_one_printable_line_without_a_loss(text: str) -> None:
    """This holds for any text; printable characters stay unchanged."""
    line = escaped(text)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1
    assert line == text or not text.isprintable()
    assert "\\" in text or line.encode("latin-1", "backslashreplace").decode("unicode_escape") == text


@pytest.mark.parametrize("end", [*ENDS, *TURNS])
def test_log_message_is_one_line_wherever_the_text_is(log: io.StringIO, end: str) -> None:
    """The text may be in the message, in its arguments, in a mapping of them, or in an object's own text."""
    text, anywhere = forging(end), logging.getLogger("some.library")
    anywhere.warning(text)
    anywhere.warning("said: %s", text)
    anywhere.warning("said: %(what)s", {"what": text})
    anywhere.warning("said: %s", ValueError(text))
    check_lines(log.getvalue())
    assert log.getvalue().count("FORGED") == log.getvalue().count("LINE WARNING some.library") == 4


@pytest.mark.parametrize("end", [*ENDS, *TURNS])
def test_log_traceback_is_marked_line_by_line(log: io.StringIO, end: str) -> None:
    """The texts of the error, of its cause, of its notes and of the errors in its group."""
    try:
        try:
            raise KeyError(forging(end))
        except KeyError as cause:
            error = ExceptionGroup(forging(end), [ValueError(forging(end))])
            error.add_note(forging(end))
            raise error from cause
    except ExceptionGroup:
        logging.getLogger("some.library").exception("it failed: %s", forging(end))
    check_lines(log.getvalue())
    assert log.getvalue().count("LINE ERROR some.library it failed") == 1
    assert "Traceback (most recent call last)" in log.getvalue()


def test_log_record_of_another_process_keeps_its_own_traceback() -> None:
    """`makeLogRecord` fills in what another process or a vendor has set."""
    record = logging.makeLogRecord({"msg": "a\nb", "exc_text": " "})
    assert isinstance(record, logs.SafeRecord)
    assert (record.getMessage(), record.exc_text) == ("a\\nb", " ")


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85"])
@pytest.mark.parametrize("field", ["reason", "requested_by", "step"])
@pytest.mark.parametrize("verb", ["cancel", "retire", "resume", "approve"])
def test_log_of_a_verb_contains_no_line_of_its_caller(log: io.StringIO, field: str, verb: str, end: str) -> None:
    """This holds for an accepted verb and for a rejected one."""
    api = Api()
    for state in (D.RUNNING, D.SUCCEEDED, D.HELD):
        api.saga.deployment(state, S.PENDING, deployment_id=f"d-{state}")
        body = {"step": "s0", field: forging(end)}
        api.ask("POST", f"deployments/d-{state}/{verb}", body)
    check_lines(log.getvalue())


HOSTILE: list[Callable[[str], Any]] = [
    lambda text: {"command": "cancel", "deployment_id": "nobody", "requested_by": text, "reason": text},
    lambda text: {"command": text, "deployment_id": text},
    lambda text: {"deployment_id": text, "ordinal": text, "direction": text},
    lambda text: {"deployment_id": "q", "manifest": {**MANIFEST, "name": text, "target": text}, "requested_by": text},
    lambda text: {**MANIFEST, "name": text, "id": "q", text: text},
    lambda text: text,
]


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85", "\ud800"])
@pytest.mark.parametrize("made", HOSTILE)
def test_log_of_a_message_contains_no_line_of_its_sender(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch, made: Callable[[str], Any], end: str
) -> None:
    """A submission, a command, a step message, and anything else: accepted, rejected, dropped or poisoned."""
    api = Api()
    monkeypatch.setattr(bootstrap, "_app", api.app)
    monkeypatch.setattr(bootstrap, "orchestrations", lambda _: api.engine)
    content = json.dumps(made(forging(end))).encode()
    entry.accept(content, "m-1", None)
    entry.execute_step(content, None)
    entry.poisoned_step(content, None)
    entry.poisoned_deployment(content, "m-1")
    check_lines(log.getvalue())


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85"])
def test_log_of_a_fault_contains_no_line_of_its_text(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The text of an unexpected error, and the requested path, may come from a server or a caller."""
    api = Api()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(forging(end))

    monkeypatch.setattr(api.journal, "page", broken)
    assert api.ask("GET", "deployments").status == 500
    check_lines(log.getvalue())
    assert "ZeroDivisionError" in log.getvalue()


@pytest.mark.parametrize("end", [*ENDS, *TURNS])
def test_telemetry_text_is_one_line(end: str) -> None:
    """Properties, the texts of the app's own errors, and the lines for a person."""
    reported: list[Signal] = []
    telemetry = BufferedTelemetry(lambda: Kept(reported), lambda: START, linger_seconds=0.0)
    telemetry.event("RollbackStarted", {"reason": forging(end)})
    telemetry.trace(forging(end))
    telemetry.flush(10)
    [event, trace] = reported
    for text in (texts(event)["reason"], trace.name, message_of(SagaError(forging(end)))):
        assert text.isprintable()
        assert "FORGED" in text


class Kept:
    """An exporter that keeps the signals."""

    def __init__(self, signals: list[Signal]) -> None:
        self.signals = signals

    def send(self, signals: Any) -> None:
        self.signals += signals

    def close(self) -> None: ...


def test_requests_of_the_sdk_are_not_logged_at_information() -> None:
    """Each request to storage would be two records; host.json cannot switch them off in a worker."""
    assert bootstrap.app  # every process imports the composition root, which installs this
    assert not logging.getLogger("azure.core.pipeline.policies.http_logging_policy").isEnabledFor(logging.INFO)
