"""Orphans over HTTP: what the next sweep would delete, found in Fabric now. Nothing is deleted here."""

from contextlib import suppress
from datetime import timedelta

from shared.domain.errors import ConflictError
from shared.domain.json import JsonObject
from shared.saga.sweep.orphans import MAY_HAVE_ORPHANS, Orphan, awaits_orphan_check, find_orphans
from shared.web.backend import Backend
from shared.web.http import Reply, Request, json_reply

MAX_DEPLOYMENTS = 20
"""The maximum of one request, because each step that was about to create a resource costs a call to Fabric."""
BUDGET_SECONDS = 20.0
_CONSIDERED = 500


def _json(orphan: Orphan) -> JsonObject:
    resource = {name: value for name, value in vars(orphan.found.resource).items() if value is not None}
    return {"deployment_id": orphan.step.deployment_id, "step_id": orphan.step.step_id, "resource": resource}


def list_orphans(request: Request, backend: Backend) -> Reply:
    """List the orphans of deployments that were rolled back or released and that the sweeper has not checked yet,
    newest first.

    `is_complete` is true if all these deployments were searched. Raises FabricError.
    """
    services = backend.app().services
    until = services.clock.now() + timedelta(seconds=BUDGET_SECONDS)
    rolled_back = services.journal.page(_CONSIDERED, states=MAY_HAVE_ORPHANS)
    waiting = [header for header in rolled_back if awaits_orphan_check(header)]
    items: list[JsonObject] = []
    looked_at = 0
    for header in waiting[:MAX_DEPLOYMENTS]:
        if services.clock.now() > until:
            break
        with suppress(ConflictError):  # another deployment is active there and may adopt the resources
            items += [_json(orphan) for orphan in find_orphans(services, header)]
            looked_at += 1
    is_complete = looked_at == len(waiting) and len(rolled_back) < _CONSIDERED
    return json_reply({"items": items, "looked_at": looked_at, "is_complete": is_complete})
