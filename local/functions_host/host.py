"""The host: it reads host.json, loads the app, and runs all listeners until it is stopped."""

import asyncio
import logging
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from local import azurite, files
from local.functions_host import groups, timers
from local.functions_host.durable import Durable
from local.functions_host.engine import Engine
from local.functions_host.engine_store import StoredEngine
from local.functions_host.hub_client import HubClient
from local.functions_host.hub_config import HubConfig
from local.functions_host.keys import Keys
from local.functions_host.queues import QueueConfig, Queues, seconds_of
from local.functions_host.shared_engine import SharedEngine
from local.functions_host.task_hub import TaskHub
from local.functions_host.web import Web
from local.functions_host.worker import Function, Worker

log = logging.getLogger("host")

_SERVED = frozenset({"httpTrigger", "queueTrigger", "timerTrigger", "orchestrationTrigger", "activityTrigger"})
_DEFAULT_TIMEOUT_SECONDS = 1800.0
_SHORT_FORM = "UseDevelopmentStorage=true"
_DEVELOPMENT_PORTS = (10_000, 10_001, 10_002)
"""The ports that the short form means."""


@dataclass(frozen=True)
class Options:
    """The host's options; their meaning is in the help of `python -m local.functions_host`."""

    port: int
    state: Path | None = None
    hub: Path | None = None
    hub_lease_seconds: float = 30.0
    keys: Path | None = None
    queue_lease_seconds: float = 600.0
    drain_seconds: float = 10.0
    http_concurrency: int = 0
    is_placeholder: bool = False


class Host:
    def __init__(self, folder: Path, options: Options) -> None:
        self._folder, self._options = folder.resolve(), options
        self._config = overridden(_read(self._folder / "host.json"), os.environ)
        for name, value in _read(self._folder / "local.settings.json").get("Values", {}).items():
            os.environ.setdefault(name, value)
        if os.environ.get("AzureWebJobsStorage", _SHORT_FORM) == _SHORT_FORM:
            # The Python SDKs do not support the short form.
            os.environ["AzureWebJobsStorage"] = azurite.connection_string(_DEVELOPMENT_PORTS)
        self._keys = Keys.load(options.keys)
        self._target = os.environ.get(groups.VARIABLE, "")
        self._tasks: list[asyncio.Task[None]] = []
        self._drain, self._stopping = options.drain_seconds, asyncio.Event()

    async def start(self) -> int:
        """Load the app and start all listeners; return the HTTP port. Raises RuntimeError if that fails."""
        began = time.perf_counter()
        extensions: dict[str, Any] = self._config.get("extensions", {})
        worker = self._worker = Worker(self._folder, self._timeout_seconds(), self._options.is_placeholder)
        await worker.load()
        self._served = groups.served(worker.functions, self._target)
        schedules = {f.name: _schedule(f) for f in self._served if f.trigger["type"] == "timerTrigger"}
        config = QueueConfig.of(extensions.get("queues", {}))
        self._queues = Queues(worker, config, os.environ["AzureWebJobsStorage"], self._options.queue_lease_seconds)
        self._durable: Durable | None = None
        if worker.of_type("orchestrationTrigger"):
            section = extensions.get("durableTask", {})
            self._durable = Durable(worker, section, self._engine(section), is_runner=self._runs_durable)
        port = await self._serve_http(worker, extensions.get("http", {}).get("routePrefix", "api").strip("/"))
        if self._durable is not None:
            await self._durable.start(f"http://127.0.0.1:{port}", self._keys.master)
        self._listen(worker, schedules)
        took = time.perf_counter() - began
        log.info("serving %d functions on http://127.0.0.1:%d after %.2f s", len(self._served), port, took)
        return port

    @property
    def _runs_durable(self) -> bool:
        return self._target in ("", groups.DURABLE)

    def _engine(self, section: dict[str, Any]) -> Engine:
        options = self._options
        if options.hub is not None:
            config = HubConfig.of(section, options.hub_lease_seconds)
            hub = TaskHub(options.hub, config.partitions)
            return SharedEngine(hub, config) if self._runs_durable else HubClient(hub)
        if self._target:
            raise RuntimeError(f"{groups.VARIABLE} is set: the hosts of the other groups need the same --hub")
        return StoredEngine(options.state) if options.state is not None else Engine()

    def _timeout_seconds(self) -> float:
        span = self._config.get("functionTimeout")
        return math.inf if span == "-1" else seconds_of(span, _DEFAULT_TIMEOUT_SECONDS)

    async def _serve_http(self, worker: Worker, prefix: str) -> int:
        limit = self._options.http_concurrency
        functions = [f for f in self._served if f.trigger["type"] == "httpTrigger"]
        served = Web(worker, self._queues, self._durable, self._keys, prefix, functions=functions, limit=limit)
        # Bodies reach the app as they were sent, because Azure's host does not decompress them.
        self._runner = web.AppRunner(served.app, access_log=None, shutdown_timeout=self._drain, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._options.port).start()
        return int(self._runner.addresses[0][1])

    def _listen(self, worker: Worker, schedules: dict[str, timers.Schedule]) -> None:
        """Start the queue and timer listeners, and warn about functions that this host does not serve."""
        listeners = [
            self._queues.listen(f, self._stopping) for f in self._served if f.trigger["type"] == "queueTrigger"
        ]
        for function in self._served:
            if function.name in schedules:
                listeners.append(timers.run(worker, function, schedules[function.name], self._stopping))
        self._tasks += [asyncio.create_task(listener) for listener in listeners]
        for task in self._tasks:
            task.add_done_callback(_report)
        for function in worker.functions:
            if function.trigger["type"] not in _SERVED:
                log.warning("function %s is not served: this host has no %s", function.name, function.trigger["type"])

    async def stop(self) -> None:
        """Start no more functions, let running ones finish within the drain time, and close everything."""
        self._stopping.set()
        await asyncio.gather(self._drained(), self._runner.cleanup())
        if self._durable is not None:
            await self._durable.stop()
        await self._queues.close()

    async def _drained(self) -> None:
        until = time.monotonic() + self._drain
        # The listeners first: one may be receiving messages, which must run now and not only when their lease is over.
        for tasks in (self._tasks, self._queues.running):
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=max(0.0, until - time.monotonic()))
                for task in late:
                    task.cancel()


def overridden(config: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return host.json with the values that app settings override, as in the real host.

    For example: `AzureFunctionsJobHost__extensions__queues__visibilityTimeout=00:00:01`.
    """
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
        raise RuntimeError(f"function {function.name}: its schedule {text!r} is not valid: {error}") from None


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a listener ended unexpectedly: %r", task.exception())


def _read(path: Path) -> dict[str, Any]:
    try:
        return files.read_object(path) if path.exists() else {}
    except files.DamagedError as error:
        raise RuntimeError(f"{error}: correct the file") from None
