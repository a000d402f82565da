"""The types of handlers: the backend that they work with, and the row of a route."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.domain.access import BY_KEY, Caller, Role
from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import NotFoundError
from shared.domain.forgotten import ForgottenError
from shared.domain.json import JsonObject
from shared.web.http import HttpError, Reply, Request
from shared.web.operation import UNDOCUMENTED, OperationDoc
from shared.web.watching import Watching

if TYPE_CHECKING:
    from shared.bootstrap import App
    from shared.domain.ports import Orchestrations
    from shared.domain.records import DeploymentRecord

type HealthAnswer = Callable[[], tuple[bool, JsonObject]]
"""Returns True if the app passes, and the body."""


@dataclass(frozen=True)
class Backend:
    """The services of handlers.

    The app is built on first use, so a static file does not need it. All requests of a process share `watching`. With
    `signs_in`, sign-in is configured, and `caller` is the signed-in caller of the request.
    """

    app: "Callable[[], App]"
    orchestrations: "Orchestrations | None" = None
    health: Mapping[str, HealthAnswer] = field(default_factory=dict[str, HealthAnswer])
    watching: Watching = field(default_factory=Watching)
    signs_in: bool = False
    caller: Caller = BY_KEY

    def engine(self) -> "Orchestrations":
        """Return the durable engine. Raises RuntimeError if the route is registered without it."""
        if self.orchestrations is None:
            raise RuntimeError("this route is registered without the durable client")
        return self.orchestrations

    def header(self, deployment_id: str) -> "DeploymentRecord":
        """Return the header of a deployment. Raises HttpError 404."""
        try:
            return self.app().services.journal.header(checked_id(deployment_id)).record
        except NotFoundError as error:
            raise unknown(deployment_id, error) from None

    def requester(self, claimed: str) -> str:
        """Return the requester as recorded in the audit.

        It is the signed-in caller with the object id, else the name that the caller gives, marked as such.
        """
        if self.caller.is_signed_in:
            return f"{self.caller.name[:200]} ({self.caller.object_id})"
        return f"{claimed[:200]} (by key)" if claimed else "somebody (by key)"


def checked_id(text: str) -> str:
    """Return the text if it can be a deployment's id. Raises HttpError 404."""
    if not is_deployment_id(text):
        raise HttpError(404, f"a deployment id {ID_RULE}")
    return text


def unknown(deployment_id: str, error: NotFoundError) -> HttpError:
    """Return 404 for an unknown deployment; for one past its retention, with what remains of its header."""
    if isinstance(error, ForgottenError):
        return HttpError(404, str(error), deployment=error.record.to_json())
    return HttpError(404, f"there is no deployment '{deployment_id}'; check the id in the list of deployments")


type Handler = Callable[[Request, Backend], Reply]


@dataclass(frozen=True)
class Route:
    """One row of the table of routes: what function_app.py registers and what the OpenAPI document describes.

    `name` is the name of the function and the operation id. `path` has the syntax of OpenAPI and of the host's route
    templates, without the prefix `api/`. A signed-in caller needs one of `roles`; none is needed if they are empty. A
    route with `needs_engine` gets the durable client. An anonymous route needs neither sign-in nor a function key.
    """

    name: str
    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    doc: OperationDoc = UNDOCUMENTED
    is_anonymous: bool = False
    needs_engine: bool = False
