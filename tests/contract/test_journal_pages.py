"""The contract of the pages of the port Journal: each deployment once, in order of time, whatever is added or removed
in between."""

from datetime import timedelta

import pytest

from shared.domain.labels import MAX_LABELS, parse_labels
from shared.domain.ports import Change, Journal
from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState as D
from tests.contract.conftest import FaultyJournal
from tests.contract.harness import Cut, a_header
from tests.fakes import START, FakeClock


def made(
    journal: Journal,
    deployment_id: str,
    seconds: float,
    target: str,
    state: D = D.ACCEPTED,
    labels: dict[str, str] | None = None,
) -> None:
    """Create a deployment that was accepted so many seconds after the start."""
    at = START + timedelta(seconds=seconds)
    header = a_header(deployment_id, target=target, accepted_at=at, state=state, labels=labels)
    journal.create(header, [], "submitted")


def position(header: DeploymentRecord) -> tuple[object, str]:
    """Return the position after which the next page starts."""
    return header.accepted_at, header.deployment_id


def walked(journal: Journal, size: int, target: str, **filters: object) -> list[str]:
    """Return the last letter of each id, over all pages of a size."""
    found: list[DeploymentRecord] = []
    while True:
        after = position(found[-1]) if found else None
        page = journal.page(size, after=after, target=target, **filters)  # type: ignore[arg-type]
        found += page
        if len(page) < size:
            return [header.deployment_id[-1] for header in found]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 100])
def test_pages_list_each_deployment_once_newest_first(journal: Journal, fresh_id: str, size: int) -> None:
    """For every page size, deployments of one instant are sorted by id, and no other target's are listed."""
    target = f"o'brien / {fresh_id}"
    for name, seconds in (("b", 1), ("a", 2), ("d", 1), ("c", 0), ("e", 1.000001), ("f", -86400 * 365 * 50)):
        made(journal, f"{fresh_id}-{name}", seconds, target)
    made(journal, f"{fresh_id}-x", 1, f"{target} other")
    assert walked(journal, size, target) == ["a", "e", "b", "d", "c", "f"]


def test_pages_are_not_shifted_by_new_deployments(journal: Journal, fresh_id: str) -> None:
    """A deployment accepted between two pages is on neither of them."""
    for i, name in enumerate("dcba"):
        made(journal, f"{fresh_id}-{name}", i, fresh_id)
    first = journal.page(2, target=fresh_id)
    made(journal, f"{fresh_id}-n", 10, fresh_id)
    after = (first[-1].accepted_at, first[-1].deployment_id)
    second = journal.page(2, after=after, target=fresh_id)
    assert [h.deployment_id[-1] for h in (*first, *second)] == ["a", "b", "c", "d"]


def test_pages_are_filtered_by_state_and_by_openness(journal: Journal, fresh_id: str) -> None:
    for i, state in enumerate(D):
        made(journal, f"{fresh_id}-{state}", i, fresh_id, state)
    states = {h.state for h in journal.page(100, target=fresh_id, states=[D.HELD, D.SUCCEEDED])}
    assert states == {D.HELD, D.SUCCEEDED}
    is_open = {h.state for h in journal.page(100, target=fresh_id, open_only=True)}
    assert is_open == {D.ACCEPTED, D.RUNNING, D.COMPENSATING, D.STUCK, D.HELD}
    assert journal.page(100, target=fresh_id, states=[D.SUCCEEDED], open_only=True) == []
    assert {h.state for h in journal.page(100, target=fresh_id)} == set(D)


def test_pages_are_filtered_by_labels(journal: Journal, fresh_id: str) -> None:
    """All labels that are wanted must be there, with their whole values; also on pages of one row."""
    own = {"a": {"pr": "1", "my-team_a": "x"}, "b": {"pr": "1"}, "c": {"pr": "12"}, "d": None, "e": {"pr": "1"}}
    for i, (name, labels) in enumerate(own.items()):
        made(journal, f"{fresh_id}-{name}", i, fresh_id, labels=labels)
    assert walked(journal, 1, fresh_id, labels={"pr": "1"}) == ["e", "b", "a"]
    assert walked(journal, 5, fresh_id, labels={"pr": "1", "my-team_a": "x"}) == ["a"]
    assert walked(journal, 5, fresh_id, labels={"my_team-a": "x"}) == []
    assert walked(journal, 5, fresh_id, labels={}) == ["e", "d", "c", "b", "a"]
    assert journal.page(1, target=fresh_id, labels={"pr": "12"})[0].labels == {"pr": "12"}


def test_pages_follow_the_header_and_its_purge(journal: Journal, fresh_id: str) -> None:
    made(journal, fresh_id, 0, fresh_id, D.RUNNING)
    row = journal.header(fresh_id)
    journal.write_header(Change(row, row.record.replace(state=D.SUCCEEDED, finished_at=START), "tester", ""))
    assert [(h.state, h.finished_at) for h in journal.page(5, target=fresh_id)] == [(D.SUCCEEDED, START)]
    assert journal.page(5, target=fresh_id, open_only=True) == []
    journal.purge(fresh_id)
    assert journal.page(5, target=fresh_id) == []


def test_pages_show_the_present_header_of_open_deployments(journal: Journal, fresh_id: str) -> None:
    """Only the header has the heartbeat, and the page shows it."""
    made(journal, fresh_id, 0, fresh_id, D.RUNNING)
    row = journal.header(fresh_id)
    written = journal.write_header(Change(row, row.record.replace(heartbeat_at=START), "tester", ""))
    assert journal.page(5, target=fresh_id) == [written.record]


@pytest.mark.azurite
def test_pages_are_repaired_when_a_row_lags(faulty: FaultyJournal, fresh_id: str) -> None:
    """A process ended between the writes of a header's end and of its row; a page shows the end and repairs the row."""
    made(faulty.journal, fresh_id, 0, fresh_id, D.RUNNING)
    row = faulty.journal.header(fresh_id)
    faulty.wire.cut_before_write(1)
    with pytest.raises(Cut):
        faulty.journal.write_header(Change(row, row.record.replace(state=D.SUCCEEDED), "tester", ""))
    faulty.wire.heal()
    assert faulty.journal.page(5, target=fresh_id, states=[D.SUCCEEDED]) == [], "the row does not lag"
    assert [h.state for h in faulty.journal.page(5, target=fresh_id)] == [D.SUCCEEDED]
    assert [h.state for h in faulty.journal.page(5, target=fresh_id, states=[D.SUCCEEDED])] == [D.SUCCEEDED]


@pytest.mark.azurite
def test_pages_do_not_show_a_deployment_that_was_never_created(
    faulty: FaultyJournal, clock: FakeClock, fresh_id: str
) -> None:
    """An acceptance that was interrupted and repeated later is one deployment; the first attempt's row is deleted when
    it is old."""
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


def test_page_is_filtered_by_more_states_and_labels_than_one_query_may_name(journal: Journal, fresh_id: str) -> None:
    """Azure accepts 15 comparisons in a filter: what does not fit is filtered afterwards, also on pages of one row."""
    labels = {f"label-{i}": "x" for i in range(MAX_LABELS)}
    for i, (name, state) in enumerate({"a": D.SUCCEEDED, "b": D.COMPENSATED, "c": D.STUCK, "d": D.REJECTED}.items()):
        made(journal, f"{fresh_id}-{name}", i, fresh_id, state, labels=labels)
    made(journal, f"{fresh_id}-e", 9, fresh_id, D.SUCCEEDED, labels={**labels, "label-3": "y"})
    wanted = [state for state in D if state is not D.REJECTED]
    assert walked(journal, 1, fresh_id, labels=labels, states=wanted) == ["c", "b", "a"]
    assert walked(journal, 3, fresh_id, labels=labels, states=[D.REJECTED]) == ["d"]


@pytest.mark.parametrize("value", ["feature/new-page", "a@b.example", "2026-11-30T10:00:00+01:00", "x_y"])
def test_page_is_filtered_by_every_value_that_a_label_may_have(journal: Journal, fresh_id: str, value: str) -> None:
    """A branch has a slash, which a key of a table must not have."""
    assert parse_labels([f"branch={value}"]) == {"branch": value}
    made(journal, f"{fresh_id}-a", 0, fresh_id, labels={"branch": value})
    made(journal, f"{fresh_id}-b", 1, fresh_id, labels={"branch": "main"})
    assert walked(journal, 5, fresh_id, labels={"branch": value}) == ["a"]
