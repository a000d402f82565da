"""The API as one table: a row a route. The functions app registers it, the OpenAPI document describes it."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.domain.errors import StorageUnavailableError
from shared.settings import SettingsError
from shared.web import page
from shared.web.http import HttpError, Reply, Request, problem

if TYPE_CHECKING:
    from shared.bootstrap import App
    from shared.domain.ports import Orchestrations

log = logging.getLogger(__name__)
RETRY_SECONDS = 5


@dataclass(frozen=True)
class Backend:
    """What handlers work with; the app is built on first use, so a static file needs none."""

    app: "Callable[[], App]"
    orchestrations: "Orchestrations | None" = None


Handler = Callable[[Request, Backend], Reply]


@dataclass(frozen=True)
class Route:
    """One row. `path` is as in OpenAPI and in the host's templates, without the prefix; `name` is the function's."""

    name: str
    method: str
    path: str
    handler: Handler
    is_anonymous: bool = False
    starts: bool = False
    """Whether it needs the durable engine."""


ROUTES: tuple[Route, ...] = (
    Route("api_dashboard", "GET", "dashboard", lambda request, _: page.serve(request), is_anonymous=True),
    Route("api_dashboard_file", "GET", "dashboard/{file}", lambda request, _: page.serve(request), is_anonymous=True),
)


def answer(handler: Handler, request: Request, backend: Backend) -> Reply:
    """Run a handler. Whatever it raises becomes a problem; what nobody expected is logged, under the id answered."""
    try:
        return handler(request, backend)
    except HttpError as error:
        return problem(request, error)
    except (StorageUnavailableError, SettingsError) as error:
        log.warning("%s %s: %s", request.method, request.path, error)
        detail = "the app's storage or its settings do not let it answer; the app's log says why"
        return problem(request, HttpError(503, detail, headers={"Retry-After": str(RETRY_SECONDS)}))
    except Exception:
        correlation_id = uuid.uuid4().hex
        log.exception("%s %s failed (%s)", request.method, request.path, correlation_id)
        detail = "this is a fault of the app; its log has more under the correlation id"
        return problem(request, HttpError(500, detail, correlation_id=correlation_id))
