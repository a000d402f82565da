"""The circuit breakers over HTTP: how each stands, and closing one by hand."""

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.domain.breaker import AREAS
from shared.domain.json import JsonObject
from shared.web.backend import Backend
from shared.web.http import HttpError, Reply, Request, json_reply

if TYPE_CHECKING:
    from shared.bootstrap import App

log = logging.getLogger(__name__)


def _names(backend: Backend) -> list[str]:
    """Those that guard Fabric, and any other that a worker has written about."""
    return sorted({*AREAS, *backend.app().breakers.all()})


def _json(app: "App", name: str) -> JsonObject:
    status = app.breakers.get(name).status()
    body: JsonObject = {
        "name": status.name,
        "state": status.state.value,
        "failures": status.faults,
        "reason": status.reason,
        "is_shared": status.is_shared,
    }
    if status.opened_at is not None:
        body["opened_at"] = status.opened_at.isoformat()
    if status.retry_after_seconds is not None:
        body["retry_at"] = (app.services.clock.now() + timedelta(seconds=status.retry_after_seconds)).isoformat()
    return body


def listed(request: Request, backend: Backend) -> Reply:
    """All of them. While storage fails they are this worker's own, and say so."""
    app = backend.app()
    return json_reply({"items": [_json(app, name) for name in _names(backend)]})


def reset(request: Request, backend: Backend) -> Reply:
    """Close one for all workers and forget its faults. Repeating it does no harm."""
    name = request.route["name"]
    if name not in _names(backend):
        raise HttpError(404, f"there is no such circuit breaker; there are: {', '.join(_names(backend))}")
    app = backend.app()
    app.breakers.reset(name)
    log.warning("circuit breaker %s closed by hand by %s", name, backend.requester(request, ""))
    return json_reply(_json(app, name))
