"""The circuit breakers over HTTP: how each stands, and closing one by hand."""

import logging

from shared.domain.errors import NotFoundError
from shared.web.backend import Backend
from shared.web.http import HttpError, Reply, Request, json_reply

log = logging.getLogger(__name__)


def list_breakers(request: Request, backend: Backend) -> Reply:
    """All of them. While storage fails they are this worker's own, and say so."""
    return json_reply({"items": backend.app().breakers.items()})


def reset_breaker(request: Request, backend: Backend) -> Reply:
    """Close one for all workers and forget its faults. Repeating it does no harm."""
    name = request.route["name"]
    breakers = backend.app().breakers
    try:
        row = breakers.reset(name)
    except NotFoundError:
        known = ", ".join(row["name"] for row in breakers.items())
        raise HttpError(404, f"there is no such circuit breaker; there are: {known}") from None
    log.warning("circuit breaker %s closed by hand by %s", name, backend.requester(request, ""))
    return json_reply(row)
