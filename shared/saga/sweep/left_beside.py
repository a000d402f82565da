"""Companions that stay beside an orphan of a repository when it is deleted: the staging items of a dataflow.

The deployment that created the orphan may be long over. Its journal proves the companions, as long as it is not
forgotten. An item that still stands has companions of its own, so nothing is proved of those that
were created in the same seconds.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property

from shared.domain.records import DeploymentRecord, Resource
from shared.saga.step import companions
from shared.saga.step.delivery import Services
from shared.saga.sweep.orphans import adopted_ids, resource_ids
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


@dataclass(frozen=True)
class _Made:
    """The resources that a deployment accounts for, and those of its items to which Fabric adds companions."""

    ids: frozenset[str]
    makers: tuple[Maker, ...]


class LeftBeside:
    """Finds what stays beside the orphans that are deleted after a deployment.

    The journal of each deployment at its target is read at most once, whatever the number of orphans: the caller holds
    the target, so none of them begins anything in the meantime.
    """

    def __init__(self, services: Services, record: DeploymentRecord) -> None:
        self._services, self._record = services, record
        self._made = cache(self._read)

    def find(self, item: Resource) -> Beside:
        """Return what stays beside an item when it is deleted, or has been.

        Raises ConflictError while another deployment is active at the target, because it may be about to adopt it;
        FabricError.
        """
        if not has_companions_that_stay(item.type):
            return Beside()
        place, fabric = item.parent_id or "", self._services.fabric
        makers = self._makers(item)
        rows = list(fabric.list(f"/workspaces/{place}/items")) if makers else []
        standing = {str(row.get("id") or "").lower() for row in rows} - {item.id.lower()}
        known = proven(fabric, [_seen(maker, standing) for maker in makers], rows, place)
        going = [found for found in known if found.outlives and found.resource.id not in self._taken]
        gone = [maker for maker in makers if maker.resource.id == item.id]
        return Beside(tuple(going), tuple(unproven(gone, rows, place, going)))

    def _makers(self, item: Resource) -> list[Maker]:
        """Return the item and the others of its type that its deployment created, if the journal remembers that."""
        now = self._services.clock.now()
        for deployment_id in self._deployments:
            makers = self._made(deployment_id).makers
            if any(maker.resource.id == item.id for maker in makers):
                alike = [m for m in makers if m.resource.type == item.type and m.resource.parent_id == item.parent_id]
                return alike if all(maker.companions_shown_at <= now for maker in alike) else []
        return []

    @cached_property
    def _deployments(self) -> list[str]:
        """The deployments at the target, newest first."""
        return [each.deployment_id for each in self._services.journal.deployments(self._record.target)]

    @cached_property
    def _taken(self) -> set[str]:
        """The ids of the resources that other deployments at the target account for."""
        return adopted_ids(self._services, self._record, lambda deployment_id: self._made(deployment_id).ids)

    def _read(self, deployment_id: str) -> _Made:
        rows = [each.record for each in self._services.journal.steps(deployment_id)]
        return _Made(resource_ids(rows), tuple(companions.makers_among(self._services, rows)))


def _seen(maker: Maker, standing: set[str]) -> Maker:
    """Return a maker; one that still stands as one whose companions cannot be told from those of others."""
    if maker.resource.id.lower() not in standing:
        return maker
    stamped = [companion.type for companion in COMPANIONS[maker.resource.type] if companion.is_stamped]
    return replace(maker, made={**(maker.made or {}), **dict.fromkeys(stamped, "")})
