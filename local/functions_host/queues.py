"""Queue triggers as host.json configures them: batches, retries after visibilityTimeout, poison queues, encodings.

A message is invisible while it is handled, and its lease is renewed after half its time. The real extension's lease is
ten minutes; tests that kill the host set a short `lease_seconds`, because they wait for its end.
"""

import asyncio
import base64
import json
import logging
import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local.functions_host import trigger_metadata
from local.functions_host.probe import Probe
from local.functions_host.worker import Function, InvocationError, Message, Worker, pause, protocol, trace_of

log = logging.getLogger("host.queues")

FIRST_WAIT_SECONDS = 0.1
_GROWTH = 1.5
_POISON = "-poison"
_OUTAGE_WAIT_SECONDS = 1.0
_RETRY: dict[str, Any] = {"retry_total": 2, "initial_backoff": 0, "increment_base": 1, "random_jitter_range": 0}
"""Two retries, one second apart. The SDK's defaults wait 15 s and longer, although the storage may be back sooner."""


@dataclass(frozen=True)
class QueueConfig:
    """The section extensions.queues of host.json."""

    batch_size: int
    new_batch_threshold: int
    max_dequeue_count: int
    retry_seconds: float
    longest_wait_seconds: float
    is_base64: bool

    @classmethod
    def of(cls, data: dict[str, Any]) -> "QueueConfig":
        """Read the section of host.json, with the real extension's defaults."""
        batch = int(data.get("batchSize", 16))
        return cls(
            batch,
            int(data.get("newBatchThreshold", batch // 2)),
            int(data.get("maxDequeueCount", 5)),
            seconds_of(data.get("visibilityTimeout"), 0.0),
            seconds_of(data.get("maxPollingInterval"), 60.0),
            str(data.get("messageEncoding", "base64")).lower() == "base64",
        )


_SPAN = re.compile(
    r"(?:(?P<d>\d+)\.)?(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]?\d)(?::(?P<s>[0-5]?\d(?:\.\d+)?))?|(?P<days>\d+)"
)


def seconds_of(span: str | None, default: float) -> float:
    """Return the seconds of a time span: `[d.]hh:mm[:ss[.fff]]`, or a number of days. Raises ValueError."""
    if not span:
        return default
    found = _SPAN.fullmatch(span.strip())
    if found is None:
        raise ValueError(f"{span!r} is not a time span such as 00:05:00")
    part = {name: float(value or 0) for name, value in found.groupdict().items()}
    return (part["d"] + part["days"]) * 86400 + part["h"] * 3600 + part["m"] * 60 + part["s"]


@dataclass
class _Trigger:
    """A queue trigger while it is served: its running invocations, and whether its queue is out of reach."""

    function: Function
    queue: str
    running: set[asyncio.Task[None]] = field(default_factory=lambda: set[asyncio.Task[None]]())
    is_out: bool = False


class Queues:
    """All queue triggers and queue outputs of an app."""

    def __init__(self, worker: Worker, config: QueueConfig, connection: str, lease_seconds: float) -> None:
        self._worker, self._config, self._lease = worker, config, lease_seconds
        self._visibility = max(1, math.ceil(lease_seconds))
        self._service = QueueServiceClient.from_connection_string(
            connection, **_RETRY, connection_timeout=3, read_timeout=15
        )
        self._probe = Probe(self._service)
        self._known: dict[str, QueueClient] = {}
        self.running: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connections."""
        self._probe.close()
        await self._service.close()

    async def _queue(self, name: str) -> QueueClient:
        client = self._known.get(name)
        if client is None:
            client = self._service.get_queue_client(name)
            with suppress(ResourceExistsError):
                await client.create_queue()
            self._known[name] = client
        return client

    async def put(self, name: str, content: bytes) -> None:
        """Put a message on a queue, in the encoding that host.json names."""
        queue = await self._queue(name)
        text = base64.b64encode(content).decode() if self._config.is_base64 else content.decode()
        await queue.send_message(text)

    async def outputs(self, function: Function, value: Message | None, outputs: dict[str, Message]) -> None:
        """Put a function's queue outputs on their queues: one message each, or a JSON list. Raises InvocationError."""
        if value is not None and "$return" in function.outputs:
            outputs = {**outputs, "$return": value}
        for name, data in outputs.items():
            if function.outputs[name]["type"] != "queue":
                continue
            kind = data.WhichOneof("data") or "string"
            raw = getattr(data, kind)
            items = json.loads(raw) if kind == "json" and raw.lstrip().startswith("[") else [raw]
            for item in items:
                text = item if isinstance(item, str | bytes) else json.dumps(item)
                content = text.encode() if isinstance(text, str) else text
                queue = function.outputs[name]["queueName"]
                try:
                    await self.put(queue, content)
                except (AzureError, OSError, UnicodeError) as error:
                    raise InvocationError(f"{type(error).__name__}: output to queue {queue}: {error}", "") from error

    async def listen(self, function: Function, stopping: asyncio.Event) -> None:
        """Serve one trigger until `stopping` is set. During an outage of the storage, log one warning and wait."""
        trigger = _Trigger(function, function.setting("queueName") or "")
        wait = FIRST_WAIT_SECONDS
        while not stopping.is_set():
            received = await self._poll(trigger, stopping)
            for queue, message in received:
                self._start(trigger, queue, message)
            is_full = len(trigger.running) > self._config.new_batch_threshold
            if received:
                wait = FIRST_WAIT_SECONDS
            if is_full:
                await asyncio.wait(trigger.running, return_when=asyncio.FIRST_COMPLETED)
            elif not received:
                await pause(stopping, wait)
                wait = min(wait * _GROWTH, max(FIRST_WAIT_SECONDS, self._config.longest_wait_seconds))

    async def _poll(self, trigger: "_Trigger", stopping: asyncio.Event) -> list[tuple[QueueClient, Any]]:
        """Receive messages for a trigger; after an error, return none."""
        try:
            queue = await self._queue(trigger.queue)
            received = [(queue, message) for message in await self._receive(queue, len(trigger.running))]
            if trigger.is_out:
                log.warning("queue %s answers again", trigger.queue)
            trigger.is_out = False
        except ResourceNotFoundError:
            self._known.pop(trigger.queue, None)
        except (AzureError, OSError, TimeoutError) as error:
            if not trigger.is_out:
                name = type(error).__name__
                log.warning("queue %s does not answer (%s); waiting until it does", trigger.queue, name)
            trigger.is_out = True
            await pause(stopping, _OUTAGE_WAIT_SECONDS)
        else:
            return received
        return []

    def _start(self, trigger: "_Trigger", queue: QueueClient, message: Any) -> None:
        task = asyncio.create_task(self._handle(trigger.function, queue, trigger.queue, message))
        for tasks in (trigger.running, self.running):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _receive(self, queue: QueueClient, in_hand: int) -> list[Any]:
        if in_hand > self._config.new_batch_threshold or await self._probe.is_empty(queue):
            return []
        batch = min(32, self._config.batch_size)
        pages = queue.receive_messages(messages_per_page=batch, visibility_timeout=self._visibility).by_page()
        # Only one page: if the request for another page failed, the messages of this one would wait for their lease.
        async for page in pages:
            return [message async for message in page]
        return []

    async def _handle(self, function: Function, queue: QueueClient, name: str, message: Any) -> None:
        done = asyncio.Event()
        renewal = asyncio.create_task(self._renew(queue, message, done))
        try:
            failure = await self._run(function, message)
            # A renewal in flight would change the pop receipt that the next call needs.
            done.set()
            await renewal
            if failure is None:
                await queue.delete_message(message.id, message.pop_receipt)
            elif name.endswith(_POISON):
                pass  # as in the real extension: it is delivered again
            elif message.dequeue_count >= self._config.max_dequeue_count:
                await self._poison(queue, name, message)
            else:
                wait = int(self._config.retry_seconds)
                await queue.update_message(message, visibility_timeout=wait, content=message.content)
        except (AzureError, OSError) as error:
            # The message is delivered again when its lease is over; its function must tolerate that.
            log.warning(
                "queue %s: a handled message could not be removed or rescheduled (%s)", name, type(error).__name__
            )
        finally:
            renewal.cancel()

    async def _run(self, function: Function, message: Any) -> Exception | None:
        """Run the function on a message, if it has deliveries left; return the error, or None."""
        tries = f"try {message.dequeue_count} of {self._config.max_dequeue_count}"
        try:
            if message.dequeue_count > self._config.max_dequeue_count:
                raise InvocationError("MaxDequeueCount: the last delivery did not finish", "")
            value, outputs = await self._invoke(function, message)
            await self.outputs(function, value, outputs)
        except (InvocationError, ValueError) as error:  # ValueError: the text is not base64
            log.error("%s failed (%s): %s", function.name, tries, error, exc_info=trace_of(error))
            return error
        return None

    async def _invoke(self, function: Function, message: Any) -> tuple[Message | None, dict[str, Message]]:
        """Call the function. Raises InvocationError, and ValueError if the text is not base64 although it must be."""
        raw: str = message.content
        body = base64.b64decode(raw, validate=True) if self._config.is_base64 else raw.encode()
        metadata = trigger_metadata.of(message, body)
        return await self._worker.invoke(function, protocol.TypedData(bytes=body), metadata)

    async def _renew(self, queue: QueueClient, message: Any, done: asyncio.Event) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), self._lease / 2)
                return
            with suppress(AzureError, OSError):
                renewed = await queue.update_message(
                    message.id, message.pop_receipt, visibility_timeout=self._visibility, content=message.content
                )
                message.pop_receipt = renewed.pop_receipt

    async def _poison(self, queue: QueueClient, name: str, message: Any) -> None:
        target = await self._queue(f"{name}{_POISON}")
        await target.send_message(message.content)  # for seven days, the default
        await queue.delete_message(message.id, message.pop_receipt)
        log.error("a message of %s was moved to %s-poison after %d tries", name, name, message.dequeue_count)
