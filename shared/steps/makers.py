"""Makers: items that a deployment created and to which Fabric adds companions (companions.py)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.json import JsonObject
from shared.domain.records import Resource, StepRecord
from shared.domain.states import IntentAction
from shared.steps.companion_types import COMPANIONS


@dataclass(frozen=True)
class Maker:
    """An item that a step created between `since` and `until`.

    `beside` maps types to the ids of items that had a companion's name before that; it is None if nobody looked. `made`
    maps types to the ids of the companions that Fabric named when the item was verified, or before it was deleted. A
    type with a stamped name is in it if nobody can tell any more which of those belong to the item (staging.py).
    `folder_id` is the folder in which the item was created.
    """

    step_id: str
    resource: Resource
    since: datetime
    until: datetime
    beside: JsonObject | None = None
    made: JsonObject | None = None
    folder_id: str = ""

    @property
    def companions_shown_at(self) -> datetime:
        """Return when all companions that outlive it are shown; `until` if it has none."""
        outliving = [c.shown_within for c in COMPANIONS.get(self.resource.type, ()) if c.outlives]
        return self.until + timedelta(seconds=max(outliving, default=0.0))


@dataclass(frozen=True)
class OwnItems:
    """The items that a deployment created: those to which Fabric adds companions, and the ids of all.

    `settled` are those makers whose companions Fabric shows by now. `possible` are those that a create may have made
    whose response was lost.
    """

    makers: Sequence[Maker] = ()
    ids: frozenset[str] = frozenset()
    settled: Sequence[Maker] = ()
    possible: Sequence[Maker] = ()


type Own = Callable[[], OwnItems]
"""Returns the items that a deployment created. It is called only if they are needed."""


@dataclass(frozen=True)
class Found:
    """A companion, and the step that created its maker."""

    resource: Resource
    step_id: str
    outlives: bool

    def __str__(self) -> str:
        return f"{self.resource.type} '{self.resource.name}' ({self.resource.id})"


def resource_of(row: JsonObject, workspace_id: str) -> Resource:
    """Return an item as a list of a workspace shows it."""
    return Resource(row["type"], row["id"], row["displayName"], workspace_id)


def described(row: JsonObject, kind: str = "item") -> str:
    """Return type and name of a row, as messages have them. Fabric may show neither; `kind` is its type then."""
    name, row_id = row.get("displayName"), row.get("id")
    what = row.get("type") or kind
    return f"{what} '{name}'" if name else f"{what} without a name ({row_id or 'without an id'})"


def maker_of(row: StepRecord, spec: JsonObject) -> Maker | None:
    """Return the item that a step created, if Fabric adds companions to it; `spec` is the step's, loaded."""
    if (
        row.resource is None
        or row.intent is None
        or row.intent.action is not IntentAction.CREATE
        or row.started_at is None
    ):
        return None
    if row.resource.type not in COMPANIONS:
        return None
    until = row.finished_at or row.compensation_started_at or row.started_at
    folder = str(spec.get("folderId") or "")
    return Maker(row.step_id, row.resource, row.started_at, until, row.intent.beside, row.intent.made, folder)


def possible_maker_of(row: StepRecord, spec: JsonObject, now: datetime) -> Maker | None:
    """Return the item that a step may have created whose response was lost, if Fabric adds companions to it."""
    is_unknown = row.resource is None and row.ambiguous and row.started_at is not None
    if not is_unknown or row.intent is None or row.intent.action is not IntentAction.CREATE:
        return None
    if spec.get("type") not in COMPANIONS or row.started_at is None:
        return None
    resource = Resource(spec["type"], "", spec.get("displayName") or "", spec.get("workspaceId"))
    return Maker(row.step_id, resource, row.started_at, now, folder_id=str(spec.get("folderId") or ""))
