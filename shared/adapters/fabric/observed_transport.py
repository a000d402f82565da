"""A transport that emits telemetry for every HTTP exchange, and passes the trace on to the server."""

import re
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared import tracing
from shared.adapters.fabric.transport import AnswerLostError, NothingSentError
from shared.domain.ports import Telemetry, Transport

_ID = re.compile(r"(?=.*[0-9])[0-9A-Za-z-]{2,}")
"""A part of a path that is an id: it has a digit. No word of Fabric's API has one, except for the version."""
_VERSION = re.compile(r"v[0-9]+")


class ObservedTransport:
    """Implements `Transport` around another: one dependency for each exchange, also for one without an answer."""

    def __init__(self, transport: Transport, telemetry: Telemetry) -> None:
        self._transport, self._telemetry = transport, telemetry

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Exchange with a `traceparent` header. Query, headers and bodies are not part of the telemetry."""
        span = tracing.next_span()
        address = urlsplit(url)
        began = time.perf_counter()
        status, properties, success = None, dict[str, str | None](), False
        try:
            status, answered, content = self._transport.exchange(
                method, url, {**headers, "traceparent": span.traceparent}, body
            )
            properties["request_id"] = answered.get("requestid")
            success = status < 400
            return status, answered, content
        except (NothingSentError, AnswerLostError) as error:
            properties["error"] = str(error)
            raise
        finally:
            self._telemetry.dependency(
                f"{method} {templated(address.path)}",
                target=address.netloc,
                seconds=time.perf_counter() - began,
                success=success,
                status=status,
                properties=properties,
                context=span,
            )


def templated(path: str) -> str:
    """Return the path with each id replaced by a name: /workspaces/{workspaceId}/items. The few names that remain can
    be grouped, and contain no ids."""
    parts: list[str] = []
    for part in path.split("/"):
        if not _ID.fullmatch(part) or _VERSION.fullmatch(part):
            parts.append(part)
            continue
        outer = parts[-1] if parts else ""
        singular = outer[:-3] + "y" if outer.endswith("ies") else outer.removesuffix("s")
        parts.append(f"{{{singular}Id}}" if singular.isalpha() else "{id}")
    return "/".join(parts)
