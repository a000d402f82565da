"""Companions that stay beside an orphan of a repository when it is deleted: the staging items of a dataflow.

The deployment that created the orphan may be long over. Its journal proves the companions, as long as it is not
forgotten. An item that still stands has companions of its own, so nothing is proved of those that
were created in the same seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from shared.domain.records import DeploymentRecord, Resource
from shared.saga.step import companions
from shared.saga.step.delivery import Services
from shared.saga.sweep.orphans import adopted_ids
from shared.steps.companion_types import COMPANIONS
from shared.steps.companions import proven, unproven
from shared.steps.makers import Found, Maker


@dataclass(frozen=True)
class Beside:
    """The companions that are deleted with an item, and what looks like one and stays."""

    going: tuple[Found, ...] = ()
    kept: tuple[Resource, ...] = ()

    def __str__(self) -> str:
        return companions.with_it(self.going) + companions.with_kept(self.kept)


def has_companions_that_stay(item_type: str) -> bool:
    """Return True if Fabric leaves companions of such an item when it is deleted."""
    return any(companion.outlives for companion in COMPANIONS.get(item_type, ()))


def find(services: Services, record: DeploymentRecord, item: Resource) -> Beside:
    """Return what stays beside an item when it is deleted, or has been.

    Raises ConflictError while another deployment is active at the target, because it may be about to adopt it;
    FabricError.
    """
    if not has_companions_that_stay(item.type):
        return Beside()
    place, taken = item.parent_id or "", adopted_ids(services, record)
    makers = _makers(services, record.target, item)
    rows = list(services.fabric.list(f"/workspaces/{place}/items")) if makers else []
    standing = {str(row.get("id") or "").lower() for row in rows} - {item.id.lower()}
    known = proven(services.fabric, [_seen(maker, standing) for maker in makers], rows, place)
    going = [found for found in known if found.outlives and found.resource.id not in taken]
    gone = [maker for maker in makers if maker.resource.id == item.id]
    return Beside(tuple(going), tuple(unproven(gone, rows, place, going)))


def _makers(services: Services, target: str, item: Resource) -> list[Maker]:
    """Return the item and the others of its type that its deployment created, if the journal remembers that."""
    now = services.clock.now()
    for makers in _created_at(services, target):
        if any(maker.resource.id == item.id for maker in makers):
            alike = [m for m in makers if m.resource.type == item.type and m.resource.parent_id == item.parent_id]
            return alike if all(maker.companions_shown_at <= now for maker in alike) else []
    return []


def _created_at(services: Services, target: str) -> Iterator[list[Maker]]:
    """Yield what each deployment of a target created, of the items to which Fabric adds companions."""
    for deployment in services.journal.deployments(target):
        rows = [each.record for each in services.journal.steps(deployment.deployment_id)]
        yield companions.makers_among(services, rows)


def _seen(maker: Maker, standing: set[str]) -> Maker:
    """Return a maker; one that still stands as one whose companions cannot be told from those of others."""
    if maker.resource.id.lower() not in standing:
        return maker
    stamped = [companion.type for companion in COMPANIONS[maker.resource.type] if companion.is_stamped]
    return replace(maker, made={**(maker.made or {}), **dict.fromkeys(stamped, "")})
