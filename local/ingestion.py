"""Serve a stand-in for Application Insights' ingestion endpoint, which stores the envelopes that it receives.

`python -m local.ingestion --port 4318` serves until it is ended. Besides `POST /v2.1/track` it has
`GET /_ingestion/envelopes` and `POST /_ingestion/mode {"status": 503}`. Its error responses (206, 439, 5xx) are
synthetic: they follow Microsoft's documentation of the codes, not recordings.
"""

import argparse
import contextlib
import gzip
import json
import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "00000000-0000-0000-0000-00000000a11f"
"""The instrumentation key in the stand-in's connection string; the stand-in accepts any key."""
SILENT = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)
"""Variables that, set to `true`, stop the vendors' libraries from calling anything but the endpoint."""
_HELD_SECONDS = 60.0


class Ingestion:
    """The envelopes received, and the status of the next responses. `status` 206 accepts every other envelope."""

    def __init__(self) -> None:
        self.envelopes: list[dict[str, Any]] = []
        self.requests = 0
        self.status = 200
        self._open = threading.Event()
        self._open.set()

    def hold(self) -> None:
        """Let every request wait until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Answer the requests that wait, and all later ones."""
        self._open.set()

    def take(self, body: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """Store a batch; return the status and body of the response."""
        self.requests += 1
        self._open.wait(_HELD_SECONDS)
        refused: list[int] = []
        if self.status == 206:
            refused = list(range(1, len(body), 2))
        elif self.status != 200:
            refused = list(range(len(body)))
        self.envelopes += [envelope for i, envelope in enumerate(body) if i not in refused]
        errors = [
            {"index": i, "statusCode": 500 if self.status == 206 else self.status, "message": ""} for i in refused
        ]
        accepted = len(body) - len(refused)
        return self.status, {"itemsReceived": len(body), "itemsAccepted": accepted, "errors": errors}

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return the envelopes of one base type (`EventData`, `MetricData`, ...)."""
        return [e for e in self.envelopes if e["data"]["baseType"] == kind]

    def until(self, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Wait until at least `count` envelopes have arrived, and return all. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while len(self.envelopes) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.envelopes)} envelopes arrived, not {count}")
            time.sleep(0.02)
        return self.envelopes


def connection_string(port: int) -> str:
    """Return the value for APPLICATIONINSIGHTS_CONNECTION_STRING."""
    return f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{port}"


@contextlib.contextmanager
def serving(port: int = 0) -> Generator[tuple[Ingestion, int]]:
    """Serve the stand-in on this port of loopback, or on a free one (0); afterwards connections are refused."""
    ingestion = Ingestion()
    server = _Server(port, ingestion)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield ingestion, server.server_address[1]
    finally:
        ingestion.release()
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """The HTTP server of one stand-in."""

    daemon_threads = True

    def __init__(self, port: int, ingestion: Ingestion) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.ingestion = ingestion


class _Handler(BaseHTTPRequestHandler):
    @property
    def _ingestion(self) -> Ingestion:
        assert isinstance(self.server, _Server)  # noqa: S101 - for the type checker
        return self.server.ingestion

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        body = json.loads(content)
        if self.path.endswith("/track"):
            self._answer(*self._ingestion.take(body))
        elif self.path == "/_ingestion/mode":
            self._ingestion.status = int(body["status"])
            self._answer(200, {})
        else:
            self._answer(404, {})

    def do_GET(self) -> None:
        if self.path == "/_ingestion/envelopes":
            self._answer(200, self._ingestion.envelopes)
        else:
            self._answer(404, {})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        with contextlib.suppress(OSError):  # the client may have closed the connection
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.ingestion", description=__doc__)
    parser.add_argument("--port", type=int, default=4318)
    with serving(parser.parse_args().port) as (_, port):
        print(f"export APPLICATIONINSIGHTS_CONNECTION_STRING='{connection_string(port)}' FEATURE_USE_TELEMETRY=true")
        print(f"export {' '.join(f'{name}=true' for name in SILENT)}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
