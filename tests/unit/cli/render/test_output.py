"""The output: lines for people, JSON lines for programs, and nothing that could harm a terminal."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest

from shared.cli.render.markdown import document
from shared.cli.render.output import JsonOutput, LineOutput, LiveOutput, choose, summary, verdict
from shared.cli.render.timeline import WIDTH, clean, timeline
from shared.domain.errors import Problem
from shared.domain.records import RecordedError
from shared.domain.states import DeploymentState, StepState
from tests.fakes import START
from tests.unit.cli.sample_records import FORBIDDEN, HOSTILE, error, failed_steps, header, step


def json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return every line, parsed."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_output_lines_report_each_move_once() -> None:
    """Each move is printed as one line; a step that has not moved since, or that still waits, is not printed."""
    stream = io.StringIO()
    output = LineOutput(stream)
    for _ in range(2):
        output.progress(header(), [step(0, StepState.INTENT), step(1, StepState.PENDING)])
    output.progress(header(), [step(0, StepState.FAILED, error=error()), step(1, StepState.PENDING)])
    lines = stream.getvalue().splitlines()
    assert [line.split() for line in lines[:2]] == [["deployment", "running"], ["s0", "intent"]]
    assert lines[2].endswith("failed: Fabric said no")
    assert len(lines) == 3


def test_output_reports_a_waiting_approval_once() -> None:
    """However often it is read; its approval is reported too."""
    for kind in (LineOutput, JsonOutput):
        stream = io.StringIO()
        output = kind(stream)
        waits = step(0, StepState.PENDING, kind="approval", started_at=START, spec={"message": "may it?"})
        for _ in range(3):
            output.progress(header(), [waits])
        output.progress(header(), [step(0, StepState.SUCCEEDED, kind="approval")])
        lines = stream.getvalue().splitlines()
        assert len(lines) == 3
        assert "may it?" in lines[1]
        assert "succeeded" in lines[2]


def test_output_json_lines_contain_the_whole_end() -> None:
    """Every line is one JSON object in ASCII; the last one has the header, all steps and the exit code."""
    stream = io.StringIO()
    output = JsonOutput(stream)
    output.progress(header(name="Größe\u202e"), [step(0, StepState.INTENT)])
    output.ended(header(DeploymentState.STUCK, name="Größe\u202e", error=error()), failed_steps(), 3)
    assert stream.getvalue().isascii()
    lines = json_lines(stream)
    assert [line["event"] for line in lines[:2]] == ["state", "state"]
    last = lines[-1]
    assert (last["event"], last["exit_code"], last["deployment"]["name"]) == ("ended", 3, "Größe\u202e")
    assert [s["state"] for s in last["steps"]] == ["compensated", "failed", "compensation_failed", "succeeded"]
    assert all("spec" not in s and "claim" not in s for s in last["steps"])
    reported = next(line for line in lines if line.get("subject") == "s1")
    assert reported["error_code"] == "InsufficientPrivileges"
    assert reported["remedy"] == "Ask for a role."


def test_output_summary_contains_what_failed_and_what_to_do() -> None:
    """Each failed step with its call, code, request id and remedy; the steps that are not compensated; the verdict."""
    text = "\n".join(summary(header(DeploymentState.STUCK, error=error("step s1: no")), failed_steps()))
    assert "step s1 failed: Fabric said no" in text
    assert "POST /workspaces, HTTP 403, InsufficientPrivileges, request r-1" in text
    assert "what to do: Ask for a role." in text
    assert "step s2 is not compensated: it is locked" in text
    assert "(existed already: adopted)" in text
    assert "NOT everything is rolled back" in text


@pytest.mark.parametrize("state", [StepState.PENDING, StepState.INTENT, StepState.SUBMITTED])
def test_output_step_that_awaits_its_retry_is_not_called_failed(state: StepState) -> None:
    """It shows the time and the last error. The remedy of a failed step (submit again) does not apply to it."""
    waiting = step(0, state, error=error("blocked"), finished_at=None, wait_until=START + timedelta(minutes=5))
    text = "\n".join(summary(header(), [waiting]))
    assert f"step s0 is tried again at {waiting.wait_until:%H:%M:%S} UTC; last error: blocked" in text
    assert "POST /workspaces, HTTP 403, InsufficientPrivileges, request r-1" in text
    assert "failed" not in text
    assert "what to do" not in text
    assert "is tried again at" in document(header(), [waiting])
    stream = io.StringIO()
    LineOutput(stream).progress(header(), [waiting])
    assert f"{state.value}, is tried again at" in stream.getvalue()


def test_output_compensation_that_awaits_its_retry_is_not_final() -> None:
    """Until its attempts are used up; the error of the forward action stays the deployment's."""
    undoing = step(0, StepState.COMPENSATING, error=error("no"), compensation_error=error("locked"), wait_until=None)
    text = "\n".join(summary(header(DeploymentState.COMPENSATING), [undoing]))
    assert "step s0 failed: no" in text
    assert "step s0 is compensated again now; last error: locked" in text
    assert "is not compensated" not in text


def test_output_call_without_a_response_says_so() -> None:
    """It shows neither a status nor a code of None."""
    lost = RecordedError("it broke off", "Wait.", "POST /workspaces")
    text = "\n".join(summary(header(), [step(0, StepState.FAILED, error=lost)]))
    assert "  POST /workspaces, no response\n" in text


@pytest.mark.parametrize("state", DeploymentState)
def test_output_verdict_has_a_sentence_for_every_state(state: DeploymentState) -> None:
    text = verdict(header(state))
    assert text.startswith("sales (d) ")
    assert len(text) > len("sales (d) is ")


@pytest.mark.parametrize("kind", [LineOutput, LiveOutput])
def test_output_sanitizes_hostile_names(kind: type[LineOutput]) -> None:
    """No escape, control character or bidi mark of a name or an error reaches the terminal, and no text floods it."""
    stream = io.StringIO()
    output = kind(stream)
    hostile = header(
        DeploymentState.REJECTED,
        name=HOSTILE,
        error=error(HOSTILE),
        problems=({"path": HOSTILE, "message": HOSTILE},),
    )
    bad = error(HOSTILE)
    bad = type(bad)(HOSTILE, HOSTILE, HOSTILE, 403, HOSTILE, HOSTILE)
    steps = [
        step(0, StepState.FAILED, step_id=HOSTILE, error=bad),
        step(1, StepState.COMPENSATION_FAILED, step_id=HOSTILE, compensation_error=bad),
    ]
    output.progress(hostile, steps)
    output.ended(hostile, steps, 2)
    output.problems([Problem(HOSTILE, HOSTILE)])
    output.close()
    shown = stream.getvalue()
    assert [mark for mark in FORBIDDEN if mark in shown] == []
    assert max(len(line) for line in shown.splitlines()) < 3_500


def test_output_sanitizes_any_event() -> None:
    """The output cleans the text of an event, and keeps the line ends that the app itself writes."""
    stream = io.StringIO()
    LineOutput(stream).event("error", "one\n" + HOSTILE.replace("\n", ""))
    assert [mark for mark in FORBIDDEN if mark in stream.getvalue()] == []
    assert stream.getvalue().startswith("one\na [31mred")


def test_output_problem_is_a_line_and_an_event() -> None:
    lines, events = io.StringIO(), io.StringIO()
    for output in (LineOutput(lines), JsonOutput(events)):
        output.problems([Problem("$.name", "is required")])
    assert lines.getvalue() == "  $.name: is required\n"
    assert json_lines(events) == [{"event": "problem", "path": "$.name", "message": "is required"}]


def test_output_is_chosen_by_stream_and_option() -> None:
    """The output is JSON on request, live on a terminal, and lines elsewhere."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert type(choose(Terminal(), as_json=True)) is JsonOutput
    assert type(choose(Terminal())) is LiveOutput
    assert type(choose(io.StringIO())) is LineOutput


def test_output_encoding_of_the_reader_causes_no_crash() -> None:
    """A name that an ASCII log cannot show is escaped."""
    raw = io.BytesIO()
    output = choose(io.TextIOWrapper(raw, encoding="ascii"))
    output.event("x", "Größe 日本")
    assert b"Gr\\xf6\\xdfe" in raw.getvalue()


def test_clean_keeps_printable_characters() -> None:
    """Letters of any script stay; every other character becomes a space, including a lone surrogate."""
    assert clean("Größe 日本\t\ud800\u2028x") == "Größe 日本   x"
    assert clean("x" * 600) == "x" * 500
    assert clean("xyz", 2) == "xy"


def test_timeline_draws_every_step_within_its_width() -> None:
    """Bars are inside the axis, even if a clock went backwards."""
    early = step(4, StepState.SUCCEEDED, started_at=START.replace(year=2025), finished_at=START)
    rows = timeline(header(), [*failed_steps(), early, step(5, StepState.PENDING)])
    assert len(rows) == 7
    assert all(row.count("=") + row.count("<") <= WIDTH for row in rows)
    assert timeline(header(), [step(0, StepState.PENDING)]) == []


def test_timeline_shows_the_end_of_a_long_id() -> None:
    """Steps of one item begin alike: shortcuts of a lakehouse differ in their last words only."""
    long = [f"content/Lakehouse/sales/shortcut/Tables/{name}" for name in ("orders", "customers")]
    done = {"started_at": START, "finished_at": START}
    _, *rows = timeline(header(), [step(n, StepState.SUCCEEDED, step_id=each, **done) for n, each in enumerate(long)])
    assert [row.split()[0][-9:] for row in rows] == ["es/orders", "customers"]
    assert len({row.index("succeeded") for row in rows}) == 1
