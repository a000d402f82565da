"""The contract of the port Journal: the header claims the id, and every write is conditional and carries its audit."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from azure.data.tables import TableClient

from shared.adapters.storage import journal_lists, journal_table
from shared.adapters.storage import journal_rows as rows
from shared.adapters.storage.clients import STRING_CHARACTERS as LIMIT
from shared.adapters.storage.clients import StorageClients
from shared.adapters.storage.journal_lists import time_entity
from shared.adapters.storage.journal_table import TableJournal
from shared.domain import audit
from shared.domain.errors import (
    ConflictError,
    IllegalTransitionError,
    LimitError,
    NotFoundError,
    StorageUnavailableError,
    UnknownVersionError,
)
from shared.domain.forgotten import ForgottenError
from shared.domain.ports import Change, Journal, Versioned
from shared.domain.records import (
    AuditEntry,
    Claim,
    DeploymentRecord,
    Intent,
    Operation,
    RecordedError,
    Resource,
    StepRecord,
)
from shared.domain.states import DEPLOYMENT_ENDED, IntentAction, OperationPurpose
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.domain.transitions import DEPLOYMENT_TRANSITIONS, STEP_TRANSITIONS
from shared.saga.audit.verify import read, verify
from tests.contract.conftest import FaultyJournal
from tests.contract.harness import Cut, a_header, a_step, at_once, some_steps
from tests.fake_journal import MemoryJournal
from tests.fakes import START, FakeClock


def moved(row: Versioned[StepRecord], state: S, reason: str = "", **changes: Any) -> Change[StepRecord]:
    """Return a step's change to another state."""
    return Change(row, row.record.replace(state=state, **changes), "tester", reason)


def headed(row: Versioned[DeploymentRecord], state: D, reason: str = "", **changes: Any) -> Change[DeploymentRecord]:
    """Return a header's change to another state."""
    return Change(row, row.record.replace(state=state, **changes), "tester", reason)


def everything(journal: Journal, deployment_id: str) -> tuple[object, ...]:
    """Return all that is kept of a deployment, to check that nothing was written."""
    return journal.header(deployment_id), journal.steps(deployment_id), journal.audit(deployment_id)


def listed(journal: Journal, target: str, *, open_only: bool = False) -> list[str]:
    """Return the ids of a target's deployments from the list."""
    return [h.deployment_id for h in journal.deployments(target, open_only=open_only)]


# --- create -----------------------------------------------------------------------------------------------------


def test_journal_create_keeps_header_steps_and_one_audit_entry(journal: Journal, fresh_id: str) -> None:
    header, steps = a_header(fresh_id), some_steps(fresh_id, 3)
    assert journal.create(header, steps, "submitted") == header
    assert journal.header(fresh_id).record == header
    assert [s.record for s in journal.steps(fresh_id)] == steps
    assert journal.audit(fresh_id) == [AuditEntry(START, "deployment", "", "accepted", "accept", "submitted", 0)]
    assert journal.step(fresh_id, 1)[0] == journal.header(fresh_id)
    assert journal.step(fresh_id, 1)[1] == journal.steps(fresh_id)[1]


def test_journal_create_without_steps_is_a_deployment(journal: Journal, fresh_id: str) -> None:
    """A rejected submission has a header and no steps."""
    journal.create(a_header(fresh_id, state=D.REJECTED, finished_at=START), [], "refused")
    assert journal.header(fresh_id).record.state == D.REJECTED
    assert journal.steps(fresh_id) == []


def test_journal_create_repeated_changes_nothing(journal: Journal, clock: FakeClock, fresh_id: str) -> None:
    """A repetition of the same manifest returns the stored header, and overwrites neither it nor a step."""
    steps = some_steps(fresh_id, 3)
    journal.create(a_header(fresh_id), steps, "submitted")
    running = journal.write_header(headed(journal.header(fresh_id), D.RUNNING)).record
    journal.write_step(moved(journal.steps(fresh_id)[1], S.INTENT))
    before = everything(journal, fresh_id)
    clock.advance(60)
    repeated = a_header(fresh_id, accepted_at=clock.now(), requested_by="another")
    assert journal.create(repeated, steps, "submitted again") == running
    assert everything(journal, fresh_id) == before


def test_journal_create_of_another_manifest_leaves_the_first_one(journal: Journal, fresh_id: str) -> None:
    """The second writer with other content gets the first header, and writes nothing, not even a missing step."""
    stored = a_header(fresh_id)
    journal.create(stored, some_steps(fresh_id, 2), "submitted")
    before = everything(journal, fresh_id)
    other = a_header(fresh_id, manifest_hash="b" * 64, target=f"elsewhere {fresh_id}")
    assert journal.create(other, some_steps(fresh_id, 5), "submitted") == stored
    assert everything(journal, fresh_id) == before
    assert listed(journal, other.target) == []
    assert [h.manifest_hash for h in journal.deployments(stored.target)] == [stored.manifest_hash]


def test_journal_create_of_an_ended_deployment_writes_its_first_batch(journal: Journal, fresh_id: str) -> None:
    """Header and steps of one batch are written together, in whatever state the deployment is created."""
    steps = some_steps(fresh_id, 3)
    journal.create(a_header(fresh_id, state=D.FAILED, finished_at=START), steps, "submitted")
    assert [s.record for s in journal.steps(fresh_id)] == steps


def test_journal_create_adds_nothing_to_an_ended_deployment(journal: Journal, fresh_id: str) -> None:
    """A late repetition of a submission that was rejected in the meantime: its end stays bound to the rows that it
    had."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    rejected = journal.write_header(headed(journal.header(fresh_id), D.REJECTED, "in part")).record
    assert journal.create(a_header(fresh_id), some_steps(fresh_id, 3), "submitted") == rejected
    assert len(journal.steps(fresh_id)) == 1


@pytest.mark.azurite
@pytest.mark.parametrize("batch", [1, 2])
def test_journal_create_adds_nothing_after_an_end_between_two_of_its_batches(
    faulty: FaultyJournal, fresh_id: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """A process that stands still between two batches continues after the deployment was rejected (seed 9003259)."""
    header, steps = a_header(fresh_id), some_steps(fresh_id, 250)
    submit, batches = faulty.journal._journal.submit, itertools.count()

    def late(operations: Sequence[Any]) -> Any:
        if next(batches) == batch:
            monkeypatch.setattr(faulty.journal._journal, "submit", submit)
            faulty.journal.write_header(headed(faulty.journal.header(fresh_id), D.REJECTED, "in part"))
        return submit(operations)

    monkeypatch.setattr(faulty.journal._journal, "submit", late)
    faulty.journal.create(header, steps, "submitted")
    left = faulty.journal.steps(fresh_id)
    assert 0 < len(left) < len(steps)
    end = faulty.journal.audit(fresh_id)[-1].link
    assert end is not None
    assert end.steps == audit.heads_of(s.record for s in left)


@pytest.mark.azurite
def test_journal_end_binds_a_step_that_was_added_while_it_read_the_others(
    faulty: FaultyJournal, fresh_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end must not bind the steps without one that another process adds after it has read them."""
    journal, steps = faulty.journal, some_steps(fresh_id, 3)
    journal.create(a_header(fresh_id), steps[:2], "submitted")
    before, read = journal.header(fresh_id), journal.steps

    def early(deployment_id: str) -> list[Versioned[StepRecord]]:
        monkeypatch.setattr(journal, "steps", read)
        found = read(deployment_id)
        journal.create(a_header(fresh_id), steps, "submitted")
        return found

    monkeypatch.setattr(journal, "steps", early)
    with pytest.raises(ConflictError):
        journal.write_header(headed(before, D.REJECTED, "in part"))
    assert journal.header(fresh_id).record.state is D.ACCEPTED


@pytest.mark.parametrize("written", [0, 1, 50, 98, 99, 198, 249, 250])
def test_journal_create_finishes_a_partial_one(journal: Journal, fresh_id: str, written: int) -> None:
    """The second writer adds exactly the missing steps, wherever the first one stopped."""
    steps = some_steps(fresh_id, 250)
    journal.create(a_header(fresh_id), steps[:written], "submitted")
    if written:
        journal.write_step(moved(journal.steps(fresh_id)[0], S.INTENT))
        steps[0] = journal.steps(fresh_id)[0].record
    journal.create(a_header(fresh_id), some_steps(fresh_id, 250), "submitted")
    assert [s.record for s in journal.steps(fresh_id)] == steps
    assert [e.after for e in journal.audit(fresh_id)] == ["accepted", "intent"][: 1 + bool(written)]


@pytest.mark.azurite
def test_journal_create_cut_between_any_two_writes_is_finished_by_a_repetition(
    faulty: FaultyJournal, fresh_id: str
) -> None:
    """Wherever a process ends between two of its writes, a repetition completes what it left."""
    cuts, whole = 0, False
    while not whole:
        deployment_id = f"{fresh_id}-{cuts}"
        header, steps = a_header(deployment_id), some_steps(deployment_id, 250)
        faulty.wire.cut_before_write(cuts)
        try:
            faulty.journal.create(header, steps, "submitted")
            whole = True
        except Cut:
            cuts += 1
        faulty.wire.heal()
        if cuts >= 4 and not whole:  # The first batch is written; a row that moved since must stay as it is.
            first = faulty.journal.write_step(moved(faulty.journal.steps(deployment_id)[0], S.INTENT))
            steps[0] = first.record
        assert faulty.journal.create(header, some_steps(deployment_id, 250), "submitted") == header
        assert [s.record for s in faulty.journal.steps(deployment_id)] == steps
        assert [e.before for e in faulty.journal.audit(deployment_id)].count("") == 1
        assert listed(faulty.journal, header.target) == [deployment_id]
    assert cuts == 5, "two projections and three batches are five writes"


def test_journal_create_finishes_after_the_header_grew(journal: Journal, fresh_id: str) -> None:
    """Batches are cut by size too: a longer header must not shift the cuts past missing rows."""
    bulk = {"text": "x" * 28_000}
    steps = [a_step(fresh_id, i, spec=bulk) for i in range(150)]
    journal.create(a_header(fresh_id), steps[:66], "submitted")
    problems = tuple({"path": "$", "message": "m" * 200} for _ in range(120))
    journal.write_header(headed(journal.header(fresh_id), D.ACCEPTED, "waits", problems=problems))
    journal.create(a_header(fresh_id), steps, "submitted")
    assert [s.record for s in journal.steps(fresh_id)] == steps


def test_journal_create_by_two_threads_is_one_deployment(journal: Journal, fresh_id: str) -> None:
    """Two deliveries of one submission at the same time create it once and completely, and both get the same header."""
    header, steps = a_header(fresh_id), some_steps(fresh_id, 150)
    answers = at_once([lambda: journal.create(header, steps, "submitted")] * 2)
    assert answers == [header, header]
    assert [s.record for s in journal.steps(fresh_id)] == steps
    assert len(journal.audit(fresh_id)) == 1


@pytest.mark.parametrize("round_", range(4))
def test_journal_create_race_of_two_manifests_has_one_winner(journal: Journal, fresh_id: str, round_: int) -> None:
    """Two manifests race for one id: both callers get the winner's header, and no list shows the loser."""
    headers = [
        a_header(fresh_id, manifest_hash=c * 64, target=f"{c} {fresh_id}", name=f"{c}{round_}") for c in ("a", "b")
    ]
    tasks: list[Callable[[], DeploymentRecord]] = [
        lambda h=h: journal.create(h, some_steps(fresh_id, 5), "submitted") for h in headers
    ]
    answers = at_once(tasks)
    stored = journal.header(fresh_id).record
    assert answers == [stored, stored]
    assert len(journal.audit(fresh_id)) == 1
    assert {h.target: listed(journal, h.target) for h in headers} == {
        h.target: [fresh_id] if h == stored else [] for h in headers
    }


@pytest.mark.azurite
@pytest.mark.parametrize("same_target", [True, False])
def test_journal_create_that_lost_the_race_leaves_no_trace_in_the_list(
    faulty: FaultyJournal, fresh_id: str, monkeypatch: pytest.MonkeyPatch, same_target: bool
) -> None:
    """The loser wrote its projection first; it replaces it with the winner's, or deletes it."""
    winner = a_header(fresh_id)
    target = winner.target if same_target else f"loser {fresh_id}"
    loser = a_header(fresh_id, manifest_hash="b" * 64, target=target, name="loser")
    read = faulty.journal._stored_header
    calls = iter(range(100))

    def late(deployment_id: str) -> DeploymentRecord | None:
        if next(calls) == 0:  # No header exists yet, but one will before the first batch arrives.
            found = read(deployment_id)
            faulty.journal.create(winner, [], "submitted")
            return found
        return read(deployment_id)

    monkeypatch.setattr(faulty.journal, "_stored_header", late)
    assert faulty.journal.create(loser, some_steps(fresh_id, 2), "submitted") == winner
    assert list(faulty.journal.deployments(winner.target)) == [winner]
    assert listed(faulty.journal, target) == ([fresh_id] if same_target else [])
    assert faulty.journal.steps(fresh_id) == []


@pytest.mark.azurite
def test_journal_crash_of_the_loser_does_not_hide_the_winner(
    faulty: FaultyJournal, fresh_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused submission that ends between its projection and its header must not close a running deployment."""
    winner = a_header(fresh_id)
    loser = a_header(fresh_id, manifest_hash="b" * 64, state=D.REJECTED, name="loser")
    read = faulty.journal._stored_header

    def late(deployment_id: str) -> DeploymentRecord | None:
        monkeypatch.setattr(faulty.journal, "_stored_header", read)
        faulty.journal.create(winner, [], "submitted")
        faulty.wire.cut_before_write(2)
        return None

    monkeypatch.setattr(faulty.journal, "_stored_header", late)
    with pytest.raises(Cut):
        faulty.journal.create(loser, [], "refused")
    faulty.wire.heal()
    assert list(faulty.journal.deployments(winner.target, open_only=True)) == [winner]
    assert list(faulty.journal.deployments(winner.target)) == [winner]


def test_journal_end_that_is_listed_late_does_not_hide_a_resumed_deployment(
    journal: Any, fresh_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer of the end is delayed before it updates the list, and a person resumes the deployment in the
    meantime. The deployment stays listed as open, because the sweeper would never find an unlisted one."""
    running(journal, fresh_id)
    owner, name = (journal, "_list") if isinstance(journal, MemoryJournal) else (journal._lists, "put")
    put = getattr(owner, name)

    def late(header: DeploymentRecord) -> None:
        monkeypatch.setattr(owner, name, put)
        journal.write_header(headed(journal.header(fresh_id), D.RUNNING, "resumed"))
        put(header)

    monkeypatch.setattr(owner, name, late)
    journal.write_header(headed(journal.header(fresh_id), D.FAILED, "a step failed"))
    target = journal.header(fresh_id).record.target
    assert listed(journal, target, open_only=True) == [fresh_id]
    assert [h.state for h in journal.deployments(target)] == [D.RUNNING]


@pytest.mark.azurite
def test_journal_works_on_an_account_without_tables(
    storage: str, clock: FakeClock, fresh_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call of any method creates the tables."""
    entry = AuditEntry(START, "deployment", "", "", "a", "r", 0)
    firsts: list[Callable[[TableJournal], object]] = [
        lambda j: j.create(a_header(fresh_id), [], "submitted"),
        lambda j: j.steps(fresh_id),
        lambda j: j.note(fresh_id, entry),
        lambda j: list(j.deployments()),
    ]
    for i, first in enumerate(firsts):
        monkeypatch.setattr(journal_table, "JOURNAL", f"journal{fresh_id[2:]}{i}")
        monkeypatch.setattr(journal_lists, "BY_TARGET", f"deployments{fresh_id[2:]}{i}")
        first(TableJournal(StorageClients(storage), clock.now))


# --- append -----------------------------------------------------------------------------------------------------


def appended(journal: Journal, deployment_id: str, ordinal: int, **changes: Any) -> Versioned[DeploymentRecord]:
    """Add a step to a running deployment, as a script does."""
    header = journal.header(deployment_id)
    step = a_step(deployment_id, ordinal, state=S.SUCCEEDED, **changes)
    return journal.append(headed(header, D.RUNNING, "made", step_count=ordinal + 1), step)


def running(journal: Journal, deployment_id: str) -> None:
    """Create a running deployment without steps."""
    journal.create(a_header(deployment_id), [], "begun")
    journal.write_header(headed(journal.header(deployment_id), D.RUNNING))


def test_journal_append_writes_header_step_and_audit_together(journal: Journal, fresh_id: str) -> None:
    """The row is stored as given with its own audit entry, an entry of the header records the addition, and the whole
    is verified."""
    running(journal, fresh_id)
    written = [appended(journal, fresh_id, i) for i in range(3)][-1]
    assert written == journal.header(fresh_id)
    assert (written.record.step_count, written.record.sequence) == (3, 4)
    given = [a_step(fresh_id, i, state=S.SUCCEEDED, sequence=1) for i in range(3)]
    assert [s.record.replace(chain=None) for s in journal.steps(fresh_id)] == given
    entries = [(e.subject, e.before, e.after, e.reason) for e in journal.audit(fresh_id) if e.subject != "deployment"]
    assert entries == [(f"step_{i:05d}", "pending", "succeeded", "made") for i in range(3)]
    taken = [e.reason for e in journal.audit(fresh_id) if e.subject == "deployment"]
    assert taken == ["begun", "", "takes up step s0", "takes up step s1", "takes up step s2"]
    assert verify(read(journal, fresh_id)).differences == ()
    moved_on = journal.write_step(moved(journal.steps(fresh_id)[1], S.COMPENSATING, "back"))
    assert moved_on.record.state is S.COMPENSATING
    assert verify(read(journal, fresh_id)).differences == ()


def test_journal_append_is_bound_to_the_header(journal: Journal, fresh_id: str) -> None:
    """An inserted, a deleted and a replaced row are all reported."""
    running(journal, fresh_id)
    for i in range(3):
        appended(journal, fresh_id, i)
    whole = read(journal, fresh_id)
    for keep in ({0, 1}, {0, 2}, {1, 2}):
        steps = [s for s in whole.steps if s.ordinal in keep]
        entries = [e for e in whole.entries if e.subject in {"deployment", *(f"step_{i:05d}" for i in keep)}]
        header = whole.header.replace(step_count=2) if whole.header else None
        forged = replace(whole, steps=steps, entries=entries, header=header)
        assert any("the step that it added" in d.message for d in verify(forged).differences), keep
    other = f"{fresh_id}-x"
    running(journal, other)
    for i in range(4):
        appended(journal, other, i, spec={"displayName": "forged"})
    forged = replace(whole, steps=[*whole.steps, read(journal, other).steps[3]])
    assert verify(forged).differences


def test_journal_append_to_a_changed_header_adds_nothing(journal: Journal, fresh_id: str) -> None:
    """Another worker began the rollback first: a row must not be added behind it, nor a row that already exists."""
    running(journal, fresh_id)
    stale = journal.header(fresh_id)
    journal.write_header(headed(stale, D.COMPENSATING, "back"))
    before = everything(journal, fresh_id)
    with pytest.raises(ConflictError):
        journal.append(headed(stale, D.RUNNING, "made", step_count=1), a_step(fresh_id, 0))
    assert everything(journal, fresh_id) == before
    header = journal.header(fresh_id)
    journal.append(headed(header, D.COMPENSATING, "made", step_count=1), a_step(fresh_id, 0))
    before = everything(journal, fresh_id)
    with pytest.raises(ConflictError):
        journal.append(headed(journal.header(fresh_id), D.COMPENSATING, "again"), a_step(fresh_id, 0))
    with pytest.raises(IllegalTransitionError):
        journal.append(headed(journal.header(fresh_id), D.ACCEPTED), a_step(fresh_id, 1))
    assert everything(journal, fresh_id) == before


def test_journal_append_by_many_threads_loses_none(journal: Journal, fresh_id: str) -> None:
    """Of several writers on the same header one succeeds; after the others' retries each row exists once."""
    running(journal, fresh_id)

    def add(who: int) -> None:
        while True:
            try:
                appended(journal, fresh_id, journal.header(fresh_id).record.step_count, spec={"who": who})
                return
            except ConflictError:
                continue

    tasks: list[Callable[[], None]] = [lambda who=who: add(who) for who in range(6)]
    assert at_once(tasks) == [None] * 6
    assert sorted(s.record.spec["who"] for s in journal.steps(fresh_id)) == list(range(6))
    assert journal.header(fresh_id).record.step_count == 6


@pytest.mark.azurite
def test_journal_append_whose_response_is_lost_has_succeeded(faulty: FaultyJournal, fresh_id: str) -> None:
    """The condition of the repetition fails on our own write, which differs from another writer's write of another
    row."""
    running(faulty.journal, fresh_id)
    header = faulty.journal.header(fresh_id)
    change = headed(header, D.RUNNING, "made", step_count=1)
    faulty.wire.lose_next_answer()
    written = repeated_once(lambda: faulty.journal.append(change, a_step(fresh_id, 0)))
    assert written == faulty.journal.header(fresh_id)
    assert len(faulty.journal.steps(fresh_id)) == 1
    with pytest.raises(ConflictError):
        faulty.journal.append(change, a_step(fresh_id, 0, spec={"displayName": "another"}))


# --- conditional writes -----------------------------------------------------------------------------------------


def test_journal_write_step_returns_what_the_next_write_needs(journal: Journal, fresh_id: str) -> None:
    """A chain of writes needs no read in between; the sequence counts the writes."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    row = journal.steps(fresh_id)[0]
    for n, state in enumerate((S.INTENT, S.INTENT, S.SUBMITTED, S.SUCCEEDED), start=1):
        row = journal.write_step(moved(row, state))
        assert (row.record.state, row.record.sequence) == (state, n)
    assert journal.steps(fresh_id)[0] == row


def test_journal_write_step_keeps_every_field(journal: Journal, fresh_id: str) -> None:
    """Nested records, times and text in any script are read unchanged."""
    full = a_step(
        fresh_id,
        0,
        needs=(1, 2),
        refers_to={"ws": 1},
        attempt=2,
        deliveries=3,
        fence=4,
        ambiguous=True,
        calls_done=1,
        claim=Claim("me", START + timedelta(microseconds=1), 4),
        intent=Intent(IntentAction.UPDATE, "marker", {"a": [1, None, "\u2028\x00\x1f\ud800\U0001f600'\"\\"]}, "id"),
        operation=Operation("op", OperationPurpose.APPLY, "workspace", START, "https://x/y?z", 5),
        resource=Resource("Workspace", "id", "nämé", "parent"),
        outputs={"id": "x", "n": 1.5},
        error=RecordedError("m", "r", "GET /x", 400, "Code", "req"),
        wait_until=START,
        deadline_at=START,
        started_at=START,
    )
    journal.create(a_header(fresh_id), [a_step(fresh_id, 0)], "submitted")
    row = journal.steps(fresh_id)[0]
    written = journal.write_step(Change(row, full.replace(state=S.INTENT), "tester", ""))
    assert journal.steps(fresh_id)[0] == written
    assert written.record == full.replace(state=S.INTENT, sequence=1)


def test_journal_stale_step_is_a_conflict_and_nothing_is_written(journal: Journal, fresh_id: str) -> None:
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    stale = journal.steps(fresh_id)[0]
    journal.write_step(moved(stale, S.INTENT, attempt=1))
    before = everything(journal, fresh_id)
    for change in (moved(stale, S.INTENT), moved(stale, S.PENDING), moved(stale, S.FAILED, "late")):
        with pytest.raises(ConflictError):
            journal.write_step(change)
    assert everything(journal, fresh_id) == before


def test_journal_stale_header_is_a_conflict_and_nothing_is_written(journal: Journal, fresh_id: str) -> None:
    """The projection stays unchanged too."""
    journal.create(a_header(fresh_id), [], "submitted")
    stale = journal.header(fresh_id)
    journal.write_header(headed(stale, D.RUNNING, heartbeat_at=START))
    before = everything(journal, fresh_id)
    for change in (headed(stale, D.CANCELLED), headed(stale, D.ACCEPTED), headed(stale, D.RUNNING, "late")):
        with pytest.raises(ConflictError):
            journal.write_header(change)
    assert everything(journal, fresh_id) == before
    assert [h.state for h in journal.deployments(a_header(fresh_id).target)] == [D.RUNNING]


def test_journal_write_to_a_missing_row_is_a_conflict(journal: Journal, fresh_id: str) -> None:
    """A row that does not exist cannot be moved, and the attempt does not create it."""
    journal.create(a_header(fresh_id), [], "submitted")
    etag = journal.header(fresh_id).etag
    with pytest.raises(ConflictError):
        journal.write_step(moved(Versioned(a_step(fresh_id, 7), etag), S.INTENT))
    with pytest.raises(ConflictError):
        journal.write_header(headed(Versioned(a_header(f"{fresh_id}x"), etag), D.RUNNING))
    assert journal.steps(fresh_id) == []
    with pytest.raises(NotFoundError):
        journal.header(f"{fresh_id}x")


def test_journal_eight_threads_on_one_row_have_one_winner(journal: Journal, fresh_id: str) -> None:
    """A claim is one conditional write: of all workers that read the same row, exactly one moves it."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    row = journal.steps(fresh_id)[0]
    tasks: list[Callable[[], Versioned[StepRecord]]] = [
        lambda n=n: journal.write_step(moved(row, S.INTENT, claim=Claim(f"worker {n}", START, 1))) for n in range(8)
    ]
    answers = at_once(tasks)
    won = [a for a in answers if isinstance(a, Versioned)]
    assert len(won) == 1
    assert all(isinstance(a, ConflictError) for a in answers if a is not won[0])
    assert journal.steps(fresh_id) == won
    assert len(journal.audit(fresh_id)) == 2


def test_journal_accepts_exactly_the_legal_moves_of_a_step(journal: Journal, fresh_id: str) -> None:
    """Every pair of states: a legal move is written with at most one audit entry, and any other changes nothing."""
    pairs = [(before, after) for before in S for after in S]
    journal.create(
        a_header(fresh_id), [a_step(fresh_id, i, state=before) for i, (before, _) in enumerate(pairs)], "submitted"
    )
    for row, (before, after) in zip(journal.steps(fresh_id), pairs, strict=True):
        if (before, after) in STEP_TRANSITIONS:
            journal.write_step(moved(row, after))
        else:
            with pytest.raises(IllegalTransitionError):
                journal.write_step(moved(row, after))
    for row, (before, after) in zip(journal.steps(fresh_id), pairs, strict=True):
        assert row.record.state == (after if (before, after) in STEP_TRANSITIONS else before)
    moves = [(e.subject, e.before, e.after, e.sequence) for e in journal.audit(fresh_id)][1:]
    assert moves == [
        (rows.step_key(i), before, after, 1)
        for i, (before, after) in enumerate(pairs)
        if before != after and (before, after) in STEP_TRANSITIONS
    ]


@pytest.mark.parametrize("before", D)
def test_journal_accepts_exactly_the_legal_moves_of_a_deployment(journal: Journal, fresh_id: str, before: D) -> None:
    """Every pair of states: an illegal move changes nothing, and a legal one is written with the audit entry that it
    needs."""
    journal.create(a_header(fresh_id, state=before), [], "submitted")
    untouched = everything(journal, fresh_id)
    row = journal.header(fresh_id)
    legal = [after for after in D if (before, after) in DEPLOYMENT_TRANSITIONS]
    for after in set(D) - set(legal):
        with pytest.raises(IllegalTransitionError):
            journal.write_header(headed(row, after))
    assert everything(journal, fresh_id) == untouched
    for after in legal:
        deployment_id = f"{fresh_id}-{after}"
        journal.create(a_header(deployment_id, state=before), [], "submitted")
        journal.write_header(headed(journal.header(deployment_id), after))
        assert journal.header(deployment_id).record.state == after
        owes_entry = before != after or after in DEPLOYMENT_ENDED
        assert len(journal.audit(deployment_id)) == 1 + owes_entry


# --- audit ------------------------------------------------------------------------------------------------------


def test_journal_audit_has_one_entry_for_each_move_and_each_reason(
    journal: Journal, clock: FakeClock, fresh_id: str
) -> None:
    """A move is recorded once; a delivery that does not move the step is recorded only if it gives a reason."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    row = journal.steps(fresh_id)[0]
    for state, reason in ((S.PENDING, ""), (S.PENDING, "busy"), (S.INTENT, ""), (S.INTENT, ""), (S.SUCCEEDED, "done")):
        clock.advance(1)
        row = journal.write_step(moved(row, state, reason))
    assert [(e.before, e.after, e.reason, e.sequence) for e in journal.audit(fresh_id)[1:]] == [
        ("pending", "pending", "busy", 2),
        ("pending", "intent", "", 3),
        ("intent", "succeeded", "done", 5),
    ]
    assert {(e.subject, e.actor) for e in journal.audit(fresh_id)[1:]} == {("step_00000", "tester")}


def test_journal_audit_is_read_oldest_first(journal: Journal, clock: FakeClock, fresh_id: str) -> None:
    journal.create(a_header(fresh_id), some_steps(fresh_id, 2), "submitted")
    for write in (
        lambda: journal.write_step(moved(journal.steps(fresh_id)[1], S.INTENT)),
        lambda: journal.write_header(headed(journal.header(fresh_id), D.RUNNING)),
        lambda: journal.write_step(moved(journal.steps(fresh_id)[0], S.INTENT)),
    ):
        clock.advance(0.5)
        write()
    entries = journal.audit(fresh_id)
    assert [e.subject for e in entries] == ["deployment", "step_00001", "deployment", "step_00000"]
    assert [e.at for e in entries] == [START + timedelta(seconds=0.5 * i) for i in range(4)]


def test_journal_note_is_added_and_moves_nothing(journal: Journal, fresh_id: str) -> None:
    """Notes of the same instant are kept side by side, because the audit is append-only."""
    header = a_header(fresh_id)
    journal.create(header, [], "submitted")
    for reason in ("refused: first", "refused: second"):
        journal.note(fresh_id, AuditEntry(START, "deployment", "accepted", "accepted", "accept", reason, 0))
    assert sorted(e.reason for e in journal.audit(fresh_id)) == ["refused: first", "refused: second", "submitted"]
    assert journal.header(fresh_id).record == header


def test_journal_note_repeated_is_one_entry(journal: Journal, fresh_id: str) -> None:
    """A repetition after a lost response adds no second entry."""
    entry = AuditEntry(START, "step_00003", "intent", "failed", "poison-queue", "five deliveries", 4)
    journal.note(fresh_id, entry)
    journal.note(fresh_id, entry)
    assert journal.audit(fresh_id) == [entry]


def test_journal_concurrent_notes_form_one_chain(journal: Journal, fresh_id: str) -> None:
    """Each of eight notes at the same instant has its own number, and none is lost."""
    journal.create(a_header(fresh_id), [], "submitted")
    notes = [AuditEntry(START, "deployment", "accepted", "accepted", "accept", f"note {i}", 0) for i in range(8)]
    assert at_once([lambda n=n: journal.note(fresh_id, n) for n in notes]) == [None] * 8
    assert sorted(e.link.note for e in journal.audit(fresh_id) if e.link and e.link.note) == list(range(1, 9))
    head = journal.note_head(fresh_id)
    assert head is not None
    assert head.number == 8
    assert verify(read(journal, fresh_id)).is_proven


def test_journal_audit_verifies_a_deployment_also_after_it_is_forgotten(
    journal: Journal, clock: FakeClock, fresh_id: str
) -> None:
    """Moves, writes without an entry, a wave of rows, a note and an end are verified both while the rows exist and
    afterwards."""
    journal.create(a_header(fresh_id, step_count=60), some_steps(fresh_id, 60), "submitted")
    header = journal.write_header(headed(journal.header(fresh_id), D.RUNNING, "holds its target"))
    clock.advance(1)
    row = journal.write_step(moved(journal.steps(fresh_id)[0], S.INTENT, "create it", deliveries=1))
    row = journal.write_step(moved(row, S.INTENT, attempt=1))
    assert verify(read(journal, fresh_id)).is_proven
    journal.write_step(moved(row, S.FAILED, "refused"))
    journal.write_steps([moved(s, S.SKIPPED) for s in journal.steps(fresh_id)[1:]])
    header = journal.write_header(headed(header, D.COMPENSATING, "a step failed"))
    journal.write_step(moved(journal.steps(fresh_id)[0], S.COMPENSATED, "nothing was begun"))
    journal.note(fresh_id, AuditEntry(START, "deployment", "compensating", "compensating", "accept", "refused", 2))
    header = journal.write_header(headed(header, D.COMPENSATED, "everything is rolled back", finished_at=START))
    journal.write_header(headed(header, D.COMPENSATED, orphan_checked_at=START))
    verdict = verify(read(journal, fresh_id))
    assert verdict.is_proven, verdict
    journal.purge(fresh_id)
    assert verify(read(journal, fresh_id)) == verdict
    with pytest.raises(ForgottenError) as kept:
        journal.header(fresh_id)
    stored = kept.value.record
    assert (stored.state, stored.manifest_hash) == (D.COMPENSATED, header.record.manifest_hash)
    for other in (a_header(fresh_id, step_count=60), a_header(fresh_id, manifest_hash="other", target="elsewhere")):
        assert journal.create(other, some_steps(fresh_id, 60), "submitted again") == stored
        assert (journal.steps(fresh_id), listed(journal, other.target)) == ([], [])
    assert verify(read(journal, fresh_id)) == verdict
    found = read(journal, fresh_id)
    for changed in (stored.replace(state=D.SUCCEEDED), stored.replace(manifest_hash="other")):
        assert verify(replace(found, forgotten=changed)).differences
    cut = [entry for entry in found.entries if entry.subject != "deployment" or entry.sequence != stored.sequence]
    assert verify(replace(found, entries=cut)).differences


@pytest.mark.azurite
@pytest.mark.parametrize("count", [0, 3, 99, 100, 199, 250])
def test_journal_purge_deletes_any_number_of_steps_and_the_header_last(
    faulty: FaultyJournal, fresh_id: str, count: int
) -> None:
    """It needs as few writes as Azure's batches allow, and the next purge finishes one that was interrupted."""
    journal = faulty.journal
    journal.create(a_header(fresh_id), some_steps(fresh_id, count), "submitted")
    journal.write_header(headed(journal.header(fresh_id), D.REJECTED))
    faulty.wire.cut_before_write(1)
    with pytest.raises(Cut):
        journal.purge(fresh_id)
    faulty.wire.heal()
    assert (fresh_id in listed(journal, a_header(fresh_id).target)) is True
    if count >= 100:
        assert journal.header(fresh_id).record.state is D.REJECTED
        assert 0 < len(journal.steps(fresh_id)) < count
    journal.purge(fresh_id)
    assert journal.steps(fresh_id) == []
    with pytest.raises(NotFoundError):
        journal.header(fresh_id)


@pytest.mark.azurite
def test_journal_purge_spares_a_resumed_deployment(faulty: FaultyJournal, fresh_id: str) -> None:
    """A person resumes it at the moment when its retention ends: whichever write comes first wins completely."""
    journal = faulty.journal
    journal.create(a_header(fresh_id, state=D.FAILED), some_steps(fresh_id, 2), "submitted")

    def resume(_: object) -> None:
        faulty.wire.heal()
        journal.write_header(headed(journal.header(fresh_id), D.RUNNING, "resumed"))

    faulty.wire.before = resume
    with pytest.raises(ConflictError):
        journal.purge(fresh_id)
    assert journal.header(fresh_id).record.state is D.RUNNING
    assert len(journal.steps(fresh_id)) == 2
    assert listed(journal, a_header(fresh_id).target, open_only=True) == [fresh_id]


@pytest.mark.azurite
@pytest.mark.parametrize("table", ["journal", "deployments", "deploymentsbytime"])
@pytest.mark.parametrize("change", [('"version":1', '"version":99'), ('"state":"accepted"', '"state":"paused"')])
def test_journal_row_of_another_version_hides_no_other(
    faulty: FaultyJournal, storage: str, fresh_id: str, table: str, change: tuple[str, str]
) -> None:
    """Two versions of the app run at the same time: lists skip rows that only the other version can read. A list of
    one target raises an error, because its callers need the complete list."""
    journal, other, header = faulty.journal, f"{fresh_id}-other", a_header(fresh_id)
    for each in (header, a_header(other)):
        journal.create(each, [], "submitted")
    row = {
        "journal": rows.header_entity(header),
        "deployments": rows.index_entity(header),
        "deploymentsbytime": time_entity(header),
    }[table]
    with TableClient.from_connection_string(storage, table) as client:
        entity = client.get_entity(row["PartitionKey"], row["RowKey"])
        assert change[0] in entity["record"]
        client.update_entity({**entity, "record": entity["record"].replace(*change)})
        swept = [h.deployment_id for h in journal.deployments(open_only=True)]
        shown = [h.deployment_id for h in journal.page(10, target=a_header(other).target)]
        assert (other in swept, fresh_id in swept, shown) == (True, table == "deploymentsbytime", [other])
        assert journal.page(10, target=header.target) == ([header] if table == "deployments" else [])
        if table != "deploymentsbytime":
            with pytest.raises(UnknownVersionError):
                list(journal.deployments(header.target, open_only=True))
        client.delete_entity(row["PartitionKey"], row["RowKey"])


@pytest.mark.azurite
@pytest.mark.parametrize("key", ["header", "step_00000", "audit_", "notes"])
def test_journal_row_that_was_changed_or_deleted_in_the_table_is_detected(
    faulty: FaultyJournal, storage: str, fresh_id: str, key: str
) -> None:
    """A person with write access to the storage account changed one value of a stored record, or deleted the row."""
    journal = faulty.journal
    journal.create(a_header(fresh_id, step_count=1), some_steps(fresh_id, 1), "submitted")
    journal.write_step(moved(journal.steps(fresh_id)[0], S.SUCCEEDED, "adopted"))
    journal.note(fresh_id, AuditEntry(START, "deployment", "accepted", "accepted", "accept", "refused", 0))
    assert verify(read(journal, fresh_id)).is_proven
    with TableClient.from_connection_string(storage, "journal") as table:
        found = [e for e in table.query_entities(f"PartitionKey eq '{fresh_id}'") if e["RowKey"].startswith(key)]
        for entity in found:
            kept = dict(entity)
            for word, other in (("submitted", "ordered"), ("adopted", "created"), ("name of", "nome of")):
                if word in kept["record"]:
                    table.update_entity({**kept, "record": kept["record"].replace(word, other)})
                    assert verify(read(journal, fresh_id)).differences, (key, word)
            table.delete_entity(entity["PartitionKey"], entity["RowKey"])
            assert verify(read(journal, fresh_id)).differences, key
            table.create_entity(kept)
            assert verify(read(journal, fresh_id)).is_proven
    assert found


@pytest.mark.azurite
@pytest.mark.parametrize("reason", ["", "create it"])
def test_journal_row_that_was_changed_is_detected_after_it_was_written_again(
    faulty: FaultyJournal, storage: str, fresh_id: str, reason: str
) -> None:
    """The app continues from the stored row, but neither a write without an entry nor a move hides the change."""
    journal = faulty.journal
    journal.create(a_header(fresh_id, step_count=1), some_steps(fresh_id, 1), "submitted")
    with TableClient.from_connection_string(storage, "journal") as table:
        row = dict(table.get_entity(fresh_id, "step_00000"))
        table.update_entity({**row, "record": row["record"].replace('"kind":"workspace"', '"kind":"gone"')})
    row = journal.write_step(moved(journal.steps(fresh_id)[0], S.PENDING, reason, attempt=1))
    journal.write_step(moved(row, S.FAILED, "unknown kind"))
    assert verify(read(journal, fresh_id)).differences


def test_journal_reason_is_cut_rather_than_refused(journal: Journal, fresh_id: str) -> None:
    """A long reason must not make a move impossible."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "s" * 50_000)
    journal.write_step(moved(journal.steps(fresh_id)[0], S.FAILED, "r" * 50_000))
    assert [len(e.reason) for e in journal.audit(fresh_id)] == [1000, 1000]


@pytest.mark.azurite
def test_journal_move_and_audit_are_one_write(faulty: FaultyJournal, fresh_id: str) -> None:
    """A process that ends before the write leaves neither of them, and one request carries both."""
    faulty.journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    change = moved(faulty.journal.steps(fresh_id)[0], S.INTENT)
    before = everything(faulty.journal, fresh_id)
    faulty.wire.cut_before_write(0)
    with pytest.raises(Cut):
        faulty.journal.write_step(change)
    faulty.wire.heal()
    assert everything(faulty.journal, fresh_id) == before
    written = faulty.wire.writes
    faulty.journal.write_step(change)
    assert faulty.wire.writes == written + 1
    assert [e.after for e in faulty.journal.audit(fresh_id)] == ["accepted", "intent"]


# --- many rows --------------------------------------------------------------------------------------------------


def test_journal_write_steps_moves_120_rows(journal: Journal, fresh_id: str) -> None:
    """Each row has its own audit entry."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 120), "submitted")
    journal.write_steps([moved(row, S.SKIPPED) for row in journal.steps(fresh_id)])
    assert {(s.record.state, s.record.sequence) for s in journal.steps(fresh_id)} == {(S.SKIPPED, 1)}
    assert sorted(e.subject for e in journal.audit(fresh_id)[1:]) == [rows.step_key(i) for i in range(120)]


@pytest.mark.azurite
def test_journal_batch_of_the_largest_rows_is_accepted_by_azure(faulty: FaultyJournal, fresh_id: str) -> None:
    """A batch has at most 100 operations and 4 MiB as sent, all in one partition. The rows are as long as allowed, with
    the characters that take the most space on the wire, and with the longest reasons."""
    sent: list[bytes] = []

    def note(request: Any) -> None:
        body = request.body or b""
        content = body if isinstance(body, bytes) else body.encode()
        if request.url.split("?")[0].endswith("$batch"):
            sent.append(content)

    faulty.wire.before = note
    faulty.journal.create(a_header(fresh_id), [a_step(fresh_id, i, spec={"t": ""}) for i in range(102)], "submitted")
    (room,) = {LIMIT - 400 - len(rows.step_entity(s.record)["record"]) for s in faulty.journal.steps(fresh_id)[100:]}
    full = {"spec": {"t": '"' * (room // 2)}}
    before = faulty.journal.steps(fresh_id)
    changes = [moved(row, S.INTENT, "\U0001f600" * 2_000, **full) for row in before[:50]]
    faulty.journal.write_steps(changes)
    whole = f"{fresh_id}-whole"
    faulty.journal.create(a_header(whole), [a_step(whole, i, **full) for i in range(50)], "submitted")
    assert len(faulty.journal.steps(whole)) == 50
    for batch in sent:
        assert len(batch) <= 4 * 1024 * 1024
        assert batch.count(b"HTTP/1.1") <= 100
        assert not (f"PartitionKey='{fresh_id}'".encode() in batch and whole.encode() in batch)
    assert max(map(len, sent)) > 3 * 1024 * 1024, "the rows are not the largest possible"


def test_journal_write_steps_of_an_empty_list_does_nothing(journal: Journal, fresh_id: str) -> None:
    journal.create(a_header(fresh_id), [], "submitted")
    before = everything(journal, fresh_id)
    journal.write_steps([])
    assert everything(journal, fresh_id) == before


@pytest.mark.parametrize("fault", ["stale", "illegal"])
def test_journal_write_steps_batch_is_all_or_nothing(journal: Journal, fresh_id: str, fault: str) -> None:
    """One row that may not move stops its whole batch; earlier batches stay written, and later ones are not started."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 120), "submitted")
    changes = [moved(row, S.SKIPPED) for row in journal.steps(fresh_id)]
    if fault == "stale":
        journal.write_step(moved(journal.steps(fresh_id)[70], S.PENDING))
        expected: type[Exception] = ConflictError
    else:
        changes[70] = moved(journal.steps(fresh_id)[70], S.COMPENSATED)
        expected = IllegalTransitionError
    with pytest.raises(expected):
        journal.write_steps(changes)
    assert [s.record.state for s in journal.steps(fresh_id)] == [S.SKIPPED] * 50 + [S.PENDING] * 70
    assert len(journal.audit(fresh_id)) == 1 + 50


# --- lost answers -----------------------------------------------------------------------------------------------


@pytest.mark.azurite
@pytest.mark.parametrize("reason", ["", "noted"])
@pytest.mark.parametrize("state", [S.PENDING, S.INTENT])
def test_journal_own_step_write_is_recognised_after_a_lost_response(
    faulty: FaultyJournal, fresh_id: str, state: S, reason: str
) -> None:
    """A row that our own write left is not a conflict, whether the SDK or the app repeats the write."""
    faulty.journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    change = moved(faulty.journal.steps(fresh_id)[0], state, reason, claim=Claim("me", START, 1))
    faulty.wire.lose_next_answer()
    written = repeated_once(lambda: faulty.journal.write_step(change))
    assert faulty.journal.steps(fresh_id) == [written]
    assert len(faulty.journal.audit(fresh_id)) == 1 + bool(reason or state != S.PENDING)
    assert faulty.journal.write_step(moved(written, S.INTENT)).record.sequence == 2


@pytest.mark.azurite
def test_journal_own_write_keeps_its_place_in_the_chain_when_it_is_repeated_later(
    faulty: FaultyJournal, clock: FakeClock, fresh_id: str
) -> None:
    """The lost write was audited at its own time: that entry counts, and the next one is chained to it."""
    faulty.journal.create(a_header(fresh_id, step_count=1), some_steps(fresh_id, 1), "submitted")
    change = moved(faulty.journal.steps(fresh_id)[0], S.INTENT, "create it")
    assert faulty.journal.write_step(change).record.state == S.INTENT
    clock.advance(7)
    written = faulty.journal.write_step(change)
    assert written == faulty.journal.steps(fresh_id)[0]
    assert written.record.chain == faulty.journal.steps(fresh_id)[0].record.chain
    faulty.journal.write_step(moved(written, S.SUCCEEDED))
    assert verify(read(faulty.journal, fresh_id)).is_proven


@pytest.mark.azurite
@pytest.mark.parametrize("state", [D.ACCEPTED, D.RUNNING])
def test_journal_own_header_write_is_recognised_after_a_lost_response(
    faulty: FaultyJournal, fresh_id: str, state: D
) -> None:
    """After that the projection is written."""
    faulty.journal.create(a_header(fresh_id), [], "submitted")
    change = headed(faulty.journal.header(fresh_id), state, "go", heartbeat_at=START)
    faulty.wire.lose_next_answer()
    written = repeated_once(lambda: faulty.journal.write_header(change))
    assert faulty.journal.header(fresh_id) == written
    assert len(faulty.journal.audit(fresh_id)) == 2
    assert [h.state for h in faulty.journal.deployments(a_header(fresh_id).target)] == [state]


@pytest.mark.azurite
def test_journal_own_batch_is_recognised_after_a_lost_response(faulty: FaultyJournal, fresh_id: str) -> None:
    """The rows of a wave are written once, even if the response to their write was lost."""
    faulty.journal.create(a_header(fresh_id), some_steps(fresh_id, 60), "submitted")
    changes = [moved(row, S.SKIPPED) for row in faulty.journal.steps(fresh_id)]
    faulty.wire.lose_next_answer()
    repeated_once(lambda: faulty.journal.write_steps(changes))
    assert {(s.record.state, s.record.sequence) for s in faulty.journal.steps(fresh_id)} == {(S.SKIPPED, 1)}
    assert len(faulty.journal.audit(fresh_id)) == 61


@pytest.mark.azurite
def test_journal_foreign_write_after_a_lost_response_is_a_conflict(faulty: FaultyJournal, fresh_id: str) -> None:
    """A row that moved after our lost write belongs to another worker."""
    faulty.journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    change = moved(faulty.journal.steps(fresh_id)[0], S.INTENT)
    faulty.journal.write_step(change)
    faulty.journal.write_step(moved(faulty.journal.steps(fresh_id)[0], S.SUCCEEDED))
    before = everything(faulty.journal, fresh_id)
    with pytest.raises(ConflictError):
        faulty.journal.write_step(change)
    assert everything(faulty.journal, fresh_id) == before


@pytest.mark.azurite
@pytest.mark.parametrize("lost", range(5))
def test_journal_create_is_complete_after_a_lost_response(faulty: FaultyJournal, fresh_id: str, lost: int) -> None:
    """After the loss of any response the repeated creation is complete, with one acceptance in the audit."""
    header, steps = a_header(fresh_id), some_steps(fresh_id, 250)
    left = iter(range(lost))

    def count(_: object) -> None:
        if next(left, None) is None:
            faulty.wire.before = lambda _: None
            faulty.wire.lose_next_answer()

    faulty.wire.before = count
    assert repeated_once(lambda: faulty.journal.create(header, steps, "submitted")) == header
    assert [s.record for s in faulty.journal.steps(fresh_id)] == steps
    assert len(faulty.journal.audit(fresh_id)) == 1
    assert listed(faulty.journal, header.target) == [fresh_id]


def repeated_once[T](write: Callable[[], T]) -> T:
    """Write, and once more if the adapter reported no response, as the engine does."""
    try:
        return write()
    except StorageUnavailableError:
        return write()


# --- reading ----------------------------------------------------------------------------------------------------


def test_journal_unknown_deployment_or_step_is_not_found(journal: Journal, fresh_id: str) -> None:
    """An unknown deployment has neither steps nor audit."""
    with pytest.raises(NotFoundError):
        journal.header(fresh_id)
    with pytest.raises(NotFoundError):
        journal.step(fresh_id, 0)
    assert journal.steps(fresh_id) == []
    assert journal.audit(fresh_id) == []
    journal.create(a_header(fresh_id), some_steps(fresh_id, 2), "submitted")
    for ordinal in (2, -1, 99_999):
        with pytest.raises(NotFoundError):
            journal.step(fresh_id, ordinal)


def test_journal_reads_300_steps_in_order(journal: Journal, fresh_id: str) -> None:
    """Steps are sorted by ordinal, whatever the order of writing and the size of pages."""
    steps = some_steps(fresh_id, 300)
    journal.create(a_header(fresh_id), steps[::-1], "submitted")
    assert [s.record for s in journal.steps(fresh_id)] == steps
    assert journal.step(fresh_id, 299)[1].record == steps[299]


def test_journal_keeps_deployments_apart(journal: Journal, fresh_id: str) -> None:
    """An id that is the prefix of another, or differs in case, is a separate deployment."""
    names = [fresh_id, f"{fresh_id}0", f"{fresh_id}-", fresh_id.upper()]
    for i, name in enumerate(names):
        journal.create(a_header(name), some_steps(name, i), f"reason {i}")
    for i, name in enumerate(names):
        assert [s.record.deployment_id for s in journal.steps(name)] == [name] * i
        assert [e.reason for e in journal.audit(name)] == [f"reason {i}"]


@pytest.mark.parametrize(
    "shape",
    [
        "{}.",
        "{}..",
        "{}_header",
        "{}-" + "x" * 60,
        "{}'or'1'eq'1",
        "{} space",
        "{}é漢😀",
        "{}+&=%20;,@$!*()",
        '{}"<>|`^~{{}}',
    ],
)
def test_journal_accepts_hostile_ids_that_are_legal(journal: Journal, fresh_id: str, shape: str) -> None:
    """Every key that Azure Tables accepts works for create, query and write, and finds no other deployment."""
    deployment_id = shape.format(fresh_id)
    header = a_header(deployment_id)
    journal.create(header, some_steps(deployment_id, 2), "submitted")
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    journal.write_step(moved(journal.step(deployment_id, 1)[1], S.INTENT))
    journal.write_header(headed(journal.header(deployment_id), D.RUNNING))
    assert [s.record.state for s in journal.steps(deployment_id)] == [S.PENDING, S.INTENT]
    assert len(journal.audit(deployment_id)) == 3
    assert listed(journal, header.target, open_only=True) == [deployment_id]
    assert len(journal.steps(fresh_id)) == 1


@pytest.mark.parametrize("bad", ["/", "\\", "#", "?", "\x00", "\t", "\x7f", "\x9f", "y" * 1024])
def test_journal_refuses_ids_that_are_not_keys(journal: Journal, fresh_id: str, bad: str) -> None:
    """A character that Azure Tables forbids in a key is refused before anything is written, and finds nothing on a
    read."""
    deployment_id = fresh_id + bad
    header = a_header(deployment_id, target=fresh_id)
    with pytest.raises(LimitError):
        journal.create(header, some_steps(deployment_id, 1), "submitted")
    assert listed(journal, fresh_id) == []
    with pytest.raises((LimitError, NotFoundError)):
        journal.header(deployment_id)


# --- limits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_journal_create_with_a_row_too_large_writes_nothing(journal: Journal, fresh_id: str, character: str) -> None:
    """A record of more than 32,768 characters of JSON is refused: no header, no other step, nothing in the list."""
    header = a_header(fresh_id)
    steps = [a_step(fresh_id, 0), a_step(fresh_id, 1, spec={"text": character * 32_768})]
    with pytest.raises(LimitError, match="record"):
        journal.create(header, steps, "submitted")
    with pytest.raises(NotFoundError):
        journal.header(fresh_id)
    assert journal.steps(fresh_id) == []
    assert listed(journal, header.target) == []


def test_journal_move_to_a_row_too_large_writes_nothing(journal: Journal, fresh_id: str) -> None:
    """The audit entry of a step's or a header's move is not written either."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    before = everything(journal, fresh_id)
    with pytest.raises(LimitError):
        journal.write_step(moved(journal.steps(fresh_id)[0], S.INTENT, outputs={"text": "x" * 32_768}))
    with pytest.raises(LimitError):
        journal.write_header(headed(journal.header(fresh_id), D.RUNNING, problems=({"message": "x" * 32_768},)))
    assert everything(journal, fresh_id) == before


# --- the list ---------------------------------------------------------------------------------------------------


def test_journal_lists_a_target_newest_first(journal: Journal, fresh_id: str) -> None:
    """Deployments that were accepted at the same instant are sorted by id, and no other target's deployment is listed.
    On request, the oldest comes first."""
    target = f"t {fresh_id}"
    for name, seconds in (("b", 1), ("a", 2), ("d", 1), ("c", 0)):
        at = START + timedelta(seconds=seconds)
        journal.create(a_header(f"{fresh_id}-{name}", target=target, accepted_at=at), [], "submitted")
    journal.create(a_header(f"{fresh_id}-e", target=f"{target}x"), [], "submitted")
    assert [name[-1] for name in listed(journal, target)] == ["a", "d", "b", "c"]
    oldest_first = [h.deployment_id[-1] for h in journal.deployments(target, open_only=True, oldest_first=True)]
    assert oldest_first == ["c", "b", "d", "a"]
    everywhere = [h.deployment_id for h in journal.deployments() if h.deployment_id.startswith(fresh_id)]
    assert [name[-1] for name in everywhere] == ["a", "d", "b", "e", "c"]


def test_journal_lists_open_deployments(journal: Journal, fresh_id: str) -> None:
    """A deployment is open in every state that is not final, including `stuck` and `held`."""
    target = f"t {fresh_id}"
    for state in D:
        journal.create(a_header(f"{fresh_id}-{state}", target=target, state=state), [], "submitted")
    states = {h.state for h in journal.deployments(target, open_only=True)}
    assert states == {D.ACCEPTED, D.RUNNING, D.COMPENSATING, D.STUCK, D.HELD}
    assert {h.state for h in journal.deployments(target)} == set(D)
    own = {h.state for h in journal.deployments(open_only=True) if h.deployment_id.startswith(fresh_id)}
    assert own == states


def test_journal_list_follows_the_header(journal: Journal, fresh_id: str) -> None:
    target = a_header(fresh_id).target
    journal.create(a_header(fresh_id), [], "submitted")
    journal.write_header(headed(journal.header(fresh_id), D.RUNNING))
    assert [h.state for h in journal.deployments(target, open_only=True)] == [D.RUNNING]
    journal.write_header(headed(journal.header(fresh_id), D.SUCCEEDED, finished_at=START))
    assert listed(journal, target, open_only=True) == []
    assert [(h.state, h.finished_at) for h in journal.deployments(target)] == [(D.SUCCEEDED, START)]


@pytest.mark.parametrize(
    "target", ["o'brien's", "a/b\\c#d?e", "=3d", "", " ", "ß漢😀", "x" * 256, "\t\n", "%2F..", "\ud800"]
)
def test_journal_lists_targets_of_any_name(journal: Journal, fresh_id: str, target: str) -> None:
    """A person chooses the name of a target freely: characters that no key may contain are allowed."""
    journal.create(a_header(fresh_id, target=target), [], "submitted")
    assert fresh_id in listed(journal, target, open_only=True)
    assert fresh_id not in listed(journal, target + "_", open_only=True)


@pytest.mark.azurite
def test_journal_list_is_repaired_when_it_lags(faulty: FaultyJournal, fresh_id: str) -> None:
    """A process ended between the write of a header's end and of its projection; the next list of open deployments
    repairs it."""
    target = a_header(fresh_id).target
    faulty.journal.create(a_header(fresh_id, state=D.RUNNING), [], "submitted")
    faulty.wire.cut_before_write(1)
    with pytest.raises(Cut):
        faulty.journal.write_header(headed(faulty.journal.header(fresh_id), D.SUCCEEDED))
    faulty.wire.heal()
    assert [h.state for h in faulty.journal.deployments(target)] == [D.RUNNING], "the projection does not lag"
    assert listed(faulty.journal, target, open_only=True) == []
    assert [h.state for h in faulty.journal.deployments(target)] == [D.SUCCEEDED], "the projection was not repaired"


@pytest.mark.azurite
def test_journal_list_closes_a_submission_that_ended_at_once(faulty: FaultyJournal, fresh_id: str) -> None:
    """A refused submission whose last write was interrupted is read once more, and is then no longer among the open
    ones."""
    header = a_header(fresh_id, state=D.REJECTED)
    faulty.wire.cut_before_write(3)
    with pytest.raises(Cut):
        faulty.journal.create(header, [], "refused")
    faulty.wire.heal()
    for mends in (2, 0):
        written = faulty.wire.writes
        assert listed(faulty.journal, header.target, open_only=True) == []
        assert faulty.wire.writes == written + mends
    assert listed(faulty.journal, header.target) == [fresh_id]


@pytest.mark.azurite
def test_journal_list_shows_the_present_header_of_open_deployments(faulty: FaultyJournal, fresh_id: str) -> None:
    """Open deployments are read from the header itself, however old their projection is."""
    target = a_header(fresh_id).target
    faulty.journal.create(a_header(fresh_id, state=D.RUNNING), [], "submitted")
    written = faulty.journal.write_header(headed(faulty.journal.header(fresh_id), D.RUNNING, heartbeat_at=START))
    assert list(faulty.journal.deployments(target, open_only=True)) == [written.record]


@pytest.mark.azurite
def test_journal_list_drops_a_deployment_that_was_never_created(
    faulty: FaultyJournal, clock: FakeClock, fresh_id: str
) -> None:
    """A projection without a header is not open. A young one stays, because its acceptance may still be in progress."""
    header = a_header(fresh_id)
    faulty.wire.cut_before_write(2)
    with pytest.raises(Cut):
        faulty.journal.create(header, [], "submitted")
    faulty.wire.heal()
    clock.advance(3599)
    assert listed(faulty.journal, header.target, open_only=True) == []
    assert listed(faulty.journal, header.target) == [fresh_id]
    clock.advance(2)
    assert listed(faulty.journal, header.target, open_only=True) == []
    assert listed(faulty.journal, header.target) == []


def test_journal_twin_refuses_a_stale_tag(clock: FakeClock, fresh_id: str) -> None:
    """The twin is as strict as the service: a forged tag is a conflict."""
    journal = MemoryJournal(clock)
    journal.create(a_header(fresh_id), some_steps(fresh_id, 1), "submitted")
    with pytest.raises(ConflictError):
        journal.write_step(moved(replace(journal.steps(fresh_id)[0], etag="0"), S.INTENT))


# --- sequences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 3, 1_001])
def test_journal_sequences_are_those_of_the_rows(journal: Journal, fresh_id: str, steps: int) -> None:
    """They cover the header and every step, over any number of pages, and not the audit."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, steps), "submitted")
    if steps:
        journal.write_step(moved(journal.steps(fresh_id)[1], S.INTENT))
    journal.write_header(headed(journal.header(fresh_id), D.RUNNING))
    expected = {"header": journal.header(fresh_id).record.sequence}
    expected |= {f"step_{s.record.ordinal:05d}": s.record.sequence for s in journal.steps(fresh_id)}
    assert journal.sequences(fresh_id) == expected


def test_journal_sequences_change_with_every_write(journal: Journal, fresh_id: str) -> None:
    """This holds for a move, a heartbeat, a write without a move, an added row and a note."""
    journal.create(a_header(fresh_id), some_steps(fresh_id, 2), "submitted")
    seen = [journal.sequences(fresh_id)]
    writes: list[Callable[[], object]] = [
        lambda: journal.write_header(headed(journal.header(fresh_id), D.RUNNING)),
        lambda: journal.write_header(headed(journal.header(fresh_id), D.RUNNING, heartbeat_at=START)),
        lambda: journal.write_step(moved(journal.steps(fresh_id)[0], S.INTENT)),
        lambda: journal.write_step(moved(journal.steps(fresh_id)[0], S.INTENT, deliveries=7)),
        lambda: journal.write_steps([moved(row, S.SKIPPED) for row in journal.steps(fresh_id)[1:]]),
        lambda: journal.append(headed(journal.header(fresh_id), D.RUNNING), a_step(fresh_id, 2)),
        lambda: journal.note(fresh_id, AuditEntry(START, "deployment", "running", "running", "x", "why", 0)),
    ]
    for write in writes:
        write()
        seen.append(journal.sequences(fresh_id))
        assert seen.count(seen[-1]) == 1


def test_journal_sequences_of_a_missing_deployment_are_not_found(journal: Journal, fresh_id: str) -> None:
    """The same if only the audit is left."""
    with pytest.raises(NotFoundError):
        journal.sequences(fresh_id)
    journal.create(a_header(fresh_id, state=D.REJECTED, finished_at=START), [], "refused")
    journal.note(fresh_id, AuditEntry(START, "deployment", "rejected", "rejected", "x", "why", 0))
    journal.purge(fresh_id)
    with pytest.raises(NotFoundError):
        journal.sequences(fresh_id)


def test_journal_shows_a_header_that_is_not_older_than_its_step(
    faulty: FaultyJournal, fresh_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header moves between the two reads: the later one is shown, by two point reads and no query, which would scan
    the partition."""
    journal, read, reads = faulty.journal, TableClient.get_entity, list[str]()
    header = journal.create(a_header(fresh_id), some_steps(fresh_id, 3), "accepted")
    journal.write_header(headed(journal.header(fresh_id), D.RUNNING))

    def reading(client: TableClient, partition: str, row: str, **options: Any) -> Any:
        found = read(client, partition, row, **options)
        reads.append(row)
        if len(reads) == 1:
            journal.write_header(headed(journal.header(fresh_id), D.COMPENSATING))
        return found

    def scanning(client: TableClient, *given: Any, **options: Any) -> Any:
        raise AssertionError(f"a query: {given}")

    with monkeypatch.context() as patched:
        patched.setattr(TableClient, "get_entity", reading)
        patched.setattr(TableClient, "query_entities", scanning)
        shown, step = journal.step(fresh_id, 1)
    assert (header.state, shown.record.state, step.record.ordinal) == (D.ACCEPTED, D.COMPENSATING, 1)
    assert reads[0] == rows.step_key(1)
    assert len(reads) == 3  # the step, the header for the write in between, and the header
