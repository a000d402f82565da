"""The host's cheap look at a queue says "empty" only about a queue that has nothing for it."""

import asyncio
from collections.abc import Awaitable, Callable

from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local.functions_host.probe import Probe


def looked(storage: str, look: Callable[[Probe, QueueClient], Awaitable[None]]) -> None:
    """Run `look` with a probe and a new queue of the account."""

    async def run() -> None:
        async with QueueServiceClient.from_connection_string(storage) as service:
            probe, queue = Probe(service), service.get_queue_client("looked-at")
            await queue.create_queue()
            try:
                await look(probe, queue)
            finally:
                probe.close()
                await queue.delete_queue()

    asyncio.run(run())


def test_probe_sees_a_message_as_soon_as_it_may_be_received(storage: str) -> None:
    """A queue is empty before its message and after it, and while the message is invisible; not otherwise."""

    async def look(probe: Probe, queue: QueueClient) -> None:
        assert await probe.is_empty(queue)
        await queue.send_message("<x/>" * 4_000)
        assert not await probe.is_empty(queue)
        message = await queue.receive_message(visibility_timeout=30)
        assert message is not None
        assert await probe.is_empty(queue)
        message = await queue.update_message(message, visibility_timeout=0)
        assert not await probe.is_empty(queue)
        await queue.delete_message(message)
        assert await probe.is_empty(queue)

    looked(storage, look)


def test_probe_leaves_whatever_it_does_not_understand_to_the_sdk(storage: str) -> None:
    """No queue is called empty that does not exist, whose service is out of reach, or that the probe may not read."""
    parts = dict(part.split("=", 1) for part in storage.split(";") if part)

    async def look(probe: Probe, queue: QueueClient) -> None:
        async with QueueServiceClient.from_connection_string(storage) as service:
            assert not await probe.is_empty(service.get_queue_client("missing"))
        gone = storage.replace(parts["QueueEndpoint"], "http://127.0.0.1:1/account")
        async with QueueServiceClient.from_connection_string(gone) as service:
            assert not await probe.is_empty(service.get_queue_client("looked-at"))
        wrong = storage.replace(parts["AccountKey"], "d3Jvbmc=")
        async with QueueServiceClient.from_connection_string(wrong) as service:
            refused = Probe(service)
            assert not await refused.is_empty(queue)
            refused.close()
        assert await probe.is_empty(queue)

    looked(storage, look)


def test_probe_connects_again_after_a_lost_connection(storage: str) -> None:
    """An answer that does not come says nothing; the next one is understood again."""

    async def look(probe: Probe, queue: QueueClient) -> None:
        assert await probe.is_empty(queue)
        for _, writer in probe._idle:
            writer.transport.abort()
        answers = [await probe.is_empty(queue) for _ in range(3)]
        assert answers[-1] is True

    looked(storage, look)
