"""The manifest's check: all problems at once, each with its path; a plan that is a graph."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidInputError
from shared.domain.manifest import compile_manifest
from shared.steps import KINDS

GUID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
VALID: dict[str, Any] = {
    "name": "m",
    "steps": [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "w"}},
        {
            "id": "lh",
            "kind": "lakehouse",
            "with": {"workspaceId": "${{ steps.ws.outputs.id }}", "displayName": "bronze"},
        },
    ],
}


def problems_of(manifest: Any) -> dict[str, str]:
    """Path to message of every problem."""
    with pytest.raises(InvalidInputError) as caught:
        compile_manifest(manifest, KINDS)
    return {p.path: p.message for p in caught.value.problems}


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    """The valid manifest with one value replaced."""
    manifest = copy.deepcopy(VALID)
    at: Any = manifest
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return manifest


def test_manifest_reference_makes_the_dependency() -> None:
    """A step that names another's output waits for it without saying so."""
    plan = compile_manifest(VALID, KINDS)
    assert [s.needs for s in plan.steps] == [(), ("ws",)]
    assert plan.target == "m"


def test_manifest_reports_all_problems_at_once() -> None:
    """Nothing hides behind the first problem."""
    found = problems_of(
        {
            "name": "",
            "colour": "red",
            "steps": [
                {"id": "9bad", "kind": "workspce", "with": {}},
                {"id": "lh", "kind": "lakehouse", "with": {"displayName": "no-hyphens", "enableSchemas": "yes"}},
                {"id": "lh", "kind": "workspace", "with": {"displayName": "x", "nope": 1}, "needs": ["ghost"]},
            ],
        }
    )
    assert set(found) == {
        "$.name",
        "$.colour",
        "$.steps[0].id",
        "$.steps[0].kind",
        "$.steps[1].with.workspaceId",
        "$.steps[1].with.displayName",
        "$.steps[1].with.enableSchemas",
        "$.steps[2].id",
        "$.steps[2].with.nope",
        "$.steps[2].needs[0]",
    }
    assert "Did you mean 'workspace'?" in found["$.steps[0].kind"]


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["steps"], {}, "$.steps"),
        (["steps"], [], "$.steps"),
        (["steps", 0], "workspace", "$.steps[0]"),
        (["steps", 0, "with", "displayName"], "x" * 257, "$.steps[0].with.displayName"),
        (["steps", 0, "with", "displayName"], "Admin monitoring", "$.steps[0].with.displayName"),
        (["steps", 0, "with", "displayName"], " padded ", "$.steps[0].with.displayName"),
        (["steps", 0, "with", "capacityId"], "not-a-guid", "$.steps[0].with.capacityId"),
        (["steps", 0, "with", "ifExists"], "replace", "$.steps[0].with.ifExists"),
        (["steps", 1, "with", "displayName"], "1bronze", "$.steps[1].with.displayName"),
        (["steps", 1, "with", "workspaceId"], "${{ steps.ws.outputs.nope }}", "$.steps[1].with.workspaceId"),
        (["steps", 1, "with", "workspaceId"], "${{ steps.gone.outputs.id }}", "$.steps[1].with.workspaceId"),
        (["steps", 1, "with", "workspaceId"], "${{ env.HOME }}", "$.steps[1].with.workspaceId"),
        (["steps", 1, "timeout"], "soon", "$.steps[1].timeout"),
        (["steps", 1, "timeout"], True, "$.steps[1].timeout"),
        (["steps", 0, "needs"], ["lh"], "$.steps[0].needs"),
        (["concurrency"], "parallel", "$.concurrency"),
        (["name"], 7, "$.name"),
    ],
)
def test_manifest_problem_names_its_place(path: list[Any], value: Any, where: str) -> None:
    """Each wrong value is found at its own path."""
    assert where in problems_of(changed(path, value))


def test_manifest_cycle_is_named_in_order() -> None:
    """A cycle's message shows the way round."""
    steps = [
        {"id": name, "kind": "workspace", "with": {"displayName": name}, "needs": [need]}
        for name, need in (("a", "c"), ("b", "a"), ("c", "b"))
    ]
    message = next(iter(problems_of({"name": "m", "steps": steps}).values()))
    assert "steps wait for each other" in message
    assert all(f"{x} -> {y}" in message or f"{y} -> {x}" in message for x, y in (("a", "b"), ("b", "c")))


def test_manifest_principals_expand_to_a_step_each() -> None:
    """A list of principals becomes role assignments; who needs the list needs them all."""
    manifest = copy.deepcopy(VALID)
    rows = [{"principalId": GUID[:-1] + str(i), "principalType": "User", "role": "Viewer"} for i in range(3)]
    with_ = {"workspaceId": "${{ steps.ws.outputs.id }}", "principals": rows}
    manifest["steps"] += [
        {"id": "team", "kind": "principals", "with": with_},
        {"id": "last", "kind": "workspace", "with": {"displayName": "z"}, "needs": ["team"]},
    ]
    plan = compile_manifest(manifest, KINDS)
    assert [s.step_id for s in plan.steps][2:5] == ["team.001", "team.002", "team.003"]
    assert plan.steps[2].kind == "role_assignment"
    assert plan.steps[2].needs == ("ws",)
    assert plan.steps[5].needs == ("team.001", "team.002", "team.003")


def test_manifest_item_definition_is_checked_by_part() -> None:
    """A part that is neither base64 nor text is named by its index."""
    definition = {
        "parts": [{"path": "a", "payload": "%%%"}, {"path": "a", "text": "x", "payload": "eA=="}, {"path": ""}]
    }
    spec = {"workspaceId": GUID, "type": "Notebook", "displayName": "n", "definition": definition}
    found = problems_of({"name": "m", "steps": [{"id": "n", "kind": "item", "with": spec}]})
    start = "$.steps[0].with.definition.parts"
    assert {f"{start}[0].payload", f"{start}[1].path", f"{start}[1].payload", f"{start}[2].path"} <= set(found)


@pytest.mark.parametrize("kind", ["item", "principals"])
def test_manifest_unpacked_file_says_who_packs_it(kind: str) -> None:
    """A path on somebody's disk means nothing to the app."""
    spec = {"workspaceId": GUID, "folder" if kind == "item" else "file": "x"}
    found = problems_of({"name": "m", "steps": [{"id": "n", "kind": kind, "with": spec}]})
    assert any("submit with the command line" in message for message in found.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
STEP = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", "c", ""]) | JSON,
        "kind": st.sampled_from(sorted(KINDS)) | JSON,
        "with": st.dictionaries(
            st.sampled_from(["displayName", "workspaceId", "principals", "csv", "definition", "type", "ifExists"])
            | st.text(max_size=5),
            JSON,
            max_size=5,
        )
        | JSON,
        "needs": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2) | JSON,
        "timeout": JSON,
    },
)


@given(st.fixed_dictionaries({}, optional={"name": JSON, "steps": st.lists(STEP, max_size=4) | JSON, "target": JSON}))
def test_manifest_check_never_breaks(manifest: Any) -> None:
    """Whatever JSON arrives is either a plan or a list of problems with paths; nothing else is raised."""
    try:
        plan = compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        assert error.problems
        assert all(p.path.startswith("$") and p.message for p in error.problems)
    else:
        assert plan.steps
