"""The lease of a delivery: who renews it, who loses it, and what a delivery that lost it may still do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.errors import ConflictError
from shared.domain.messages import Direction, StepMessage
from shared.domain.records import Claim, StepRecord
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.saga.step.delivery import LONGEST_DELIVERY, Delivery
from tests.unit.saga.fixture import Room, row

LEASE = 15.0


def delivery(room: Room) -> Delivery:
    """Of the only step, as the queue brings it."""
    header, read = room.journal.step("d", 0)
    return Delivery(room.services, StepMessage("d", 0, Direction.FORWARD), header.record, read)


def stored(room: Room) -> StepRecord:
    """The row as it stands."""
    return room.journal.step("d", 0)[1].record


@pytest.fixture
def room() -> Room:
    """With one step that has not begun."""
    room = Room()
    assert room.services.policy.step_lease_seconds == LEASE
    room.deployment(D.RUNNING, S.PENDING)
    return room


def claimed(room: Room) -> Delivery:
    """A delivery that is about to call Fabric."""
    held = delivery(room)
    held.claim(state=S.INTENT)
    return held


def test_beat_renews_the_claim_and_tells_no_audit(room: Room) -> None:
    """The lease begins anew, under the same owner and fencing number, without an entry in the audit."""
    held = claimed(room)
    before, told = stored(room).claim, len(room.journal.audit("d"))
    room.clock.advance(5)
    assert held.beat()
    assert before is not None
    assert stored(room).claim == replace(before, expires_at=room.clock.now() + timedelta(seconds=LEASE))
    assert len(room.journal.audit("d")) == told
    held.settle(S.FAILED, "the finishing write follows the beat's")
    assert stored(room).state is S.FAILED


def test_beat_of_a_delivery_that_only_looks_claims_without_acting(room: Room) -> None:
    """A slow look keeps others away; dead, it leaves no doubt whether something was sent."""
    looking = delivery(room)
    assert looking.beat()
    claim = stored(room).claim
    assert claim is not None
    assert not claim.acts
    assert delivery(room).is_claimed_by_another()
    room.clock.advance(LEASE + 1)
    room.change(0, state=S.INTENT)
    assert not delivery(room).was_left_uncertain


def test_beat_over_a_dead_holders_claim_does_not_forget_that_it_may_have_acted(room: Room) -> None:
    """The claim that it takes says so too, so whoever comes after still looks for a lost answer."""
    claimed(room)
    room.clock.advance(LEASE + 1)
    looking = delivery(room)
    assert looking.was_left_uncertain
    assert looking.beat()
    room.clock.advance(LEASE + 1)
    assert delivery(room).was_left_uncertain


def test_beat_ends_with_the_delivery(room: Room) -> None:
    """What waits or has settled is not claimed again by a late beat."""
    held = claimed(room)
    held.again(3.0)
    assert not held.beat()
    assert stored(room).claim is None


def test_beat_ends_when_another_has_taken_the_step(room: Room) -> None:
    """The row is the other's; this one's next write fails."""
    held = claimed(room)
    room.clock.advance(LEASE + 1)
    other = claimed(room)
    assert not held.beat()
    with pytest.raises(ConflictError):
        held.settle(S.FAILED, "too late")
    assert stored(room).claim == other.step.claim


def test_beat_ends_when_the_host_would_have_ended_the_delivery(room: Room) -> None:
    """One that hangs loses its step."""
    held = claimed(room)
    room.clock.advance(LONGEST_DELIVERY.total_seconds())
    assert not held.beat()


def test_beat_does_not_wait_for_a_write_under_way(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write is a sign of life itself, and both would be conditional on the same read."""
    held = claimed(room)
    write, beaten = room.journal.write_step, list[bool]()

    def slowly(change: Any) -> Any:
        beaten.append(held.beat())
        return write(change)

    monkeypatch.setattr(room.journal, "write_step", slowly)
    held.write(moves_done=1)
    assert beaten == [True]
    assert stored(room).moves_done == 1


@pytest.mark.parametrize(("seconds", "is_renewed"), [(4, False), (6, True), (14, True), (600, True)])
def test_holder_renews_its_lease_before_a_call(room: Room, seconds: float, is_renewed: bool) -> None:
    """However long its looks took, if nobody took the step meanwhile it goes on, with a lease that is nearly whole."""
    held = claimed(room)
    before = stored(room).claim
    room.clock.advance(seconds)
    held.prove_hold()
    assert (stored(room).claim != before) is is_renewed
    claim = stored(room).claim
    assert claim is not None
    assert claim.expires_at - room.clock.now() >= timedelta(seconds=LEASE * 2 / 3)


def test_holder_that_lost_its_step_sends_nothing(room: Room) -> None:
    """Held up past its lease, it cannot prove that the step is still its own."""
    held = claimed(room)
    room.clock.advance(LEASE + 1)
    claimed(room)
    with pytest.raises(ConflictError):
        held.prove_hold()


def test_late_call_is_reckoned_from_the_last_proof(room: Room) -> None:
    """Whoever takes over writes down until when a call of the dead holder may still act: `settle_seconds` after it can
    have been sent at the latest."""
    claimed(room)
    last_proof = room.clock.now() + timedelta(seconds=LEASE / 3)  # the first sign of life that did not come
    room.clock.advance(LEASE + 1)
    claimed(room)
    assert stored(room).late_call_until == last_proof + timedelta(seconds=room.services.policy.settle_seconds)


def test_wait_ends_at_the_deadline(room: Room) -> None:
    """A step that is told to wait an hour, and has four seconds left, is delivered in four seconds."""
    room.change(0, started_at=room.clock.now(), deadline_at=room.clock.now() + timedelta(seconds=4))
    held = delivery(room)
    held.again(3600.0)
    assert stored(room).wait_until == room.clock.now() + timedelta(seconds=4)
    room.clock.advance(4)
    assert room.sent() == [(0, "forward")]


def test_claim_that_nobody_made_is_no_hold(room: Room) -> None:
    """A call that changes something is never sent without a claim."""
    with pytest.raises(ConflictError, match="not claimed"):
        delivery(room).prove_hold()


def test_claim_acts_unless_it_says_otherwise() -> None:
    """Rows that were written before claims said so may have acted."""
    data = row(0, S.INTENT, claim=Claim("w", Room().clock.now(), 1)).to_json()
    del data["claim"]["acts"]
    claim = StepRecord.from_json(data).claim
    assert claim is not None
    assert claim.acts
