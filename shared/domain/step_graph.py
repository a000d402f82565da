"""The step graph: the steps of a manifest in order, ready to be journaled."""

from collections.abc import Collection, Mapping, Sequence
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
    order of the manifest, if their own needs do not order them.
    """
    needs = {step.step_id: list(step.needs) for step, _ in steps}
    for step_id in [step.step_id for step, _ in reversed(steps) if step.step_id in last]:
        after = _dependents(needs, step_id)
        before = [other for other in needs if other not in after]
        needed = {need for other in before for need in needs[other]}
        needs[step_id] += [other for other in before if other not in needed and other not in needs[step_id]]
    return [(replace(step, needs=tuple(needs[step.step_id])), path) for step, path in steps]


def _dependents(needs: Mapping[str, Collection[str]], step_id: str) -> set[str]:
    """Return a step and all that need it, directly or through others."""
    found, left = {step_id}, [step_id]
    while left:
        needed = left.pop()
        new = [other for other in needs if other not in found and needed in needs[other]]
        found.update(new)
        left += new
    return found


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
