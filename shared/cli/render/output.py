"""Print events: live progress on a terminal, one line for each event elsewhere, JSON lines on request."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from shared.cli.help import COMMAND
from shared.cli.render.timeline import clean, timeline
from shared.domain.approval import waits_for_person
from shared.domain.errors import Problem
from shared.domain.json import JsonObject, as_list
from shared.domain.records import DeploymentRecord, RecordedError, StepRecord
from shared.domain.states import DeploymentState, StepState

_COLOURS: dict[str, str] = {
    "succeeded": "green",
    "compensated": "yellow",
    "compensating": "yellow",
    "failed": "red",
    "compensation_failed": "bold red",
    "stuck": "bold red",
    "rejected": "red",
    "cancelled": "yellow",
    "held": "magenta",
}

_CHANGES: dict[str, str] = {"+": "green", "~": "yellow", ">": "cyan", "!": "red"}
"""The colour of a line of a plan, by its first sign."""

_IN_PROGRESS = (StepState.PENDING, StepState.INTENT, StepState.SUBMITTED)
"""A step in one of these states has not failed, although its last attempt may have."""

_MAX_LINE = 3_000


class Output:
    """The interface of all outputs."""

    def event(self, kind: str, text: str, **fields: Any) -> None:
        """Print an event: `text` for people, `fields` for programs."""
        raise NotImplementedError

    def problems(self, problems: Sequence[Problem]) -> None:
        """Print every problem of an input."""
        for problem in problems:
            self.event("problem", f"  {clean(problem.path)}: {clean(problem.message)}", **problem.to_json())

    def progress(self, header: DeploymentRecord, steps: Sequence[StepRecord]) -> None:
        """Print the present state of a deployment that continues."""

    def ended(self, header: DeploymentRecord, steps: Sequence[StepRecord], exit_code: int) -> None:
        """Print how a deployment ended."""
        raise NotImplementedError

    def left(self, header: DeploymentRecord, steps: Sequence[StepRecord]) -> None:
        """Print the state of a deployment that continues but is no longer followed."""

    def page(self, name: str, document: Callable[[int], str]) -> None:
        """Store a summary that a runner shows beside its log; `document` returns one of at most that many bytes."""

    def close(self) -> None:
        """Restore the terminal."""


class JsonOutput(Output):
    """Prints one JSON object for each event, for programs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._seen: dict[str, str] = {}

    def event(self, kind: str, text: str, **fields: Any) -> None:
        """Print the fields; the text is for people."""
        line = {"event": kind, **fields} if fields else {"event": kind, "message": text}
        print(json.dumps(line, ensure_ascii=True), file=self._stream, flush=True)

    def progress(self, header: DeploymentRecord, steps: Sequence[StepRecord]) -> None:
        """Print an event for each changed state."""
        for subject, state, fields in _moved(self._seen, header, steps):
            self.event("state", "", deployment_id=header.deployment_id, subject=subject, state=state, **fields)

    def ended(self, header: DeploymentRecord, steps: Sequence[StepRecord], exit_code: int) -> None:
        """Print the header and all steps."""
        self.progress(header, steps)
        rows = [_step_json(s) for s in steps]
        self.event("ended", "", exit_code=exit_code, deployment=header_json(header), steps=rows)


class LineOutput(Output):
    """Prints each event as one line of a pipeline's log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._seen: dict[str, str] = {}

    def event(self, kind: str, text: str, **fields: Any) -> None:
        """Print the text."""
        print(sanitize(text), file=self._stream, flush=True)

    def progress(self, header: DeploymentRecord, steps: Sequence[StepRecord]) -> None:
        """Print a line for each changed state."""
        for subject, state, fields in _moved(self._seen, header, steps):
            error = f": {clean(fields['error'])}" if fields.get("error") else ""
            waits = f", waits for {clean(fields['waits_for'], 1500)}" if "waits_for" in fields else ""
            repeated = f", {fields['retry']}" if "retry" in fields else ""
            self.event("state", f"{clean(subject, 63):32} {state}{repeated}{error}{waits}")

    def ended(self, header: DeploymentRecord, steps: Sequence[StepRecord], exit_code: int) -> None:
        """Print the timeline and the verdict."""
        self.progress(header, steps)
        for line in summary(header, steps):
            self.event("summary", line)


class LiveOutput(LineOutput):
    """Redraws a table in place on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._console = Console(file=stream)
        self._live: Live | None = None

    def event(self, kind: str, text: str, **fields: Any) -> None:
        """Print the text, above the table if there is one."""
        style = _CHANGES.get(text.strip()[:1], "") if kind == "change" else ""
        (self._live.console if self._live else self._console).print(Text(sanitize(text), style=style))

    def progress(self, header: DeploymentRecord, steps: Sequence[StepRecord]) -> None:
        """Redraw the table."""
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        self._live.update(_table(header, steps))

    def ended(self, header: DeploymentRecord, steps: Sequence[StepRecord], exit_code: int) -> None:
        """Print the timeline and the verdict in place of the table."""
        self.close()
        for line in summary(header, steps):
            self._console.print(Text(sanitize(line), style=_line_style(line)))

    def close(self) -> None:
        """Stop redrawing."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def standard_output() -> TextIO:
    """Return standard output, or the null device if the caller has closed it."""
    found: TextIO | None = sys.stdout
    return found or Path(os.devnull).open("w", encoding="utf-8")


def choose(stream: TextIO | None = None, *, as_json: bool = False) -> Output:
    """Return the output: JSON on request, live on a terminal, lines elsewhere."""
    chosen = stream or standard_output()
    if (reconfigure := getattr(chosen, "reconfigure", None)) is not None:
        reconfigure(errors="backslashreplace")  # a name with a character outside the encoding must not crash
    if as_json:
        return JsonOutput(chosen)
    return LiveOutput(chosen) if chosen.isatty() else LineOutput(chosen)


def sanitize(text: str) -> str:
    """Clean each line of a text, in case a caller did not; the line ends are kept."""
    return "\n".join(clean(line, _MAX_LINE) for line in text.split("\n"))


def _moved(
    seen: dict[str, str], header: DeploymentRecord, steps: Sequence[StepRecord]
) -> list[tuple[str, str, JsonObject]]:
    found: list[tuple[str, str, JsonObject]] = []
    rows: list[tuple[str, str, RecordedError | None, str]] = [("deployment", header.state.value, header.error, "")]
    # A waiting approval is reported below; as `pending` it would be reported again at every look.
    rows += [(s.step_id, s.state.value, last_error(s), retry(s)) for s in steps if not waits_for_person(s)]
    for subject, state, error, repeated in rows:
        key = f"{state}|{error.message if error else ''}"
        if seen.get(subject) != key and not (subject not in seen and key == "pending|"):
            seen[subject] = key
            found.append((subject, state, _error_json(error) | ({"retry": repeated} if repeated else {})))
    for step in filter(waits_for_person, steps):
        if seen.get(step.step_id) != "waiting":
            seen[step.step_id] = "waiting"
            found.append((step.step_id, "pending", {"waits_for": waits_for(step)}))
    return found


def waits_for(step: StepRecord) -> str:
    """Return who must approve a step, and the command for it."""
    named = as_list(step.spec.get("approvers")) or []
    requester = f" by {', '.join(str(name) for name in named)}" if named else ""
    question = str(step.spec.get("message", ""))
    return f"approval{requester}: {question} ({COMMAND} approve {step.deployment_id} {step.step_id})"


def _error_json(error: RecordedError | None) -> JsonObject:
    if error is None:
        return {}
    return {
        "error": error.message,
        "remedy": error.remedy,
        "error_code": error.error_code,
        "request_id": error.request_id,
    }


def header_json(header: DeploymentRecord) -> JsonObject:
    """Return a header for programs."""
    return header.to_json()


def _step_json(step: StepRecord) -> JsonObject:
    return {k: v for k, v in step.to_json().items() if k not in ("spec", "claim")}


def summary(header: DeploymentRecord, steps: Sequence[StepRecord]) -> list[str]:
    """Return the end of a deployment in a few lines: the timeline, the failures, the verdict."""
    lines = ["", *timeline(header, steps)]
    for _, title, error in failures(steps):
        lines += ["", f"{title}: {clean(error.message, 1000)}", *facts(error)]
    for step in steps:
        if (repeated := retry(step)) and (last := last_error(step)):
            lines += [
                "",
                f"step {clean(step.step_id)} {repeated}; last error: {clean(last.message, 1000)}",
                *_call(last),
            ]
    if header.state is DeploymentState.RUNNING:
        waiting = [s for s in steps if waits_for_person(s)]
        lines += [f"step {clean(s.step_id)} waits for {clean(waits_for(s), 1500)}" for s in waiting]
    for problem in header.problems:
        lines.append(f"  {clean(str(problem['path']))}: {clean(str(problem['message']))}")
    return [*lines, "", verdict(header)]


def failures(steps: Sequence[StepRecord]) -> list[tuple[StepRecord, str, RecordedError]]:
    """Return the failures with their titles: the first twenty failed steps, and all steps that are not compensated."""
    failed = [
        (s, f"step {clean(s.step_id)} failed", s.error)
        for s in steps
        if s.error is not None and s.state not in (StepState.SUCCEEDED, *_IN_PROGRESS)
    ]
    left = [
        (s, f"step {clean(s.step_id)} is not compensated", s.compensation_error)
        for s in steps
        if s.compensation_error is not None and s.state is StepState.COMPENSATION_FAILED
    ]
    return failed[:20] + left


def last_error(step: StepRecord) -> RecordedError | None:
    """Return the error of the compensating action, else of the forward action."""
    return step.compensation_error or step.error


def retry(step: StepRecord) -> str:
    """Return when a step whose last attempt failed is tried again; '' for every other step."""
    is_compensated_again = step.state is StepState.COMPENSATING and step.compensation_error is not None
    if not is_compensated_again and (step.error is None or step.state not in _IN_PROGRESS):
        return ""
    what = "is compensated again" if is_compensated_again else "is tried again"
    return f"{what} at {step.wait_until:%H:%M:%S} UTC" if step.wait_until else f"{what} now"


def facts(error: RecordedError) -> list[str]:
    """Return the failed call, and what to do."""
    return [*_call(error), f"  what to do: {clean(error.remedy, 1000)}"]


def _call(error: RecordedError) -> list[str]:
    if not error.call:
        return []
    text = [clean(error.call)]
    text.append("no response" if error.status is None else f"HTTP {error.status}")
    text += [clean(error.error_code, 100)] if error.error_code else []
    text += [f"request {clean(error.request_id, 100)}"] if error.request_id else []
    return [f"  {', '.join(text)}"]


def verdict(header: DeploymentRecord) -> str:
    """Return the state of a deployment in one sentence."""
    name = f"{clean(header.name)} ({header.deployment_id})"
    reason = f": {clean(header.error.message)}" if header.error else ""
    return {
        DeploymentState.SUCCEEDED: f"{name} succeeded: every step is applied and verified.",
        DeploymentState.COMPENSATED: f"{name} was retired and everything is rolled back."
        if header.retire_requested_by
        else f"{name} failed and everything is rolled back{reason}",
        DeploymentState.CANCELLED: f"{name} was cancelled and everything is rolled back.",
        DeploymentState.REJECTED: f"{name} was rejected{reason}",
        DeploymentState.STUCK: f"{name} failed and NOT everything is rolled back; the sweeper keeps trying{reason}",
        DeploymentState.FAILED: f"{name} was released and NOT everything is rolled back{reason}"
        if header.is_released
        else f"{name} failed and NOTHING is rolled back, because rollback is off: fix the cause and "
        f"resume, or roll it back with compensate{reason}",
        DeploymentState.HELD: f"{name} failed and is held, because its manifest says onFailure: hold{reason}",
    }.get(header.state, f"{name} is {header.state.value}{reason}")


def _table(header: DeploymentRecord, steps: Sequence[StepRecord]) -> Group:
    table = Table(box=None, pad_edge=False)
    for column in ("step", "kind", "state", "failed attempts", ""):
        table.add_column(column)
    for step in steps:
        error = last_error(step)
        note = clean(error.message, 100) if error and step.state is not StepState.SUCCEEDED else ""
        note = f"{repeated}: {note}" if (repeated := retry(step)) else note
        note = f"waits for {clean(waits_for(step), 300)}" if waits_for_person(step) else note
        state = Text(step.state.value, style=_COLOURS.get(step.state.value, ""))
        table.add_row(Text(clean(step.step_id)), step.kind, state, str(step.attempt or ""), Text(note))
    title = Text(f" {clean(header.name)}  {header.state.value}", style=_COLOURS.get(header.state.value, "bold"))
    return Group(Spinner("dots", title), table)


def _line_style(line: str) -> str:
    if "succeeded: every" in line:
        return "green"
    return "red" if " failed" in line or "not compensated" in line or "was rejected" in line else ""
