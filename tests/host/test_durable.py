"""Durable functions on the host: orchestrations, activities, timers, events, continuing as new, the client."""

import secrets
import time
from collections.abc import Callable

import pytest

from tests.host.hosts import Served
from tests.waiting import eventually


def name() -> str:
    """Return an instance id of the test's own."""
    return secrets.token_hex(6)


def test_durable_fan_out_returns_the_sum_of_its_activities(host: Served) -> None:
    """Fifty activities run at once, each of them once."""
    i = name()
    answer = host.begin("fan_out", i, 50)
    assert answer.status == 202
    assert i in answer.json["statusQueryGetUri"]
    assert host.output(i) == 2450


def test_durable_urls_of_the_check_status_response_work(host: Served) -> None:
    """The URLs in the client's response can be called unchanged."""
    i = name()
    url = host.begin("fan_out", i, 1).json["statusQueryGetUri"]
    assert url.startswith(f"http://127.0.0.1:{host.port}/")
    path = url.removeprefix(f"http://127.0.0.1:{host.port}")
    ended = eventually(lambda: a.json if (a := host.http("GET", path)).status == 200 else {})
    assert ended["output"] == 0


def test_durable_start_by_a_queue_message(host: Served) -> None:
    """The client binding of a queue function starts it."""
    i = name()
    host.put("begin", {"name": "fan_out", "id": i, "input": 3})
    eventually(lambda: host.status(i) == "Completed")
    assert host.http("GET", f"/api/state/{i}").text == "COMPLETED"
    assert host.output(i) == 6


def test_durable_timer_waits_its_time(host: Served) -> None:
    """A timer is not early, and the orchestration's clock moves with it."""
    i, began = name(), time.monotonic()
    host.begin("sleeper", i, 0.5)
    assert host.output(i) >= 0.5
    assert time.monotonic() - began >= 0.5


def test_durable_values_survive_the_way_to_an_activity_and_back(host: Served) -> None:
    """This includes falsy values."""
    i = name()
    values = [None, 0, False, "", [], {}, "grün", 1.5, {"a": [1, None]}]
    host.begin("mirror", i, values)
    assert host.output(i) == values


def test_durable_activity_is_retried_by_its_policy(host: Served) -> None:
    """It is retried as often as needed, and no more than allowed."""
    good, bad = name(), name()
    host.begin("retrying", good, {"id": good, "failures": 2, "attempts": 3})
    host.begin("retrying", bad, {"id": bad, "failures": 5, "attempts": 3})
    assert host.output(good) == "try 3 succeeded"
    ended = host.ended(bad)
    assert ended["runtimeStatus"] == "Failed"
    assert "try 3 failed" in ended["output"]
    assert len(host.traces("flaky", id=bad)) == 3


@pytest.mark.parametrize(
    ("message", "expected"),
    [("one line", "one line"), ("first\nsecond", "first"), ("a: b", "a: b"), ("", "ValueError")],
)
def test_durable_activity_exception_reaches_the_orchestrator(host: Served, message: str, expected: str) -> None:
    """The orchestrator gets its type and the first line of its message, as with the real extension; without a
    message it still fails."""
    i = name()
    host.begin("catching", i, message)
    caught = host.output(i)
    assert caught["message"].strip() == expected
    assert caught["type"].endswith("ValueError")


def test_durable_orchestrator_exception_fails_the_instance(host: Served) -> None:
    """The status contains what was raised."""
    i = name()
    host.begin("fails_at_once", i, "x")
    ended = host.ended(i)
    assert ended["runtimeStatus"] == "Failed"
    assert "no good" in ended["output"]


def test_durable_unknown_orchestrator_fails_the_instance(host: Served) -> None:
    """The instance does not stay pending forever."""
    i = name()
    host.begin("nobody", i)
    ended = host.ended(i)
    assert ended["runtimeStatus"] == "Failed"
    assert "nobody" in ended["output"]


def test_durable_sub_orchestrations_report_to_their_parent(host: Served) -> None:
    """Two run at once; their outputs come back, and they are instances of their own."""
    i = name()
    host.begin("parent", i, 4)
    assert host.output(i) == [12, True]
    assert host.output(f"{i}-a") == 12


def test_durable_sub_orchestration_that_fails_can_be_caught(host: Served) -> None:
    """It can be caught like an activity's failure."""
    i = name()
    host.begin("parent_of_failure", i, "x")
    assert "no good" in host.output(i)


def test_durable_histories_may_have_many_megabytes(host: Served) -> None:
    """gRPC's limit of 4 MB a message must not stop the engine: the real extension puts such payloads in blobs."""
    i = name()
    host.begin("heavy", i, 6)
    assert host.output(i) == 6 << 20


def test_durable_event_that_comes_before_the_wait_is_kept(host: Served) -> None:
    """It is raised while the orchestration waits for a timer, or even before its first execution."""
    i = name()
    host.begin("collector", i, {"total": 2, "every": 5, "delay": 0.5})
    assert host.send(i, "item", 1).status == 202
    assert host.http("POST", f"/api/events/{i}/item", 2).status == 202
    assert host.output(i) == [1, 2]


def test_durable_event_names_ignore_case(host: Served) -> None:
    """The real extension ignores case too."""
    i = name()
    host.begin("collector", i, {"total": 1, "every": 1})
    host.send(i, "ITEM", 1)
    assert host.output(i) == [1]


@pytest.mark.parametrize("every", [1, 3])
def test_durable_continue_as_new_keeps_events(host: Served, every: int) -> None:
    """A burst of events spans many executions: none is lost, none is delivered twice, and they stay in order."""
    i = name()
    host.begin("collector", i, {"total": 20, "every": every})
    for number in range(20):
        host.send(i, "item", number)
    assert host.output(i) == list(range(20))


def test_durable_event_for_an_unknown_or_ended_instance_is_refused(host: Served) -> None:
    """The answer is 404 for an unknown instance and 410 for an ended one, as with the real extension."""
    i = name()
    assert host.send(i, "item").status == 404
    host.begin("fan_out", i, 1)
    host.output(i)
    assert host.send(i, "item").status == 410
    assert host.http("POST", f"/api/events/{i}/item", 2).status == 500
    assert "FAILED_PRECONDITION" in host.log


def test_durable_terminate_ends_an_instance(host: Served) -> None:
    """It is Terminated with the reason; later results change nothing."""
    i = name()
    host.begin("collector", i, {"total": 1, "every": 1})
    eventually(lambda: host.status(i) == "Running")
    assert host.instance(i, "POST", "/terminate?reason=enough").status == 202
    ended = host.ended(i)
    assert (ended["runtimeStatus"], ended["output"]) == ("Terminated", "enough")
    host.send(i, "item", 1)
    assert host.status(i) == "Terminated"


def test_durable_terminate_of_an_unknown_or_ended_instance_is_refused(host: Served) -> None:
    """The answer is 404 for an unknown instance and 410 for an ended one, as with the real extension."""
    i = name()
    assert host.instance(i, "POST", "/terminate?reason=x").status == 404
    host.begin("fan_out", i, 1)
    host.output(i)
    assert host.instance(i, "POST", "/terminate?reason=x").status == 410


def test_durable_purge_forgets_an_ended_instance_only(host: Served) -> None:
    """A live instance stays; the ended one is deleted."""
    i = name()
    host.begin("collector", i, {"total": 1, "every": 1})
    eventually(lambda: host.status(i) == "Running")
    assert host.instance(i, "DELETE").status == 404
    assert host.status(i) == "Running"
    host.send(i, "item", 1)
    host.output(i)
    assert host.instance(i, "DELETE").json == {"instancesDeleted": 1}
    assert host.instance(i).status == 404
    assert host.http("GET", f"/api/state/{i}").status == 404


def test_durable_id_of_an_ended_instance_can_be_used_again(host: Served) -> None:
    """Completed, failed or terminated: a start overwrites it."""
    i = name()
    host.begin("fan_out", i, 2)
    assert host.output(i) == 2
    host.begin("fails_at_once", i, "x")
    assert host.ended(i)["runtimeStatus"] == "Failed"
    host.begin("fan_out", i, 3)
    assert host.output(i) == 6


def test_durable_start_over_a_live_instance_is_refused(host: Served) -> None:
    """The live instance continues."""
    i = name()
    host.begin("collector", i, {"total": 1, "every": 1})
    assert host.begin("fan_out", i, 2).status == 500
    assert "ALREADY_EXISTS" in host.log
    host.send(i, "item", "mine")
    assert host.output(i) == ["mine"]


def test_durable_timer_of_an_earlier_execution_does_not_fire_in_its_successor(host: Served) -> None:
    """Its id is the same; the successor's own timer takes its full time."""
    i = name()
    host.begin("two_timers", i, {"generation": 0, "seconds": 0.6, "then": 1.2})
    host.send(i, "on")
    assert host.output(i) >= 1.2


def test_durable_result_for_an_earlier_execution_is_not_taken_for_its_successors(host: Served) -> None:
    """An activity that was left behind answers late, and its id is the same."""
    i = name()
    host.begin("two_activities", i, {"generation": 0, "seconds": 0.5, "then": 1.2})
    host.send(i, "on")
    assert host.output(i) == 1


def test_durable_result_for_an_overwritten_instance_is_not_taken_for_its_successors(host: Served) -> None:
    """The same holds if the instance was terminated and its id started again."""
    i = name()
    host.begin("two_activities", i, {"generation": 0, "seconds": 0.6, "then": 0})
    eventually(lambda: host.traces("rest begins"))
    host.instance(i, "POST", "/terminate?reason=x")
    host.ended(i)
    host.begin("two_activities", i, {"generation": 7, "seconds": 1.2, "then": 0})
    assert host.output(i) == 7


def test_durable_child_of_an_earlier_execution_is_not_taken_for_its_successors(host: Served) -> None:
    """A sub-orchestration that was left behind reports late, and its id is the same."""
    i = name()
    host.begin("two_children", i, {"generation": 0, "seconds": 0.5, "then": 1.2})
    host.send(i, "on")
    assert host.output(i) >= 1.2


def test_durable_instances_do_not_block_each_other(host: Served) -> None:
    """While blocking activities fill their threads, another orchestration ends."""
    busy, quick, file = name(), name(), host.folder / "go-on"
    for number in range(8):
        host.begin("two_activities", f"{busy}{number}", {"generation": 1, "seconds": 0, "until": str(file)})
    eventually(lambda: len(host.traces("rest begins", until=str(file))) == 8)
    host.begin("fan_out", quick, 3)
    assert host.output(quick) == 6
    assert not host.traces("rest ends", until=str(file))
    file.touch()
    assert host.output(f"{busy}0") == 1


def test_durable_without_a_state_file_is_in_memory(make: Callable[..., Served]) -> None:
    """The engine without SQLite works the same."""
    served = make()
    served.state = False
    with served:
        served.begin("parent", "i", 3)
        assert served.output("i") == [6, True]
