"""Verbs in every state: what each changes, what it returns, which orchestration is notified, and what the audit
contains."""

from datetime import timedelta
from typing import Any

import pytest

from shared.domain.approval import APPROVAL
from shared.domain.errors import NotFoundError
from shared.domain.ports import Change
from shared.domain.records import Intent, Operation, Resource
from shared.domain.states import DeploymentState as D
from shared.domain.states import IntentAction, OnFailure, OperationPurpose
from shared.domain.states import StepState as S
from shared.saga.command import commands, handling, resume
from shared.saga.command.attempt import CommandResult
from shared.saga.command.verbs import VERBS, Verb, allowed_verbs
from shared.saga.orchestration import activities
from shared.saga.orchestration.views import Ended, Run
from tests.fakes import START
from tests.unit.saga.fixture import ERROR, SagaFixture, row

LAKE = Resource("Lakehouse", "lake-id", "bronze", "ws-id")


def ask(saga: SagaFixture, verb: Verb, who: str = "anna", deployment_id: str = "d", **more: Any) -> CommandResult:
    """Handle a command, as from a queue message or a route."""
    request = commands.command(verb, deployment_id, who, **more)
    return handling.handle(saga.services, saga.locks, saga.orchestrations, request)


def waiting(ordinal: int = 0, **changes: Any) -> Any:
    """Return a waiting approval."""
    changes = {"kind": APPROVAL, "spec": {"message": "go?"}, "started_at": START, **changes}
    return row(ordinal, changes.pop("state", S.PENDING), **changes)


AFTER: dict[tuple[Verb, D], D] = {
    (Verb.CANCEL, D.ACCEPTED): D.ACCEPTED,
    (Verb.CANCEL, D.RUNNING): D.RUNNING,
    (Verb.CANCEL, D.HELD): D.RUNNING,
    (Verb.RESUME, D.HELD): D.RUNNING,
    (Verb.RESUME, D.FAILED): D.RUNNING,
    (Verb.COMPENSATE, D.HELD): D.RUNNING,
    (Verb.COMPENSATE, D.FAILED): D.RUNNING,
    (Verb.COMPENSATE, D.STUCK): D.STUCK,
    (Verb.RETIRE, D.SUCCEEDED): D.COMPENSATING,
    (Verb.RELEASE, D.STUCK): D.STUCK,
}


@pytest.mark.parametrize("state", D)
@pytest.mark.parametrize("verb", [verb for verb in Verb if not VERBS[verb].is_for_step])
def test_verb_in_every_state(verb: Verb, state: D) -> None:
    """An allowed verb moves the header once, records the requester in the audit and wakes the orchestration. Any other
    changes nothing and names the allowed verbs, and the audit records it too."""
    saga = SagaFixture()
    error = ERROR if state in (D.HELD, D.FAILED, D.STUCK) else None
    saga.deployment(state, S.SUCCEEDED, error=error)
    answer = ask(saga, verb, reason="why not")
    after = AFTER.get((verb, state))
    assert (after is not None) == (state in VERBS[verb].states), f"AFTER and VERBS differ: {verb} of a {state} one"
    entry = saga.journal.audit("d")[-1]
    assert (entry.actor, f"{verb.value} requested by anna: why not" in entry.reason) == ("anna", True)
    if after is not None:
        assert (answer.accepted, answer.state, saga.header().state) == (True, after, after)
        assert ("start", "d") in saga.orchestrations.received, "the function of the verb calls attempt.wake()"
        stored = saga.header()
        repeated = ask(saga, verb, "bert")
        assert repeated.accepted
        if state is not D.STUCK:
            assert saga.header() == stored
    elif not answer.accepted:
        assert saga.header().state is state
        assert f"{verb.value} is not possible: the deployment is {state.value}" in answer.message
        assert all(
            v.value in answer.message for v, spec in VERBS.items() if state in spec.states and not spec.is_for_step
        )
        assert not saga.orchestrations.received
    else:  # It is so already: a running deployment continues, a rolled back one stays rolled back.
        assert (verb, state) in {
            (Verb.RESUME, D.ACCEPTED),
            (Verb.RESUME, D.RUNNING),
            (Verb.COMPENSATE, D.COMPENSATING),
            (Verb.COMPENSATE, D.COMPENSATED),
        }
        assert saga.header().state is state


def test_verb_for_an_unknown_deployment_is_an_error() -> None:
    """A route answers 404; the queue drops the message."""
    with pytest.raises(NotFoundError):
        ask(SagaFixture(), Verb.CANCEL, deployment_id="gone")


@pytest.mark.parametrize("verb", [Verb.RESUME, Verb.COMPENSATE])
def test_failed_deployment_needs_its_target_to_be_reopened(verb: Verb) -> None:
    """If another deployment holds the target, the command is rejected with its name; if it is free, it is acquired
    again."""
    saga = SagaFixture()
    saga.deployment(D.FAILED, S.FAILED, error=ERROR)
    saga.locks.acquire("target", "other", saga.clock.now(), 60)
    answer = ask(saga, verb)
    assert (answer.accepted, saga.header().state) == (False, D.FAILED)
    assert "deployment other has ended" in answer.message
    saga.locks.release("target", "other")
    assert ask(saga, verb).accepted
    assert saga.locks.acquire("target", "third", saga.clock.now(), 60).holder == "d"


def test_retire_while_the_target_is_busy_is_left_to_the_sweeper() -> None:
    """The command is accepted and due at once, and the answer names what it waits for."""
    saga = SagaFixture()
    saga.deployment(D.SUCCEEDED, S.SUCCEEDED)
    saga.locks.acquire("target", "other", saga.clock.now(), 60)
    answer = ask(saga, Verb.RETIRE)
    header = saga.header()
    assert (answer.accepted, answer.state, header.state) == (True, D.SUCCEEDED, D.SUCCEEDED)
    assert (header.retire_requested_by, header.due_at) == ("anna", saga.clock.now())
    assert "noted; its target is free when deployment other has ended" in answer.message


@pytest.mark.parametrize(
    ("verb", "state"), [(Verb.RETIRE, D.SUCCEEDED), (Verb.RESUME, D.FAILED), (Verb.COMPENSATE, D.FAILED)]
)
@pytest.mark.parametrize("other", [D.RUNNING, D.COMPENSATING, D.HELD, D.STUCK])
@pytest.mark.parametrize("shown", [None, D.ACCEPTED])
def test_open_deployment_keeps_its_target_after_its_lease(verb: Verb, state: D, other: D, shown: D | None) -> None:
    """The host was down for longer than a lease: a deployment that is open in the journal is still active, whatever it
    created, and even if the list still shows its earlier state."""
    saga = SagaFixture()
    saga.deployment(state, S.SUCCEEDED if state is D.SUCCEEDED else S.FAILED)
    saga.clock.advance(10)
    stored = saga.deployment(other, S.PENDING, deployment_id="other")
    if shown is not None:
        saga.journal._list(stored.replace(state=shown))
    saga.locks.acquire("target", "other", saga.clock.now(), 60)
    saga.clock.advance(61)
    before = saga.header()
    answer = ask(saga, verb)
    assert "deployment other has ended" in answer.message
    assert saga.header().state is before.state
    assert not saga.orchestrations.received
    assert saga.locks.acquire("target", "other", saga.clock.now(), 60).holder == "other"


@pytest.mark.parametrize(
    ("verb", "state"), [(Verb.RETIRE, D.SUCCEEDED), (Verb.RESUME, D.FAILED), (Verb.COMPENSATE, D.FAILED)]
)
@pytest.mark.parametrize(("other", "blocks"), [(D.SUCCEEDED, True), (D.FAILED, True), (D.COMPENSATED, False)])
def test_resources_are_not_removed_under_a_later_deployment(verb: Verb, state: D, other: D, blocks: bool) -> None:
    """A resource that a later deployment adopted is compensated only after that deployment; a resource that the later
    one created itself does not matter."""
    saga = SagaFixture()
    made = row(0, S.SUCCEEDED, intent=Intent(IntentAction.CREATE, "m"), resource=LAKE)
    saga.deployment(state, made, error=ERROR if state is D.FAILED else None, started_at=START)
    adopted = row(0, S.SUCCEEDED, intent=Intent(IntentAction.ADOPT, "m"), resource=LAKE)
    saga.deployment(other, adopted, deployment_id="e", started_at=START + timedelta(seconds=9))
    answer = ask(saga, verb)
    assert (saga.header().state is state) == blocks
    if blocks:
        assert "deployment e uses resources of this one" in answer.message
        assert saga.locks.acquire("target", "third", saga.clock.now(), 60).holder == "third"
    else:
        assert answer.accepted


def test_approve_settles_the_step_at_once_and_records_the_requester() -> None:
    """The orchestration gets the same event as for any settled step; a repetition changes nothing; a later refusal
    comes too late."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, waiting(), S.PENDING)
    assert allowed_verbs(saga.header(), [s.record for s in saga.journal.steps("d")]) == [
        Verb.CANCEL,
        Verb.APPROVE,
        Verb.REFUSE,
    ]
    answer = ask(saga, Verb.APPROVE, step="s0", reason="looks good")
    assert answer == CommandResult(D.RUNNING, True, "step s0 is approved")
    _, step = saga.journal.step("d", 0)
    assert (step.record.state, step.record.outputs) == (S.SUCCEEDED, {"approvedBy": "anna", "reason": "looks good"})
    assert saga.orchestrations.received == [("d", "step_settled", "succeeded")]
    entry = saga.journal.audit("d")[-1]
    assert (entry.actor, entry.reason) == ("anna", "approved by anna: looks good")
    assert ask(saga, Verb.APPROVE, "bert", step="s0").message == "step s0 is approved already"
    late = ask(saga, Verb.REFUSE, "bert", step="s0")
    assert not late.accepted
    assert "does not wait for a person" in late.message


def test_refuse_fails_the_step() -> None:
    """The requester and the reason are its error, which the rolled back deployment reports."""
    saga = SagaFixture()
    saga.deployment(D.RUNNING, waiting())
    assert ask(saga, Verb.REFUSE, step="s0", reason="no").accepted
    _, step = saga.journal.step("d", 0)
    assert step.record.state is S.FAILED
    assert step.record.error is not None
    assert step.record.error.message == "refused by anna: no"


@pytest.mark.parametrize(
    ("header", "step", "name"),
    [
        ({}, waiting(), "other"),
        ({}, waiting(), ""),
        ({}, waiting(kind="workspace"), "s0"),
        ({}, waiting(started_at=None), "s0"),
        ({"cancel_requested_by": "bert"}, waiting(), "s0"),
        ({"error": ERROR}, waiting(), "s0"),
        ({"state": D.HELD}, waiting(), "s0"),
        ({"state": D.SUCCEEDED}, waiting(state=S.SKIPPED), "s0"),
    ],
    ids=["unknown", "none named", "no approval", "not begun", "cancelled", "failed", "held", "ended"],
)
def test_approve_of_a_step_that_does_not_wait_changes_nothing(header: dict[str, Any], step: Any, name: str) -> None:
    """The answer says so."""
    saga = SagaFixture()
    saga.deployment(header.pop("state", D.RUNNING), step, **header)
    before = saga.journal.steps("d")
    assert not ask(saga, Verb.APPROVE, step=name).accepted
    assert saga.journal.steps("d") == before


def test_resume_makes_ready_only_unfinished_steps() -> None:
    """A started step is looked for first, the others start again; all attempts and the whole timeout are available
    again."""
    saga = SagaFixture()
    operation = Operation("o", OperationPurpose.APPLY, "create Notebook", START)
    late = {"started_at": START, "deadline_at": START, "attempt": 7, "wait_until": START, "finished_at": START}
    created = Intent(IntentAction.CREATE, "m")
    rows = [
        row(0, S.SUCCEEDED, intent=created, resource=LAKE),
        row(1, S.FAILED, intent=created, operation=operation, **late),
        row(2, S.FAILED, intent=Intent(IntentAction.ADOPT, "m"), resource=LAKE, **late),
        row(3, S.FAILED, **late),
        row(4, S.SKIPPED, **late),
    ]
    saga.deployment(D.HELD, *rows, error=ERROR, held_until=START)
    assert ask(saga, Verb.RESUME).accepted
    assert saga.states() == [r.state for r in rows]  # The orchestration does it, under the target's lease.
    assert isinstance(activities.begin(saga.services, saga.locks, "d"), Run)
    assert saga.states() == [S.SUCCEEDED, S.INTENT, S.PENDING, S.PENDING, S.PENDING]
    assert saga.sent() == [(1, "forward")]  # A started step is in progress; the orchestration sends the others.
    header, steps = saga.header(), [s.record for s in saga.journal.steps("d")]
    assert (header.error, header.resume_requested_by, header.held_until) == (None, None, None)
    assert (steps[1].ambiguous, steps[1].operation, steps[1].intent) == (True, operation, created)
    for step in steps[1:]:
        assert (step.attempt, step.error, step.deadline_at, step.wait_until) == (0, None, None, None)
    for step in steps[2:]:
        assert (step.started_at, step.intent, step.resource) == (None, None, None)


def test_resume_that_was_delayed_overwrites_no_later_move() -> None:
    """An activity read all rows and was delayed until the step had failed again and was being compensated: its write
    is refused, because the worker that finished the resume wrote that row."""
    saga = SagaFixture()
    saga.deployment(D.HELD, row(0, S.FAILED, intent=Intent(IntentAction.CREATE, "m"), resource=LAKE), error=ERROR)
    ask(saga, Verb.RESUME)
    stale = saga.journal.steps("d")
    resume.make_steps_ready(saga.services, "d")
    saga.change(0, state=S.FAILED, error=ERROR)
    with pytest.raises(Exception, match="moved since it was read"):
        saga.journal.write_steps([Change(s, resume.ready(s.record), "late", "") for s in stale])
    resume.make_steps_ready(saga.services, "d")  # No request is pending any more.
    assert saga.states() == [S.FAILED]


def test_rollback_on_request_does_not_hold_again() -> None:
    """The manifest says `onFailure: hold`, but the person's command comes after it."""
    saga = SagaFixture()
    saga.deployment(D.HELD, row(0, S.FAILED, on_failure=OnFailure.HOLD), S.SKIPPED, error=ERROR)
    ask(saga, Verb.COMPENSATE)
    assert isinstance(activities.begin(saga.services, saga.locks, "d"), Run)
    activities.begin_compensation(saga.services, saga.locks, "d")
    assert saga.header().state is D.COMPENSATING
    assert activities.finish(saga.services, saga.locks, "d") == Ended(D.COMPENSATED)
