"""The step graph: the steps of a manifest in order, ready to be journaled."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from shared.domain.errors import Problem
from shared.domain.json import JsonObject
from shared.domain.states import Concurrency, OnFailure

MAX_STEPS = 3_000
"""Steps in one deployment after the expansion: a repository of 1,000 items has folders, shells and actions beside
them."""


MAX_STEP_ID = 100
"""Characters of the id of a step, also of one that another step expands to."""


@dataclass(frozen=True)
class GraphStep:
    """One step. `needs` are the ids of the steps that must have succeeded before it starts."""

    step_id: str
    kind: str
    spec: JsonObject
    needs: tuple[str, ...]
    timeout_seconds: float
    on_failure: OnFailure
    is_always: bool = False
    """True if it runs when all others have ended, also after a failure."""


@dataclass(frozen=True)
class StepGraph:
    """A valid manifest. The position of a step is its ordinal, which never changes."""

    name: str
    target: str
    concurrency: Concurrency
    on_failure: OnFailure
    requested_by: str
    expires_after_seconds: float
    keep_for_seconds: float
    steps: tuple[GraphStep, ...]
    inputs: str = ""
    """The inputs and their values for people; those of secret inputs are hidden."""
    labels: JsonObject | None = None
    promotes: str = ""
    """The id of the deployment of the stage before; empty without one."""


def check_graph(steps: Sequence[tuple[GraphStep, str]], problems: list[Problem]) -> None:
    """Note a cycle, with its members in order. Each step comes with its path in the manifest."""
    graph = {step.step_id: step.needs for step, _ in steps}
    paths = {step.step_id: path for step, path in steps}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = list(reversed(error.args[1]))
        problems.append(Problem(f"{paths[cycle[0]]}.needs", f"steps wait for each other: {' -> '.join(cycle)}"))


def run_last(steps: Sequence[tuple[GraphStep, str]], last: Collection[str]) -> list[tuple[GraphStep, str]]:
    """Return the steps with more needs, so that those named in `last` run after every step that does not need them.

    Their effects cannot be compensated, so nothing that can fail may come after them. Several of them run in the
    order of the manifest, if their own needs do not order them. A graph with a cycle is returned as it is, because
    `check_graph` reports it.
    """
    needs = {step.step_id: step.needs for step, _ in steps}
    try:
        order = [step_id for step_id in TopologicalSorter(needs).static_order() if step_id in needs]
    except CycleError:
        return list(steps)
    sequence = {step_id: place for place, step_id in enumerate(_sequence(needs, order, last), start=1)}
    group: dict[str, int] = {}
    """By step, the place of the latest of these steps that it is or needs, directly or through others; else 0."""
    for step_id in order:
        inner = max((group.get(need, 0) for need in needs[step_id]), default=0)
        group[step_id] = max(inner, sequence.get(step_id, 0))
    needed = {(group[step_id], need) for step_id in order for need in needs[step_id]}
    ends: dict[int, list[str]] = {}
    """By group, the steps that no other of the group needs: after them, the group and those before it are over."""
    for step_id in needs:
        if (group[step_id], step_id) not in needed:
            ends.setdefault(group[step_id], []).append(step_id)
    more = {step_id: ends.get(place - 1, []) for step_id, place in sequence.items()}
    return [(_with_needs(step, more.get(step.step_id, ())), path) for step, path in steps]


def _with_needs(step: GraphStep, more: Iterable[str]) -> GraphStep:
    return replace(step, needs=tuple(dict.fromkeys((*step.needs, *more))))


def _sequence(needs: Mapping[str, Sequence[str]], order: Iterable[str], last: Collection[str]) -> list[str]:
    """Return the last steps in the order in which they run."""
    own = {step_id: number for number, step_id in enumerate(each for each in needs if each in last)}
    after: dict[str, int] = {}
    """By step, the set of the last steps that it is or needs, as bits."""
    for step_id in order:
        found = 1 << own[step_id] if step_id in own else 0
        for need in needs[step_id]:
            found |= after.get(need, 0)
        after[step_id] = found
    sequence: list[str] = []
    for step_id in reversed(own):
        others = after[step_id] & ~(1 << own[step_id])
        places = (i for i in reversed(range(len(sequence))) if others >> own[sequence[i]] & 1)
        sequence.insert(next(places, -1) + 1 if others else 0, step_id)
    return sequence


def levels(needs: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Return the waves in which an acyclic graph of ordinals can run. Compensation runs them in reverse."""
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    waves: list[list[int]] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        waves.append(ready)
        sorter.done(*ready)
    return waves
