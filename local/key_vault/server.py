"""The HTTPS server for vault, Entra and identity endpoint, with injected faults and a control API.

The control API has `GET /_sim/calls`, `GET /_sim/tokens` (all issued tokens), `POST /_sim/secrets` (a new version:
name, value, attributes), `POST /_sim/clients` (accepted credentials by client id), `POST /_sim/faults` (rules as in
local/fabric_simulator/faults.py) and `POST /_sim/settings` (echoes, forbidden, life_seconds).
"""

import asyncio
import json
import random
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from local.fabric_simulator.faults import Faults
from local.fabric_simulator.http import Answer, Request
from local.key_vault import certificate
from local.key_vault.entra import Client, Entra
from local.key_vault.vault import Vault


class KeyVaultServer:
    """The stand-ins and the log of their calls (method, path and status, never a value).

    As a context manager, the server runs on its own thread.
    """

    def __init__(self, folder: Path, *, port: int = 0, identity_header: str = "") -> None:
        self.ca_file = folder / "ca.pem"
        self._key_file = folder / "key.pem"
        if not self.ca_file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            public, private = certificate.make("stand-in for Key Vault and Entra")
            self._key_file.touch(0o600)
            self._key_file.write_text(private)
            self.ca_file.write_text(public)
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.entra = Entra(self.url, identity_header)
        self.vault = Vault(self.url, f"{self.url}/tenant-of-the-vault", self.entra.accepts_vault_token)
        self.faults = Faults()
        self.calls: list[tuple[str, str, int | None]] = []
        self._chance = random.Random(0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()

    def call_count(self, path: str) -> int:
        """Return the number of calls to a path, without those that were challenged for a token (401)."""
        return sum(1 for _, p, status in self.calls if p == path and status != 401)

    def __enter__(self) -> Self:
        started = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self.start()
            started.set()
            await self._over.wait()
            await self.stop()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        if not started.wait(30):
            raise RuntimeError("the stand-in for Key Vault did not start")
        return self

    def __exit__(self, *error: object) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    async def start(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.ca_file, self._key_file)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener, ssl_context=context).start()

    async def stop(self) -> None:
        """Close the listener and all connections."""
        server = self._runner.server
        for connection in [] if server is None else server.connections:
            # An orderly close waits for the client, and a connection pool does not close its connections.
            if connection.transport is not None:
                connection.transport.abort()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {k.lower(): v for k, v in request.headers.items()}
        requested = Request(request.method, request.path, dict(request.query), headers, await request.read())
        if requested.path.startswith("/_sim/"):
            return _response(self._control(requested))
        fault = self.faults.inject(requested.method, requested.path, self._chance)
        if "delay_seconds" in fault:
            await asyncio.sleep(float(fault["delay_seconds"]))
        if "reset" in fault:
            self.calls.append((requested.method, requested.path, None))
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if "status" in fault:
            body = fault.get("body") or {"error": {"code": "Synthetic", "message": "An injected fault."}}
            answer = Answer(int(fault["status"]), body, {"x-sim-synthetic": "true", **fault.get("headers", {})})
        else:
            answer = (self.vault if requested.path.startswith("/secrets/") else self.entra).handle(requested)
        self.calls.append((requested.method, requested.path, answer.status))
        return _response(answer)

    def _control(self, request: Request) -> Answer:
        body: Any = json.loads(request.body) if request.body else {}
        match request.path.removeprefix("/_sim/"):
            case "calls":
                return Answer(200, self.calls)
            case "tokens":
                return Answer(200, self.entra.issued)
            case "secrets":
                return Answer(200, {"version": self.vault.put(body.pop("name"), body.pop("value"), **body)})
            case "clients":
                self.entra.clients = {name: Client(**row) for name, row in body.items()}
            case "faults":
                self.faults.replace(body)
            case "settings":
                self.entra.echoes = bool(body.get("echoes", self.entra.echoes))
                self.entra.life_seconds = int(body.get("life_seconds", self.entra.life_seconds))
                self.vault.is_forbidden = bool(body.get("forbidden", self.vault.is_forbidden))
            case _:
                return Answer(
                    404, {"error": "unknown; the paths are: calls, tokens, secrets, clients, faults, settings"}
                )
        return Answer(200, {})


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status, headers=answer.headers, text=json.dumps(answer.body), content_type="application/json"
    )
