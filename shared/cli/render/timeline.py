"""A deployment's steps as bars on one time axis, in plain text."""

from collections.abc import Callable, Sequence
from datetime import datetime

from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import IntentAction, StepState

WIDTH = 44
_LABEL = 40


def clean(text: str, maximum: int = 500) -> str:
    """Return the text without control characters, because a name must not move the cursor of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:maximum]


def timeline(header: DeploymentRecord, steps: Sequence[StepRecord]) -> list[str]:
    """Return one line for each step: its state, a bar of its forward action (=) and one of its compensation (<)."""
    moments = [m for s in steps for m in _moments(s)]
    if not moments:
        return []
    zero = header.accepted_at
    span = max((max(moments) - zero).total_seconds(), 0.001)
    maximum = max(len(_label(s.step_id)) for s in steps)

    def column(moment: datetime) -> int:
        return min(WIDTH - 1, max(0, int((moment - zero).total_seconds() / span * WIDTH)))

    lines = [f"{'':{maximum}}  {'':19}  0 s{f'{span:.1f} s':>{WIDTH - 3}}"]
    for step in steps:
        bar = [" "] * WIDTH
        _draw(bar, step.started_at, step.finished_at, "=", column)
        _draw(bar, step.compensation_started_at, step.compensation_finished_at, "<", column)
        label = f"{_label(step.step_id):{maximum}}  {step.state.value:19}"
        lines.append(f"{label}  {''.join(bar)}  {_seconds(step)}{_note(step)}".rstrip())
    return lines


def _label(step_id: str) -> str:
    """Return an id for its column. A long one keeps its end, which tells the steps of one item apart."""
    text = clean(step_id)
    return text if len(text) <= _LABEL else f"...{text[3 - _LABEL :]}"


def _moments(step: StepRecord) -> list[datetime]:
    found = (step.started_at, step.finished_at, step.compensation_started_at, step.compensation_finished_at)
    return [m for m in found if m is not None]


def _draw(
    bar: list[str], start: datetime | None, end: datetime | None, mark: str, column: Callable[[datetime], int]
) -> None:
    if start is None:
        return
    first = column(start)
    for i in range(first, (column(end) if end is not None else first) + 1):
        bar[i] = mark


def _seconds(step: StepRecord) -> str:
    parts: list[str] = []
    if step.started_at and step.finished_at:
        parts.append(f"{(step.finished_at - step.started_at).total_seconds():.2f} s")
    if step.compensation_started_at and step.compensation_finished_at:
        compensated = (step.compensation_finished_at - step.compensation_started_at).total_seconds()
        parts.append(f"compensated in {compensated:.2f} s")
    return ", ".join(parts)


def _note(step: StepRecord) -> str:
    if step.state is StepState.COMPENSATION_FAILED and step.compensation_error:
        return f"  {clean(step.compensation_error.message, 160)}"
    if step.done and step.state is StepState.SUCCEEDED:
        return f"  ({clean(step.done, 160)})"
    if step.intent is not None and step.intent.action is IntentAction.ADOPT and step.state is StepState.SUCCEEDED:
        return "  (existed already: adopted)"
    return ""
