"""The lease of a delivery: who renews it, who loses it, and what a delivery without it may still do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.errors import ConflictError
from shared.domain.messages import Direction, StepMessage
from shared.domain.ports import DeployedItem
from shared.domain.records import Claim, StepRecord
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.saga.step.delivery import MAX_DELIVERY, Delivery
from shared.saga.step.outcome import Reschedule, Settle
from tests.fakes import MemoryDeployedItems
from tests.unit.saga.fixture import SagaFixture, row

LEASE = 15.0


def delivery(saga: SagaFixture) -> Delivery:
    """Return a delivery of the only step, as the queue brings it."""
    header, read = saga.journal.step("d", 0)
    return Delivery(saga.services, StepMessage("d", 0, Direction.FORWARD), header.record, read)


def stored(saga: SagaFixture) -> StepRecord:
    """Return the stored row."""
    return saga.journal.step("d", 0)[1].record


@pytest.fixture
def saga() -> SagaFixture:
    """Return a deployment with one step that has not started."""
    saga = SagaFixture()
    assert saga.services.policy.step_lease_seconds == LEASE
    saga.deployment(D.RUNNING, S.PENDING)
    return saga


def claimed(saga: SagaFixture) -> Delivery:
    """Return a delivery that is about to call Fabric."""
    held = delivery(saga)
    held.claim({"state": S.INTENT})
    return held


def test_heartbeat_renews_the_claim_without_an_audit_entry(saga: SagaFixture) -> None:
    """The lease starts again, with the same owner and fencing token."""
    held = claimed(saga)
    before, reported = stored(saga).claim, len(saga.journal.audit("d"))
    saga.clock.advance(5)
    assert held.heartbeat()
    assert before is not None
    assert stored(saga).claim == replace(before, expires_at=saga.clock.now() + timedelta(seconds=LEASE))
    assert len(saga.journal.audit("d")) == reported
    held.persist(Settle(S.FAILED, "the last write follows the heartbeat's"))
    assert stored(saga).state is S.FAILED


def test_heartbeat_of_a_delivery_that_only_looks_claims_without_acting(saga: SagaFixture) -> None:
    """A slow look keeps other workers away; if its worker dies, it is certain that nothing was sent."""
    looking = delivery(saga)
    assert looking.heartbeat()
    claim = stored(saga).claim
    assert claim is not None
    assert not claim.acts
    assert delivery(saga).is_claimed_by_another()
    saga.clock.advance(LEASE + 1)
    saga.change(0, state=S.INTENT)
    assert not delivery(saga).is_uncertain


def test_heartbeat_over_a_dead_holders_claim_remembers_that_it_may_have_acted(saga: SagaFixture) -> None:
    """The new claim says so too, so that the next worker still looks for the effect of a lost response."""
    claimed(saga)
    saga.clock.advance(LEASE + 1)
    looking = delivery(saga)
    assert looking.is_uncertain
    assert looking.heartbeat()
    saga.clock.advance(LEASE + 1)
    assert delivery(saga).is_uncertain


def test_heartbeat_ends_with_the_delivery(saga: SagaFixture) -> None:
    """A late heartbeat does not claim a waiting or settled step again."""
    held = claimed(saga)
    held.persist(Reschedule(3.0))
    assert not held.heartbeat()
    assert stored(saga).claim is None


def test_heartbeat_ends_when_another_worker_has_claimed_the_step(saga: SagaFixture) -> None:
    """The next write of this delivery fails, because the row is the other worker's."""
    held = claimed(saga)
    saga.clock.advance(LEASE + 1)
    other = claimed(saga)
    assert not held.heartbeat()
    with pytest.raises(ConflictError):
        held.persist(Settle(S.FAILED, "too late"))
    assert stored(saga).claim == other.step.claim


def test_heartbeat_ends_when_the_host_would_have_ended_the_delivery(saga: SagaFixture) -> None:
    """A hanging delivery loses its step."""
    held = claimed(saga)
    saga.clock.advance(MAX_DELIVERY.total_seconds())
    assert not held.heartbeat()


def test_heartbeat_does_not_wait_for_a_write_in_progress(saga: SagaFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write renews the claim itself, and both would be conditional on the same read."""
    held = claimed(saga)
    write, beaten = saga.journal.write_step, list[bool]()

    def slowly(change: Any) -> Any:
        beaten.append(held.heartbeat())
        return write(change)

    monkeypatch.setattr(saga.journal, "write_step", slowly)
    held.write({"calls_done": 1})
    assert beaten == [True]
    assert stored(saga).calls_done == 1


@pytest.mark.parametrize(("seconds", "is_renewed"), [(4, False), (6, True), (14, True), (600, True)])
def test_holder_renews_its_lease_before_a_call(saga: SagaFixture, seconds: float, is_renewed: bool) -> None:
    """However long its looks took, the delivery continues with a nearly whole lease if no other worker claimed the
    step."""
    held = claimed(saga)
    before = stored(saga).claim
    saga.clock.advance(seconds)
    held.prove_claim()
    assert (stored(saga).claim != before) is is_renewed
    claim = stored(saga).claim
    assert claim is not None
    assert claim.expires_at - saga.clock.now() >= timedelta(seconds=LEASE * 2 / 3)


def test_holder_that_lost_its_step_sends_nothing(saga: SagaFixture) -> None:
    """After its lease it cannot prove that the step is still its own."""
    held = claimed(saga)
    saga.clock.advance(LEASE + 1)
    claimed(saga)
    with pytest.raises(ConflictError):
        held.prove_claim()


def test_late_call_is_measured_from_the_last_proof(saga: SagaFixture) -> None:
    """A worker that takes over records until when a call of the dead holder may still take effect: `late_call_seconds`
    after the last moment at which it can have been sent."""
    claimed(saga)
    last_proof = saga.clock.now() + timedelta(seconds=LEASE / 3)  # The first heartbeat that was not written.
    saga.clock.advance(LEASE + 1)
    claimed(saga)
    assert stored(saga).late_call_until == last_proof + timedelta(seconds=saga.services.policy.late_call_seconds)


def test_wait_ends_at_the_deadline(saga: SagaFixture) -> None:
    """A step that should wait an hour and has four seconds left is delivered in four seconds."""
    saga.change(0, started_at=saga.clock.now(), deadline_at=saga.clock.now() + timedelta(seconds=4))
    held = delivery(saga)
    held.persist(Reschedule(3600.0))
    assert stored(saga).wait_until == saga.clock.now() + timedelta(seconds=4)
    saga.clock.advance(4)
    assert saga.sent() == [(0, "forward")]


def test_missing_claim_proves_nothing(saga: SagaFixture) -> None:
    """A mutating call is never sent without a claim."""
    with pytest.raises(ConflictError, match="not claimed"):
        delivery(saga).prove_claim()


def test_claim_acts_by_default() -> None:
    """Rows that were written before claims had this field may have acted."""
    data = row(0, S.INTENT, claim=Claim("w", SagaFixture().clock.now(), 1)).to_json()
    del data["claim"]["acts"]
    claim = StepRecord.from_json(data).claim
    assert claim is not None
    assert claim.acts


def test_deliveries_after_a_resume_share_a_read_of_the_notes(saga: SagaFixture) -> None:
    """None of them may use a list of before its start, and each would read the notes of all items for its own."""
    reads = list[str]()

    class Slow(MemoryDeployedItems):
        def of_workspace(self, workspace_id: str) -> list[DeployedItem]:
            saga.clock.advance(1)
            reads.append(workspace_id)
            return super().of_workspace(workspace_id)

    notes = Slow()
    saga.services = replace(saga.services, deployed=notes)
    saga.change(0, state=S.PENDING, ambiguous=True)
    begun = [delivery(saga) for _ in range(40)]
    saga.clock.advance(1)
    for each in begun:
        assert each.recall.of_item("w", "", "Notebook/n") is None
        assert each.recall.named("w", "Notebook/n") == []
    assert reads == ["w"]
