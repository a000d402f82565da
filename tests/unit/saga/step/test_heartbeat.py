"""Heartbeats from the one thread of a process."""

import threading

from shared.saga.step.heartbeat import HeartbeatThread

SOON = 0.001
LONG = 60.0


def test_heartbeat_is_sent_while_the_block_runs_and_not_after() -> None:
    thread, enough, heartbeats = HeartbeatThread(), threading.Event(), list[int]()

    def heartbeat() -> bool:
        heartbeats.append(1)
        if len(heartbeats) >= 3:
            enough.set()
        return True

    with thread.during(heartbeat, SOON):
        assert enough.wait(LONG)
    seen = len(heartbeats)
    after = threading.Event()
    with thread.during(lambda: bool(after.set()), SOON):  # The thread has handled everything that was due.
        assert after.wait(LONG)
    assert len(heartbeats) <= seen + 1  # At most the one that was in progress.


def test_heartbeat_ends_when_a_call_returns_false() -> None:
    """A lost lease needs no further heartbeat."""
    thread, other, heartbeats = HeartbeatThread(), threading.Event(), list[int]()
    with thread.during(lambda: bool(heartbeats.append(1)), SOON):
        rounds: list[int] = []

        def count() -> bool:
            rounds.append(1)
            if len(rounds) >= 5:
                other.set()
            return True

        with thread.during(count, SOON):
            assert other.wait(LONG)
    assert heartbeats == [1]


def test_heartbeat_survives_a_call_that_fails() -> None:
    """Storage that is unavailable for a moment costs one heartbeat of one block."""
    thread, recovered, tries = HeartbeatThread(), threading.Event(), list[int]()

    def heartbeat() -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("storage is away")
        recovered.set()
        return False

    with thread.during(heartbeat, SOON):
        assert recovered.wait(LONG)


def test_heartbeat_of_the_sooner_block_does_not_wait_for_the_later() -> None:
    """The thread sleeps until the next heartbeat of any block is due."""
    thread, soon = HeartbeatThread(), threading.Event()
    with thread.during(lambda: False, LONG), thread.during(lambda: bool(soon.set()), SOON):
        assert soon.wait(LONG / 2)
