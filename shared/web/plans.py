"""Plans over HTTP: what a deployment of a manifest would do to the live workspace, found out by looking only."""

from shared.domain.errors import InvalidInputError
from shared.domain.manifest import compile_manifest
from shared.saga.dry_run.changes import DRY_RUN_RETRY, dry_run
from shared.steps import KINDS
from shared.web import bodies
from shared.web.backend import Backend
from shared.web.http import Reply, Request, bad_request, json_reply

BUDGET_SECONDS = 60.0
"""How long it bears a Fabric that throttles or is ill: the caller waits, and Azure ends a request after 230 s."""


def plan_manifest(request: Request, backend: Backend) -> Reply:
    """The dry run, as the app's own identity sees the tenant. Raises FabricError where Fabric cannot be asked."""
    try:
        manifest, _ = bodies.without_id(bodies.manifest(request))
        plan = compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        raise bad_request(error.problems) from None
    app = backend.app()
    services = app.services
    policy = DRY_RUN_RETRY if app.flags.retry_logic else DRY_RUN_RETRY.once()
    found = dry_run(
        services.fabric, services.kinds, plan, clock=services.clock, policy=policy, budget_seconds=BUDGET_SECONDS
    )
    return json_reply(found.to_json())
