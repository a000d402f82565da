"""The HTTP server around the model: one listener for the API, and one for operations, which have another host."""

import asyncio
import json
import logging
import socket
import struct
import time

from aiohttp import web

from local.fabric_simulator import control
from local.fabric_simulator.http import Reply, Request
from local.fabric_simulator.model import FabricModel

log = logging.getLogger(__name__)
_MAX_BODY_BYTES = 100 << 20


class Server:
    """Serves a model on loopback."""

    def __init__(self, model: FabricModel, *, api_url: str = "", operations_url: str = "") -> None:
        """Serve a model; the URLs are those that answers contain, by default the loopback addresses."""
        self._model = model
        self._api_url, self._operations_url = api_url, operations_url
        self._runner: web.AppRunner | None = None

    async def start(self, port: int, operations_port: int) -> tuple[int, int]:
        """Listen on these ports (0: a free one); return both ports."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=300, shutdown_timeout=0.5)
        self._runner = runner
        await runner.setup()
        ports: list[int] = []
        for wanted in (port, operations_port):
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", wanted))
            await web.SockSite(runner, listener).start()
            ports.append(int(listener.getsockname()[1]))
        self._model.api_url = self._api_url or f"http://127.0.0.1:{ports[0]}"
        self._model.operations_url = self._operations_url or f"http://127.0.0.1:{ports[1]}"
        return ports[0], ports[1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        body = await request.read()
        if request.path.startswith("/_sim/"):
            status, data = control.handle(self._model, request.method, request.path, query, body)
            return web.Response(status=status, text=json.dumps(data), content_type="application/json")
        headers = {k.lower(): v for k, v in request.headers.items()}
        try:
            reply = self._model.handle(Request(request.method, request.path, query, headers, body))
        except Exception:
            log.exception("%s %s", request.method, request.path)
            reply = Reply(500, {"Content-Type": "application/json"}, b'{"errorCode":"InternalServerError"}')
        if reply.delay_seconds > 0:
            await asyncio.sleep(reply.delay_seconds)
        if reply.reset:
            _reset(request)
            return web.Response()
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


def _reset(request: web.Request) -> None:
    """Break the connection with a TCP reset; without the zero linger it would close in the normal way."""
    if request.transport is None:
        return
    line = request.transport.get_extra_info("socket")
    if line is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


def wall_clock() -> float:
    """Return the present time in epoch seconds."""
    return time.time()
