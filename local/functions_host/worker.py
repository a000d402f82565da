"""Run Microsoft's worker library (azure-functions-runtime) in this process, without gRPC and a worker process.

The library takes its message classes from the request, so plain objects can replace the protobuf ones. Indexing,
bindings, converters and the thread pool are the same code that runs in Azure.
"""

# The worker library has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import asyncio
import json
import logging
import os
import re
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

log = logging.getLogger("host.worker")

_THREADS = "PYTHON_THREADPOOL_THREAD_COUNT"


class Message(SimpleNamespace):
    """Replaces any message of the worker's protocol."""

    def WhichOneof(self, group: str) -> str | None:
        """Return the name of the one member that is set."""
        if group == "rpc_data":
            return "data"
        return next((name for name, value in self.__dict__.items() if value is not None), None)


def _message(name: str, **constants: Any) -> type[Message]:
    return type(name, (Message,), constants)


_PLAIN = (
    *("TypedData", "ParameterBinding", "RpcHttp", "RpcException", "RpcFunctionMetadata", "RpcRetryOptions"),
    *("WorkerMetadata", "WorkerInitResponse", "FunctionMetadataResponse", "FunctionLoadResponse"),
    "FunctionEnvironmentReloadResponse",
    *("InvocationResponse", "NullableString", "NullableBool", "NullableDouble", "NullableTimestamp"),
)
protocol = SimpleNamespace(
    BindingInfo=_message("BindingInfo", out=1, inout=2, undefined=0),
    StatusResult=_message("StatusResult", Failure=0, Success=1),
    RpcHttpCookie=_message("RpcHttpCookie", SameSite=SimpleNamespace(Lax="Lax", Strict="Strict", **{"None": "None"})),
    **{name: _message(name) for name in _PLAIN},
)

_PROPERTIES = {"host": "127.0.0.1", "protos": protocol}


class InvocationError(Exception):
    """A function raised an exception. `kind` and `text` are what the real host receives from its worker."""

    def __init__(self, message: str, stack: str) -> None:
        super().__init__(message)
        self.kind, _, self.text = message.partition(": ")
        self.stack = stack
        if stack:
            self.add_note(stack)


@dataclass(frozen=True)
class Function:
    """A function of the app, with its bindings."""

    name: str
    id: str
    bindings: list[dict[str, Any]]

    @property
    def trigger(self) -> dict[str, Any]:
        return next(b for b in self.bindings if b["type"].lower().endswith("trigger"))

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """The output bindings by name."""
        return {b["name"]: b for b in self.bindings if b["direction"].upper() == "OUT"}

    @property
    def clients(self) -> list[str]:
        """The names of the parameters that receive a durable client."""
        return [b["name"] for b in self.bindings if b["type"] == "durableClient"]

    def setting(self, key: str) -> str | None:
        """Return an attribute of the trigger, or None if it is not a string."""
        value = self.trigger.get(key)
        return value if isinstance(value, str) else None


def _resolved(name: str, binding: dict[str, Any]) -> dict[str, Any]:
    """Return a binding with each %SETTING% replaced from the environment. Raises RuntimeError if one is not set."""

    def replace(match: re.Match[str]) -> str:
        value = os.environ.get(match[1])
        if value is None:
            raise RuntimeError(f"function {name}: its binding names the app setting {match[1]}, which is not set")
        return value

    return {k: re.sub(r"%([^%]+)%", replace, v) if isinstance(v, str) else v for k, v in binding.items()}


@dataclass
class Usage:
    """The usage of one function; `busy_seconds` is the sum of the wall time inside its invocations."""

    invocations: int = 0
    failures: int = 0
    busy_seconds: float = 0.0


@dataclass
class Worker:
    folder: Path
    timeout_seconds: float
    is_placeholder: bool = False
    """If True, the worker starts without the app and its settings, and is specialized, as on Flex Consumption."""
    functions: list[Function] = field(default_factory=lambda: list[Function]())
    durable_client: str = "{}"
    usage: dict[str, Usage] = field(default_factory=lambda: defaultdict[str, Usage](Usage))

    async def load(self) -> None:
        """Import the app and index its functions.

        Raises RuntimeError with the app's traceback as a note, or if a binding names an app setting that is not set.
        """
        import azure_functions_runtime as runtime

        self._runtime: Any = runtime
        # First, also for a placeholder, because this process may find another function_app.py in its own folder.
        sys.path.insert(0, str(self.folder))
        if self.is_placeholder:
            await self._specialize()
        else:
            runtime.start_threadpool_executor()
            await self._init(self.folder)
        answer = await runtime.functions_metadata_request(Message(properties=_PROPERTIES))
        _check(answer)
        self.functions = [
            Function(row.name, row.function_id, [_resolved(row.name, json.loads(b)) for b in row.raw_bindings])
            for row in answer.function_metadata_results or []
        ]

    async def _init(self, folder: Path) -> None:
        init = Message(worker_init_request=Message(capabilities={}, function_app_directory=str(folder)))
        _check(await self._runtime.worker_init_request(Message(properties=_PROPERTIES, request=init)))

    async def _specialize(self) -> None:
        """Start without the app, then load it with its settings, in the order of Azure's worker.

        The pool is made before the environment is replaced (proxy_worker/dispatcher.py,
        `_handle__function_environment_reload_request`), so it does not see the app's settings.
        """
        settings = dict(os.environ)
        os.environ.pop(_THREADS, None)
        with tempfile.TemporaryDirectory() as empty:
            self._runtime.start_threadpool_executor()
            await self._init(Path(empty))
        self._runtime.start_threadpool_executor()
        reload = Message(environment_variables=settings, function_app_directory=str(self.folder))
        request = Message(function_environment_reload_request=reload)
        _check(
            await self._runtime.function_environment_reload_request(Message(properties=_PROPERTIES, request=request))
        )

    def of_type(self, trigger: str) -> list[Function]:
        """Return the functions with this trigger."""
        return [f for f in self.functions if f.trigger["type"] == trigger]

    async def invoke(
        self, function: Function, data: Message, metadata: dict[str, Message] | None = None
    ) -> tuple[Message | None, dict[str, Message]]:
        """Run a function; return its return value and its outputs by name. Raises InvocationError."""
        usage = self.usage[function.name]
        began = time.perf_counter()
        try:
            return await asyncio.wait_for(self._invoke(function, data, metadata), self.timeout_seconds)
        except TimeoutError:
            usage.failures += 1
            raise InvocationError(f"FunctionTimeoutException: over {self.timeout_seconds:g} s", "") from None
        except InvocationError:
            usage.failures += 1
            raise
        finally:
            usage.invocations += 1
            usage.busy_seconds += time.perf_counter() - began

    async def _invoke(
        self, function: Function, data: Message, metadata: dict[str, Message] | None
    ) -> tuple[Message | None, dict[str, Message]]:
        typed, binding = protocol.TypedData, protocol.ParameterBinding
        inputs = [binding(name=function.trigger["name"], data=data)]
        inputs += [binding(name=name, data=typed(string=self.durable_client)) for name in function.clients]
        parent = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
        request = Message(
            invocation_id=str(uuid.uuid4()),
            function_id=function.id,
            input_data=inputs,
            trigger_metadata=metadata or {},
            trace_context=Message(trace_parent=parent, trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
        answer = await self._runtime.invocation_request(Message(request=Message(invocation_request=request)))
        if answer.result.status != protocol.StatusResult.Success:
            failure = answer.result.exception
            raise InvocationError(failure.message, failure.stack_trace)
        return answer.return_value, {p.name: p.data for p in answer.output_data}


async def pause(stopping: asyncio.Event, seconds: float) -> bool:
    """Sleep until `stopping` is set. Return True if it was set within `seconds`."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _check(answer: Any) -> None:
    if answer.result.status != protocol.StatusResult.Success:
        failure = answer.result.exception
        error = RuntimeError(f"the function app cannot be loaded: {failure.message}")
        error.add_note(failure.stack_trace)
        raise error


def log_error(name: str, error: Exception, to: logging.Logger = log) -> None:
    """Log that a function failed, with the app's traceback."""
    to.error("%s failed: %s", name, error, exc_info=trace_of(error))


def trace_of(error: Exception) -> tuple[type[Exception], Exception, None] | None:
    """Return the `exc_info` that logs the app's traceback, which the error has as a note; None if it has no note."""
    return (type(error), error, None) if getattr(error, "__notes__", ()) else None
