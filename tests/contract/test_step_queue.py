"""The contract of the port StepQueue: a message arrives as it was sent, and never before its time."""

import json
import time
import uuid
from typing import Protocol

import pytest
from azure.storage.queue import QueueClient

from shared.adapters.storage import queues
from shared.adapters.storage.clients import MAX_DELAY_SECONDS, MESSAGE_BYTES, StorageClients
from shared.adapters.storage.queues import StorageStepQueue, TextQueue
from shared.domain.errors import LimitError
from shared.domain.messages import Direction, StepMessage
from shared.domain.ports import StepQueue
from tests.contract.harness import VARIANTS
from tests.fakes import FakeClock, MemoryStepQueue


class Waiting(Protocol):
    """A queue, its consumer, and its clock."""

    @property
    def queue(self) -> StepQueue:
        """The queue under test."""
        ...

    def received(self) -> list[StepMessage]:
        """Receive every message that is visible now."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def now(self) -> float:
        """Return the time in seconds."""
        ...

    def time(self) -> float:
        """Return the time in seconds since 1970."""
        ...


class MemoryWaiting:
    """The twin, whose clock the test moves."""

    def __init__(self) -> None:
        self._clock = FakeClock()
        self.queue = MemoryStepQueue(self._clock)

    def received(self) -> list[StepMessage]:
        return self.queue.due()

    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def now(self) -> float:
        return self.time()

    def time(self) -> float:
        return self._clock.now().timestamp()


class StorageWaiting:
    """The real queue, whose clock is the real one."""

    def __init__(self, clients: StorageClients, name: str) -> None:
        self.queue = StorageStepQueue(clients)
        self._consumer: QueueClient = clients.queues.get_queue_client(name)
        self._consumer.create_queue()

    def received(self) -> list[StepMessage]:
        found: list[StepMessage] = []
        for message in self._consumer.receive_messages(messages_per_page=32, visibility_timeout=600):
            found.append(StepMessage.from_json(json.loads(message.content)))
            self._consumer.delete_message(message)
        return found

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def now(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


@pytest.fixture
def clients(storage: str, monkeypatch: pytest.MonkeyPatch) -> StorageClients:
    """Return the account, with a step queue of this test only."""
    monkeypatch.setattr(queues, "STEPS", f"steps-{uuid.uuid4().hex}")
    return StorageClients(storage)


@pytest.fixture(params=VARIANTS)
def waiting(request: pytest.FixtureRequest) -> Waiting:
    """Return each implementation of the port StepQueue in turn, with its consumer."""
    if request.param == "memory":
        return MemoryWaiting()
    clients = request.getfixturevalue("clients")
    return StorageWaiting(clients, queues.STEPS)


def a_message(ordinal: int = 0, deployment_id: str = "d", direction: Direction = Direction.FORWARD) -> StepMessage:
    """Return a message as the engine sends it."""
    return StepMessage(deployment_id, ordinal, direction)


def test_queue_delivers_what_was_sent(waiting: Waiting) -> None:
    """Every message arrives as often as it was sent, whatever characters its id contains."""
    sent = [
        a_message(0),
        a_message(0),
        a_message(99_999, direction=Direction.BACKWARD),
        *(a_message(i, name) for i, name in enumerate(["<&>\"'", "é漢😀", "a\r\nb\tc\x00\x0b", "\ud800", "]]>"])),
    ]
    for message in sent:
        waiting.queue.send(message)
    assert sorted(map(repr, waiting.received())) == sorted(map(repr, sent))
    assert waiting.received() == []


@pytest.mark.parametrize("count", [0, 1, 20])
def test_queue_delivers_each_of_several_messages_once(waiting: Waiting, count: int) -> None:
    """They may be sent in parallel, so they arrive in any order."""
    waiting.queue.send_all([a_message(i) for i in range(count)])
    assert sorted(m.ordinal for m in waiting.received()) == list(range(count))


def test_queue_delays_a_message_as_requested(waiting: Waiting) -> None:
    """A delay is rounded up to whole seconds; a message without a delay does not wait for it."""
    began = waiting.now()
    waiting.queue.send(a_message(1), 0.2)
    waiting.queue.send(a_message(2))
    waiting.queue.send(a_message(3), -5.0)
    waiting.queue.send(a_message(4), 10 * MAX_DELAY_SECONDS)
    arrived: dict[int, float] = {}
    # On a busy machine a late message is not a fault, but an early one is.
    while len(arrived) < 3 and waiting.now() < began + 30:
        arrived.update((m.ordinal, waiting.now() - began) for m in waiting.received())
        waiting.wait(0.05)
    assert arrived.keys() == {1, 2, 3}
    assert arrived[1] >= 1.0
    assert max(arrived[2], arrived[3]) <= arrived[1]


def test_queue_tells_when_its_oldest_message_was_due(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message counts from the time at which it may be delivered, and not after it was taken. Without any, there is no
    such time."""
    monkeypatch.setattr(queues, "_KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(queues, "_KNOWN_PART", 0.0)
    assert waiting.queue.oldest_due() is None
    waiting.queue.send(a_message(1), 1.0)
    assert waiting.queue.oldest_due() is None
    waiting.wait(1.5)
    waiting.queue.send(a_message(2))
    first = waiting.queue.oldest_due()
    assert first is not None
    assert waiting.time() - 30 < first.timestamp() < waiting.time()
    assert len(waiting.received()) == 2
    assert waiting.queue.oldest_due() is None
    waiting.wait(1.1)  # the service tells whole seconds
    waiting.queue.send(a_message(3))
    second = waiting.queue.oldest_due()
    assert second is not None
    assert second > first


@pytest.mark.azurite
def test_queue_is_looked_at_once_for_many_deployments(clients: StorageClients) -> None:
    """A process uses one look for some seconds, because the watchdog of each deployment asks."""
    waiting = StorageWaiting(clients, queues.STEPS)
    waiting.queue.send(a_message())
    first = waiting.queue.oldest_due()
    assert first is not None
    assert len(waiting.received()) == 1
    assert waiting.queue.oldest_due() == first


def test_queue_refuses_a_message_that_is_too_large(waiting: Waiting) -> None:
    """The limit is 64 KiB, and a message of exactly that size arrives."""
    overhead = len(json.dumps(a_message(deployment_id="").to_json()))
    largest = a_message(deployment_id="x" * (MESSAGE_BYTES - overhead))
    waiting.queue.send(largest)
    for text in (largest.deployment_id + "x", "é" * (MESSAGE_BYTES // 6)):
        with pytest.raises(LimitError):
            waiting.queue.send(a_message(deployment_id=text))
    assert waiting.received() == [largest]


@pytest.mark.azurite
def test_queue_message_never_expires(clients: StorageClients) -> None:
    """A message that waits longer than the service's default of 7 days is not lost."""
    StorageStepQueue(clients).send(a_message())
    message = next(iter(clients.queues.get_queue_client(queues.STEPS).receive_messages()))
    assert message.expires_on is None or message.expires_on.year > 9000


@pytest.mark.azurite
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a\nb",
        "a\r\nb\rc",
        "\ttab",
        "<&>]]>\"'",
        "é漢😀\u2028",
        "x" * MESSAGE_BYTES,
        "é" * 5000,
    ],
)
def test_queue_text_arrives_byte_for_byte(clients: StorageClients, text: str) -> None:
    """What CI sends is hashed and read as it was written: no line end, space or character changes on the way."""
    # Long non-ASCII text is left out: Azurite reads a request in chunks and breaks the character at their border.
    TextQueue(clients, queues.STEPS).send_text(text)
    message = next(iter(clients.queues.get_queue_client(queues.STEPS).receive_messages()))
    assert (message.content or "") == text


@pytest.mark.azurite
@pytest.mark.parametrize("text", ["x" * (MESSAGE_BYTES + 1), "é" * (MESSAGE_BYTES // 2) + "x"])
def test_queue_text_above_the_limit_is_refused(clients: StorageClients, text: str) -> None:
    """The limit is in bytes of UTF-8, not in characters."""
    with pytest.raises(LimitError, match=r"65537 bytes"):
        TextQueue(clients, queues.STEPS).send_text(text)
