"""The laws of the port Journal's pages: each deployment once, in order of time, whatever comes and goes meanwhile."""

from datetime import timedelta

import pytest

from shared.domain.ports import Change, Journal
from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState as D
from tests.contract.conftest import FaultyJournal
from tests.contract.harness import Cut, a_header
from tests.fakes import START, FakeClock


def made(journal: Journal, deployment_id: str, seconds: float, target: str, state: D = D.ACCEPTED) -> None:
    """A deployment that was accepted so many seconds after the start."""
    at = START + timedelta(seconds=seconds)
    journal.create(a_header(deployment_id, target=target, accepted_at=at, state=state), [], "submitted")


def position(header: DeploymentRecord) -> tuple[object, str]:
    """Where the next page goes on."""
    return header.accepted_at, header.deployment_id


def walked(journal: Journal, size: int, target: str, **filters: object) -> list[str]:
    """Ids over all pages of a size; the last letter of each."""
    found: list[DeploymentRecord] = []
    while True:
        after = position(found[-1]) if found else None
        page = journal.page(size, after=after, target=target, **filters)  # type: ignore[arg-type]
        found += page
        if len(page) < size:
            return [header.deployment_id[-1] for header in found]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 100])
def test_pages_tell_each_deployment_once_newest_first(journal: Journal, fresh_id: str, size: int) -> None:
    """Whatever the size of the pages: the newest first, those of one instant by id, and no other target's."""
    target = f"o'brien / {fresh_id}"
    for name, seconds in (("b", 1), ("a", 2), ("d", 1), ("c", 0), ("e", 1.000001), ("f", -86400 * 365 * 50)):
        made(journal, f"{fresh_id}-{name}", seconds, target)
    made(journal, f"{fresh_id}-x", 1, f"{target} other")
    assert walked(journal, size, target) == ["a", "e", "b", "d", "c", "f"]


def test_pages_are_not_moved_by_what_arrives(journal: Journal, fresh_id: str) -> None:
    """A deployment accepted between two pages is on neither, and shifts none."""
    for i, name in enumerate("dcba"):
        made(journal, f"{fresh_id}-{name}", i, fresh_id)
    first = journal.page(2, target=fresh_id)
    made(journal, f"{fresh_id}-n", 10, fresh_id)
    after = (first[-1].accepted_at, first[-1].deployment_id)
    second = journal.page(2, after=after, target=fresh_id)
    assert [h.deployment_id[-1] for h in (*first, *second)] == ["a", "b", "c", "d"]


def test_pages_are_filtered_by_state_and_by_what_is_open(journal: Journal, fresh_id: str) -> None:
    """Any set of states, and what has not ended."""
    for i, state in enumerate(D):
        made(journal, f"{fresh_id}-{state}", i, fresh_id, state)
    states = {h.state for h in journal.page(100, target=fresh_id, states=[D.HELD, D.SUCCEEDED])}
    assert states == {D.HELD, D.SUCCEEDED}
    is_open = {h.state for h in journal.page(100, target=fresh_id, open_only=True)}
    assert is_open == {D.ACCEPTED, D.RUNNING, D.COMPENSATING, D.STUCK, D.HELD}
    assert journal.page(100, target=fresh_id, states=[D.SUCCEEDED], open_only=True) == []
    assert {h.state for h in journal.page(100, target=fresh_id)} == set(D)


def test_pages_follow_the_header_and_forget_with_it(journal: Journal, fresh_id: str) -> None:
    """What ended is shown as it ended; what is purged is gone."""
    made(journal, fresh_id, 0, fresh_id, D.RUNNING)
    row = journal.header(fresh_id)
    journal.write_header(Change(row, row.record.replace(state=D.SUCCEEDED, finished_at=START), "tester", ""))
    assert [(h.state, h.finished_at) for h in journal.page(5, target=fresh_id)] == [(D.SUCCEEDED, START)]
    assert journal.page(5, target=fresh_id, open_only=True) == []
    journal.purge(fresh_id)
    assert journal.page(5, target=fresh_id) == []


def test_pages_show_what_is_open_as_it_is(journal: Journal, fresh_id: str) -> None:
    """A sign of life is in the header alone; the page has it."""
    made(journal, fresh_id, 0, fresh_id, D.RUNNING)
    row = journal.header(fresh_id)
    written = journal.write_header(Change(row, row.record.replace(heartbeat_at=START), "tester", ""))
    assert journal.page(5, target=fresh_id) == [written.record]


@pytest.mark.azurite
def test_pages_are_mended_where_the_row_lags(faulty: FaultyJournal, fresh_id: str) -> None:
    """A process that ended between a header's end and its row: the page tells the end, and sets the row right."""
    made(faulty.journal, fresh_id, 0, fresh_id, D.RUNNING)
    row = faulty.journal.header(fresh_id)
    faulty.wire.cut_before_write(1)
    with pytest.raises(Cut):
        faulty.journal.write_header(Change(row, row.record.replace(state=D.SUCCEEDED), "tester", ""))
    faulty.wire.heal()
    assert faulty.journal.page(5, target=fresh_id, states=[D.SUCCEEDED]) == [], "the row lags"
    assert [h.state for h in faulty.journal.page(5, target=fresh_id)] == [D.SUCCEEDED]
    assert [h.state for h in faulty.journal.page(5, target=fresh_id, states=[D.SUCCEEDED])] == [D.SUCCEEDED]


@pytest.mark.azurite
def test_pages_do_not_show_what_never_came_to_be(faulty: FaultyJournal, clock: FakeClock, fresh_id: str) -> None:
    """An accept that was cut and repeated later is one deployment; the first one's row goes once it is old."""
    faulty.wire.cut_before_write(2)
    with pytest.raises(Cut):
        made(faulty.journal, fresh_id, 0, fresh_id)
    faulty.wire.heal()
    assert faulty.journal.page(5, target=fresh_id) == []
    made(faulty.journal, fresh_id, 15, fresh_id)
    clock.advance(3_601)
    for writes in (1, 0):
        written = faulty.wire.writes
        assert [h.accepted_at for h in faulty.journal.page(5, target=fresh_id)] == [START + timedelta(seconds=15)]
        assert faulty.wire.writes == written + writes
