"""The marker in a description: it is added and removed without a trace, whatever the text is."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.names import same_name
from shared.domain.records import Intent
from shared.domain.states import IntentAction
from shared.steps import STEPS
from shared.steps.kind import StepKind
from shared.steps.marker import keep_marker, says_the_same, with_marker, without_marker
from tests.unit.steps.tenant import MARKER, Tenant, problems

FOREIGN = "[saga:0123456789ab]"
CREATE = Intent(IntentAction.CREATE, MARKER)
WORDS = st.text() | st.lists(
    st.sampled_from([" ", "\n", "\r\n", "\t", "\u00a0", "[saga:", "0123456789ab", "]", FOREIGN, "x", "[", ":"]),
    max_size=12,
).map("".join)


@given(WORDS)
@example("x\n")
@example(" x ")
@example("")
@example(" ")
@example(f"x {FOREIGN}")
@example("[saga:[saga:0123456789ab]0123456789ab]")
def test_marker_can_be_removed_exactly(text: str) -> None:
    """The submitter's text is read back unchanged, to the last space; only Saga's markers are not a part of it."""
    words = without_marker(text)
    assert without_marker(with_marker(text, MARKER)) == words
    assert without_marker(words) == words
    if "[saga:" not in text:
        assert words == text
    marked = with_marker(text, MARKER)
    assert marked.endswith(f"[saga:{MARKER}]")
    assert marked.count("[saga:0123456789ab]") == 0
    assert without_marker(keep_marker(text, f"other words {FOREIGN}")) == words
    assert keep_marker(text, "words without one") == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x", "x\n"),
        ("x", " x"),
        ("x", f"x {FOREIGN}"),
        ("x\n", f"x\n {FOREIGN}"),
        ("a\r\nb", "a\nb"),
        ("", FOREIGN),
        ("", " "),
    ],
)
def test_marker_and_white_space_at_the_ends_are_not_a_difference(one: str, other: str) -> None:
    """Fabric may keep the white space or drop it, and a difference that nobody can see must not be reported."""
    assert says_the_same(one, other)
    assert says_the_same(other, one)


def test_marker_other_text_is_a_difference() -> None:
    """White space inside counts."""
    assert not says_the_same("a b", "a  b")
    assert not says_the_same("x", "X")


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("workspace", {}),
    ("lakehouse", {}),
    ("item", {"type": "DataPipeline"}),
    ("item", {"type": "Notebook", "definition": {"parts": [{"path": "notebook-content.py", "text": "print()"}]}}),
]


def _described(kind: str, extra: dict[str, Any], text: str) -> tuple[Tenant, StepKind, dict[str, Any]]:
    tenant = Tenant()
    place = {} if kind == "workspace" else {"workspaceId": tenant.workspace()}
    return tenant, STEPS[kind], {**place, **extra, "displayName": "thing", "description": text}


def _description(tenant: Tenant) -> str:
    """Return the description as the simulator stores it."""
    found = [w for w in tenant.model.store.workspaces.values() if w.name == "thing"]
    found += [i for w in tenant.model.store.workspaces.values() for i in w.items.values() if i.name == "thing"]
    return found[0].description


@pytest.mark.parametrize("text", ["x\n", "x ", " x", "Loads bronze [saga:fa8bd5ab10ab]", "a\n\nb\n", " ", "\u00a0x"])
@pytest.mark.parametrize(("kind", "extra"), KINDS)
def test_marker_description_with_any_ends_is_created_and_updated(kind: str, extra: dict[str, Any], text: str) -> None:
    """A YAML block ends with a line end, and an exported description with a marker: both are applied and verified."""
    tenant, step, spec = _described(kind, extra, text)
    assert problems(step, spec) == {}
    resource = tenant.create(step, spec)
    assert _description(tenant) == with_marker(without_marker(text), MARKER)
    step.verify(tenant.fabric, spec, resource, CREATE)
    found = step.find(tenant.fabric, spec)
    assert found is not None
    assert step.recognises(spec, CREATE, found, uncertain=False)
    assert "description" not in step.changes(spec, found)
    other = {**spec, "description": f"other {text}"}
    found, intent = tenant.image(step, other)
    tenant.send(step.apply(other, intent))
    step.verify(tenant.fabric, other, resource, intent)
    assert _description(tenant) == with_marker(f"other {without_marker(text)}", MARKER)


@pytest.mark.parametrize("before", ["theirs\n", "  theirs [saga:0123456789ab]", f"{FOREIGN} theirs {FOREIGN}", ""])
@pytest.mark.parametrize(("kind", "extra"), KINDS)
def test_marker_before_image_is_restored_exactly(kind: str, extra: dict[str, Any], before: str) -> None:
    """Compensation restores the exact text, including white space and markers."""
    tenant, step, spec = _described(kind, extra, "ours\n")
    resource = tenant.create(step, {**spec, "description": ""})
    for workspace in tenant.model.store.workspaces.values():
        for thing in [workspace, *workspace.items.values()]:
            if thing.name == "thing":
                thing.description = before
    _, intent = tenant.image(step, spec)
    tenant.send(step.apply(spec, intent))
    assert _description(tenant) != before
    tenant.compensate(step, spec, intent, resource)
    assert _description(tenant) == before


@pytest.mark.parametrize(("kind", "limit"), [("workspace", 4000), ("lakehouse", 256), ("item", 256)])
def test_marker_limit_is_explained(kind: str, limit: int) -> None:
    """A description that Fabric accepts and Saga cannot mark is refused with the reason; a marker in it does not count
    towards its length."""
    _, step, spec = _described(kind, {"type": "DataPipeline"} if kind == "item" else {}, "d" * (limit - 19))
    assert problems(step, spec) == {
        "$.description": f"has {limit - 19} characters; at most {limit - 20} are allowed: Fabric accepts {limit}, "
        "and Saga needs 20 of them for the marker by which it recognises what it created"
    }
    longer = problems(step, {**spec, "description": "d" * (limit + 1)})
    assert f"at most {limit - 20} are allowed: Fabric accepts {limit}" in longer["$.description"]
    exported = with_marker("d" * (limit - 20), "0" * 12)
    assert len(exported) == limit
    assert problems(step, {**spec, "description": exported}) == {}


@pytest.mark.parametrize("name", [" x", "x ", "x\n", "\u00a0x"])
@pytest.mark.parametrize("kind", ["workspace", "item"])
def test_name_with_white_space_at_an_end_is_refused(kind: str, name: str) -> None:
    """The same rule applies to a workspace and to an item."""
    _, step, spec = _described(kind, {"type": "DataPipeline"} if kind == "item" else {}, "")
    found = problems(step, {**spec, "displayName": name})
    assert found == {"$.displayName": "must not begin or end with white space"}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Sales", "sALES", True),
        ("ÄRZTE", "ärzte", True),
        ("STRASSE", "Straße", False),
        ("ﬁn", "fin", False),
        ("\u212a", "k", False),
        ("\u017f", "s", False),
        ("\u0131", "I", False),
        ("x", "x ", False),
    ],
)
def test_name_is_compared_character_by_character(one: str, other: str, is_same: bool) -> None:
    """As Fabric does, as far as is known: a name that only looks alike is another name."""
    assert same_name(one, other) is is_same
    assert same_name(other, one) is is_same


@pytest.mark.parametrize("kind", ["workspace", "item"])
def test_name_that_only_folds_to_the_same_is_not_adopted(kind: str) -> None:
    """'STRASSE' is created beside 'Straße', and does not overwrite it."""
    tenant, step, spec = _described(kind, {"type": "DataPipeline"} if kind == "item" else {}, "")
    there = tenant.create(step, {**spec, "displayName": "Straße"})
    assert step.find(tenant.fabric, {**spec, "displayName": "STRASSE"}) is None
    assert tenant.create(step, {**spec, "displayName": "STRASSE"}).id != there.id
    found = step.find(tenant.fabric, {**spec, "displayName": "sTRAßE"})
    assert found is not None
    assert found.resource.id == there.id
