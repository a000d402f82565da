"""Manifests and messages from grammars: valid, nearly valid, and hostile. Each is answered with the place of its
problems and recorded once; nothing is raised, and the work grows as the message does."""

import base64
import copy
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.errors import InvalidInputError
from shared.domain.manifest import compile_manifest
from shared.domain.states import DeploymentState
from shared.saga.payloads import Payloads
from shared.saga.submission.acceptance import Acceptance
from shared.steps import KINDS
from tests.fake_journal import MemoryJournal
from tests.fakes import FakeClock, MemoryBlobs
from tests.growth import STEPS, is_linear, sizes

GUID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
NASTY = [
    "",
    " ",
    "\x00",
    "a\nb",
    "/\\#?",
    "‮abc",
    "\uff04{{",
    "${{ steps.ws.outputs.id }}",
    "${{",
    "}}",
    "${{ steps..outputs. }}",
    "ﬀ" * 300,
    "🏳️‍🌈",
    "\ud800",
    "'; drop table",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "a" * 70_000,
    "__proto__",
]
words = st.one_of(st.sampled_from(NASTY), st.text(max_size=20))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=12,
)


def good() -> dict[str, Any]:
    """Return a manifest with every kind."""
    place = {"workspaceId": "${{ steps.ws.outputs.id }}"}
    principal = {"principalId": GUID, "principalType": "User", "role": "Viewer"}
    book = {"type": "Notebook", "displayName": "nb", "definition": {"parts": [{"path": "a.py", "text": "x"}]}}
    return {
        "name": "m",
        "target": "t",
        "steps": [
            {"id": "ws", "kind": "workspace", "with": {"displayName": "w", "description": "d"}},
            {"id": "lake", "kind": "lakehouse", "with": {**place, "displayName": "bronze"}, "timeout": "5m"},
            {"id": "nb", "kind": "item", "needs": ["lake"], "with": {**place, **book}},
            {"id": "one", "kind": "role_assignment", "with": {**place, **principal}},
            {"id": "all", "kind": "principals", "with": {**place, "principals": [principal]}},
        ],
    }


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return every path in a manifest."""
    found = [at] if at else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += paths(inner, (*at, key))
    return found


def changed(at: tuple[Any, ...], value: Any, remove: bool) -> Any:
    """Return the valid manifest with one value changed or removed."""
    manifest: Any = copy.deepcopy(good())
    holder = manifest
    for key in at[:-1]:
        holder = holder[key]
    if remove:
        del holder[at[-1]]
    else:
        holder[at[-1]] = value
    return manifest


def accept(content: bytes) -> tuple[Any, MemoryJournal]:
    """Accept a message twice and return its header."""
    clock, blobs = FakeClock(), MemoryBlobs()
    journal = MemoryJournal(clock)
    acceptance = Acceptance(journal, blobs, Payloads(blobs), clock, KINDS)
    first = acceptance.accept(content, "message")
    entries = len(journal.audit(first.header.deployment_id))
    repeated = acceptance.accept(content, "message")
    assert repeated.header == first.header
    assert len(journal.audit(first.header.deployment_id)) == entries, "the message was recorded twice"
    assert len(list(journal.deployments())) == 1
    return first.header, journal


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(at=st.sampled_from(paths(good())), value=anything, remove=st.booleans())
def test_nearly_valid_manifest_is_accepted_or_rejected_with_places(
    at: tuple[Any, ...], value: Any, remove: bool
) -> None:
    """One value is wrong: either the manifest is still valid, or every problem has a path and a message."""
    manifest = changed(at, value, remove)
    try:
        compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.path.startswith("$")
            assert problem.message
        wanted = DeploymentState.REJECTED
    else:
        wanted = DeploymentState.ACCEPTED
    try:
        content = json.dumps({"deployment_id": "d", "manifest": manifest}).encode()
    except (ValueError, UnicodeEncodeError):
        return
    header, journal = accept(content)
    if header.state is DeploymentState.REJECTED:
        assert header.problems
    else:
        assert wanted is DeploymentState.ACCEPTED
        assert len(journal.steps("d")) == header.step_count


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(envelope=st.dictionaries(st.sampled_from(["deployment_id", "manifest", "manifest_text", "manifest_blob",
       "requested_by", "source", "command", "extra"]), anything, max_size=5), encode=st.booleans())  # fmt: skip
def test_any_envelope_is_answered_and_recorded_once(envelope: dict[str, Any], encode: bool) -> None:
    content = json.dumps(envelope).encode()
    header, _ = accept(base64.b64encode(content) if encode else content)
    assert header.state in (DeploymentState.REJECTED, DeploymentState.ACCEPTED)


def _laughs(levels: int) -> str:
    return (
        "a0: &a0 [x, x]\n"
        + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, levels))
        + f"name: *a{levels - 1}\n"
    )


def _merges(levels: int) -> str:
    return "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, levels))


def _rows(count: int) -> str:
    return yaml.safe_dump({"name": "m", "steps": [{"id": "a", "kind": "principals", "with": {"csv": "a,b\n" * count}}]})


def _named(text: str) -> dict[str, Any]:
    return {"name": "m", "steps": [{"id": "a", "kind": "workspace", "with": {"displayName": text}}]}


def _steps(count: int, needs: Callable[[int], list[str]]) -> dict[str, Any]:
    step = {"kind": "workspace", "with": {"displayName": "x"}}
    return {"name": "m", "steps": [{**step, "id": f"s{i}", "needs": needs(i)} for i in range(count)]}


def _last(count: int) -> dict[str, Any]:
    """Return a manifest of jobs whose effects cannot be compensated: each must come after all before it."""
    with_ = {"workspaceId": GUID, "itemId": GUID, "jobType": "RunNotebook", "effects": "irreversible"}
    return {"name": "m", "steps": [{"id": f"s{i}", "kind": "job", "with": with_} for i in range(count)]}


BOMBS: dict[str, tuple[Callable[[int], Any], int]] = {"billion laughs": (_laughs, 60), "merges": (_merges, 60)}
"""Messages whose value doubles with each level, and a number of levels whose value no computer holds."""
GROWING: dict[str, tuple[Callable[[int], Any], int]] = {
    "braces": (lambda n: "{" * n, 50_000),
    "brackets": (lambda n: "[" * n, 50_000),
    "deep": (lambda n: '{"a":' * n + "1" + "}" * n, 20_000),
    "dashes": (lambda n: "- " * n, 30_000),
    "references": (lambda n: _named("${{ steps.a.outputs.id }}" * n), 2_000),
    "needs": (lambda n: _steps(n, lambda _: ["s0"] * 50), 900),
    "cycle": (lambda n: _steps(n, lambda i: [f"s{(i + 1) % n}"]), 500),
    "number": (lambda n: "name: 2001-01-01\nsteps: 0x" + "f" * n, 5_000),
    "last steps": (_last, 2_900),
    "rows": (_rows, 9_000),
    "openings": (lambda n: {**good(), "name": "${{" * n}, 400_000),
    "open texts": (lambda n: _named("${{" * n), 400_000),
    "unknown needs": (lambda n: _steps(n, lambda _: ["near"] * 190), 1_000),
    "unknown fields": (lambda n: {f"x{i}": 1 for i in range(n)}, 190_000),
}
"""Messages that grow without end, by name: the message of a size, and a size at or beyond what is accepted."""


def _encoded(content: Any) -> bytes:
    return (content if isinstance(content, str) else json.dumps(content)).encode()


@pytest.mark.parametrize(
    "made",
    [
        *(pytest.param(partial(made, size), id=name) for name, (made, size) in {**BOMBS, **GROWING}.items()),
        pytest.param(lambda: b"name: !!python/object/apply:os.system ['true']", id="object"),
        pytest.param(lambda: {"deployment_id": "/\\#?\u0007", "manifest": good()}, id="id"),
        pytest.param(lambda: {"deployment_id": "d", "manifest": {**good(), "target": "\u0000/" * 100}}, id="target"),
        pytest.param(lambda: b"\xef\xbb\xbf" + json.dumps(good()).encode("utf-16"), id="utf-16"),
    ],
)
def test_hostile_message_is_answered(made: Callable[[], Any]) -> None:
    """Bombs, cycles and forbidden characters get an answer, and no exception."""
    content = made()
    header, _ = accept(content if isinstance(content, bytes) else _encoded(content))
    assert header.state in (DeploymentState.REJECTED, DeploymentState.ACCEPTED)


@pytest.mark.parametrize(
    ("made", "size", "steps"),
    [
        *(pytest.param(made, size // 16, STEPS, id=name) for name, (made, size) in GROWING.items()),
        *(pytest.param(made, size, 1, id=name) for name, (made, size) in BOMBS.items()),
    ],
)
def test_hostile_message_takes_time_in_proportion_to_its_size(
    made: Callable[[int], Any], size: int, steps: int
) -> None:
    """No message of a moderate size can keep a worker busy for long, and no bomb for longer than its text."""
    contents = {part: _encoded(made(part)) for part in sizes(size, steps)}

    def work(part: int) -> None:
        clock, blobs = FakeClock(), MemoryBlobs()
        Acceptance(MemoryJournal(clock), blobs, Payloads(blobs), clock, KINDS).accept(contents[part], "message")

    assert is_linear(work, size, steps)
