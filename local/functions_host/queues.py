"""Queue triggers with host.json's semantics: batches, retries after visibilityTimeout, poison queues, encodings.

A message is invisible while it is handled, and the lease is renewed at half its time. The real extension's lease is
ten minutes; `lease_seconds` makes it short for tests that kill the host and do not want to wait as long.
"""

import asyncio
import base64
import json
import logging
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local.functions_host.worker import Function, InvocationError, Message, Worker, pause, protocol, trace_of

log = logging.getLogger("host.queues")

FIRST_WAIT_SECONDS = 0.1
_GROWTH = 1.5
_POISON = "-poison"
_OUTAGE_WAIT_SECONDS = 1.0
_RETRY: dict[str, Any] = {"retry_total": 2, "initial_backoff": 0, "increment_base": 1, "random_jitter_range": 0}
"""Again after a second, twice. The SDK's own way is to wait 15 s and more: the storage may long be back."""


@dataclass(frozen=True)
class QueueConfig:
    """The part of host.json under extensions.queues."""

    batch_size: int
    new_batch_size: int
    max_dequeue_count: int
    retry_seconds: float
    longest_wait_seconds: float
    is_base64: bool

    @classmethod
    def of(cls, data: dict[str, Any]) -> "QueueConfig":
        """From host.json, with the real extension's defaults."""
        batch = int(data.get("batchSize", 16))
        return cls(
            batch,
            int(data.get("newBatchSize", batch // 2)),
            int(data.get("maxDequeueCount", 5)),
            seconds_of(data.get("visibilityTimeout"), 0.0),
            seconds_of(data.get("maxPollingInterval"), 60.0),
            str(data.get("messageEncoding", "base64")).lower() == "base64",
        )


_SPAN = re.compile(
    r"(?:(?P<d>\d+)\.)?(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]?\d)(?::(?P<s>[0-5]?\d(?:\.\d+)?))?|(?P<days>\d+)"
)


def seconds_of(span: str | None, default: float) -> float:
    """`[d.]hh:mm[:ss[.fff]]`, or days, in seconds. Raises ValueError."""
    if not span:
        return default
    found = _SPAN.fullmatch(span.strip())
    if found is None:
        raise ValueError(f"{span!r} is no time span, such as 00:05:00")
    part = {name: float(value or 0) for name, value in found.groupdict().items()}
    return (part["d"] + part["days"]) * 86400 + part["h"] * 3600 + part["m"] * 60 + part["s"]


class Queues:
    """All queue triggers and queue outputs of an app."""

    def __init__(self, worker: Worker, config: QueueConfig, connection: str, lease_seconds: float) -> None:
        self._worker, self._config, self._lease = worker, config, lease_seconds
        self._visibility = max(1, math.ceil(lease_seconds))
        self._service = QueueServiceClient.from_connection_string(
            connection, **_RETRY, connection_timeout=3, read_timeout=15
        )
        self._known: dict[str, QueueClient] = {}
        self.running: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connections."""
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
        """Put a message on a queue, encoded as host.json says."""
        queue = await self._queue(name)
        text = base64.b64encode(content).decode() if self._config.is_base64 else content.decode()
        await queue.send_message(text)

    async def outputs(self, function: Function, value: Message | None, outputs: dict[str, Message]) -> None:
        """Write a function's queue outputs: one message, or a JSON list of them. Raises InvocationError."""
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
        """Serve one trigger until told to stop; an outage of the storage is said once and waited out."""
        name = function.setting("queueName") or ""
        wait, is_out = FIRST_WAIT_SECONDS, False
        own: set[asyncio.Task[None]] = set()
        while not stopping.is_set():
            got: list[tuple[QueueClient, Any]] = []
            try:
                queue = await self._queue(name)
                got = [(queue, message) for message in await self._receive(queue, len(own))]
                if is_out:
                    log.warning("queue %s is back", name)
                is_out = False
            except ResourceNotFoundError:
                self._known.pop(name, None)
            except (AzureError, OSError, TimeoutError) as error:
                if not is_out:
                    log.warning("queue %s does not answer (%s); waiting for it", name, type(error).__name__)
                is_out = True
                await pause(stopping, _OUTAGE_WAIT_SECONDS)
            for queue, message in got:
                task = asyncio.create_task(self._handle(function, queue, name, message))
                own.add(task)
                self.running.add(task)
                task.add_done_callback(own.discard)
                task.add_done_callback(self.running.discard)
            if got:
                wait = FIRST_WAIT_SECONDS
                if len(own) <= self._config.new_batch_size:
                    continue
            if len(own) > self._config.new_batch_size:
                await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
            else:
                await pause(stopping, wait)
                wait = min(wait * _GROWTH, max(FIRST_WAIT_SECONDS, self._config.longest_wait_seconds))

    async def _receive(self, queue: QueueClient, in_hand: int) -> list[Any]:
        if in_hand > self._config.new_batch_size:
            return []
        batch = min(32, self._config.batch_size)
        pages = queue.receive_messages(messages_per_page=batch, visibility_timeout=self._visibility).by_page()
        # One page: were another asked for and the storage gone, this one's messages would wait out their lease.
        async for page in pages:
            return [message async for message in page]
        return []

    async def _handle(self, function: Function, queue: QueueClient, name: str, message: Any) -> None:
        done = asyncio.Event()
        renewal = asyncio.create_task(self._renew(queue, message, done))
        try:
            failure = await self._run(function, message)
            # A renewal in flight would change the pop receipt under what follows.
            done.set()
            await renewal
            if failure is None:
                await queue.delete_message(message.id, message.pop_receipt)
            elif name.endswith(_POISON):
                pass  # as the real extension: it has no poison queue of its own, and comes again after its lease
            elif message.dequeue_count >= self._config.max_dequeue_count:
                await self._poison(queue, name, message)
            else:
                wait = int(self._config.retry_seconds)
                await queue.update_message(message, visibility_timeout=wait, content=message.content)
        except (AzureError, OSError) as error:
            # The message comes again when its lease is over; whoever handles it must bear that.
            log.warning("queue %s: a message could not be finished (%s)", name, type(error).__name__)
        finally:
            renewal.cancel()

    async def _run(self, function: Function, message: Any) -> Exception | None:
        """Run the function on a message that has deliveries left; how it failed."""
        tries = f"try {message.dequeue_count} of {self._config.max_dequeue_count}"
        try:
            if message.dequeue_count > self._config.max_dequeue_count:
                raise InvocationError("MaxDequeueCount: the last delivery did not end", "")
            value, outputs = await self._worker.invoke(function, self._data(message), _metadata(message))
            await self.outputs(function, value, outputs)
        except (InvocationError, ValueError) as error:  # ValueError: its text is not base64
            log.error("%s failed (%s): %s", function.name, tries, error, exc_info=trace_of(error))
            return error
        return None

    def _data(self, message: Any) -> Message:
        raw: str = message.content
        body = base64.b64decode(raw, validate=True) if self._config.is_base64 else raw.encode()
        return protocol.TypedData(bytes=body)

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
        await target.send_message(message.content, time_to_live=-1)
        await queue.delete_message(message.id, message.pop_receipt)
        log.error("a message of %s went to %s-poison after %d tries", name, name, message.dequeue_count)


def _metadata(message: Any) -> dict[str, Message]:
    def moment(value: datetime) -> Message:
        return protocol.TypedData(string=value.isoformat())

    return {
        "Id": protocol.TypedData(string=message.id),
        "DequeueCount": protocol.TypedData(json=str(message.dequeue_count)),
        "PopReceipt": protocol.TypedData(string=message.pop_receipt),
        "ExpirationTime": moment(message.expires_on),
        "InsertionTime": moment(message.inserted_on),
        "NextVisibleTime": moment(message.next_visible_on),
    }
