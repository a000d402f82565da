"""Queue triggers and outputs: encodings, batches, retries, poison queues, leases, timeouts."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from local.functions_host.queues import QueueConfig, seconds_of
from tests.host.hosts import Served
from tests.waiting import eventually


def max_in_hand(served: Served) -> int:
    """Return the largest number of overlapping runs of `slow`."""
    marks = sorted(
        (t["at"], 1 if t["what"] == "slow begins" else -1) for t in served.traces("slow begins", "slow ends")
    )
    now = maximum = 0
    for _, change in marks:
        now += change
        maximum = max(maximum, now)
    return maximum


def test_queue_plain_text_in_and_out(host: Served) -> None:
    """With messageEncoding none a message is its text, in and out."""
    host.put("in", "grün")
    assert "GRÜN" in host.take("out", 1)
    eventually(lambda: host.depth("in") == 0)


def test_queue_output_of_a_list_is_a_message_each(host: Served) -> None:
    """A list becomes as many messages."""
    host.put("split", "one two three")
    assert host.take("out", 3) == ["one", "three", "two"]


def test_queue_base64_in_and_out(make: Callable[..., Served]) -> None:
    """Without messageEncoding, messages must be base64, and outputs are."""
    with make(configuration={"extensions.queues.messageEncoding": None}) as served:
        served.put("in", base64.b64encode("grün".encode()).decode())
        assert [base64.b64decode(text).decode() for text in served.take("out", 1)] == ["GRÜN"]
        served.put("in", "no base64!")
        served.put("in", "keins, für jeden Äther")
        assert served.take("in-poison", 2) == ["keins, für jeden Äther", "no base64!"]
        eventually(lambda: served.depth("in") == 0)


def test_queue_batches_are_honoured(host: Served) -> None:
    """No more messages are in hand than batchSize and newBatchThreshold together, and each message is handled once."""
    for number in range(18):
        host.put("slow", {"n": number, "seconds": 0.2})
    eventually(lambda: len(host.traces("slow ends")) >= 18)
    assert 2 <= max_in_hand(host) <= 6
    assert sorted(t["body"]["n"] for t in host.traces("slow begins")) == list(range(18))


def test_queue_batch_size_one_is_one_after_the_other(make: Callable[..., Served]) -> None:
    """With batchSize 1, newBatchThreshold is 0 by default: no two messages of a queue are handled at once."""
    queues = {"extensions.queues.batchSize": 1, "extensions.queues.newBatchThreshold": None}
    served = make(configuration=queues)
    with served:
        for number in range(5):
            served.put("slow", {"n": number, "seconds": 0.1})
        eventually(lambda: len(served.traces("slow ends")) >= 5)
    assert max_in_hand(served) == 1


def test_queue_failed_message_is_delivered_again_after_the_visibility_timeout(host: Served) -> None:
    """The second delivery is counted, and comes not before visibilityTimeout."""
    host.put("picky", "x")
    first, second = eventually(lambda: found if len(found := host.traces("picky")) == 2 else [])
    assert (first["tries"], second["tries"]) == (1, 2)
    assert second["at"] - first["at"] >= 0.9
    eventually(lambda: host.depth("picky") == 0)


def test_queue_message_that_always_fails_ends_in_the_poison_queue(host: Served) -> None:
    """After maxDequeueCount deliveries the poison function gets it, once."""
    host.put("fails", "hopeless")
    eventually(lambda: host.traces("poisoned", body="hopeless", tries=1))
    assert [t["tries"] for t in host.traces("fails", body="hopeless")] == [1, 2, 3]
    eventually(lambda: host.depth("fails") == 0)
    eventually(lambda: host.depth("fails-poison") == 0)


def test_queue_message_stays_in_the_poison_queue_while_its_function_fails(make: Callable[..., Served]) -> None:
    """A poison queue has no poison queue of its own: the message comes again when its lease is over, maxDequeueCount
    times, and then stays there."""
    with make(lease="1") as served:
        served.put("fails", "never")
        eventually(lambda: served.traces("poisoned", body="never", tries=3))
        served.put("fails", "hopeless")
        eventually(lambda: served.traces("poisoned", body="hopeless", tries=1))
        assert [t["tries"] for t in served.traces("poisoned", body="never")] == [1, 2, 3]
        eventually(lambda: served.depth("fails-poison") == 1)
        assert "-poison-poison" not in served.log


def test_queue_output_that_cannot_be_written_fails_the_function(host: Served) -> None:
    """The message is delivered again, and is poison in the end, as if the function had raised."""
    host.put("unwritable", "x")
    assert host.take("unwritable-poison", 1) == ["x"]
    assert [t["tries"] for t in host.traces("unwritable")] == [1, 2, 3]


def test_queue_lease_is_renewed_while_a_message_is_handled(make: Callable[..., Served]) -> None:
    """A message that takes longer than its lease is delivered once."""
    with make(lease="8") as served:
        served.put("slow", {"n": 1, "seconds": 11})
        eventually(lambda: served.traces("slow ends"))
        eventually(lambda: served.depth("slow") == 0)
        assert len(served.traces("slow begins")) == 1


def test_queue_message_of_a_killed_host_is_delivered_again(make: Callable[..., Served]) -> None:
    """When its lease is over, the next host gets it, with its count."""
    with make(lease="1") as served:
        served.put("slow", {"n": 1, "seconds": 3600})
        eventually(lambda: served.traces("slow begins"))
        served.kill()
        served.start()
        assert eventually(lambda: served.traces("slow begins", tries=2))


def test_queue_function_over_its_timeout_fails(make: Callable[..., Served]) -> None:
    """functionTimeout ends a message's delivery and an HTTP request; the message is poison in the end."""
    changes = {"functionTimeout": "00:00:01", "extensions.queues.maxDequeueCount": 2}
    with make(configuration=changes) as served:
        served.put("slow", {"n": 1, "seconds": 6})
        assert served.http("GET", "/api/pause?seconds=6").status == 500
        assert len(served.take("slow-poison", 1)) == 1
        assert [t["tries"] for t in served.traces("slow begins")] == [1, 2]
        assert "FunctionTimeoutException" in served.log


def test_queue_settings_have_the_real_extensions_defaults() -> None:
    """These are the values if host.json does not set them."""
    found = QueueConfig.of({})
    assert (found.batch_size, found.new_batch_threshold, found.max_dequeue_count) == (16, 8, 5)
    assert (found.retry_seconds, found.longest_wait_seconds, found.is_base64) == (0.0, 60.0, True)


def test_queue_settings_have_the_real_extensions_names() -> None:
    """The extension ignores a name that it does not know: host.json had `newBatchSize`, which only this host read."""
    found = QueueConfig.of({"batchSize": 4, "newBatchThreshold": 7, "newBatchSize": 32})
    assert (found.batch_size, found.new_batch_threshold) == (4, 7)
    assert QueueConfig.of({"newBatchSize": 32}).new_batch_threshold == 8


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("00:00:15", 15.0),
        ("00:00:00.250", 0.25),
        ("01:02:03", 3723.0),
        ("1.02:00:00", 93600.0),
        ("00:05", 300.0),
        ("2", 172800.0),
        ("", 7.0),
        (None, 7.0),
    ],
)
def test_time_spans_of_host_json(span: Any, expected: float) -> None:
    """Time spans are read as .NET reads them, days too."""
    assert seconds_of(span, 7.0) == expected


@pytest.mark.parametrize("span", ["x", "1:2:3:4", "00:61:00", "25:00:00"])
def test_time_spans_that_are_not_valid_are_refused(span: str) -> None:
    """A clear error is raised instead of a wrong number."""
    with pytest.raises(ValueError, match="is not a time span"):
        seconds_of(span, 0.0)
