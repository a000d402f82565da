"""Manifests and messages from grammars: valid, nearly valid, and hostile. Each is answered with the place of its
problems and recorded once; nothing is raised, and nothing takes too long."""

import base64
import copy
import json
import time
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


_LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)) + "name: *a59\n"
_MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60))
_ROWS = yaml.safe_dump({"name": "m", "steps": [{"id": "a", "kind": "principals", "with": {"csv": "a,b\n" * 9_000}}]})
_REFERENCES = {"id": "a", "kind": "workspace", "with": {"displayName": "${{ steps.a.outputs.id }}" * 2_000}}


@pytest.mark.parametrize(
    "content",
    [
        _LAUGHS.encode(),
        _MERGES.encode(),
        b"{" * 50_000,
        b"[" * 50_000,
        (b'{"a":' * 20_000) + b"1" + b"}" * 20_000,
        b"- " * 30_000,
        json.dumps({"name": "m", "steps": [_REFERENCES]}).encode(),
        json.dumps({"name": "m", "steps": [{"id": f"s{i}", "needs": ["s0"] * 50} for i in range(900)]}).encode(),
        json.dumps({"name": "m", "steps": [{"id": f"s{i}", "kind": "workspace", "needs": [f"s{(i + 1) % 500}"],
                    "with": {"displayName": "x"}} for i in range(500)]}).encode(),
        b"name: !!python/object/apply:os.system ['true']",
        b"name: 2001-01-01\nsteps: 0x" + b"f" * 5_000,
        _ROWS.encode(),
        json.dumps({"deployment_id": "/\\#?\u0007", "manifest": good()}).encode(),
        json.dumps({"deployment_id": "d", "manifest": {**good(), "target": "\u0000/" * 100}}).encode(),
        b"\xef\xbb\xbf" + json.dumps(good()).encode("utf-16"),
        json.dumps({**good(), "name": "${{" * 400_000}).encode(),
        json.dumps({"name": "m", "steps": [{**_REFERENCES, "with": {"displayName": "${{" * 400_000}}]}).encode(),
        json.dumps({"name": "m", "steps": [{"id": f"s{i}", "needs": ["near"] * 190} for i in range(1_000)]}).encode(),
        json.dumps({f"x{i}": 1 for i in range(190_000)}).encode(),
    ],
    ids=["billion laughs", "merges", "braces", "brackets", "deep", "dashes", "references", "needs", "cycle", "object",
         "number", "rows", "id", "target", "utf-16", "openings", "open texts", "unknown needs", "unknown fields"],
)  # fmt: skip
def test_hostile_message_is_answered_quickly(content: bytes) -> None:
    """Bombs, cycles and forbidden characters get an answer within seconds, and no exception."""
    began = time.process_time()
    header, _ = accept(content)
    assert header.state in (DeploymentState.REJECTED, DeploymentState.ACCEPTED)
    assert time.process_time() - began < 20.0
