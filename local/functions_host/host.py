"""The host: reads host.json, loads the app, and runs every listener until told to stop."""

import asyncio
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from local import files
from local.functions_host import timers
from local.functions_host.durable import Durable
from local.functions_host.keys import Keys
from local.functions_host.queues import QueueConfig, Queues, seconds_of
from local.functions_host.web import Web
from local.functions_host.worker import Function, Worker

log = logging.getLogger("host")

_SERVED = frozenset({"httpTrigger", "queueTrigger", "timerTrigger", "orchestrationTrigger", "activityTrigger"})
_DEFAULT_TIMEOUT_SECONDS = 1800.0
_DEVELOPMENT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey="
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)
"""What UseDevelopmentStorage=true stands for; the key is the emulator's well-known one."""


class Host:
    """One function app on one machine."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        state: Path | None,
        lease_seconds: float,
        keys: Path | None,
        drain_seconds: float,
    ) -> None:
        self._folder, self._port, self._state, self._lease = folder.resolve(), port, state, lease_seconds
        self._config = overridden(_read(self._folder / "host.json"), os.environ)
        for name, value in _read(self._folder / "local.settings.json").get("Values", {}).items():
            os.environ.setdefault(name, value)
        if os.environ.get("AzureWebJobsStorage", "UseDevelopmentStorage=true") == "UseDevelopmentStorage=true":
            os.environ["AzureWebJobsStorage"] = _DEVELOPMENT  # the Python SDKs do not know the short form
        self._keys = Keys.load(keys)
        self._tasks: list[asyncio.Task[None]] = []
        self._drain, self._stopping = drain_seconds, asyncio.Event()

    async def start(self) -> int:
        """Load and listen; the HTTP port. Raises RuntimeError where the app cannot be loaded."""
        began = time.perf_counter()
        extensions: dict[str, Any] = self._config.get("extensions", {})
        span = self._config.get("functionTimeout")
        timeout = math.inf if span == "-1" else seconds_of(span, _DEFAULT_TIMEOUT_SECONDS)
        worker = self._worker = Worker(self._folder, timeout)
        await worker.load()
        schedules = {f.name: _schedule(f) for f in worker.of_type("timerTrigger")}
        config = QueueConfig.of(extensions.get("queues", {}))
        self._queues = Queues(worker, config, os.environ["AzureWebJobsStorage"], self._lease)
        self._durable: Durable | None = None
        if worker.of_type("orchestrationTrigger"):
            self._durable = Durable(worker, extensions.get("durableTask", {}), self._state)
        prefix = extensions.get("http", {}).get("routePrefix", "api").strip("/")
        served = Web(worker, self._queues, self._durable, self._keys, prefix)
        # Bodies go to the app as they came, encoded ones too: Azure's host unpacks none.
        self._runner = web.AppRunner(served.app, access_log=None, shutdown_timeout=self._drain, auto_decompress=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        port: int = self._runner.addresses[0][1]
        if self._durable is not None:
            await self._durable.start(f"http://127.0.0.1:{port}", self._keys.master)
        self._tasks += [
            asyncio.create_task(self._queues.listen(f, self._stopping)) for f in worker.of_type("queueTrigger")
        ]
        for function in worker.of_type("timerTrigger"):
            schedule = schedules[function.name]
            self._tasks.append(asyncio.create_task(timers.run(worker, function, schedule, self._stopping)))
        for task in self._tasks:
            task.add_done_callback(_report)
        for function in worker.functions:
            if function.trigger["type"] not in _SERVED:
                log.warning("%s: this host does not serve %s", function.name, function.trigger["type"])
        took = time.perf_counter() - began
        log.info("%d functions on http://127.0.0.1:%d after %.2f s", len(worker.functions), port, took)
        return port

    async def stop(self) -> None:
        """Take nothing new, let queue, timer and HTTP functions finish within the time to drain, close."""
        self._stopping.set()
        await asyncio.gather(self._drained(), self._runner.cleanup())
        if self._durable is not None:
            await self._durable.stop()
        await self._queues.close()

    async def _drained(self) -> None:
        until = time.monotonic() + self._drain
        # The listeners first: one may just be receiving messages, which then run and would else wait out their lease.
        for tasks in (self._tasks, self._queues.running):
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=max(0.0, until - time.monotonic()))
                for task in late:
                    task.cancel()


def overridden(config: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """host.json with the values that app settings put in their place, as the real host does:
    `AzureFunctionsJobHost__extensions__queues__visibilityTimeout=00:00:01`."""
    for name, value in environment.items():
        first, *path = name.split("__")
        if first != "AzureFunctionsJobHost" or not path:
            continue
        at = config
        for part in path[:-1]:
            at = at.setdefault(part, {})
        at[path[-1]] = value
    return config


def _schedule(function: Function) -> timers.Schedule:
    text = function.setting("schedule") or ""
    try:
        return timers.Schedule(text)
    except ValueError as error:
        raise RuntimeError(f"function {function.name}: its schedule {text!r} cannot be used: {error}") from None


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a listener ended: %r", task.exception())


def _read(path: Path) -> dict[str, Any]:
    try:
        return files.read_object(path) if path.exists() else {}
    except files.DamagedError as error:
        raise RuntimeError(f"{error}: correct it") from None
