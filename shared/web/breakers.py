"""Circuit breakers over HTTP: list them, and close one manually."""

import logging

from shared.domain.errors import NotFoundError
from shared.web.backend import Backend
from shared.web.http import HttpError, Reply, Request, json_reply

log = logging.getLogger(__name__)


def list_breakers(request: Request, backend: Backend) -> Reply:
    """List all breakers. While storage fails, they are this worker's own, and `is_shared` is false."""
    return json_reply({"items": backend.app().breakers.items()})


def reset_breaker(request: Request, backend: Backend) -> Reply:
    """Close a breaker for all workers and forget its failures. It is safe to repeat."""
    name = request.route["name"]
    breakers = backend.app().breakers
    try:
        row = breakers.reset(name)
    except NotFoundError:
        known = ", ".join(row["name"] for row in breakers.items())
        raise HttpError(404, f"there is no such circuit breaker; the breakers are: {known}") from None
    log.warning("circuit breaker %s closed manually by %s", name, backend.requester(""))
    return json_reply(row)
