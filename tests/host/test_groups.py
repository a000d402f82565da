"""Hosts side by side on one storage and one task hub, each with the functions of one group, as Flex Consumption runs
them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from azure.storage.queue import QueueClient

from local.functions_host import groups
from local.functions_host.worker import Function
from tests.host.hosts import Served
from tests.waiting import PATIENCE_SECONDS, eventually

SECONDS = {
    "extensions.durableTask.storageProvider": {
        "maxQueuePollingInterval": "00:00:01",
        "controlQueueVisibilityTimeout": "00:00:02",
        "workItemQueueVisibilityTimeout": "00:00:02",
    }
}
"""Visibility timeouts of two seconds in place of the real minute, because tests wait for them."""


class Groups:
    """The hosts of one app, by group."""

    def __init__(self, template: Served, *names: str) -> None:
        self.hosts = {name: template.of_group(name) for name in names}

    def __getitem__(self, name: str) -> Served:
        return self.hosts[name]

    def start(self) -> None:
        for served in self.hosts.values():
            served.start()


@pytest.fixture
def apart(make: Callable[..., Served]) -> Iterator[Callable[..., Groups]]:
    """Return a function that creates the hosts of these groups; they are not started, and are killed after the test."""
    with ExitStack() as at_end:

        def build(*names: str, lease: str = "2", **options: object) -> Groups:
            template = make(configuration=SECONDS, options=["--hub-lease", "1"], lease=lease, **options)
            found = Groups(template, *names)
            for served in found.hosts.values():
                at_end.callback(served.kill)
            return found

        yield build


def test_groups_orchestration_runs_on_the_durable_host_and_is_driven_from_others(
    apart: Callable[..., Groups],
) -> None:
    """Starts, events, timers, activities, retries and continue-as-new pass between processes; nothing is lost."""
    hosts = apart("http", "durable", "function:begin")
    hosts.start()
    http = hosts["http"]
    http.begin("fan_out", "fan", 20)
    http.begin("steps", "steps", {"every": 2, "total": 5, "rest": 0.1})
    http.begin("retrying", "retrying", {"id": "retrying", "attempts": 3, "failures": 2})
    http.begin("collector", "events", {"every": 2, "total": 6})
    for number in range(6):
        http.http("POST", "/api/events/events/item", number)
    hosts["function:begin"].put("begin", {"name": "mirror", "id": "queued", "input": ["a", {"b": 1}]})
    assert http.output("fan") == sum(2 * n for n in range(20))
    assert http.output("steps") == [0, 1, 2, 3, 4]
    assert http.output("retrying") == "try 3 succeeded"
    assert http.output("events") == [0, 1, 2, 3, 4, 5]
    assert http.output("queued") == ["a", {"b": 1}]
    assert [t["step"] for t in http.traces("step", id="steps")] == [0, 1, 2, 3, 4]
    assert http.begin("mirror", "fan", ["again"]).status == 202, "an ended instance is overwritten"
    eventually(lambda: http.output("fan") == ["again"])


def test_groups_client_calls_behave_as_on_one_host(apart: Callable[..., Groups]) -> None:
    """An unknown instance is not found, an ended one refuses events, and a live one is neither started nor purged."""
    hosts = apart("http", "durable")
    hosts.start()
    http = hosts["http"]
    assert http.instance("nobody").status == 404
    assert http.send("nobody", "item", 1).status == 404
    http.begin("collector", "c", {"every": 1, "total": 1})
    assert http.begin("collector", "c", {"every": 1, "total": 1}).status == 500
    assert http.instance("c", "DELETE").status == 404
    assert http.send("c", "item", 1).status == 202
    assert http.output("c") == [1]
    assert http.send("c", "item", 2).status == 410
    assert http.instance("c", "DELETE").status == 200
    assert http.instance("c").status == 404
    http.begin("collector", "t", {"every": 1, "total": 1})
    assert http.instance("t", "POST", "/terminate?reason=enough").status == 202
    assert http.ended("t")["runtimeStatus"] == "Terminated"


def test_groups_message_waits_while_no_durable_host_runs(apart: Callable[..., Groups]) -> None:
    """A start and its events are stored; until a host runs them, the instance is pending."""
    hosts = apart("http", "durable")
    http = hosts["http"].start()
    http.begin("collector", "c", {"every": 2, "total": 2})
    http.send("c", "item", 1)
    http.send("c", "item", 2)
    assert http.status("c") == "Pending"
    hosts["durable"].start()
    assert http.output("c") == [1, 2]


@pytest.mark.parametrize("crash", [True, False])
def test_groups_durable_host_that_dies_is_replaced(apart: Callable[..., Groups], crash: bool) -> None:
    """Another host continues each instance: an activity in hand runs again after a crash, and no turn is lost."""
    hosts = apart("http", "durable")
    hosts.start()
    http, durable = hosts["http"], hosts["durable"]
    until = http.folder / "go"
    http.begin("two_activities", "work", {"generation": 1, "seconds": 0, "until": str(until)})
    http.begin("steps", "steps", {"every": 3, "total": 12, "rest": 0.3})
    eventually(lambda: http.traces("rest begins") and len(http.traces("step", id="steps")) >= 2)
    durable.kill() if crash else durable.terminate()
    until.touch()
    durable.start()
    assert http.output("work") == 1
    assert http.output("steps") == list(range(12))
    assert sorted({t["step"] for t in http.traces("step", id="steps")}) == list(range(12))


def test_groups_second_durable_host_takes_over(apart: Callable[..., Groups]) -> None:
    """It serves no partition while the first one lives, and all of them afterwards."""
    hosts = apart("http", "durable")
    hosts.start()
    second = hosts["durable"].of_group("durable")
    second.options, second.log_file = hosts["durable"].options, second.folder / "second.log"
    second.start()
    try:
        hosts["http"].begin("mirror", "before", [1])
        assert hosts["http"].output("before") == [1]
        assert "serves partition" not in second.log
        hosts["http"].begin("steps", "during", {"every": 3, "total": 9, "rest": 0.2})
        eventually(lambda: hosts["http"].traces("step", id="during"))
        hosts["durable"].kill()
        assert hosts["http"].output("during") == list(range(9))
        assert second.log.count("serves partition") == 4
    finally:
        second.kill()


def test_groups_host_serves_its_own_functions_only(apart: Callable[..., Groups]) -> None:
    """A queue waits for its function's host, and a route is not found on the hosts of other groups."""
    hosts = apart("http", "function:relay")
    http = hosts["http"].start()
    QueueClient.from_connection_string(http.storage, f"{http.prefix}-in").create_queue()
    http.put("in", "first")
    assert http.http("GET", "/api/items/1").status == 200
    assert not http.traces("span"), "a timer runs in its own group"
    assert http.depth("in") == 1
    relay = hosts["function:relay"].start()
    assert relay.take("out", 1) == ["FIRST"]
    assert relay.http("GET", "/api/items/1").status == 404


def test_groups_unknown_group_is_named(apart: Callable[..., Groups]) -> None:
    """A host without functions would look healthy and do nothing."""
    served = apart("function:nobody")["function:nobody"]
    assert served.spawn().wait(PATIENCE_SECONDS) == 1
    assert "FUNCTIONS_TARGET_GROUP is 'function:nobody', but the app's groups are: durable, function:" in served.log


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("httpTrigger", "http"),
        ("orchestrationTrigger", "durable"),
        ("activityTrigger", "durable"),
        ("queueTrigger", "function:f"),
        ("timerTrigger", "function:f"),
    ],
)
def test_groups_follow_the_trigger(trigger: str, expected: str) -> None:
    """HTTP functions scale together, durable ones too, each other function alone."""
    assert groups.group_of(Function("f", "1", [{"type": trigger, "name": "x", "direction": "IN"}])) == expected
