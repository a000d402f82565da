"""Steps that run after all others: the order in which a graph with them runs."""

from collections.abc import Collection, Mapping

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.states import OnFailure
from shared.domain.step_graph import GraphStep, run_last

type Needs = Mapping[str, Collection[str]]


def closure(needs: Needs) -> dict[str, set[str]]:
    """Return all that each step needs, directly or through others; the steps come after what they need."""
    found: dict[str, set[str]] = {}

    def of(step_id: str) -> set[str]:
        if step_id not in found:
            found[step_id] = {*needs[step_id]}.union(*(of(need) for need in needs[step_id]))
        return found[step_id]

    return {step_id: of(step_id) for step_id in needs}


def plainly(needs: Needs, last: Collection[str]) -> dict[str, set[str]]:
    """Return the same with one last step after the other, the latest of the manifest first: it needs every step that
    does not need it."""
    found = {step_id: {*needed} for step_id, needed in needs.items()}
    for step_id in [each for each in reversed(list(needs)) if each in last]:
        all_of = closure(found)
        found[step_id] |= {other for other in needs if other != step_id and step_id not in all_of[other]}
    return closure(found)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, list[str]], set[str]]:
    """Draw a graph without cycles in any order of the manifest, and its last steps."""
    count = draw(st.integers(1, 9))
    names = [f"s{number}" for number in range(count)]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:i]), unique=True) if i else st.just([]))
        for i, name in enumerate(names)
    }
    order = draw(st.permutations(names))
    return {name: needs[name] for name in order}, draw(st.sets(st.sampled_from(names)))


@given(graphs())
def test_last_steps_come_after_all_that_do_not_need_them(drawn: tuple[dict[str, list[str]], set[str]]) -> None:
    needs, last = drawn
    steps = [(GraphStep(name, "k", {}, tuple(needed), 1.0, OnFailure.ROLLBACK), "$") for name, needed in needs.items()]
    found = {step.step_id: step.needs for step, _ in run_last(steps, last)}
    assert closure(found) == plainly(needs, last)


def test_number_of_needs_grows_as_the_steps() -> None:
    """Each of many last steps needs the one before it, and not all."""
    names = [f"s{number}" for number in range(500)]
    steps = [(GraphStep(name, "k", {}, (), 1.0, OnFailure.ROLLBACK), "$") for name in names]
    assert sum(len(step.needs) for step, _ in run_last(steps, names)) == 499
