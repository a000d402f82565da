"""Dry runs over HTTP: what a deployment of a manifest would change in the live workspace, found by reading only."""

from shared.domain.errors import InvalidInputError
from shared.domain.manifest import compile_manifest
from shared.domain.names import normal_target
from shared.saga import deployed
from shared.saga.dry_run.changes import DRY_RUN_RETRY, dry_run
from shared.steps import KINDS
from shared.web import bodies
from shared.web.access import check_target
from shared.web.backend import Backend
from shared.web.http import Reply, Request, bad_request, json_reply

BUDGET_SECONDS = 60.0
"""How long a dry run retries a throttling or failing Fabric: the caller waits, and Azure ends a request after 230 s."""


def plan_manifest(request: Request, backend: Backend) -> Reply:
    """Return the dry run as the app's identity sees the tenant. Raises FabricError if Fabric does not respond, and
    HttpError 403 if the caller may not change the target: the dry run shows what is in it."""
    try:
        manifest, _ = bodies.without_id(bodies.manifest(request))
        plan = compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        raise bad_request(error.problems) from None
    check_target(backend, normal_target(plan.target))
    app = backend.app()
    services = app.services
    policy = DRY_RUN_RETRY if app.flags.retry_logic else DRY_RUN_RETRY.once()
    found = dry_run(
        services.fabric,
        services.kinds,
        plan,
        clock=services.clock,
        policy=policy,
        budget_seconds=BUDGET_SECONDS,
        recall=deployed.noted(services.deployed, normal_target(plan.target), services.clock),
        read=services.payloads.read,
    )
    return json_reply(found.to_json())
