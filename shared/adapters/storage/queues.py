"""The queues that the app and the command line write to. The Functions host reads them."""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false

import json
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceNotFoundError

from shared.adapters.storage.clients import MAX_DELAY_SECONDS, MESSAGE_BYTES, StorageClients, ensure, mapped
from shared.domain.errors import LimitError
from shared.domain.messages import StepMessage
from shared.domain.notices import CHECK_SECONDS, Notice
from shared.domain.ports import QueueDepth

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

SUBMISSIONS = "deployments"
STEPS = "deployment-steps"
NOTICES = "deployment-notices"
POISON = "-poison"
"""The suffix of the queue to which the host moves messages of which every delivery failed."""
_PARALLEL_SENDS = 8
_PEEKED = 32
_COMMON = "deployment"
_DUE = "due"
"""The field of a delayed message that says when it may be delivered: the queue itself only shows when it was sent."""
_KNOWN_SECONDS = 5.0
"""How long a process uses the same look at the queue for all deployments, at least."""
_KNOWN_PART = 0.1
"""The same, as a part of how late the queue is: a look at a long queue is slow."""
_FOR_EVER = -1
"""Time to live. With the service's default of 7 days, messages that wait longer would be lost."""


def depths(clients: StorageClients) -> list[QueueDepth]:
    """Return the depth of every queue of the app that exists, poison queues included; no message is removed. Raises
    StorageUnavailableError."""
    found: list[QueueDepth] = []
    with mapped("queue", "count"):
        for each in clients.queues.list_queues(name_starts_with=_COMMON):
            if each.name.split(POISON)[0] not in (SUBMISSIONS, STEPS, NOTICES):
                continue
            with suppress(ResourceNotFoundError):  # deleted since it was listed
                queue = clients.queues.get_queue_client(each.name)
                count = int(queue.get_queue_properties().approximate_message_count or 0)
                seen = queue.peek_messages(max_messages=_PEEKED) if count else []
                times = [message.inserted_on for message in seen if message.inserted_on is not None]
                found.append(QueueDepth(each.name, count, min(times, default=None)))
    return found


class TextQueue:
    """Sends plain text messages to one queue, which is created when it is first used."""

    def __init__(self, clients: StorageClients, name: str) -> None:
        self._clients, self._name = clients, name
        self._is_there = False

    @cached_property
    def _queue(self) -> "QueueClient":
        return self._clients.queues.get_queue_client(self._name)

    def send_text(self, text: str, delay_seconds: float = 0.0) -> None:
        """Send a message. Raises LimitError above 64 KiB, StorageUnavailableError."""
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MESSAGE_BYTES:
            raise LimitError(f"a message has {size} bytes; a queue takes {MESSAGE_BYTES}. Put it into a blob")
        delay = min(MAX_DELAY_SECONDS, max(0, math.ceil(delay_seconds)))
        with mapped("queue", "send"):
            if not self._is_there:
                ensure(self._queue.create_queue)
                self._is_there = True
            self._queue.send_message(text, visibility_timeout=delay, time_to_live=_FOR_EVER)


class SubmissionQueue(TextQueue):
    """The queue `deployments`, for submissions and commands."""

    def __init__(self, clients: StorageClients) -> None:
        super().__init__(clients, SUBMISSIONS)

    def send(self, text: str, delay_seconds: float = 0.0) -> None:
        """Send one submission or command. Raises as `send_text`."""
        self.send_text(text, delay_seconds)


class NoticeQueue(TextQueue):
    """The queue `deployment-notices`: the moves that people are notified of."""

    def __init__(self, clients: StorageClients) -> None:
        super().__init__(clients, NOTICES)

    def send(self, notice: Notice, delay_seconds: float = CHECK_SECONDS) -> None:
        """Send one notice. Raises as `send_text`."""
        self.send_text(json.dumps(notice.to_json()), delay_seconds)


class StorageStepQueue(TextQueue):
    """Implements the port `StepQueue` on the queue `deployment-steps`."""

    def __init__(self, clients: StorageClients) -> None:
        super().__init__(clients, STEPS)
        self._looking = threading.Lock()
        self._oldest: tuple[float, datetime | None] | None = None

    def send(self, message: StepMessage, delay_seconds: float = 0.0) -> None:
        """Deliver it at least once, not before `delay_seconds` (whole seconds, rounded up, at most 7 days)."""
        due = datetime.now(UTC) + timedelta(seconds=min(delay_seconds, MAX_DELAY_SECONDS))
        delayed = {_DUE: due.timestamp()} if delay_seconds > 0 else {}
        self.send_text(json.dumps({**message.to_json(), **delayed}), delay_seconds)

    def send_all(self, messages: Sequence[StepMessage]) -> None:
        """Deliver each message at least once, several at a time, because each send waits for the service."""
        if len(messages) <= 1:
            for message in messages:
                self.send(message)
            return
        with ThreadPoolExecutor(min(_PARALLEL_SENDS, len(messages))) as pool:
            list(pool.map(self.send, messages))

    def oldest_due(self) -> datetime | None:
        """Return when the oldest waiting message was due, as of some seconds ago, or more if the queue is late."""
        with self._looking:
            if self._oldest is None or time.monotonic() > self._oldest[0]:
                with mapped("queue", "look at"), suppress(ResourceNotFoundError):
                    seen = self._queue.peek_messages(max_messages=_PEEKED)
                    found = [_due(str(message.content)) or message.inserted_on for message in seen]
                    oldest = min((each for each in found if each is not None), default=None)
                    late = (datetime.now(UTC) - oldest).total_seconds() if oldest is not None else 0.0
                    self._oldest = time.monotonic() + max(_KNOWN_SECONDS, late * _KNOWN_PART), oldest
            return self._oldest[1] if self._oldest is not None else None


def _due(text: str) -> datetime | None:
    """Return when a message that was delayed was due; None for any other."""
    try:
        return datetime.fromtimestamp(float(json.loads(text)[_DUE]), UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
