"""SIGKILL of the host at random instants, and storage outages: nothing that was acknowledged is lost."""

import random
import time
from collections.abc import Callable

import pytest

from local import azurite
from tests.conftest import ROOT, seed_of
from tests.host.hosts import Served
from tests.waiting import eventually


def test_crash_kills_at_random_instants_lose_nothing(make: Callable[..., Served]) -> None:
    """Orchestrations with activities, timers, events and children continue where they were; results are kept."""
    chance = random.Random(seed_of("CRASH_SEED", 1))
    with make(lease="2") as served:
        for n in range(3):
            served.begin("steps", f"steps{n}", {"total": 16, "every": 5, "rest": 0.05 * n})
        served.begin("collector", "collector", {"total": 12, "every": 3, "delay": 0.3})
        served.begin("parent", "parent", 5)
        sent = 0
        for _ in range(4):
            for _ in range(3):
                assert served.send("collector", "item", sent).status == 202
                sent += 1
            time.sleep(chance.uniform(0.0, 0.6))
            served.kill()
            served.start()
        for n in range(3):
            assert served.output(f"steps{n}") == list(range(16))
        assert served.output("collector") == list(range(12))
        assert served.output("parent") == [20, True]
        for n in range(3):
            runs = [t["step"] for t in served.traces("step", id=f"steps{n}")]
            assert runs == sorted(runs), "an activity ran again though a later one had been scheduled"
            assert len(runs) <= 16 + 4, "an activity whose result was recorded ran again"


def test_crash_status_of_ended_instances_is_kept(make: Callable[..., Served]) -> None:
    """An instance that had ended before the kill still exists after it, with its output, and its id can be used
    again."""
    with make() as served:
        served.begin("fan_out", "good", 3)
        served.begin("fails_at_once", "bad", "x")
        served.begin("collector", "gone", {"total": 1, "every": 1})
        before = [served.ended("good"), served.ended("bad")]
        eventually(lambda: served.status("gone") == "Running")
        served.instance("gone", "POST", "/terminate?reason=enough")
        before.append(served.ended("gone"))
        served.begin("fan_out", "purged", 1)
        served.output("purged")
        assert served.instance("purged", "DELETE").status == 200
        served.kill()
        served.start()
        assert [served.instance(i).json for i in ("good", "bad", "gone")] == before
        assert served.instance("purged").status == 404
        served.begin("fan_out", "gone", 4)
        assert served.output("gone") == 12


def test_crash_stale_timer_does_not_fire_in_a_continued_instance(make: Callable[..., Served]) -> None:
    """The timer of the first execution is not started again for the second one, whose own timer runs for its full
    time."""
    with make() as served:
        served.begin("two_timers", "i", {"generation": 0, "seconds": 1.5, "then": 3})
        served.send("i", "on")
        eventually(lambda: served.instance("i").json["input"] == {"generation": 1, "seconds": 3})
        served.kill()
        served.start()
        assert served.output("i") >= 3


def test_crash_timer_that_came_due_while_the_host_was_down_fires_at_its_start(make: Callable[..., Served]) -> None:
    """The timer is late, but not lost."""
    with make() as served:
        served.begin("sleeper", "i", 0.5)
        eventually(lambda: served.status("i") == "Running")
        served.kill()
        time.sleep(0.5)
        served.start()
        assert served.output("i") >= 0.5


def test_crash_right_after_a_terminate_keeps_it(make: Callable[..., Served]) -> None:
    """The acknowledgement holds, even if the engine had no time to act on it."""
    with make() as served:
        for n in range(5):
            served.begin("collector", f"i{n}", {"total": 1, "every": 1})
        for n in range(5):
            assert served.instance(f"i{n}", "POST", "/terminate?reason=x").status == 202
        served.kill()
        served.start()
        assert [served.ended(f"i{n}")["runtimeStatus"] for n in range(5)] == ["Terminated"] * 5


def test_host_survives_an_outage_of_the_storage(
    make: Callable[..., Served], storage: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Azurite stops and returns: the host keeps running, orchestrations continue in the meantime, and messages are
    handled afterwards."""
    data = tmp_path_factory.mktemp("azurite")
    running = azurite.start(ROOT / ".local", data)
    try:
        with make(running.connection_string, lease="3") as served:
            served.put("in", "before")
            assert served.take("out", 1) == ["BEFORE"]
            served.put("slow", {"n": 1, "seconds": 1.5})
            eventually(lambda: served.traces("slow begins"))
            azurite.stop(running.pid)
            served.begin("fan_out", "meanwhile", 3)
            assert served.output("meanwhile") == 6
            assert served.http("GET", "/api/items/1").status == 200
            assert served.http("POST", "/api/put", b"lost").status == 500
            eventually(lambda: "does not answer" in served.log)
            running = azurite.start(ROOT / ".local", data, running.ports)
            served.put("in", "after")
            assert served.take("out", 1) == ["AFTER"]
            eventually(lambda: served.depth("slow") == 0)
            assert served.process is not None
            assert served.process.poll() is None
    finally:
        azurite.stop(running.pid)
