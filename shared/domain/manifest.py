"""What CI sends: a manifest, checked whole. Every problem is reported at once, each with its path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.fields import Fields, Reference, suggestion
from shared.domain.json import JsonObject
from shared.domain.ports import KindRules
from shared.domain.step_graph import MAX_STEPS, GraphStep, StepGraph, check_graph
from shared.domain.trace import TRACEPARENT, TRACEPARENT_HINT

DEPLOYMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""An id a caller may choose: it becomes a table key, an orchestration id and a word on a command line."""
_STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")

DEFAULT_STEP_TIMEOUT_SECONDS = 30 * 60.0
MAX_STEP_TIMEOUT_SECONDS = 7 * 86400.0
MAX_LIFE_SECONDS = 365 * 86400.0
MAX_HOLD_SECONDS = 90 * 86400.0


@dataclass(frozen=True)
class Head:
    """What a manifest says of itself; named as in `StepGraph`."""

    name: str
    target: str
    concurrency: str
    on_failure: str
    requested_by: str
    expires_after_seconds: float
    keep_for_seconds: float


@dataclass(frozen=True)
class _Written:
    """A step as the manifest writes it, before expansion."""

    index: int
    step_id: str
    kind: KindRules | None
    spec: JsonObject
    needs: list[str]
    timeout_seconds: float
    on_failure: str
    references: list[Reference]

    @property
    def path(self) -> str:
        return f"$.steps[{self.index}]"


def compile_manifest(data: Any, kinds: Mapping[str, KindRules]) -> StepGraph:
    """The plan that a manifest describes. Raises InvalidInputError with all problems."""
    problems = Problems()
    top = Fields(data, "$", problems, [])
    head = read_head(top)
    written = [_step(i, row, kinds, head.on_failure, problems) for i, row in enumerate(_step_rows(top))]
    top.finish()
    if head.keep_for_seconds and not any(step.on_failure == "hold" for step in written):
        top.problem("keepFor", "says how long to hold, and nothing here is held: set onFailure to hold")
    _check_ids(written, problems)
    steps = _expand(written, problems)
    if not problems:
        check_graph(steps, problems)
    if problems:
        raise InvalidInputError(problems)
    return StepGraph(**vars(head), steps=tuple(step for step, _ in steps))


def read_head(top: Fields) -> Head:
    """All fields of a manifest but its steps."""
    name = top.text("name", required=True, maximum=100)
    target = top.text("target", maximum=256)
    concurrency = top.choice("concurrency", ("queue", "reject"), default="queue")
    on_failure = top.choice("onFailure", ("rollback", "hold"), default="rollback")
    requested_by = top.text("requestedBy", maximum=256)
    top.text("description", maximum=4000)
    top.text("traceparent", pattern=TRACEPARENT, hint=TRACEPARENT_HINT)
    expires = top.duration("expiresAfter", default=0.0, minimum=60, maximum=MAX_LIFE_SECONDS)
    keep_for = top.duration("keepFor", default=0.0, minimum=60, maximum=MAX_HOLD_SECONDS)
    return Head(name, target or name, concurrency, on_failure, requested_by, expires, keep_for)


def _step_rows(top: Fields) -> list[Any]:
    rows = top.rows("steps", required=True)
    if not rows and isinstance(top.data.get("steps"), list):
        top.problem("steps", "must hold at least one step")
    if len(rows) > MAX_STEPS:
        top.problem("steps", f"has {len(rows)} steps; at most {MAX_STEPS} are accepted in one deployment")
        return []
    return rows


def _step(index: int, row: Any, kinds: Mapping[str, KindRules], on_failure: str, problems: list[Problem]) -> _Written:
    references: list[Reference] = []
    fields = Fields(row, f"$.steps[{index}]", problems, references)
    step_id, word = read_name(fields)
    kind = kinds.get(word)
    if word and kind is None:
        near = suggestion(word, kinds, problems)
        fields.problem("kind", f"'{word[:64]}' is not a kind.{near} Known: {', '.join(sorted(kinds))}")
    spec = fields.sub("with") or Fields({}, f"{fields.path}.with", problems)
    if kind is not None:
        kind.check(spec)
        spec.finish()
    needs, timeout, failing = read_order(fields, on_failure)
    fields.finish()
    given = {name: value for name, value in spec.data.items() if value is not None}  # `description:` says nothing
    return _Written(index, step_id, kind, given, needs, timeout, failing, references)


def read_name(fields: Fields) -> tuple[str, str]:
    """A step's id and kind."""
    step_id = fields.text(
        "id",
        required=True,
        maximum=63,
        pattern=_STEP_ID,
        hint="must begin with a letter or _ and go on with letters, digits, _ or - (63 at most)",
    )
    return step_id, fields.text("kind", required=True)


def read_order(fields: Fields, on_failure: str) -> tuple[list[str], float, str]:
    """What a step needs, how long it may take (seconds), and what happens when it fails."""
    needs = fields.texts("needs")
    timeout = fields.duration(
        "timeout", default=DEFAULT_STEP_TIMEOUT_SECONDS, minimum=1, maximum=MAX_STEP_TIMEOUT_SECONDS
    )
    return needs, timeout, fields.choice("onFailure", ("rollback", "hold"), default=on_failure)


def _check_ids(written: list[_Written], problems: list[Problem]) -> None:
    first: dict[str, int] = {}
    for step in written:
        if not step.step_id:
            continue
        if step.step_id in first:
            problems.append(
                Problem(f"{step.path}.id", f"'{step.step_id}' is the id of $.steps[{first[step.step_id]}] already")
            )
        first.setdefault(step.step_id, step.index)
    by_id = {s.step_id: s for s in written}
    for step in written:
        for i, need in enumerate(step.needs):
            if need not in by_id:
                message = f"there is no step '{need[:64]}'.{suggestion(need, by_id, problems)}"
                problems.append(Problem(f"{step.path}.needs[{i}]", message))
        for where, other, output in step.references:
            target = by_id.get(other)
            if target is None:
                near = suggestion(other, by_id, problems)
                problems.append(Problem(where, f"there is no step '{other[:64]}'.{near}"))
            elif target.kind is not None and output not in target.kind.outputs:
                known = ", ".join(sorted(target.kind.outputs)) or "none"
                message = f"a step of kind {target.kind.name} has no output '{output[:64]}'. It has: {known}"
                problems.append(Problem(where, message))


def _expand(written: list[_Written], problems: list[Problem]) -> list[tuple[GraphStep, str]]:
    """Planned steps with the path each came from; a group's name in `needs` stands for all of its members."""
    if problems:
        return []
    expanded = [(step, _parts(step)) for step in written]
    count = sum(len(parts) for _, parts in expanded)
    if count > MAX_STEPS:
        problems.append(Problem("$.steps", f"come to {count} steps with their principals; at most {MAX_STEPS}"))
        return []
    members = {step.step_id: [step_id for step_id, _, _ in parts] for step, parts in expanded}
    steps: list[tuple[GraphStep, str]] = []
    for step, parts in expanded:
        wanted = dict.fromkeys([*step.needs, *(reference.step_id for reference in step.references)])
        needs = tuple(member for need in wanted for member in members[need])
        for step_id, kind, spec in parts:
            steps.append((GraphStep(step_id, kind, spec, needs, step.timeout_seconds, step.on_failure), step.path))
    return steps


def _parts(step: _Written) -> list[tuple[str, str, JsonObject]]:
    """Id, kind and `with` of the steps that one stands for: itself, or its members."""
    assert step.kind is not None  # noqa: S101 - a step without a kind is among the problems
    parts = step.kind.expand(step.spec)
    if parts is None:
        return [(step.step_id, step.kind.name, step.spec)]
    return [(f"{step.step_id}.{suffix}", kind, spec) for suffix, kind, spec in parts]
