"""Signs of life from the one thread of a process."""

import threading

from shared.saga.step.heartbeat import HeartbeatThread

SOON = 0.001
LONG = 60.0


def test_heartbeat_beats_while_the_block_runs_and_not_after() -> None:
    """Again and again; the block's end is the end."""
    heart, enough, beats = HeartbeatThread(), threading.Event(), list[int]()

    def beat() -> bool:
        beats.append(1)
        if len(beats) >= 3:
            enough.set()
        return True

    with heart.during(beat, SOON):
        assert enough.wait(LONG)
    seen = len(beats)
    after = threading.Event()
    with heart.during(lambda: bool(after.set()), SOON):  # the thread has gone past whatever was due
        assert after.wait(LONG)
    assert len(beats) <= seen + 1  # at most the one that was under way


def test_heartbeat_ends_when_a_beat_says_so() -> None:
    """A lease that is lost needs no further sign."""
    heart, other, beats = HeartbeatThread(), threading.Event(), list[int]()
    with heart.during(lambda: bool(beats.append(1)), SOON):
        rounds: list[int] = []

        def count() -> bool:
            rounds.append(1)
            if len(rounds) >= 5:
                other.set()
            return True

        with heart.during(count, SOON):
            assert other.wait(LONG)
    assert beats == [1]


def test_heartbeat_survives_a_beat_that_fails() -> None:
    """Storage that is away for a moment costs one sign, and not those of all others."""
    heart, recovered, tries = HeartbeatThread(), threading.Event(), list[int]()

    def beat() -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("storage is away")
        recovered.set()
        return False

    with heart.during(beat, SOON):
        assert recovered.wait(LONG)


def test_heartbeat_of_the_sooner_block_does_not_wait_for_the_later() -> None:
    """The thread sleeps until the next sign is due, whoever's it is."""
    heart, soon = HeartbeatThread(), threading.Event()
    with heart.during(lambda: False, LONG), heart.during(lambda: bool(soon.set()), SOON):
        assert soon.wait(LONG / 2)
