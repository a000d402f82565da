"""Acceptance: every form of a submission, every malformed one, and a submission that is repeated."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.deployment_ids import is_deployment_id
from shared.domain.errors import Problem, StorageUnavailableError
from shared.domain.json import content_hash
from shared.domain.names import normal_target
from shared.domain.ports import Change
from shared.domain.row_limits import STEP_SHARES, fitted
from shared.domain.states import DeploymentState, StepState
from shared.domain.trace import parse
from shared.saga.audit.verify import read, verify
from shared.saga.payloads import Payloads
from shared.saga.submission.acceptance import Acceptance, Accepted
from shared.steps import KINDS
from tests.fake_journal import MemoryJournal
from tests.fakes import FakeClock, MemoryBlobs

GUID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
MANIFEST: dict[str, Any] = {
    "name": "sales",
    "target": " Contoso  SALES ",
    "steps": [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}},
        {"id": "lh", "kind": "lakehouse", "with": {"workspaceId": "${{ steps.ws.outputs.id }}", "displayName": "b"}},
    ],
}
MESSAGE_ID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c44"
"""As storage gives it to a message."""
YAML = b"""
name: sales
target: ' Contoso  SALES '
steps:
  - {id: ws, kind: workspace, with: {displayName: sales}}
  - {id: lh, kind: lakehouse, with: {workspaceId: "${{ steps.ws.outputs.id }}", displayName: b}}
"""


class AcceptanceFixture:
    """An acceptance over memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.blobs = MemoryBlobs()
        self.acceptance = Acceptance(self.journal, self.blobs, Payloads(self.blobs), self.clock, KINDS)

    def accept(self, content: Any, message_id: str = MESSAGE_ID) -> Accepted:
        """Accept bytes, or the JSON of any other content."""
        return self.acceptance.accept(
            content if isinstance(content, bytes) else json.dumps(content).encode(), message_id
        )

    def paths(self, content: Any) -> list[str]:
        """Return the paths of the problems of a rejected submission."""
        header = self.accept(content).header
        assert header.state is DeploymentState.REJECTED
        assert header.error is not None
        assert str(len(header.problems)) in header.error.message
        return [p["path"] for p in header.problems]


def test_accept_writes_header_and_steps() -> None:
    """The header has target, hash and count; each step is pending, with its needs and references as ordinals."""
    fixture = AcceptanceFixture()
    accepted = fixture.accept({"deployment_id": "d-1", "manifest": MANIFEST, "requested_by": "ci"})
    header = accepted.header
    assert not accepted.conflict
    assert (header.deployment_id, header.state, header.name) == ("d-1", DeploymentState.ACCEPTED, "sales")
    assert (header.target, header.step_count, header.requested_by) == ("contoso sales", 2, "ci")
    assert header.manifest_hash == content_hash(MANIFEST)
    first, second = (s.record for s in fixture.journal.steps("d-1"))
    assert first.state is second.state is StepState.PENDING
    assert (second.needs, second.refers_to) == ((0,), {"ws": 0})
    assert [e.after for e in fixture.journal.audit("d-1")] == ["accepted"]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(MANIFEST).encode(),
        json.dumps(MANIFEST, indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps(MANIFEST).encode(),
        YAML,
        b"\xef\xbb\xbf" + YAML,
        YAML.replace(b"\n", b"\r\n"),
        base64.b64encode(json.dumps(MANIFEST).encode()),
        base64.b64encode(b"\n" + json.dumps(MANIFEST).encode()) + b"\n",
        json.dumps({"manifest": MANIFEST}).encode(),
        json.dumps({"manifest_text": YAML.decode()}).encode(),
        json.dumps({"manifest_text": json.dumps(MANIFEST), "source": "ci"}).encode(),
    ],
    ids=["json", "indented", "bom", "yaml", "yaml-bom", "crlf", "base64", "base64-space", "envelope", "text", "source"],
)
def test_accept_reads_every_form(content: bytes) -> None:
    """JSON or YAML, bare or in an envelope, plain or base64, with or without a byte order mark: all are the same
    deployment."""
    header = AcceptanceFixture().accept(content).header
    assert (header.state, header.manifest_hash) == (DeploymentState.ACCEPTED, content_hash(MANIFEST))
    assert header.deployment_id == f"unreadable-{MESSAGE_ID}"


def test_accept_bare_manifest_may_name_its_deployment() -> None:
    """Its `id` is the deployment's and not a part of the manifest."""
    header = AcceptanceFixture().accept({"id": "d-2", **MANIFEST}).header
    assert (header.deployment_id, header.manifest_hash) == ("d-2", content_hash(MANIFEST))


def test_accept_manifest_from_a_blob() -> None:
    """A stored blob is read; a missing one is a problem that says what to do."""
    fixture = AcceptanceFixture()
    digest = fixture.blobs.put(json.dumps(MANIFEST).encode())
    assert fixture.accept({"deployment_id": "a", "manifest_blob": digest}).header.state is DeploymentState.ACCEPTED
    assert fixture.paths({"deployment_id": "b", "manifest_blob": "0" * 64}) == ["$.manifest_blob"]
    assert fixture.paths({"deployment_id": "c", "manifest_blob": "../x"}) == ["$.manifest_blob"]
    junk = fixture.blobs.put(b"\xff\xfe")
    assert fixture.paths({"deployment_id": "e", "manifest_blob": junk}) == ["$.manifest_blob"]


def test_accept_same_message_twice_is_one_deployment() -> None:
    """The second message finds the first one's rows, and moves nothing."""
    fixture = AcceptanceFixture()
    message = {"deployment_id": "d", "manifest": MANIFEST}
    first = fixture.accept(message, "m-1")
    fixture.clock.advance(60)
    repeated = fixture.accept(message, "m-2")
    assert repeated.header == first.header
    assert not repeated.conflict
    assert len(fixture.journal.audit("d")) == 1


def test_accept_another_manifest_under_the_id_is_a_conflict_in_the_audit() -> None:
    """The first deployment keeps its state; the audit records the refusal with the hash of the refused manifest."""
    fixture = AcceptanceFixture()
    stored = fixture.accept({"deployment_id": "d", "manifest": MANIFEST}).header
    refused = fixture.accept({"deployment_id": "d", "manifest": {**MANIFEST, "name": "other"}})
    assert refused.conflict
    assert refused.header == stored
    note = fixture.journal.audit("d")[-1]
    assert "taken by another manifest" in note.reason
    assert (note.before, note.after) == ("accepted", "accepted")
    worse = fixture.accept({"deployment_id": "d", "manifest": {"name": "other"}})
    assert worse.conflict
    assert fixture.journal.header("d").record == stored


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        (b"", ["$"]),
        (b"\xff\xfe\x00", ["$"]),
        (b"{", ["$"]),
        (b"just words", ["$"]),
        (b"[]", ["$"]),
        (b"null", ["$"]),
        (b"7", ["$"]),
        (b"&a [*a, *a]", ["$"]),
        (b"[" * 100_000, ["$"]),
        (b'{"name": "a", "name": "b"}', ["$"]),
        (b'{"name": NaN}', ["$"]),
        ({}, ["$.name", "$.steps"]),
        ({"deployment_id": "d"}, ["$"]),
        ({"deployment_id": "d", "manifest": MANIFEST, "manifest_text": "x"}, ["$"]),
        ({"deployment_id": "d", "manifest": MANIFEST, "colour": "red"}, ["$.colour"]),
        ({"deployment_id": "a/b", "manifest": MANIFEST}, ["$.deployment_id"]),
        ({"deployment_id": 7, "manifest": MANIFEST}, ["$.deployment_id"]),
        ({"deployment_id": "d", "manifest_text": 7}, ["$.manifest_text"]),
        ({"deployment_id": "d", "manifest_text": "{"}, ["$"]),
        ({"deployment_id": "d", "manifest": []}, ["$", "$.name", "$.steps"]),
        ({"id": "../d", **MANIFEST}, ["$.id"]),
        ({"manifest": {**MANIFEST, "name": "a\x00b"}}, ["$.manifest.name"]),
    ],
)
def test_accept_of_a_malformed_submission_is_rejected_with_its_problems(content: Any, paths: list[str]) -> None:
    assert AcceptanceFixture().paths(content)[: len(paths)] == paths


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"deployment_id": "d-7", "manifest": MANIFEST, "colour": 1}, "d-7"),
        ({"deployment_id": "d-7"}, "d-7"),
        ({"id": "d-7", "name": "x"}, "d-7"),
        ({"deployment_id": "d-7", "manifest": {"name": "a\x00b"}}, "d-7"),
        ({"deployment_id": "d-7", "manifest_text": "\x1b"}, "d-7"),
        (b'{"deployment_id": "d-7", "manifest": ' + b"[" * 60 + b"]" * 60 + b"}", "d-7"),
        (base64.b64encode(b'{"deployment_id": "d-7"}'), "d-7"),
        ({"deployment_id": "d/7"}, f"unreadable-{MESSAGE_ID}"),
        (b'{"deployment_id": "d-7"', f"unreadable-{MESSAGE_ID}"),
        (b"\xff", f"unreadable-{MESSAGE_ID}"),
    ],
)
def test_accept_rejects_under_the_id_that_the_submitter_expects(content: Any, wanted: str) -> None:
    """If the id can be read, the rejection is recorded under it."""
    assert AcceptanceFixture().accept(content).header.deployment_id == wanted


def test_accept_of_base64_in_base64_says_so() -> None:
    """The message was encoded twice. The problem says so, and not that its content has a wrong type."""
    header = AcceptanceFixture().accept(base64.b64encode(base64.encodebytes(json.dumps(MANIFEST).encode()))).header
    assert header.state is DeploymentState.REJECTED
    assert [problem["message"] for problem in header.problems] == [
        "is base64 of base64: encode the message once, or send it as it is"
    ]


def test_accept_rejection_keeps_all_problems_that_fit() -> None:
    """Their full number is reported; the problems that are kept fit a row, whatever their characters."""
    many = {"name": "x", "steps": [{"id": "a", "kind": "\U0001f600" * 60, "\U0001f600" * 64: 1} for _ in range(300)]}
    header = AcceptanceFixture().accept({"deployment_id": "d", "manifest": many}).header
    assert header.state is DeploymentState.REJECTED
    assert header.error is not None
    assert int(header.error.message.split()[3]) > 600
    assert 5 < len(header.problems) <= 100


def test_accept_of_text_beyond_ascii_fits_rows() -> None:
    """A spec of thousands of Chinese characters is stored as a blob, and a long requester is cut."""
    parts = [{"path": "a", "text": "\u6f22" * 5_900}]
    spec = {"workspaceId": GUID, "type": "Notebook", "displayName": "n", "definition": {"parts": parts}}
    manifest = {"name": "m", "steps": [{"id": "n", "kind": "item", "with": spec}]}
    fixture = AcceptanceFixture()
    header = fixture.accept({"deployment_id": "d", "manifest": manifest, "requested_by": "\u6f22" * 10_000}).header
    assert header.state is DeploymentState.ACCEPTED
    assert len(header.requested_by) == 256
    stored = fixture.journal.steps("d")[0].record.spec
    assert list(stored) == ["$blob"]
    assert Payloads(fixture.blobs).load(stored) == spec


def test_accept_of_a_step_that_references_every_other_step() -> None:
    """The maximum of references is stored outside of the row, which keeps its space for later writes."""
    steps = [{"id": f"{'w' * 60}{i:03d}", "kind": "workspace", "with": {"displayName": f"w{i}"}} for i in range(999)]
    text = " ".join(f"${{{{ steps.{s['id']}.outputs.id }}}}" for s in steps)
    spec = {"workspaceId": GUID, "type": "Notebook", "displayName": "n"}
    spec["definition"] = {"parts": [{"path": "a", "text": text}]}  # type: ignore[assignment]
    manifest = {"name": "m", "steps": [*steps, {"id": "n", "kind": "item", "with": spec}]}
    fixture = AcceptanceFixture()
    header = fixture.accept({"deployment_id": "d", "manifest": manifest}).header
    assert header.state is DeploymentState.ACCEPTED
    row = fixture.journal.steps("d")[-1].record
    assert row.needed == tuple(range(999))
    assert Payloads(fixture.blobs).load(row.refers_to) == {step["id"]: i for i, step in enumerate(steps)}
    assert fitted(row) == row


def test_accept_of_a_row_without_space_for_later_writes_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The submission is rejected at once, and does not fail later at a step that can never be written again."""
    monkeypatch.setitem(STEP_SHARES, "needs", 2)
    header = AcceptanceFixture().accept({"deployment_id": "d", "manifest": MANIFEST}).header
    assert header.state is DeploymentState.REJECTED
    assert "is too large for the journal: 'needs' of step 'lh'" in header.problems[0]["message"]


def test_accept_raises_storage_errors() -> None:
    """Then the host delivers the message again; nothing is rejected because of it."""
    fixture = AcceptanceFixture()

    def fail(*_: object) -> Any:
        raise StorageUnavailableError("down")

    fixture.journal.create = fail  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailableError):
        fixture.accept({"deployment_id": "d", "manifest": MANIFEST})
    with pytest.raises(StorageUnavailableError):
        fixture.accept(b"{")


def test_refuse_records_a_submission_that_no_delivery_could_handle() -> None:
    """It is recorded under its own id or its message's id; an existing deployment is not changed."""
    fixture = AcceptanceFixture()
    problem = Problem("$", "every delivery failed")
    refused = fixture.acceptance.refuse(
        json.dumps({"deployment_id": "d", "manifest": MANIFEST}).encode(), MESSAGE_ID, problem
    )
    assert (refused.header.deployment_id, refused.header.state) == ("d", DeploymentState.REJECTED)
    assert fixture.acceptance.refuse(b"\xff", MESSAGE_ID, problem).header.deployment_id == f"unreadable-{MESSAGE_ID}"
    stored = fixture.accept({"deployment_id": "e", "manifest": MANIFEST}).header
    repeated = fixture.acceptance.refuse(json.dumps({"deployment_id": "e"}).encode(), MESSAGE_ID, problem)
    assert repeated.conflict
    assert fixture.journal.header("e").record == stored


def test_normal_target_compares_as_fabric_does() -> None:
    """Case and surrounding space do not make another target."""
    assert normal_target("  Contoso \t SALES ") == normal_target("contoso sales") == "contoso sales"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ENVELOPE = st.fixed_dictionaries(
    {},
    optional={
        "deployment_id": st.sampled_from(["d", "a/b", ""]) | JSON,
        "id": st.sampled_from(["d", "."]) | JSON,
        "manifest": st.just(MANIFEST) | JSON,
        "manifest_text": st.just("name: x") | JSON,
        "manifest_blob": st.just("0" * 64) | JSON,
        "requested_by": JSON,
        "name": JSON,
        "steps": JSON,
    },
)


@given(st.binary(max_size=300) | (JSON | ENVELOPE).map(lambda value: json.dumps(value).encode()))
@example(b"\xef\xbb\xbf")
@example(b"!!python/object/apply:os.system [id]")
@example(b"? [a, b]\n: c")
@example(b"a: 2001-99-99")
@example(b"- - - - -" * 400)
@example(b"{" * 50_000)
@example(b"0x" + b"f" * 6_000)
@example(b"1" * 6_000)
@example(b"%YAML 9.9\n---\nx")
def test_accept_of_any_bytes_is_answered_and_recorded(content: bytes) -> None:
    """For any bytes a header exists afterwards and nothing is raised; a repetition changes nothing."""
    fixture = AcceptanceFixture()
    first = fixture.accept(content)
    stored = fixture.journal.header(first.header.deployment_id).record
    assert stored == first.header
    assert stored.state in (DeploymentState.ACCEPTED, DeploymentState.REJECTED)
    assert stored.state is DeploymentState.ACCEPTED or stored.problems
    assert fixture.accept(content) == first


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "message",
    [
        {"deployment_id": "d", "manifest": MANIFEST, "traceparent": TRACE},
        {"id": "d", **MANIFEST, "traceparent": TRACE},
        {"deployment_id": "d", "manifest": {**MANIFEST, "traceparent": TRACE}},
    ],
)
def test_accept_keeps_the_trace_of_a_submission(message: dict[str, Any]) -> None:
    """The trace may be in the envelope, beside a bare manifest, or in the manifest."""
    accepted = AcceptanceFixture().accept(message).header
    assert (accepted.state, accepted.traceparent) == (DeploymentState.ACCEPTED, TRACE)


def test_accept_starts_a_trace_if_there_is_none_and_keeps_it() -> None:
    """The same submission in any other trace is the same deployment in its first trace."""
    fixture = AcceptanceFixture()
    first = fixture.accept({"deployment_id": "d", "manifest": MANIFEST})
    repeated = fixture.accept({"deployment_id": "d", "manifest": MANIFEST, "traceparent": TRACE})
    assert parse(first.header.traceparent) is not None
    assert (repeated.conflict, repeated.header.traceparent) == (False, first.header.traceparent)


@pytest.mark.parametrize("trace", ["nonsense", 7, TRACE.upper()])
def test_accept_names_the_place_of_an_invalid_trace(trace: Any) -> None:
    """In both places it is rejected, with the path."""
    assert AcceptanceFixture().paths({"deployment_id": "d", "manifest": MANIFEST, "traceparent": trace}) == [
        "$.traceparent"
    ]
    assert AcceptanceFixture().paths({"deployment_id": "d", "manifest": {**MANIFEST, "traceparent": trace}}) == [
        "$.traceparent"
    ]


@pytest.mark.parametrize("manifest", [MANIFEST, {"name": 7}])
def test_accept_of_an_id_past_its_retention_runs_nothing(manifest: Any) -> None:
    """For the same manifest the answer is the earlier deployment; another manifest is a conflict in the audit."""
    fixture = AcceptanceFixture()
    first = fixture.accept({"deployment_id": "d", "manifest": manifest}).header
    header = fixture.journal.header("d")
    if first.state is DeploymentState.ACCEPTED:
        after = header.record.replace(state=DeploymentState.CANCELLED)
        fixture.journal.write_header(Change(header, after, "test", "cancelled"))
    ended = fixture.journal.header("d").record.state
    fixture.journal.purge("d")
    moves = fixture.journal.audit("d")
    repeated = fixture.accept({"deployment_id": "d", "manifest": manifest})
    assert (repeated.conflict, repeated.header.state, repeated.header.forgotten_at) == (
        False,
        ended,
        fixture.clock.now(),
    )
    assert (fixture.journal.steps("d"), fixture.journal.audit("d")) == ([], moves)
    other = fixture.accept({"deployment_id": "d", "manifest": {**MANIFEST, "name": "other"}})
    assert (other.conflict, other.header.manifest_hash) == (True, first.manifest_hash)
    assert "the id is taken by another manifest" in fixture.journal.audit("d")[-1].reason
    assert fixture.journal.steps("d") == []
    assert verify(read(fixture.journal, "d")).is_proven


NAMED = b"id: mine\n" + YAML.strip()


@pytest.mark.parametrize(
    "content",
    [
        base64.b64encode(NAMED),
        base64.encodebytes(NAMED),
        base64.encodebytes(NAMED).replace(b"\n", b"\r\n"),
        base64.b64encode(b"\xef\xbb\xbf" + NAMED),
        b"\xef\xbb\xbf" + base64.b64encode(NAMED),
        base64.b64encode(b"\xef\xbb\xbf" + json.dumps({"id": "mine", **MANIFEST}).encode()),
        base64.encodebytes(json.dumps({"id": "mine", **MANIFEST}).encode()),
        base64.b64encode(json.dumps({"deployment_id": "mine", "manifest": MANIFEST}).encode()),
        NAMED,
        b"\xef\xbb\xbf" + NAMED,
    ],
)
def test_accept_recognises_base64_by_its_rules(content: bytes) -> None:
    """Of JSON and of YAML, with or without a byte order mark, wrapped or not: the id in the manifest is used."""
    header = AcceptanceFixture().accept(content).header
    assert (header.deployment_id, header.state) == ("mine", DeploymentState.ACCEPTED)


@pytest.mark.parametrize("encode", [lambda text: text, base64.b64encode])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_accept_refuses_utf_16_by_name(encoding: str, encode: Any) -> None:
    """PowerShell writes files like this; the message says what to do."""
    if encode is base64.b64encode and encoding != "utf-16":
        return
    header = AcceptanceFixture().accept(encode(NAMED.decode().encode(encoding))).header
    assert header.problems[0]["message"] == f"is {encoding.upper()[:6]} text; write it as UTF-8"


UNHANDLED = Problem("$", "every delivery ended in an unexpected error")


def test_refuse_of_an_accepted_submission_reports_no_conflict() -> None:
    """Its deliveries ended after the acceptance again and again: it is not another manifest under the same id."""
    fixture = AcceptanceFixture()
    content = json.dumps({"deployment_id": "d", "manifest": MANIFEST}).encode()
    fixture.acceptance.accept(content, "m1")
    answer = fixture.acceptance.refuse(content, "m1", UNHANDLED)
    assert not answer.conflict
    assert answer.header.state is DeploymentState.ACCEPTED
    assert not [entry for entry in fixture.journal.audit("d") if "another manifest" in entry.reason]


def test_refuse_of_another_manifest_under_a_taken_id_is_recorded() -> None:
    """The first deployment keeps its state, and the audit records what was refused."""
    fixture = AcceptanceFixture()
    fixture.acceptance.accept(json.dumps({"deployment_id": "d", "manifest": MANIFEST}).encode(), "m1")
    other = json.dumps({"deployment_id": "d", "manifest": {**MANIFEST, "name": "other"}}).encode()
    answer = fixture.acceptance.refuse(other, "m2", UNHANDLED)
    assert answer.conflict
    assert answer.header.state is DeploymentState.ACCEPTED
    assert "another manifest" in fixture.journal.audit("d")[-1].reason


def test_refuse_of_an_unreadable_message_is_recorded_as_rejected() -> None:
    """It gets its own header."""
    fixture = AcceptanceFixture()
    answer = fixture.acceptance.refuse(b"\xff\xfe", MESSAGE_ID, UNHANDLED)
    assert answer.header.state is DeploymentState.REJECTED
    assert answer.header.deployment_id == f"unreadable-{MESSAGE_ID}"


def test_refuse_records_a_submission_whose_content_causes_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poison queue has no poison queue, so nothing in a message may fail its recording."""

    def failing(value: Any) -> str:
        raise RuntimeError("the fault that poisoned the message")

    monkeypatch.setattr("shared.saga.submission.acceptance.content_hash", failing)
    fixture = AcceptanceFixture()
    answer = fixture.acceptance.refuse(json.dumps({"id": "d", **MANIFEST}).encode(), MESSAGE_ID, UNHANDLED)
    assert (answer.header.deployment_id, answer.header.state) == (f"unreadable-{MESSAGE_ID}", DeploymentState.REJECTED)


@pytest.mark.parametrize("message_id", ["a/b", "", "x" * 2_000, "\x00", "../..", f"{MESSAGE_ID}/"])
def test_acceptance_message_id_that_is_not_a_guid_is_not_trusted(message_id: str) -> None:
    """The Functions host puts a body's own `id` in place of the message's: the id is a hash of the content then."""
    fixture = AcceptanceFixture()
    body = {"id": message_id, "name": "m"}
    found = [fixture.accept(body, message_id).header.deployment_id for _ in range(2)]
    refused = fixture.acceptance.refuse(json.dumps(body).encode(), message_id, UNHANDLED).header
    assert refused.state is DeploymentState.REJECTED
    assert len({*found, refused.deployment_id}) == 1
    assert is_deployment_id(refused.deployment_id)
    other = fixture.accept({**body, "name": "n"}, message_id).header.deployment_id
    assert other != refused.deployment_id


def test_refuse_does_not_blame_the_manifest() -> None:
    """The cause may be an unreadable setting, for example: the record says what to check, and to submit again."""
    fixture = AcceptanceFixture()
    answer = fixture.acceptance.refuse(
        json.dumps({"deployment_id": "d", "manifest": MANIFEST}).encode(), "m", UNHANDLED
    )
    assert answer.header.error is not None
    assert "its manifest is not to blame" in answer.header.error.message
    assert "submit again" in answer.header.error.remedy
