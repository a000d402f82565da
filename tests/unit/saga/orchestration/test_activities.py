"""The activities, each from every state and each repeated: what they write, send, acquire and return."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.errors import SagaError, StorageUnavailableError
from shared.domain.messages import Direction, StepMessage
from shared.domain.ports import Change, Versioned
from shared.domain.records import Claim, DeploymentRecord, Intent, Operation, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, Concurrency, IntentAction, OnFailure, OperationPurpose
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.saga.audit.verify import read, verify
from shared.saga.command import commands, handling
from shared.saga.command.verbs import Verb
from shared.saga.orchestration import activities, views
from shared.saga.orchestration.progress import Progress
from shared.saga.orchestration.views import Ended, Hold, Run, View, Wait
from tests.fakes import START
from tests.unit.saga.fixture import ERROR, SagaFixture, row

LATER = START + timedelta(hours=1)


def begin(saga: SagaFixture, deployment_id: str = "d") -> View:
    """Run the activity."""
    return activities.begin(saga.services, saga.locks, deployment_id)


def holder(saga: SagaFixture) -> str:
    """Return the present holder of the target lock."""
    return saga.locks.acquire("target", "probe", saga.clock.now(), 0.0).holder


def progress_of(answer: View) -> Progress:
    """Return the progress of a deployment whose steps can run."""
    assert isinstance(answer, Run)
    return answer.progress


def sent_of(answer: View) -> set[int]:
    """Return the ordinals that a view counts as sent."""
    return progress_of(answer).sent


def holder_of(answer: View) -> str:
    """Return the deployment that another one waits for."""
    assert isinstance(answer, Wait)
    return answer.holder


@pytest.mark.parametrize(
    ("state", "answer", "after"),
    [
        (D.ACCEPTED, Run, D.RUNNING),
        (D.RUNNING, Run, D.RUNNING),
        (D.COMPENSATING, Run, D.COMPENSATING),
        (D.STUCK, Run, D.STUCK),
        (D.HELD, Hold, D.HELD),
        (D.SUCCEEDED, Ended, D.SUCCEEDED),
        (D.COMPENSATED, Ended, D.COMPENSATED),
        (D.REJECTED, Ended, D.REJECTED),
        (D.CANCELLED, Ended, D.CANCELLED),
    ],
)
def test_begin_from_every_state_and_again(state: D, answer: type[View], after: D) -> None:
    """From wherever a crash left it, to where its steps can run; a repetition changes nothing."""
    saga = SagaFixture()
    saga.deployment(state, S.SUCCEEDED, S.COMPENSATION_FAILED if state is D.STUCK else S.PENDING)
    saga.locks.acquire("target", "d", saga.clock.now(), 900)
    first = begin(saga)
    assert (type(first), saga.header().state) == (answer, after)
    stored = saga.header()
    assert begin(saga) == first
    assert saga.header() == stored
    assert holder(saga) == ("probe" if state in DEPLOYMENT_ENDED else "d")


def test_begin_records_its_start_and_its_fencing_token() -> None:
    saga = SagaFixture()
    saga.locks.acquire("target", "other", START, -1)
    saga.deployment(D.ACCEPTED, S.PENDING)
    begin(saga)
    header = saga.header()
    assert (header.started_at, header.heartbeat_at, header.lock_fence) == (START, START, 2)


def test_begin_waits_for_an_earlier_deployment_or_for_the_lock() -> None:
    """Targets are served in order of arrival; a deployment that must not queue is rejected with the holder's name."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.PENDING, deployment_id="elder")
    saga.clock.advance(1)
    saga.deployment(D.ACCEPTED, S.PENDING)
    assert begin(saga) == Wait(3.0, "elder")
    assert saga.header().state is D.ACCEPTED
    saga.deployment(D.ACCEPTED, S.PENDING, deployment_id="proud", concurrency=Concurrency.REJECT)
    assert begin(saga, "proud") == Ended(D.REJECTED)
    error = saga.header("proud").error
    assert error is not None
    assert "held by deployment" in error.message
    free = SagaFixture()
    free.locks.acquire("target", "stranger", START, 900)
    free.deployment(D.ACCEPTED, S.PENDING)
    assert holder_of(begin(free)) == "stranger"
    free.clock.advance(901)
    assert isinstance(begin(free), Run)


@pytest.mark.law(1)
@pytest.mark.parametrize(
    ("state", "end"),
    [
        (D.RUNNING, D.FAILED),
        (D.HELD, D.RUNNING),
        (D.COMPENSATING, D.COMPENSATED),
        (D.STUCK, D.COMPENSATED),
    ],
)
def test_begin_waits_for_a_deployment_that_has_begun_even_if_its_lease_is_over(state: D, end: D) -> None:
    """It arrived later and began first, and the worker that renews its lease was dead for longer than the lease (seed
    5002941)."""
    saga = SagaFixture()
    saga.deployment(D.ACCEPTED, S.PENDING)
    saga.clock.advance(1)
    saga.deployment(state, S.PENDING, deployment_id="later")
    saga.locks.acquire("target", "later", START, -1)
    assert holder_of(begin(saga)) == "later"
    saga.change_header_of("later", state=end)
    assert isinstance(begin(saga), Run) == (end in DEPLOYMENT_ENDED)


def test_begin_asks_ever_more_rarely_and_sends_a_heartbeat() -> None:
    """Each wait is as long as all waits before it, up to five minutes; it ends with the lease of a holder that does not
    renew it. The heartbeat proves to the sweeper that the orchestration lives, and is not audited."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.PENDING, deployment_id="elder")
    saga.clock.advance(1)
    saga.deployment(D.ACCEPTED, S.PENDING)
    entries, waits = len(saga.journal.audit("d")), list[float]()
    while len(waits) < 10:
        view = begin(saga)
        assert isinstance(view, Wait)
        waits.append(view.seconds)
        assert saga.header().heartbeat_at == saga.clock.now()
        saga.clock.advance(view.seconds)
    assert waits == [3.0, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 192.0, 300.0, 300.0]
    assert len(saga.journal.audit("d")) == entries
    free = SagaFixture()
    free.deployment(D.ACCEPTED, S.PENDING)
    free.clock.advance(1000)
    free.locks.acquire("target", "stranger", free.clock.now(), 40)
    assert begin(free) == Wait(40.0, "stranger")


def test_begin_does_not_wait_for_later_or_ended_deployments() -> None:
    """Only an earlier deployment that has not ended is waited for; at the same instant the id decides."""
    saga = SagaFixture()
    saga.deployment(D.SUCCEEDED, deployment_id="a")
    saga.deployment(D.ACCEPTED, S.PENDING)
    saga.deployment(D.ACCEPTED, S.PENDING, deployment_id="e")
    assert holder_of(begin(saga, "e")) == "d"
    assert isinstance(begin(saga), Run)


def test_begin_waits_for_missing_steps_and_rejects_if_they_never_come() -> None:
    """A partial acceptance is not a smaller deployment: it begins when it is complete, or ends `rejected` when no
    delivery of its submission can be alive any more. Its journal verifies, and nothing is added to it afterwards."""
    saga = SagaFixture()
    whole = [row(0, S.PENDING), row(1, S.PENDING)]
    header = DeploymentRecord("d", "m", "target", D.ACCEPTED, "hash", START, step_count=2)
    saga.journal.cut_create(header, whole, 1)
    assert isinstance(begin(saga), Wait)
    assert (saga.header().state, holder(saga)) == (D.ACCEPTED, "probe")
    saga.journal.create(header, whole, "submitted")
    assert isinstance(begin(saga), Run)

    saga = SagaFixture()
    saga.journal.cut_create(header, whole, 1)
    saga.clock.advance(saga.services.policy.orphan_grace_seconds)
    assert begin(saga) == Ended(D.REJECTED) == begin(saga)
    error = saga.header().error
    assert error is not None
    assert "all of its 2 steps" in error.message
    saga.journal.create(header, whole, "submitted")
    assert saga.states() == [S.PENDING]
    assert verify(read(saga.journal, "d")).is_proven


@pytest.mark.parametrize(
    ("requested_changes", "end"),
    [({"cancel_requested_by": "anna"}, D.CANCELLED), ({"concurrency": Concurrency.REJECT}, D.REJECTED)],
    ids=["cancelled", "its target taken"],
)
def test_begin_ends_no_deployment_whose_steps_are_still_being_written(
    requested_changes: dict[str, Any], end: D
) -> None:
    """The end is bound to the steps that exist: with a step added after it the journal could not be verified
    any more."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.PENDING, deployment_id="elder")
    saga.clock.advance(1)
    whole = [row(0, S.PENDING), row(1, S.PENDING)]
    header = DeploymentRecord(
        "d", "m", "target", D.ACCEPTED, "hash", saga.clock.now(), step_count=2, **requested_changes
    )
    saga.journal.cut_create(header, whole, 1)
    assert isinstance(begin(saga), Wait)
    assert saga.header().state is D.ACCEPTED
    saga.journal.create(header, whole, "submitted")
    assert begin(saga) == Ended(end)
    assert verify(read(saga.journal, "d")).is_proven


def test_begin_of_a_deployment_cancelled_before_its_start_does_nothing() -> None:
    """Nothing was done, so nothing is rolled back, and the lock is not touched."""
    saga = SagaFixture()
    saga.deployment(D.ACCEPTED, S.PENDING, cancel_requested_by="anna")
    assert begin(saga) == Ended(D.CANCELLED)
    assert saga.header().finished_at == START
    assert holder(saga) == "probe"


def test_begin_of_a_stuck_deployment_retries_failed_compensations() -> None:
    """Failed compensations are sent again, finished ones are not."""
    saga = SagaFixture()
    saga.deployment(D.STUCK, row(0, S.COMPENSATION_FAILED, needs=()), row(1, S.COMPENSATED, needs=()))
    progress = progress_of(begin(saga))
    assert progress.direction is Direction.BACKWARD
    assert progress.take_ready() == [0]


class Racing:
    """Another writer that is faster for the next `times` writes of the header."""

    def __init__(self, saga: SagaFixture, times: int) -> None:
        self._journal, self._write, self._left = saga.journal, saga.journal.write_header, times
        saga.journal.write_header = self.write_header  # type: ignore[method-assign]

    def write_header(self, change: Change[DeploymentRecord]) -> Any:
        """Write the other's change first, then this one."""
        if self._left > 0:
            self._left -= 1
            before = self._journal.header("d")
            self._write(Change(before, before.record.replace(heartbeat_at=LATER), "other", ""))
        return self._write(change)


ACTS: list[Callable[[SagaFixture], Any]] = [
    begin,
    lambda saga: handling.handle(
        saga.services, saga.locks, saga.orchestrations, commands.command(Verb.CANCEL, "d", "anna")
    ),
]


@pytest.mark.parametrize("act", ACTS)
def test_header_races_are_retried_a_few_times_only(act: Callable[[SagaFixture], Any]) -> None:
    """A lost write is repeated from the new header; a header that never stops changing is an error, not a loop."""
    for times in (3, 10_000):
        saga = SagaFixture()
        saga.deployment(D.ACCEPTED, S.PENDING)
        Racing(saga, times)
        if times == 3:
            act(saga)
            assert saga.header().state is D.RUNNING or saga.header().cancel_requested_by == "anna"
        else:
            with pytest.raises(SagaError, match=r"too often at (once|present)"):
                act(saga)


@pytest.mark.parametrize("count", [0, 1, 30])
def test_dispatch_sends_one_message_for_each_step(count: int) -> None:
    saga = SagaFixture()
    if count:
        activities.dispatch(saga.services, "d", list(range(count)), Direction.BACKWARD)
    assert saga.sent() == [(i, "backward") for i in range(count)]


def test_dispatch_failure_is_raised() -> None:
    """The activity fails with the message, and is run again."""
    saga = SagaFixture()

    def fail(message: StepMessage, delay_seconds: float = 0.0) -> None:
        if message.ordinal == 3:
            raise StorageUnavailableError("down")

    saga.queue.send = fail  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailableError):
        activities.dispatch(saga.services, "d", [1, 2, 3], Direction.FORWARD)


def test_record_failure_records_it_once() -> None:
    """The header has the failed step's error; a repetition, or a deployment without a failure, changes nothing."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.SUCCEEDED, S.FAILED, row(2, S.INTENT, needs=()))
    answer = activities.record_failure(saga.services, "d")
    error = saga.header().error
    assert error is not None
    assert (error.message, error.remedy) == ("step s1: Fabric said no", "Ask for a role.")
    assert (progress_of(answer).rolling_back, sent_of(answer)) == (True, {2})
    stored = saga.header()
    assert activities.record_failure(saga.services, "d") == answer
    assert saga.header() == stored
    healthy = SagaFixture()
    healthy.deployment(D.RUNNING, S.SUCCEEDED)
    activities.record_failure(healthy.services, "d")
    assert healthy.header().error is None


def test_begin_compensation_without_a_failed_step_continues() -> None:
    """It was delivered twice, and the deployment was resumed in between: a step that runs again is neither rolled back
    nor an error."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.SUCCEEDED, S.PENDING)
    answer = activities.begin_compensation(saga.services, saga.locks, "d")
    assert (progress_of(answer).rolling_back, saga.header().error) == (False, None)


def test_begin_compensation_waits_for_steps_in_flight() -> None:
    """Steps that were not started are skipped at once; the header moves only when no step is in progress."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.FAILED, row(1, S.SUBMITTED, needs=()), row(2, S.PENDING, started_at=START), S.PENDING)
    answer = activities.begin_compensation(saga.services, saga.locks, "d")
    assert sent_of(answer) == {1}
    assert saga.header().state is D.RUNNING
    assert saga.states() == [S.FAILED, S.SUBMITTED, S.SKIPPED, S.SKIPPED]
    saga.change(1, state=S.SUCCEEDED, intent=Intent(IntentAction.CREATE, "m"))
    answer = activities.begin_compensation(saga.services, saga.locks, "d")
    assert saga.header().state is D.COMPENSATING
    assert progress_of(answer).take_ready() == [1]


@pytest.mark.parametrize(("ends", "after"), [(S.SUCCEEDED, S.PENDING), (S.FAILED, S.SKIPPED)])
def test_begin_compensation_leaves_a_job_that_runs_always_until_what_it_refers_to_has_ended(ends: S, after: S) -> None:
    """The item of the job is being created when another step has failed: whether the job can run is not known yet."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.SUBMITTED, S.FAILED, S.PENDING)
    refers_to = saga.services.payloads.store({"item": 0})
    saga.change(2, is_always=True, refers_to=refers_to)
    activities.begin_compensation(saga.services, saga.locks, "d")
    assert saga.states()[2] is S.PENDING
    saga.change(0, state=ends)
    activities.begin_compensation(saga.services, saga.locks, "d")
    assert saga.states()[2] is after
    assert (2, "forward") in saga.sent() if after is S.PENDING else saga.header().state is D.COMPENSATING


def test_begin_compensation_settles_steps_that_need_no_call() -> None:
    """Adopted steps, and steps that failed before a call, are compensated without a delivery; a repetition changes
    nothing."""
    saga = SagaFixture()
    saga.deployment(
        D.RUNNING,
        row(0, S.SUCCEEDED, intent=Intent(IntentAction.ADOPT, "m")),
        row(1, S.SUCCEEDED, intent=Intent(IntentAction.CREATE, "m")),
        row(2, S.FAILED, intent=Intent(IntentAction.UPDATE, "m")),
        row(3, S.FAILED),
    )
    first = activities.begin_compensation(saga.services, saga.locks, "d")
    assert saga.states() == [S.COMPENSATED, S.SUCCEEDED, S.FAILED, S.COMPENSATED]
    assert activities.begin_compensation(saga.services, saga.locks, "d") == first


def test_begin_compensation_after_a_cancel_names_the_requester() -> None:
    """The audit names the person; a failed step does not hold a deployment that a person cancelled."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, row(0, S.FAILED, on_failure=OnFailure.HOLD), S.PENDING, cancel_requested_by="anna")
    activities.begin_compensation(saga.services, saga.locks, "d")
    assert saga.header().state is D.COMPENSATING
    assert "cancelled by anna" in [e.reason for e in saga.journal.audit("d")]


def test_begin_compensation_holds_if_the_manifest_says_so() -> None:
    """Held: steps that were not started are skipped, nothing is compensated, and the target stays locked."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, row(0, S.FAILED, on_failure=OnFailure.HOLD), S.PENDING)
    assert activities.begin_compensation(saga.services, saga.locks, "d") == Hold()
    assert (saga.header().state, saga.states()) == (D.HELD, [S.FAILED, S.SKIPPED])
    assert activities.begin_compensation(saga.services, saga.locks, "d") == Hold()


@pytest.mark.parametrize("state", [D.COMPENSATING, D.COMPENSATED, D.STUCK])
def test_begin_compensation_after_it_began_only_reads(state: D) -> None:
    """An activity that is run twice finds the header moved."""
    saga = SagaFixture()
    saga.deployment(state, S.SUCCEEDED)
    activities.begin_compensation(saga.services, saga.locks, "d")
    assert (saga.header().state, saga.states()) == (state, [S.SUCCEEDED])


CLAIM = Claim("w", START + timedelta(seconds=90), 1)
OPERATION = Operation("o", OperationPurpose.APPLY, "create Notebook", START)
LOST_OR_NOT: list[tuple[str, dict[str, Any], bool]] = [
    ("claimed now", {"state": S.INTENT, "claim": CLAIM}, False),
    ("claim over", {"state": S.INTENT, "claim": Claim("w", START - timedelta(seconds=1), 1)}, True),
    ("waits", {"state": S.SUBMITTED, "wait_until": LATER, "operation": OPERATION}, False),
    ("a little late", {"state": S.SUBMITTED, "wait_until": START - timedelta(seconds=9)}, False),
    ("late", {"state": S.SUBMITTED, "wait_until": START - timedelta(seconds=11)}, True),
    ("moving without a message", {"state": S.INTENT}, True),
    ("waits before it began", {"state": S.PENDING, "started_at": START, "wait_until": LATER}, False),
    ("settled", {"state": S.SUCCEEDED}, False),
]


@pytest.mark.parametrize(("what", "fields", "is_lost"), LOST_OR_NOT, ids=[what for what, _, _ in LOST_OR_NOT])
def test_reconcile_resends_only_lost_messages(what: str, fields: dict[str, Any], is_lost: bool) -> None:
    """A step with a valid claim or with a future delivery gets no second message."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, row(0, S.PENDING).replace(**fields), row(1, S.PENDING))
    progress = Progress([[], [0]], [S.PENDING, S.PENDING], sent={0}, unanswered={0: 2})
    activities.reconcile(saga.services, saga.locks, "d", progress)
    assert saga.sent() == ([(0, "forward")] if is_lost else [])


def test_reconcile_resends_ever_more_rarely_to_a_long_queue() -> None:
    """A step that no worker has started gets another message 1, 2, 4 and 8 rounds after its first one; the count is a
    part of the orchestrator's view."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.PENDING)
    progress, rounds = Progress([[]], [S.PENDING], sent={0}), list[int]()
    for each in range(1, 20):
        view = activities.reconcile(saga.services, saga.locks, "d", progress)
        progress = progress_of(views.from_json(json.loads(json.dumps(views.to_json(view)))))
        rounds += [each] * len(saga.sent())
    assert rounds == [1, 2, 4, 8, 16]


def test_reconcile_sends_nothing_again_while_a_long_queue_moves() -> None:
    """Of 80 steps, some begin in each round: the others wait for their turn. Once none begins, or few are left, they
    get another message."""
    saga = SagaFixture()
    count, claim = 80, Claim("w", START + timedelta(days=1), 1)
    saga.deployment(D.RUNNING, *[row(i, S.PENDING).replace(needs=()) for i in range(count)])
    progress = Progress([[] for _ in range(count)], [S.PENDING] * count, sent=set(range(count)))
    sent = list[int]()
    for first, end in ((0, 10), (10, 20), (20, 20), (20, 35)):
        for i in range(first, end):
            saga.change(i, state=S.INTENT, claim=claim)
        view = activities.reconcile(saga.services, saga.locks, "d", progress)
        progress = progress_of(views.from_json(json.loads(json.dumps(views.to_json(view)))))
        sent.append(len(saga.sent()))
    assert sent == [0, 0, 60, 45]


def test_reconcile_reads_many_rows_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are read once in a round, and with 1,000 of them the next round waits although a claim ends sooner."""
    saga = SagaFixture()
    claim = Claim("w", saga.clock.now() + timedelta(seconds=4), 1)
    saga.deployment(D.RUNNING, *[row(i, S.INTENT).replace(needs=(), claim=claim) for i in range(1000)])
    progress = Progress([[] for _ in range(1000)], [S.INTENT] * 1000, sent=set(range(1000)))
    read, reads = saga.journal.steps, list[str]()

    def steps(deployment_id: str) -> list[Versioned[StepRecord]]:
        reads.append(deployment_id)
        return read(deployment_id)

    monkeypatch.setattr(saga.journal, "steps", steps)
    view = activities.reconcile(saga.services, saga.locks, "d", progress)
    assert isinstance(view, Run)
    assert (view.round_seconds, len(reads)) == (saga.services.policy.watchdog_seconds, 1)


def test_reconcile_returns_when_a_claim_expires_that_nobody_renews() -> None:
    """The next round is at the end of the first claim and not a whole period later, but never later than that
    period."""
    saga = SagaFixture()
    now = saga.clock.now()
    claims = [Claim("a", now + timedelta(seconds=seconds), 1) for seconds in (-5, 4, 400)]
    rows = [row(i, S.INTENT).replace(needs=(), claim=claim) for i, claim in enumerate(claims)]
    saga.deployment(D.RUNNING, *rows)
    view = activities.reconcile(saga.services, saga.locks, "d", Progress([[], [], []], [S.INTENT] * 3, sent={0, 1, 2}))
    assert isinstance(view, Run)
    assert view.round_seconds == 5.0
    assert saga.sent() == [(0, "forward")]
    saga.change(1, claim=None, wait_until=now + timedelta(seconds=300))
    view = activities.reconcile(saga.services, saga.locks, "d", Progress([[], [], []], [S.INTENT] * 3, sent={1, 2}))
    assert isinstance(view, Run)
    assert view.round_seconds == view.watchdog_seconds == saga.services.policy.watchdog_seconds


@pytest.mark.parametrize("changes", [{"cancel_requested_by": "somebody"}, {"error": ERROR}])
def test_reconcile_resends_a_waiting_look_when_the_deployment_is_rolled_back(changes: dict[str, Any]) -> None:
    """A step that Fabric asked to wait before its first call is skipped now, and not at the end of that wait."""
    saga = SagaFixture()
    waits = row(0, S.PENDING).replace(started_at=START, wait_until=saga.clock.now() + timedelta(hours=1), error=ERROR)
    saga.deployment(D.RUNNING, waits, **changes)
    activities.reconcile(saga.services, saga.locks, "d", Progress([[]], [S.PENDING], rolling_back=True, sent={0}))
    assert saga.sent() == [(0, "forward")]


@pytest.mark.parametrize("state", [S.INTENT, S.SUBMITTED])
def test_reconcile_resends_a_waiting_retry_when_a_person_cancelled(state: S) -> None:
    """A cancel ends a wait for a retry in the next round, however long it is, and a wait for an operation of Fabric."""
    saga = SagaFixture()
    later = saga.clock.now() + timedelta(hours=1)
    waits = row(0, state).replace(wait_until=later, error=ERROR)
    is_at_fabric = row(1, S.SUBMITTED).replace(needs=(), wait_until=later)
    saga.deployment(D.RUNNING, waits, is_at_fabric, cancel_requested_by="somebody")
    activities.reconcile(saga.services, saga.locks, "d", Progress([[], []], [state, S.SUBMITTED], sent={0, 1}))
    assert saga.sent() == [(0, "forward"), (1, "forward")]


@pytest.mark.parametrize(
    ("wait_seconds", "expected_seconds"),
    [(3, 20.0), (9, 20.0), (60, 71.0), (3600, 300.0)],
    ids=["a poll", "as long as a round", "a Retry-After", "a person"],
)
def test_reconcile_comes_again_when_a_delivery_can_be_late(wait_seconds: int, expected_seconds: float) -> None:
    """While all steps wait for a delivery that is due later, nothing can be lost before that; but the target's lease is
    renewed in time."""
    saga = SagaFixture()
    waits = row(0, S.PENDING, started_at=START, wait_until=saga.clock.now() + timedelta(seconds=wait_seconds))
    saga.deployment(D.RUNNING, waits)
    view = activities.reconcile(saga.services, saga.locks, "d", Progress([[]], [S.PENDING], sent={0}))
    assert isinstance(view, Run)
    assert view.round_seconds == expected_seconds
    assert 2 * view.round_seconds < saga.services.policy.target_lease_seconds


def reconciled(saga: SagaFixture, progress: Progress) -> Run:
    """Run the watchdog once, and return its view as the orchestrator gets it."""
    view = activities.reconcile(saga.services, saga.locks, "d", progress)
    found = views.from_json(json.loads(json.dumps(views.to_json(view))))
    assert isinstance(found, Run)
    return found


def sent_now(saga: SagaFixture, *ordinals: int) -> Progress:
    """Send the messages of these steps of two, which need nothing."""
    sent_at = activities.dispatch(saga.services, "d", ordinals, Direction.FORWARD)
    return Progress([[], []], [S.PENDING] * 2, sent=set(ordinals), sent_at=dict.fromkeys(ordinals, sent_at))


@pytest.mark.parametrize("ordinals", [(0,), (0, 1)], ids=["only one is out", "two are out"])
def test_reconcile_sends_nothing_again_that_is_still_in_line(ordinals: tuple[int, ...]) -> None:
    """The queue's first message is older than those of this deployment, so no worker had their turn yet: they are not
    sent again, however often the watchdog comes, and it comes ever more rarely. When the first message is younger, they
    are found as ever."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.PENDING, row(1, S.PENDING, needs=()))
    saga.queue.send(StepMessage("other", 0, Direction.FORWARD))
    saga.clock.advance(5)
    progress, rounds = sent_now(saga, *ordinals), list[float]()
    for _ in range(6):
        saga.clock.advance(20)
        view = reconciled(saga, progress)
        progress = view.progress
        rounds.append(view.round_seconds)
    assert rounds == [25.0, 45.0, 65.0, 85.0, 105.0, 125.0]
    assert progress.unanswered == dict.fromkeys(ordinals, 0)
    assert saga.sent() == [(0, "forward"), *((i, "forward") for i in ordinals)]
    saga.queue.send(StepMessage("other", 1, Direction.FORWARD))
    view = reconciled(saga, progress)
    saga.queue.send(StepMessage("other", 2, Direction.FORWARD))
    assert sorted(m.ordinal for m in saga.queue.due() if m.deployment_id == "d") == list(ordinals)
    assert view.round_seconds == saga.services.policy.watchdog_seconds


OVER = Claim("w", START + timedelta(seconds=1), 1)
BEHIND: list[tuple[str, dict[str, Any], float, bool]] = [
    (
        "put off, and late with the queue",
        {"state": S.SUBMITTED, "wait_until": START + timedelta(seconds=5)},
        0.0,
        False,
    ),
    (
        "put off, and its message is lost",
        {"state": S.SUBMITTED, "wait_until": START - timedelta(hours=1)},
        -7200.0,
        True,
    ),
    ("its holder died with the message", {"state": S.INTENT, "claim": OVER}, 0.0, True),
    ("its holder died, and it was sent again", {"state": S.INTENT, "claim": OVER}, 2.0, False),
]


@pytest.mark.parametrize(("what", "fields", "sent_after", "is_lost"), BEHIND, ids=[each[0] for each in BEHIND])
def test_reconcile_knows_what_a_late_queue_still_holds(
    what: str, fields: dict[str, Any], sent_after: float, is_lost: bool
) -> None:
    """The queue's first message was due at the start, and it is 100 s late."""
    saga = SagaFixture()
    saga.queue.send(StepMessage("other", 0, Direction.FORWARD))
    saga.deployment(D.RUNNING, row(0, S.PENDING).replace(operation=OPERATION, **fields), row(1, S.PENDING))
    sent_at = (START + timedelta(seconds=sent_after)).timestamp()
    known = Progress([[], [0]], [S.PENDING, S.PENDING], sent={0}, sent_at={0: sent_at})
    saga.clock.advance(100)
    view = reconciled(saga, known)
    assert [m.deployment_id for m in saga.queue.due()] == ["other", *(["d"] if is_lost else [])]
    assert view.round_seconds == (saga.services.policy.watchdog_seconds if is_lost else 100.0)


@pytest.mark.parametrize("is_busy", [False, True], ids=["an idle queue", "a queue that moves"])
def test_reconcile_finds_a_lost_message_as_soon_in_a_queue_that_is_in_time(is_busy: bool) -> None:
    """The first round after it was sent sends it again, if the workers keep up with the queue."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.PENDING, row(1, S.PENDING, needs=()))
    progress = sent_now(saga, 0)
    assert saga.sent() == [(0, "forward")]
    saga.clock.advance(19)
    if is_busy:
        saga.queue.send(StepMessage("other", 7, Direction.FORWARD))
    saga.clock.advance(1)
    reconciled(saga, progress)
    assert (0, "forward") in saga.sent()


def test_reconcile_finds_a_lost_message_when_a_late_queue_has_reached_it() -> None:
    """The queue is 100 s late. A worker may hold what it took in the last 20 s, so the step is lost when the first
    message is 20 s younger than its own; and what was sent again has its place in line."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.PENDING, row(1, S.PENDING, needs=()))
    progress, sent = sent_now(saga, 0), list[int]()
    assert saga.sent() == [(0, "forward")]
    for later in range(10, 60, 10):
        saga.clock.advance(10)
        saga.queue.send(StepMessage("other", later, Direction.FORWARD))
    saga.clock.advance(50)
    for _ in range(5):
        progress = reconciled(saga, progress).progress
        sent.append(sum(m.deployment_id == "d" for _, _, m in saga.queue.waiting))
        saga.queue.waiting.remove(min(saga.queue.waiting))
        saga.clock.advance(20)
    assert sent == [0, 1, 1, 1, 1]


COUNTED = ("header", "steps", "step", "write_header", "acquire")


def calls_of(saga: SagaFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the calls to the journal and the locks."""
    calls = list[str]()
    for port in (saga.journal, saga.locks):
        for name in COUNTED:
            if (real := getattr(port, name, None)) is not None:
                monkeypatch.setattr(port, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1])
    return calls


def test_reconcile_of_one_waiting_step_reads_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two heartbeats, the header and the row of the only step in flight show all; a round that sends a
    heartbeat also renews the lease and reads all rows."""
    saga = SagaFixture()
    later = START + timedelta(hours=1)
    saga.deployment(D.RUNNING, row(0, S.PENDING, started_at=START, wait_until=later), S.PENDING, heartbeat_at=START)
    progress = Progress([[], [0]], [S.PENDING] * 2, sent={0})
    calls = calls_of(saga, monkeypatch)
    saga.clock.advance(59)
    view = reconciled(saga, progress)
    assert calls == ["step", "header"]  # a step is read with its header
    assert (view.progress.sent, view.progress.states) == ({0}, [S.PENDING] * 2)
    saga.clock.advance(1)
    reconciled(saga, progress)
    assert {"acquire", "write_header", "steps"} <= {*calls}


ASKED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "its event is lost": ({}, {"state": S.SUCCEEDED}),
    "it failed": ({}, {"state": S.FAILED, "error": ERROR}),
    "cancelled": ({"cancel_requested_by": "somebody"}, {}),
    "a failure was noted": ({"error": ERROR}, {}),
    "resumed": ({"resume_requested_by": "somebody"}, {}),
    "rolled back": ({"state": D.COMPENSATING}, {"state": S.COMPENSATING}),
}


@pytest.mark.parametrize(("header", "step"), ASKED.values(), ids=ASKED)
def test_reconcile_reads_all_rows_once_more_than_one_can_have_moved(
    header: dict[str, Any], step: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same round finds the effect of a lost event, or of a command."""
    saga = SagaFixture()
    changes: dict[str, Any] = {"state": D.RUNNING, "heartbeat_at": START, **header}
    saga.deployment(changes.pop("state"), row(0, S.INTENT).replace(**step), S.PENDING, **changes)
    calls = calls_of(saga, monkeypatch)
    view = reconciled(saga, Progress([[], [0]], [S.INTENT, S.PENDING], sent={0}))
    assert "steps" in calls
    expected = {0} if step.get("state", S.INTENT) in (S.INTENT, S.COMPENSATING) else set[int]()
    assert view.progress.sent == expected
    assert view.progress.rolling_back == (header.keys() & {"cancel_requested_by", "error"} != set() or "error" in step)


def test_reconcile_writes_a_heartbeat_and_renews_the_lease() -> None:
    """The header's heartbeat moves without an audit entry, and the target stays locked."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.INTENT)
    saga.clock.advance(1_000)
    entries = len(saga.journal.audit("d"))
    answer = activities.reconcile(saga.services, saga.locks, "d", Progress([[]], [S.PENDING], sent={0}))
    assert saga.header().heartbeat_at == saga.clock.now()
    assert len(saga.journal.audit("d")) == entries
    assert holder(saga) == "d"
    assert sent_of(answer) == {0}


def test_reconcile_takes_in_steps_that_settled_without_an_event() -> None:
    """The next step becomes ready."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, S.SUCCEEDED, S.PENDING)
    stale = Progress([[], [0]], [S.PENDING, S.PENDING], sent={0})
    answer = activities.reconcile(saga.services, saga.locks, "d", stale)
    assert progress_of(answer).take_ready() == [1]
    assert saga.sent() == []


def test_reconcile_backward_does_not_retry_what_failed_in_this_round() -> None:
    """A compensation that ran out of attempts waits for the sweeper's next round; one that was not tried yet
    is sent."""
    saga = SagaFixture()
    failed = row(0, S.COMPENSATION_FAILED, needs=())
    saga.deployment(D.COMPENSATING, failed, row(1, S.COMPENSATION_FAILED, needs=()), row(2, S.SUCCEEDED, needs=()))
    known = Progress([[], [], []], [S.COMPENSATION_FAILED, S.FAILED, S.SUCCEEDED], Direction.BACKWARD, sent={1, 2})
    answer = activities.reconcile(saga.services, saga.locks, "d", known)
    assert saga.sent() == [(1, "backward"), (2, "backward")]
    assert progress_of(answer).states[:2] == [S.COMPENSATION_FAILED, S.FAILED]


def test_reconcile_takes_in_rows_that_a_script_added() -> None:
    """The view is older than the row, whose compensation has failed already."""
    saga = SagaFixture()
    saga.deployment(D.COMPENSATING, S.COMPENSATED, S.COMPENSATION_FAILED)
    older = Progress([[]], [S.COMPENSATED], Direction.BACKWARD)
    answer = activities.reconcile(saga.services, saga.locks, "d", older)
    assert progress_of(answer).states == [S.COMPENSATED, S.COMPENSATION_FAILED]


@pytest.mark.parametrize(
    ("state", "answer"), [(D.SUCCEEDED, Ended), (D.HELD, Hold), (D.CANCELLED, Ended), (D.STUCK, Ended)]
)
def test_reconcile_of_an_ended_or_held_deployment_reports_it(state: D, answer: type[View]) -> None:
    """A late watchdog changes nothing."""
    saga = SagaFixture()
    saga.deployment(state, S.SUCCEEDED)
    found = activities.reconcile(saga.services, saga.locks, "d", Progress([[]], [S.PENDING], sent={0}))
    assert (type(found), saga.header().state, saga.sent()) == (answer, state, [])


@pytest.mark.parametrize(
    ("state", "steps", "changes", "after"),
    [
        (D.RUNNING, [S.SUCCEEDED, S.SUCCEEDED], {}, D.SUCCEEDED),
        (D.COMPENSATING, [S.COMPENSATED, S.SKIPPED], {}, D.COMPENSATED),
        (D.COMPENSATING, [S.COMPENSATED], {"cancel_requested_by": "anna"}, D.CANCELLED),
        (D.COMPENSATING, [S.COMPENSATION_FAILED, S.COMPENSATED], {}, D.STUCK),
        (D.COMPENSATING, [S.COMPENSATION_FAILED, S.SUCCEEDED], {}, D.STUCK),
    ],
)
def test_finish_writes_the_end_that_the_journal_proves(
    state: D, steps: list[S], changes: dict[str, Any], after: D
) -> None:
    """It releases the target, unless the deployment is stuck; a repetition returns the same."""
    saga = SagaFixture()
    saga.deployment(state, *steps, **changes)
    saga.locks.acquire("target", "d", START, 900)
    answer = activities.finish(saga.services, saga.locks, "d")
    assert answer == Ended(after)
    assert (saga.header().state, saga.header().finished_at) == (after, START)
    assert holder(saga) == ("d" if after is D.STUCK else "probe")
    stored = saga.header()
    assert activities.finish(saga.services, saga.locks, "d") == answer
    assert saga.header() == stored


def test_finish_with_missing_steps_is_not_a_success() -> None:
    """All existing steps have succeeded, but the acceptance had more."""
    saga = SagaFixture()
    header = DeploymentRecord("d", "m", "target", D.RUNNING, "hash", START, step_count=2)
    saga.journal.cut_create(header, [row(0, S.SUCCEEDED), row(1, S.PENDING)], 1)
    assert isinstance(activities.finish(saga.services, saga.locks, "d"), Run)
    assert saga.header().state is D.RUNNING


@pytest.mark.parametrize(
    ("state", "steps", "changes"),
    [
        (D.RUNNING, [S.SUCCEEDED, S.PENDING], {}),
        (D.RUNNING, [S.SUCCEEDED], {"error": ERROR}),
        (D.RUNNING, [S.SUCCEEDED], {"cancel_requested_by": "anna"}),
        (D.COMPENSATING, [S.COMPENSATED, S.SUCCEEDED], {}),
        (D.COMPENSATING, [S.COMPENSATION_FAILED, S.COMPENSATING], {}),
    ],
)
def test_finish_without_proof_writes_nothing(state: D, steps: list[S], changes: dict[str, Any]) -> None:
    """The orchestration's own view does not count; the answer is a view to continue with."""
    saga = SagaFixture()
    saga.deployment(state, *steps, **changes)
    assert isinstance(activities.finish(saga.services, saga.locks, "d"), Run)
    assert saga.header().state is state


def test_finish_after_a_retry_of_a_stuck_deployment() -> None:
    """A retry that leaves something uncompensated ends only the retry; one that leaves nothing ends the deployment."""
    saga = SagaFixture()
    saga.deployment(D.STUCK, S.COMPENSATION_FAILED)
    begin(saga)
    assert (saga.header().state, saga.header().may_compensate) == (D.STUCK, True)
    assert activities.finish(saga.services, saga.locks, "d") == Ended(D.STUCK)
    assert (saga.header().state, saga.header().may_compensate) == (D.STUCK, False)
    begin(saga)
    saga.change(0, state=S.COMPENSATING)
    saga.change(0, state=S.COMPENSATED)
    assert activities.finish(saga.services, saga.locks, "d") == Ended(D.COMPENSATED)
    assert not saga.header().may_compensate
