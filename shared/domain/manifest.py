"""The check of a manifest, and its compilation to a step graph. All problems are reported at once, with their paths."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.deployment_ids import DEPLOYMENT_ID, ID_RULE
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.fields import Fields, Reference, Words, suggestion
from shared.domain.inputs import INPUTS, INPUTS_SCHEMA, rendered, summary
from shared.domain.json import JsonObject
from shared.domain.labels import read_labels
from shared.domain.ports import Expanded, KindRules
from shared.domain.states import Concurrency, OnFailure
from shared.domain.step_graph import MAX_STEPS, GraphStep, StepGraph, check_graph, run_last
from shared.domain.trace import TRACEPARENT, TRACEPARENT_HINT

_STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")

DEFAULT_STEP_TIMEOUT_SECONDS = 30 * 60.0
MAX_STEP_TIMEOUT_SECONDS = 7 * 86400.0
MAX_LIFE_SECONDS = 365 * 86400.0
MAX_HOLD_SECONDS = 90 * 86400.0

ID = Words("The deployment's id and idempotency key; --id on the command line takes precedence.", "build-4711")
KIND = Words("The kind of the step; it determines the fields under `with`.", "lakehouse")
WITH = Words("The fields of the kind.", {"displayName": "contoso-sales-dev"})
STEPS = Words(
    "The resources that must exist at the end. Steps that do not need each other run in parallel.",
    [{"id": "workspace", "kind": "workspace", "with": {"displayName": "contoso-sales-dev"}}],
)


@dataclass(frozen=True)
class Head:
    """The fields of a manifest except its steps; the names are those of `StepGraph`."""

    name: str
    target: str
    concurrency: Concurrency
    on_failure: OnFailure
    requested_by: str
    expires_after_seconds: float
    keep_for_seconds: float
    labels: JsonObject | None
    promotes: str


@dataclass(frozen=True)
class _Written:
    """A step as the manifest contains it, before its expansion."""

    index: int
    step_id: str
    kind: KindRules | None
    spec: JsonObject
    needs: list[str]
    timeout_seconds: float
    on_failure: OnFailure
    references: list[Reference]

    @property
    def path(self) -> str:
        return f"$.steps[{self.index}]"


def compile_manifest(data: Any, kinds: Mapping[str, KindRules]) -> StepGraph:
    """Return the step graph that a manifest describes, with its inputs replaced.

    Raises InvalidInputError with all problems; those of the inputs come first and alone, because every other check
    depends on their values.
    """
    body, inputs = rendered(data)
    problems = Problems()
    top = Fields(body, "$", problems, [])
    head = read_head(top)
    written = [_step(i, row, kinds, head.on_failure, problems) for i, row in enumerate(read_steps(top))]
    top.finish()
    if head.keep_for_seconds and not any(step.on_failure is OnFailure.HOLD for step in written):
        top.problem("keepFor", "requires onFailure: hold, because without it nothing is held")
    _check_ids(written, problems)
    steps = _expand(written, problems)
    if not problems:
        check_graph(steps, problems)
    if problems:
        raise InvalidInputError(problems)
    return StepGraph(**vars(head), steps=tuple(step for step, _ in steps), inputs=summary(inputs))


def read_head(top: Fields) -> Head:
    """Read all fields of a manifest except its steps."""
    name = top.text("name", required=True, maximum=100, words=Words("A name for people.", "sales"))
    target = top.text(
        "target",
        maximum=256,
        words=Words(
            "The workspace or environment that only one deployment at a time may change; case does not matter. "
            "Default: the name.",
            "contoso-sales-dev",
        ),
    )
    concurrency = top.choice(
        "concurrency",
        tuple(Concurrency),
        default=Concurrency.QUEUE,
        words=Words(
            "If another deployment holds the target lock: wait in the queue, or be rejected.",
            "queue",
        ),
    )
    on_failure = top.choice(
        "onFailure",
        tuple(OnFailure),
        default=OnFailure.ROLLBACK,
        words=Words("If a step fails: rollback compensates all steps, hold keeps them for inspection.", "rollback"),
    )
    requested_by = top.text(
        "requestedBy", maximum=256, words=Words("The requester, for the audit.", "release pipeline")
    )
    top.text("description", maximum=4000, words=Words("For people.", "Bronze, silver and gold, for the sales team"))
    top.text(
        "traceparent",
        pattern=TRACEPARENT,
        hint=TRACEPARENT_HINT,
        words=Words(
            "The W3C Trace Context of the span that this deployment belongs to.",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    )
    expires = top.duration(
        "expiresAfter",
        default=0.0,
        minimum=60,
        maximum=MAX_LIFE_SECONDS,
        words=Words("After this time, a deployment that succeeded is rolled back completely. Default: never.", "7d"),
    )
    keep_for = top.duration(
        "keepFor",
        default=0.0,
        minimum=60,
        maximum=MAX_HOLD_SECONDS,
        words=Words("With hold: after this time, a held deployment is rolled back. Default: never.", "1d"),
    )
    labels = read_labels(top)
    promotes = top.text(
        "promotes",
        maximum=100,
        pattern=DEPLOYMENT_ID,
        hint=ID_RULE,
        words=Words("The deployment of the stage before, whose parts this one must have.", "release-42-test"),
    )
    top.raw("inputs", schema=INPUTS_SCHEMA, words=INPUTS)
    waiting, failing = Concurrency(concurrency or Concurrency.QUEUE), OnFailure(on_failure or OnFailure.ROLLBACK)
    return Head(name, target or name, waiting, failing, requested_by, expires, keep_for, labels, promotes)


def read_steps(top: Fields) -> list[Any]:
    """Return the rows of the steps; an empty list if there are too many."""
    rows = top.rows("steps", required=True, words=STEPS)
    if not rows and isinstance(top.data.get("steps"), list):
        top.problem("steps", "must contain at least one step")
    if len(rows) > MAX_STEPS:
        top.problem("steps", f"has {len(rows)} steps; at most {MAX_STEPS} are accepted in one deployment")
        return []
    return rows


def _step(
    index: int, row: Any, kinds: Mapping[str, KindRules], on_failure: OnFailure, problems: list[Problem]
) -> _Written:
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
    given = {
        name: value for name, value in spec.data.items() if value is not None
    }  # a field without a value counts as absent
    return _Written(index, step_id, kind, given, needs, timeout, failing, references)


def read_name(fields: Fields) -> tuple[str, str]:
    """Read a step's id and kind."""
    step_id = fields.text(
        "id",
        required=True,
        maximum=63,
        pattern=_STEP_ID,
        hint="must begin with a letter or _, followed by letters, digits, _ or - (63 at most)",
        words=Words("Unique in the manifest.", "bronze"),
    )
    return step_id, fields.text("kind", required=True, words=KIND)


def read_order(fields: Fields, on_failure: OnFailure | None) -> tuple[list[str], float, OnFailure]:
    """Read a step's needs, its timeout in seconds, and what happens if it fails."""
    needs = fields.texts(
        "needs",
        words=Words(
            "Ids of the steps that must have succeeded first. A reference to a step implies it.", ["workspace"]
        ),
    )
    timeout = fields.duration(
        "timeout",
        default=DEFAULT_STEP_TIMEOUT_SECONDS,
        minimum=1,
        maximum=MAX_STEP_TIMEOUT_SECONDS,
        words=Words("Counted from the first delivery; when it is over, the step fails. Default: 30m.", "10m"),
    )
    failing = fields.choice(
        "onFailure",
        tuple(OnFailure),
        default=on_failure or "",
        words=Words("What to do if this step fails: rollback or hold. Default: the deployment's.", "hold"),
    )
    return needs, timeout, OnFailure(failing or on_failure or OnFailure.ROLLBACK)


def _check_ids(written: list[_Written], problems: list[Problem]) -> None:
    first: dict[str, int] = {}
    for step in written:
        if not step.step_id:
            continue
        if step.step_id in first:
            problems.append(
                Problem(f"{step.path}.id", f"'{step.step_id}' is already the id of $.steps[{first[step.step_id]}]")
            )
        first.setdefault(step.step_id, step.index)
    by_id = {s.step_id: s for s in written}
    for step in written:
        for i, need in enumerate(step.needs):
            if _origin(need, by_id) is None:
                message = f"there is no step '{need[:64]}'.{suggestion(need, by_id, problems)}"
                problems.append(Problem(f"{step.path}.needs[{i}]", message))
        for where, other, output in step.references:
            target = _origin(other, by_id)
            if target is None:
                near = suggestion(other, by_id, problems)
                problems.append(Problem(where, f"there is no step '{other[:64]}'.{near}"))
            elif target.kind is not None and target.step_id == other:
                _check_output(where, target.kind.name, target.kind.outputs, output, problems)


def _origin(step_id: str, by_id: Mapping[str, _Written]) -> _Written | None:
    """Return the step of the manifest that an id names: the step itself, or the one that may expand to it."""
    if step_id in by_id:
        return by_id[step_id]
    ends = [i for i, character in enumerate(step_id) if character in "./"]
    return next((by_id[step_id[:end]] for end in ends if step_id[:end] in by_id), None)


def _check_output(where: str, kind: str, outputs: Collection[str], output: str, problems: list[Problem]) -> None:
    if output not in outputs:
        known = ", ".join(sorted(outputs)) or "none"
        message = f"a step of kind {kind} has no output '{output[:64]}'. It has: {known}"
        problems.append(Problem(where, message))


def _expand(written: list[_Written], problems: list[Problem]) -> list[tuple[GraphStep, str]]:
    """Return the steps of the graph, each with its path in the manifest.

    In `needs`, the id of a step that expands to several stands for all of them: for those that no other one of them
    needs, because these come last.
    """
    if problems:
        return []
    expanded = [(step, _parts(step)) for step in written]
    count = sum(len(parts) for _, parts in expanded)
    if count > MAX_STEPS:
        problems.append(
            Problem("$.steps", f"expand to {count} steps; at most {MAX_STEPS} are accepted in one deployment")
        )
        return []
    members = {step.step_id: _last(step.step_id, parts) for step, parts in expanded}
    every = {f"{step.step_id}{part.suffix}": part for step, parts in expanded for part in parts}
    members |= {step_id: [step_id] for step_id in every if step_id not in members}
    _check_expanded(written, members, every, problems)
    steps: list[tuple[GraphStep, str]] = []
    for step, parts in expanded if not problems else ():
        wanted = dict.fromkeys([*step.needs, *(reference.step_id for reference in step.references)])
        needs = tuple(dict.fromkeys(member for need in wanted for member in members[need]))
        for part in parts:
            inner = tuple(f"{step.step_id}{need}" for need in part.needs)
            graph_step = GraphStep(
                f"{step.step_id}{part.suffix}",
                part.kind,
                part.spec,
                inner or needs,
                step.timeout_seconds,
                step.on_failure,
                step.kind is not None and step.kind.runs_always(part.spec),
            )
            steps.append((graph_step, step.path))
    last = {f"{step.step_id}{p.suffix}" for step, parts in expanded for p in parts if _runs_last(step, p.spec)}
    ordered = run_last(steps, last) if last else steps
    always = {step.step_id for step, _ in steps if step.is_always}
    _check_needs_of_always(ordered, always, problems)
    return run_last(ordered, always) if always and not problems else ordered


def _check_needs_of_always(
    steps: list[tuple[GraphStep, str]], always: Collection[str], problems: list[Problem]
) -> None:
    """Note the steps that need one which runs when all others have ended."""
    for step, path in steps:
        if needed := next((need for need in step.needs if need in always), None):
            message = f"'{needed}' runs when all other steps have ended (when: always), so no step can need it"
            problems.append(Problem(f"{path}.needs", message))


def _runs_last(step: _Written, spec: JsonObject) -> bool:
    return step.kind is not None and step.kind.runs_last(spec)


def _check_expanded(
    written: list[_Written],
    members: Mapping[str, list[str]],
    every: Mapping[str, Expanded],
    problems: list[Problem],
) -> None:
    """Note needs and references that name a step which no step expands to, or an output that it does not have."""
    for step in written:
        for i, need in enumerate(step.needs):
            if need not in members:
                message = f"there is no step '{need[:100]}'.{suggestion(need, every, problems)}"
                problems.append(Problem(f"{step.path}.needs[{i}]", message))
        for where, other, output in step.references:
            if other not in members:
                message = f"there is no step '{other[:100]}'.{suggestion(other, every, problems)}"
                problems.append(Problem(where, message))
            elif (part := every.get(other)) is not None and part.suffix:
                _check_output(where, part.kind, part.outputs, output, problems)


def _parts(step: _Written) -> list[Expanded]:
    """Return the steps that one expands to, or the step itself."""
    assert step.kind is not None  # noqa: S101 - a step without a kind is among the problems
    parts = step.kind.expand(step.step_id, step.spec)
    return [Expanded("", step.kind.name, step.spec)] if parts is None else parts


def _last(step_id: str, parts: list[Expanded]) -> list[str]:
    """Return the ids of those steps of an expansion that no other one of them needs."""
    needed = {need for part in parts for need in part.needs}
    return [f"{step_id}{part.suffix}" for part in parts if part.suffix not in needed]
