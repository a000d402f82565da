"""`python -m local.crash_sweep.host`: run functions hosts that count every exchange and can kill themselves at one.

The counted exchanges are the requests of the storage SDKs, the app's HTTP calls to Fabric, the calls of the durable
engine, and the receipt of messages. The app itself is unchanged, except that it looks at Fabric's operations early: the
simulator has ended them by then, and a kill while nothing happens proves nothing.
"""

# Wraps methods of vendors' classes, whose types are partly unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

import copy
import json
import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline.transport import AioHttpTransport, RequestsTransport

from local.crash_sweep import names
from local.crash_sweep.crash_plan import PLAN_VARIABLE
from local.crash_sweep.injector import READ, TAKEN, WRITE, CrashInjector
from local.crash_sweep.prefork import fork_hosts
from local.functions_host import __main__ as functions_host
from local.functions_host.engine_store import StoredEngine
from local.functions_host.hub_client import HubClient
from local.functions_host.queues import Queues
from local.functions_host.shared_engine import SharedEngine
from shared.adapters.fabric.transport import RequestsTransport as FabricTransport
from shared.domain.json import as_object
from shared.steps import STEPS

_in_hand: ContextVar[str] = ContextVar("_in_hand", default="")
"""The message that the host is handling in the present task."""
_USED_QUEUES = ("deployments", "deployment-steps")
_SELDOM_SECONDS = 1.0
_CREATED = (200, 201, 202)
_LOOK_SECONDS = 1.0
"""The time after which the app looks at an operation: the least delay of a message."""


def watch_storage(injector: CrashInjector, connection: str) -> None:
    """Count every request of the storage SDKs, except for the host's polls of its queues."""
    counter = _StorageCounter(injector, connection)
    plain: Callable[..., Any] = RequestsTransport.send
    asynchronous: Callable[..., Any] = AioHttpTransport.send

    def send(self: Any, request: Any, **options: Any) -> Any:
        is_last = counter.begin(request)
        answer = plain(self, request, **options)
        if is_last:
            injector.crash()
        return answer

    async def send_async(self: Any, request: Any, **options: Any) -> Any:
        is_last = request.method != "GET" and counter.begin(request)
        answer = await asynchronous(self, request, **options)
        if is_last:
            injector.crash()
        return answer

    RequestsTransport.send = send
    AioHttpTransport.send = send_async


class _StorageCounter:
    """Names the requests to the services of one connection string, and counts them."""

    def __init__(self, injector: CrashInjector, connection: str) -> None:
        settings = dict(part.split("=", 1) for part in connection.split(";") if part)
        self._services = {urlsplit(settings[f"{s}Endpoint"]).netloc: s.lower() for s in ("Blob", "Queue", "Table")}
        self._injector = injector

    def begin(self, request: Any) -> bool:
        """Count a request that starts now. Return True if the process must be killed after it."""
        service = self._services.get(urlsplit(request.url).netloc, "")
        body = _text(request.body)
        if service == "table":
            name = names.of_table(request.method, request.url, body)
        elif service == "queue":
            name = names.of_queue(request.method, request.url, body, _in_hand.get())
        else:
            name = names.of_blob(request.method, request.url)
        phases = READ if request.method in ("GET", "HEAD") else WRITE
        return self._injector.begin(name, phases, f"{request.url} {body}")


def watch_fabric(injector: CrashInjector) -> None:
    """Count every call to Fabric. A created resource's id is replaced by its name from then on."""
    plain = FabricTransport.exchange

    def exchange(self: Any, method: str, url: str, headers: Any, body: bytes | None) -> Any:
        name = names.of_fabric(method, url, body)
        is_last = injector.begin(name, READ if method == "GET" else WRITE, f"{url} {_text(body)}")
        answer = plain(self, method, url, headers, body)
        if is_last:
            injector.crash()
        if method == "POST" and answer[0] in _CREATED and answer[2]:
            made = as_object(json.loads(answer[2])) or {}
            if isinstance(made.get("displayName"), str):
                injector.remember(str(made["id"]), f"<{made.get('type', '')} {made['displayName']}>")
        return answer

    FabricTransport.exchange = exchange


def watch_messages(injector: CrashInjector) -> None:
    """Count the receipt of each message: the message is invisible now, and nothing was done with it yet."""
    plain = Queues._handle

    async def handle(self: Any, function: Any, queue: Any, name: str, message: Any) -> None:
        what = names.of_message(message.content)
        found = names.DEPLOYMENT.search(message.content)
        _in_hand.set(f"{what} of {found[0]}" if found else what)
        if injector.begin(f"queue receive {name} {_in_hand.get()}", TAKEN, message.content):
            injector.crash()
        await plain(self, function, queue, name, message)

    Queues._handle = handle


def ask_seldom() -> None:
    """Ask the queues that hardly any run uses once a second: each question costs the processor of two processes."""
    plain = Queues.listen

    async def listen(self: Any, function: Any, stopping: Any) -> None:
        if (function.setting("queueName") or "") not in _USED_QUEUES:
            self = copy.copy(self)  # with the same connections and the same running functions
            self._config = replace(self._config, longest_wait_seconds=_SELDOM_SECONDS)
        await plain(self, function, stopping)

    Queues.listen = listen


def watch_engine(injector: CrashInjector) -> None:
    """Count the calls that change or read an orchestration instance, and the timers."""

    def wrap(method: str, phases: tuple[str, ...], named: Callable[[Any, Any], str], *, of_client: bool) -> None:
        for engine in (StoredEngine, HubClient if of_client else SharedEngine):
            wrap_of(engine, method, phases, named)

    def wrap_of(engine: Any, method: str, phases: tuple[str, ...], named: Callable[[Any, Any], str]) -> None:
        plain: Callable[..., Any] = getattr(engine, method)

        def call(self: Any, request: Any, *rest: Any) -> Any:
            if method == "GetInstance" and request.getInputsAndOutputs:
                return plain(self, request, *rest)  # the host's own HTTP API, which only the sweep calls
            instance_id = request if isinstance(request, str) else request.instanceId
            is_last = injector.begin(f"durable {named(self, request)}", phases, instance_id)
            answer = plain(self, request, *rest)
            if is_last:
                injector.crash()
            return answer

        setattr(engine, method, call)

    wrap("StartInstance", WRITE, lambda _, request: "start", of_client=True)
    wrap("PurgeInstances", WRITE, lambda _, request: "purge", of_client=True)
    wrap("GetInstance", READ, lambda _, request: "state", of_client=True)
    wrap("RaiseEvent", WRITE, lambda _, request: f"event {_event(request.input.value)}", of_client=True)
    wrap("CompleteOrchestratorTask", WRITE, lambda _, request: f"turn: {_actions(request)}", of_client=False)
    wrap("CompleteActivityTask", WRITE, _named_activity, of_client=False)
    wrap("_fire", WRITE, lambda _, request: "timer", of_client=False)


def _event(text: str) -> str:
    event = as_object(json.loads(text)) or {}
    return f"step {event['ordinal']} {event['state']}" if "ordinal" in event else "command"


def _actions(request: Any) -> str:
    """Return the names of the actions that the orchestrator returned."""
    kinds = [
        a.scheduleTask.name if a.HasField("scheduleTask") else str(a.WhichOneof("orchestratorActionType"))
        for a in request.actions
    ]
    return ", ".join(sorted(kinds)) or "nothing"


def _named_activity(engine: Any, request: Any) -> str:
    return f"activity {_activity(engine, request)} done"


def _activity(engine: Any, request: Any) -> str:
    instance = engine._instances.get(request.instanceId)
    for event in instance.history if instance is not None else []:
        if event.eventId == request.taskId and event.HasField("taskScheduled"):
            return event.taskScheduled.name
    return "of the past"


def _text(body: Any) -> str:
    if isinstance(body, bytes):
        return body.decode("utf-8", "replace")
    return body if isinstance(body, str) else ""


def look_early() -> None:
    """Give all operations the same short usual duration."""
    for kind in STEPS.values():
        vars(kind)["expected_seconds"] = dict.fromkeys(kind.expected_seconds, _LOOK_SECONDS)


def main() -> None:
    """Install the counters, then fork and serve a host for each line of standard input."""
    injector = CrashInjector(Path(os.environ[PLAN_VARIABLE]))
    watch_storage(injector, os.environ["AzureWebJobsStorage"])
    watch_fabric(injector)
    watch_messages(injector)
    ask_seldom()
    watch_engine(injector)
    look_early()
    fork_hosts(functions_host.main)


if __name__ == "__main__":
    main()
