"""The queues that the app and the command line write to. Reading is the host's business."""

import json
import math
from contextlib import suppress

from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient

from shared.adapters.storage import MESSAGE_BYTES, MOST_DELAY_SECONDS, StorageClients, mapped
from shared.domain.errors import LimitError
from shared.domain.messages import StepMessage

SUBMISSIONS = "deployments"
STEPS = "deployment-steps"
_FOR_EVER = -1
"""Time to live. The service's default of 7 days would lose what waited longer."""


class TextQueue:
    """Plain text messages on one queue, created on first use."""

    def __init__(self, clients: StorageClients, name: str) -> None:
        self._queue: QueueClient = clients.queues.get_queue_client(name)
        self._is_there = False

    def send_text(self, text: str, delay_seconds: float = 0.0) -> None:
        """Raises LimitError above 64 KiB, StorageUnavailableError where the service does not answer."""
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MESSAGE_BYTES:
            raise LimitError(f"a message has {size} bytes; a queue takes {MESSAGE_BYTES}. Put it into a blob")
        delay = min(MOST_DELAY_SECONDS, max(0, math.ceil(delay_seconds)))
        with mapped("queue", "send"):
            if not self._is_there:
                with suppress(ResourceExistsError):
                    self._queue.create_queue()
                self._is_there = True
            self._queue.send_message(text, visibility_timeout=delay, time_to_live=_FOR_EVER)


class SubmissionQueue(TextQueue):
    """The queue `deployments`: what CI writes to."""

    def __init__(self, clients: StorageClients) -> None:
        super().__init__(clients, SUBMISSIONS)

    def send(self, text: str, delay_seconds: float = 0.0) -> None:
        """One submission or command. Raises as `send_text`."""
        self.send_text(text, delay_seconds)


class StorageStepQueue(TextQueue):
    """Implements the port `StepQueue` on the queue `deployment-steps`."""

    def __init__(self, clients: StorageClients) -> None:
        super().__init__(clients, STEPS)

    def send(self, message: StepMessage, delay_seconds: float = 0.0) -> None:
        """Deliver it at least once, not before `delay_seconds` (whole seconds, rounded up, at most 7 days)."""
        self.send_text(json.dumps(message.to_json()), delay_seconds)
