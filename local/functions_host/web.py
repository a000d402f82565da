"""HTTP triggers with function keys, the durable extension's webhooks, and the host's admin endpoints."""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import grpc
from aiohttp import web
from aiohttp.typedefs import Handler

from local.functions_host import timers
from local.functions_host.durable import Durable
from local.functions_host.keys import Keys
from local.functions_host.queues import Queues
from local.functions_host.worker import Function, InvocationError, Worker, log_error, protocol

_CONSTRAINTS = {"int": r"-?\d+", "long": r"-?\d+", "guid": "[0-9a-fA-F-]{36}"}
_PARAMETER = re.compile(r"\{(\*?)(\w+)(?::([a-z]+)(?:\([^)]*\))?)?\}")


def routes_of(template: str, prefix: str) -> list[str]:
    """Return aiohttp's routes for an Azure route template.

    `{x?}` is optional, `{x:int}` has a constraint, and `{*rest}` matches the rest of the path.
    """
    text = "/" + "/".join(part for part in (prefix, template.strip("/")) if part)
    # Each parameter has a pattern, because aiohttp's default pattern refuses braces in a value.
    text = _PARAMETER.sub(lambda m: f"{{{m[2]}:{'.*' if m[1] else _CONSTRAINTS.get(m[3], '[^/]+')}}}", text)
    optional = re.search(r"/\{(\w+)\?\}$", text)
    if optional is None:
        return [text]
    start = text[: optional.start()]
    return [start, f"{start}/{{{optional[1]}:[^/]+}}"]


def with_slash(route: str) -> list[str]:
    """Return a route with and without a slash at its end, because ASP.NET's routing in Azure's host ignores the slash.

    Source: github.com/Azure/azure-functions-host/issues/969 shows requests that are served in this way.
    """
    return [route] if route.endswith(("/", ":.*}")) else [route, f"{route}/"]


async def without_type(request: web.Request, response: web.StreamResponse) -> None:
    """Remove the content type, which aiohttp adds, from a response without a body."""
    if isinstance(response, web.Response) and not response.body:
        response.headers.popall("Content-Type", None)


@web.middleware
async def as_azure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 404 without a body for an unknown route or method, as Azure's host does.

    Source: github.com/Azure/azure-functions-host/issues/10098.
    """
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return web.Response(status=404)
    except web.HTTPUnauthorized:
        return web.Response(status=401)


class Web:
    """The HTTP side of the host."""

    def __init__(
        self,
        worker: Worker,
        queues: Queues,
        durable: Durable | None,
        keys: Keys,
        prefix: str,
        *,
        functions: Sequence[Function],
        limit: int = 0,
    ) -> None:
        """`functions` are the HTTP functions to serve; `limit` is how many of them run at once, 0 for no limit."""
        self._slots = asyncio.Semaphore(limit) if limit else nullcontext()
        self._worker, self._queues, self._durable, self._keys = worker, queues, durable, keys
        self.app = web.Application(client_max_size=100 << 20, middlewares=[as_azure])
        self.app.on_response_prepare.append(without_type)
        for function in functions:
            for route in routes_of(function.setting("route") or function.name, prefix):
                for method in function.trigger.get("methods") or ["*"]:
                    for path in with_slash(route):
                        self.app.router.add_route(method, path, self._handler(function))
        self.app.router.add_get("/admin/host/ping", self._ping)
        self.app.router.add_get("/admin/host/status", self._status)
        self.app.router.add_get("/admin/host/metrics", self._metrics)
        self.app.router.add_post("/admin/functions/{name}", self._fire)
        if durable is not None:
            instance = "/runtime/webhooks/durabletask/instances/{id}"
            self.app.router.add_get(instance, self._instance)
            self.app.router.add_delete(instance, self._purge)
            self.app.router.add_post(instance + "/raiseEvent/{name}", self._raise_event)
            self.app.router.add_post(instance + "/terminate", self._terminate)

    def _handler(self, function: Function) -> Any:
        level = str(function.trigger.get("authLevel") or "function").lower()

        async def handle(request: web.Request) -> web.Response:
            if not self._keys.open(request, level):
                return web.Response(status=401)
            sent = protocol.RpcHttp(
                method=request.method,
                url=str(request.url),
                headers=dict(request.headers),
                params=dict(request.match_info),
                query=dict(request.query),
                body=protocol.TypedData(bytes=await request.read()),
            )
            try:
                async with self._slots:
                    value, outputs = await self._worker.invoke(function, protocol.TypedData(http=sent))
                await self._queues.outputs(function, None, {k: v for k, v in outputs.items() if k != "$return"})
            except InvocationError as error:
                log_error(function.name, error)
                return web.Response(status=500)
            return _response(value)

        return handle

    async def _ping(self, request: web.Request) -> web.Response:
        return web.Response(status=200)

    async def _status(self, request: web.Request) -> web.Response:
        if not self._keys.open(request, "admin"):
            return web.Response(status=401)
        return web.json_response({"state": "Running", "functions": [f.name for f in self._worker.functions]})

    async def _metrics(self, request: web.Request) -> web.Response:
        """Return the usage, for benchmarks. Azure's host does not have this endpoint."""
        if not self._keys.open(request, "admin"):
            return web.Response(status=401)
        usage = {name: asdict(u) for name, u in self._worker.usage.items()}
        times = os.times()
        return web.json_response({"functions": usage, "cpu_seconds": times.user + times.system})

    async def _fire(self, request: web.Request) -> web.Response:
        """Run a timer function now, or put `input` on the queue of a queue function, as the real host does."""
        if not self._keys.open(request, "admin"):
            return web.Response(status=401)
        function = next((f for f in self._worker.functions if f.name == request.match_info["name"]), None)
        if function is None:
            return web.Response(status=404)
        if function.trigger["type"] == "timerTrigger":
            now = datetime.now(UTC)
            await timers.fire(self._worker, function, now, now)
            return web.Response(status=202)
        if function.trigger["type"] == "queueTrigger":
            try:
                given = str(json.loads(await request.text() or "{}").get("input", ""))
            except (ValueError, AttributeError):
                return web.Response(status=400, text='the body must be a JSON object with "input"')
            await self._queues.put(function.setting("queueName") or "", given.encode())
            return web.Response(status=202)
        return web.Response(status=400, text="only timer and queue functions can be started here")

    def _durable_for(self, request: web.Request) -> Durable:
        if self._durable is None or not self._keys.open(request, "admin"):
            raise web.HTTPUnauthorized
        return self._durable

    async def _instance(self, request: web.Request) -> web.Response:
        state = await self._durable_for(request).status(request.match_info["id"])
        if state is None:
            return web.json_response({}, status=404)
        return web.json_response(state, status=202 if _is_live(state) else 200)

    async def _raise_event(self, request: web.Request) -> web.Response:
        durable, text = self._durable_for(request), await request.text()
        try:
            await durable.raise_event(request.match_info["id"], request.match_info["name"], text or "null")
        except grpc.aio.AioRpcError as error:
            return web.Response(status=410 if error.code() is grpc.StatusCode.FAILED_PRECONDITION else 404)
        return web.Response(status=202)

    async def _terminate(self, request: web.Request) -> web.Response:
        durable, instance_id = self._durable_for(request), request.match_info["id"]
        state = await durable.status(instance_id)
        if state is None or not _is_live(state):
            return web.Response(status=404 if state is None else 410)
        await durable.terminate(instance_id, request.query.get("reason", ""))
        return web.Response(status=202)

    async def _purge(self, request: web.Request) -> web.Response:
        count = await self._durable_for(request).purge(request.match_info["id"])
        return web.json_response({"instancesDeleted": count}, status=200 if count else 404)


def _is_live(state: dict[str, Any]) -> bool:
    return state["runtimeStatus"] in ("Pending", "Running", "Suspended")


def _response(value: Any) -> web.Response:
    if value is None:
        return web.Response(status=204)
    if value.WhichOneof("data") != "http":
        return web.Response(text=str(getattr(value, value.WhichOneof("data"))))
    sent = value.http
    headers = {k: v for k, v in sent.headers.items() if k.lower() != "content-length"}
    body = getattr(sent.body, sent.body.WhichOneof("data"))
    return web.Response(status=int(sent.status_code), headers=headers, body=body)
