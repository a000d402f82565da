"""Following a deployment: the ETag is exact, a 304 reads only sequence numbers, and many watchers share one read."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ports import Change
from shared.domain.records import AuditEntry, StepRecord
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.web.watching import MAX_KEPT, MAX_KEPT_BYTES, Sequences, Watching
from tests.fakes import START
from tests.unit.saga.fixture import row
from tests.unit.web.conftest import Api, json_body


class CountedJournal:
    """Counts the calls of each method of a journal."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        for name in ("header", "steps", "audit", "sequences"):
            monkeypatch.setattr(api.journal, name, self._counting(name, getattr(api.journal, name)))

    def _counting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.calls.append(name)
            return method(*arguments)

        return counted


def note(api: Api, number: int) -> None:
    """Add a note to the audit, which moves nothing."""
    text = AuditEntry(START, "deployment", "running", "running", "anna", f"refused {number}", 0)
    api.journal.note("d", text)


def append(api: Api, number: int) -> None:
    """Add a row, as a script does."""
    before = api.journal.header("d")
    added: StepRecord = row(100 + number, S.PENDING).replace(deployment_id="d", needs=())
    api.journal.append(Change(before, before.record, "test", ""), added)


WRITES: dict[str, Callable[[Api, int], None]] = {
    "header": lambda api, number: api.saga.change_header(),
    "step": lambda api, number: api.saga.change(number % 3, deliveries=number),
    "same": lambda api, number: api.saga.change(number % 3),
    "note": note,
    "append": append,
    "nothing": lambda api, number: None,
}


@given(st.lists(st.sampled_from(sorted(WRITES)), max_size=8))
def test_etag_is_never_the_same_for_two_responses(writes: list[str]) -> None:
    """For any writes in any order: one ETag always means the same bytes, and the response to an old ETag is new. A
    page of the audit is not sent again if a write added no entry to it."""
    api = Api()
    api.saga.deployment(D.RUNNING, S.PENDING, S.PENDING, S.PENDING)
    for path in ("deployments/d", "deployments/d/audit"):
        seen: dict[str, bytes] = {}
        last = api.ask("GET", path)
        for number, write in enumerate(["nothing", *writes]):
            WRITES[write](api, number + (10 if path.endswith("audit") else 0))
            followed = api.ask("GET", path, headers={"If-None-Match": last.headers["ETag"]})
            fresh = api.ask("GET", path)
            assert seen.setdefault(fresh.headers["ETag"], fresh.body) == fresh.body
            is_current = fresh.headers["ETag"] == last.headers["ETag"]
            is_current = is_current or (path.endswith("audit") and fresh.body == last.body)
            assert followed.status == (304 if is_current else 200)
            if followed.status == 200:
                assert (followed.body, followed.headers["ETag"]) == (fresh.body, fresh.headers["ETag"])
            assert (fresh.body == last.body) or (fresh.headers["ETag"] != last.headers["ETag"])
            last = fresh


@pytest.mark.parametrize("path", ["deployments/d", "deployments/d/audit"])
def test_unchanged_response_reads_only_sequence_numbers(api: Api, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """In the process that returned the ETag and in any other; a change is read once, however many callers ask."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    tag = api.ask("GET", path).headers["ETag"]
    counted = CountedJournal(api, monkeypatch)
    assert api.ask("GET", path, headers={"If-None-Match": tag}).status == 304
    api.watching = Watching()
    assert api.ask("GET", path, headers={"If-None-Match": tag}).status == 304
    assert counted.calls.count("sequences") == 2
    assert not {"steps", "audit"} & set(counted.calls)
    api.saga.change(0, state=S.INTENT)
    counted.calls.clear()
    for _ in range(5):
        assert api.ask("GET", path, headers={"If-None-Match": tag}).status == 200
    assert counted.calls.count("steps") == 1


def test_followers_of_a_large_deployment_share_one_read_a_second() -> None:
    """They see a change at most a second later; a caller that does not follow sees it at once, and so do all later
    ones."""
    now, current = [0.0], {f"step_{i:05d}": 0 for i in range(1_000)}
    looks: list[str] = []
    watching = Watching(lambda: now[0])

    def sequences() -> dict[str, int]:
        looks.append("sequences")
        return dict(current)

    def read() -> tuple[dict[str, int], bytes]:
        looks.append("read")
        return dict(current), str(current["step_00000"]).encode()

    tag, content = watching.look("d", sequences, read)
    assert (content, looks) == (b"0", ["read"])
    for _ in range(30):
        assert watching.look("d", sequences, read, lambda known: known == tag) == (tag, None)
    current["step_00000"] = 1
    now[0] = 0.99
    assert watching.look("d", sequences, read, lambda known: known == tag) == (tag, None)
    assert looks == ["read"]
    now[0] = 1.01
    found = [watching.look("d", sequences, read, lambda known: known == tag) for _ in range(30)]
    assert {content for _, content in found} == {b"1"}
    assert looks == ["read", "sequences", "read"]
    current["step_00000"] = 2
    now[0] = 1.02
    assert watching.look("d", sequences, read)[1] == b"2"


def test_concurrent_callers_share_one_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers that wait during a read share the result of the next one: thirty callers need at most two reads."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    going, go = threading.Event(), threading.Event()
    steps, readings = api.journal.steps, list[str]()

    def slow(deployment_id: str) -> Any:
        readings.append(deployment_id)
        going.set()
        assert go.wait(30)
        return steps(deployment_id)

    monkeypatch.setattr(api.journal, "steps", slow)
    with ThreadPoolExecutor(30) as pool:
        first = pool.submit(api.ask, "GET", "deployments/d")
        assert going.wait(30)
        request = [pool.submit(api.ask, "GET", "deployments/d") for _ in range(29)]
        go.set()
        replies = [each.result(30) for each in (first, *request)]
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    assert len(readings) == 1


def test_verb_is_seen_by_its_caller_at_once(api: Api) -> None:
    """A follower of a large deployment that sends a command sees the request at once."""
    api.saga.deployment(D.RUNNING, *[row(i, S.PENDING) for i in range(200)])
    reply = api.ask("GET", "deployments/d")
    assert "cancel" in json_body(reply)["allowed"]
    assert api.ask("POST", "deployments/d/cancel", {}).status == 202
    followed = api.ask("GET", "deployments/d", headers={"If-None-Match": reply.headers["ETag"]})
    assert (followed.status, "cancel" in json_body(followed)["allowed"]) == (200, False)


def test_response_read_while_rows_moved_has_the_etag_of_its_own_rows(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is written between the reads of the header and of the steps: the next read has another ETag."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    steps = api.journal.steps

    def moving(deployment_id: str) -> Any:
        found = steps(deployment_id)
        monkeypatch.setattr(api.journal, "steps", steps)
        api.saga.change(0, deliveries=9)
        return found

    monkeypatch.setattr(api.journal, "steps", moving)
    torn = api.ask("GET", "deployments/d")
    fresh = api.ask("GET", "deployments/d", headers={"If-None-Match": torn.headers["ETag"]})
    assert (fresh.status, json_body(fresh)["steps"][0]["deliveries"]) == (200, 9)


def test_audit_that_grew_during_the_read_has_no_etag(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not known which rows it contains; the next response has an ETag."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    audit = api.journal.audit

    def moving(deployment_id: str) -> Any:
        found = audit(deployment_id)
        monkeypatch.setattr(api.journal, "audit", audit)
        api.saga.change(0, state=S.INTENT)
        return found

    monkeypatch.setattr(api.journal, "audit", moving)
    assert "ETag" not in api.ask("GET", "deployments/d/audit").headers
    assert "ETag" in api.ask("GET", "deployments/d/audit").headers


def test_audit_of_a_purged_deployment_is_always_returned(api: Api) -> None:
    """It has no ETag, and `*` does not match a purged deployment."""
    api.saga.deployment(D.SUCCEEDED, S.SUCCEEDED)
    tag = api.ask("GET", "deployments/d/audit").headers["ETag"]
    api.journal.purge("d")
    for given_tag in (tag, "*"):
        reply = api.ask("GET", "deployments/d/audit", headers={"If-None-Match": given_tag})
        assert (reply.status, "ETag" in reply.headers) == (200, False)
    for path in ("deployments/nobody", "deployments/nobody/audit", "deployments/d"):
        assert api.ask("GET", path, headers={"If-None-Match": "*"}).status == 404


def test_watching_keeps_a_maximum_of_responses() -> None:
    """The least recently requested one is dropped."""
    watching = Watching(lambda: 0.0)
    for number in range(MAX_KEPT + 1):
        watching.look(str(number), dict, lambda: ({"header": 0}, b"x"))
    assert list(watching._kept) == [str(number) for number in range(1, MAX_KEPT + 1)]


def test_bytes_of_kept_responses_are_bounded() -> None:
    """Five responses of a third of the bytes each: the last three are kept, the others are read again."""
    watching, read = Watching(lambda: 0.0), list[str]()
    content = bytes(MAX_KEPT_BYTES // 3)

    def look(name: str) -> bytes | None:
        def whole() -> tuple[Sequences, bytes]:
            read.append(name)
            return {"header": 1}, content

        return watching.look(name, lambda: {"header": 1}, whole)[1]

    for name in "abcde":
        assert look(name) == content
    assert [look(name) for name in "cde"] == [content] * 3
    assert read == [*"abcde"]
    look("a")
    assert read == [*"abcdea"]


def test_response_larger_than_all_kept_bytes_is_returned_and_not_kept() -> None:
    watching, read = Watching(lambda: 0.0), list[int]()
    content = bytes(MAX_KEPT_BYTES + 1)
    for number in range(2):
        found = watching.look("a", lambda: {"header": 1}, lambda: (read.append(1) or {"header": 1}, content))
        assert (found[1], len(read)) == (content, number + 1)
