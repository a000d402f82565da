"""The validation of a manifest: all problems at once, each with its path; the result is an acyclic graph."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import fields
from shared.domain.errors import InvalidInputError, how_many
from shared.domain.manifest import compile_manifest
from shared.domain.references import readable
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
    """Return the message of every problem by its path."""
    with pytest.raises(InvalidInputError) as caught:
        compile_manifest(manifest, KINDS)
    return {p.path: p.message for p in caught.value.problems}


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    """Return the valid manifest with one value replaced."""
    manifest = copy.deepcopy(VALID)
    at: Any = manifest
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return manifest


def test_manifest_reference_creates_the_dependency() -> None:
    """A step that references another step's output waits for it without `needs`."""
    graph = compile_manifest(VALID, KINDS)
    assert [s.needs for s in graph.steps] == [(), ("ws",)]
    assert graph.target == "m"


def test_manifest_reports_all_problems_at_once() -> None:
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
        (["steps", 1, "timeout"], "\u0663m", "$.steps[1].timeout"),
        (["steps", 1, "timeout"], True, "$.steps[1].timeout"),
        (["steps", 0, "needs"], ["lh"], "$.steps[0].needs"),
        (["concurrency"], "parallel", "$.concurrency"),
        (["name"], 7, "$.name"),
    ],
)
def test_manifest_problem_has_its_path(path: list[Any], value: Any, where: str) -> None:
    assert where in problems_of(changed(path, value))


def test_manifest_cycle_is_named_in_order() -> None:
    """The message lists the steps of the cycle."""
    steps = [
        {"id": name, "kind": "workspace", "with": {"displayName": name}, "needs": [need]}
        for name, need in (("a", "c"), ("b", "a"), ("c", "b"))
    ]
    message = next(iter(problems_of({"name": "m", "steps": steps}).values()))
    assert "steps wait for each other" in message
    assert all(f"{x} -> {y}" in message or f"{y} -> {x}" in message for x, y in (("a", "b"), ("b", "c")))


def test_manifest_principals_expand_to_one_step_each() -> None:
    """A step that needs the list needs every role assignment."""
    manifest = copy.deepcopy(VALID)
    rows = [{"principalId": GUID[:-1] + str(i), "principalType": "User", "role": "Viewer"} for i in range(3)]
    with_ = {"workspaceId": "${{ steps.ws.outputs.id }}", "principals": rows}
    manifest["steps"] += [
        {"id": "team", "kind": "principals", "with": with_},
        {"id": "last", "kind": "workspace", "with": {"displayName": "z"}, "needs": ["team"]},
    ]
    graph = compile_manifest(manifest, KINDS)
    assert [s.step_id for s in graph.steps][2:5] == ["team.001", "team.002", "team.003"]
    assert graph.steps[2].kind == "role_assignment"
    assert graph.steps[2].needs == ("ws",)
    assert graph.steps[5].needs == ("team.001", "team.002", "team.003")


def test_manifest_item_definition_is_checked_by_part() -> None:
    """A part that is neither base64 nor text is named by its index."""
    definition = {
        "parts": [{"path": "a", "payload": "%%%"}, {"path": "a", "text": "x", "payload": "eA=="}, {"path": ""}]
    }
    spec = {"workspaceId": GUID, "type": "Notebook", "displayName": "n", "definition": definition}
    found = problems_of({"name": "m", "steps": [{"id": "n", "kind": "item", "with": spec}]})
    start = "$.steps[0].with.definition.parts"
    assert {f"{start}[0].payload", f"{start}[1].path", f"{start}[1].payload", f"{start}[2].path"} <= set(found)


REFERENCE = "${{ steps.ws.outputs.id }}"
EVERY_KIND: dict[str, dict[str, Any]] = {
    "lakehouse": {"workspaceId": REFERENCE, "displayName": "a", "description": "b", "ifExists": "adopt"},
    "item": {
        "workspaceId": REFERENCE,
        "type": "Notebook",
        "displayName": "a",
        "description": "b",
        "ifExists": "adopt",
        "definition": {"format": "ipynb", "parts": [{"path": "a", "text": "b"}, {"path": "b", "payload": "Yg==",
                                                                                 "payloadType": "InlineBase64"}]},
    },
    "role_assignment": {
        "workspaceId": REFERENCE,
        "principalId": GUID,
        "principalType": "User",
        "role": "Admin",
        "description": "b",
        "ifExists": "adopt",
    },
    "principals": {
        "workspaceId": REFERENCE,
        "ifExists": "adopt",
        "principals": [{"principalId": GUID, "principalType": "User", "role": "Admin", "description": "b"}],
    },
    "approval": {"message": "a", "approvers": ["b"], "default": "approve"},
    "workspace": {"displayName": "a", "description": "b", "capacityId": GUID, "ifExists": "adopt"},
}  # fmt: skip
OPEN = {
    "workspaceId", "displayName", "description", "capacityId", "principalId", "text", "message", "approvers",
}  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of the texts in a value."""
    if isinstance(value, str):
        return [at]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, member in pairs for place in places(member, (*at, key))]


def whole(kind: str) -> dict[str, Any]:
    """Return a manifest with every field in it, and one step of that kind with all of its own fields."""
    step = {"id": "a", "kind": kind, "needs": ["ws"], "timeout": "5m", "onFailure": "hold", "with": EVERY_KIND[kind]}
    head = {
        "name": "m",
        "target": "t",
        "concurrency": "queue",
        "onFailure": "hold",
        "requestedBy": "r",
        "description": "d",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "expiresAfter": "1d",
        "keepFor": "1d",
    }
    return copy.deepcopy({**head, "steps": [VALID["steps"][0], step]})


@pytest.mark.parametrize("kind", sorted(EVERY_KIND))
@pytest.mark.parametrize("text", [REFERENCE, "${{ x }}", "hold ${{", "$${{ x }}"])
def test_manifest_reference_is_allowed_only_in_fields_that_may_refer(kind: str, text: str) -> None:
    """Everywhere else `${{` is a problem at its path, because nothing would replace it."""
    assert compile_manifest(whole(kind), KINDS)
    for place in places(whole(kind)):
        if place[:2] == ("steps", 0):
            continue
        manifest = whole(kind)
        holder: Any = manifest
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = text
        named = next(key for key in reversed(place) if isinstance(key, str))
        has_pattern = named.endswith("Id") or (kind, named) == ("lakehouse", "displayName")
        if "with" in place and named in OPEN and (text == REFERENCE or (text.startswith("$$") and not has_pattern)):
            assert compile_manifest(manifest, KINDS)
            continue
        path = "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
        assert path in problems_of(manifest)


def test_manifest_reference_disables_no_check() -> None:
    """Length, pattern and choice are still checked in every field that accepts no reference."""
    id_ = problems_of(changed(["steps", 0, "id"], "${{ x }} / #"))["$.steps[0].id"]
    assert "must begin with a letter" in id_
    manifest = {
        **VALID,
        "onFailure": "${{ x }}",
        "name": "${{ x }}" + "n" * 20_000,
        "target": "${{ steps.ws.outputs.id }}",
    }
    with pytest.raises(InvalidInputError) as caught:
        compile_manifest(manifest, KINDS)
    reported = [(p.path, p.message) for p in caught.value.problems]
    assert ("$.name", "has 20008 characters; at most 100 are allowed") in reported
    replaced = fields._NOT_REPLACED
    assert ("$.target", replaced) in reported
    assert [message for path, message in reported if path == "$.onFailure"] == [f"{replaced}; one of: rollback, hold"]


def test_manifest_key_may_not_contain_a_reference() -> None:
    """The same if the keys are free, because only values are replaced."""
    spec = {"workspaceId": GUID, "type": "Eventhouse", "displayName": "e"}
    good = {
        "name": "m",
        "steps": [{"id": "n", "kind": "item", "with": {**spec, "creationPayload": {"a": {"b": ["$${{"]}}}}],
    }
    assert compile_manifest(good, KINDS)
    bad = {
        "name": "m",
        "steps": [{"id": "n", "kind": "item", "with": {**spec, "creationPayload": {"a": {"${{ x }}": 1}}}}],
    }
    assert set(problems_of(bad)) == {"$.steps[0].with.creationPayload.a['${{ x }}']"}


def test_manifest_principals_file_is_read_literally() -> None:
    """Nothing in the text of a file is a reference, and nothing in it is changed."""
    csv = f'principal_id,role,description,type\n{GUID},Admin,"for ${{{{ github.sha }}}} and $${{{{",Group\n'
    spec = {"workspaceId": GUID, "csv": csv, "source": "${{ x }}.csv"}
    (step,) = compile_manifest({"name": "m", "steps": [{"id": "t", "kind": "principals", "with": spec}]}, KINDS).steps
    assert readable(step.spec)["description"] == "for ${{ github.sha }} and $${{"


def test_manifest_suggests_words_only_for_the_first_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for a similar word costs more than all the rest: it is made ten times at most."""
    looks: list[str] = []

    def close(word: str, known: Any, n: int) -> list[str]:
        looks.append(word)
        return []

    monkeypatch.setattr("shared.domain.fields.difflib.get_close_matches", close)
    spec = {"displayName": "w", "description": " ".join("${{ steps.gone.outputs.id }}" for _ in range(50))}
    steps = [{"id": f"s{i}", "kind": "workspace", "with": spec, "needs": ["gone"] * 50, f"x{i}": 1} for i in range(50)]
    with pytest.raises(InvalidInputError) as caught:
        compile_manifest({"name": "m", "steps": steps}, KINDS)
    assert len(looks) == 10
    assert len(caught.value.problems) == 101
    assert str(caught.value.problems[-1]) == "$: and 4,950 more"
    assert how_many(caught.value.problems) == "5050 problems"


def test_manifest_of_too_many_principals_is_refused_before_it_is_expanded() -> None:
    """If one of two long lists needs the other, each step of one would need each step of the other."""
    csv = "".join(f"0f3f6f0e-52a4-4a35-9d4e-7f2f4f{i:06x},Admin,,User\n" for i in range(20_000))
    steps = [{"id": name, "kind": "principals", "needs": needs, "with": {"workspaceId": GUID, "csv": csv}}
             for name, needs in (("a", []), ("b", ["a"]))]  # fmt: skip
    found = problems_of({"name": "m", "steps": steps})
    assert found == {"$.steps": "expand to 40000 steps; at most 3000 are accepted in one deployment"}


@pytest.mark.parametrize("kind", ["item", "principals"])
def test_manifest_unpacked_file_names_the_command_that_packs_it(kind: str) -> None:
    """A path on the submitter's disk means nothing to the app."""
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
def test_manifest_check_never_crashes(manifest: Any) -> None:
    """Any JSON is either a graph or a list of problems with paths; nothing else is raised."""
    try:
        graph = compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        assert error.problems
        assert all(p.path.startswith("$") and p.message for p in error.problems)
    else:
        assert graph.steps
