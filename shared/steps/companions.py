"""Companions: items that Fabric itself adds to an item that a step created, and the proof that an item is one.

A companion carries no marker. An item counts as a companion only if all of this is true; otherwise it is foreign:

- its maker is in the journal as created by this deployment, in that workspace;
- type and name are exactly those that Fabric gives it (companion_types.py);
- nobody touched it: it has no description except the one that Fabric gives it, no tag, and is in no folder but its
  maker's;
- if it is named after its maker: nothing of that name existed before the maker was created, Fabric itself says that the
  two belong together, and if that was read when the maker was verified, the item still has the id that was read then;
- if its name has a time: the maker was created at that time, and no more such items than makers fit it.

Tables and files prove nothing, because Fabric fills staging items by itself (ADR 17).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.domain.errors import FabricAuthError, FabricNotFoundError, FabricRefusedError
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Resource, StepRecord
from shared.domain.states import IntentAction
from shared.steps.companion_types import COMPANIONS, SQL_ENDPOINT, Companion

_SLACK = timedelta(seconds=5)
"""How much the clocks of Fabric and of this app may differ."""
_STAMP = re.compile("[0-9]{14}")
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Maker:
    """An item that a step created between `since` and `until`.

    `beside` maps types to the ids of items that had a companion's name before that; it is None if nobody looked. `made`
    maps types to the ids of the companions that Fabric named when the item was verified, or before it was deleted.
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
    """The items that a deployment created: those to which Fabric adds companions, and the ids of all."""

    makers: Sequence[Maker] = ()
    ids: frozenset[str] = frozenset()


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


def maker_of(row: StepRecord) -> Maker | None:
    """Return the item that a step created, if Fabric adds companions to it."""
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
    folder = str(row.spec.get("folderId") or "")
    return Maker(row.step_id, row.resource, row.started_at, until, row.intent.beside, row.intent.made, folder)


def proven(fabric: Fabric, makers: Sequence[Maker], rows: Iterable[JsonObject], workspace_id: str) -> list[Found]:
    """Return the companions of the makers among the items of a workspace, as its list shows them.

    Raises FabricError.
    """
    inside = [m for m in makers if m.resource.parent_id == workspace_id]
    everything = list(rows)
    untouched = _untouched(everything, {maker.folder_id.lower() for maker in inside})
    found = [
        *_named(fabric, inside, untouched, workspace_id),
        *_stamped(inside, untouched, everything, workspace_id),
    ]
    lakehouses = {f.resource.name: f for f in found if f.resource.type == "Lakehouse"}
    for row in untouched:
        lakehouse = lakehouses.get(row.get("displayName") or "")
        if row.get("type") == SQL_ENDPOINT and lakehouse is not None:
            found.append(Found(_resource(row, workspace_id), lakehouse.step_id, outlives=False))
    return found


def _untouched(rows: Iterable[JsonObject], folders: set[str]) -> list[JsonObject]:
    """Return the rows that nobody has touched, as far as the list shows. A row without an id proves nothing.

    Fabric may put a companion into a folder of `folders`, those of the makers.
    """
    return [
        row
        for row in rows
        if "id" in row
        and str(row.get("folderId") or "").lower() in {"", *folders}
        and not row.get("tags")
        and not _is_described(row)
    ]


def _is_described(row: JsonObject) -> bool:
    """Return True if somebody wrote a description. Fabric describes a database that it makes by its name (recorded)."""
    own = row.get("displayName") if row.get("type") == "KQLDatabase" else None
    return bool(row.get("description")) and row["description"] != own


def _resource(row: JsonObject, workspace_id: str) -> Resource:
    return Resource(row["type"], row["id"], row["displayName"], workspace_id)


def _slots(maker: Maker) -> dict[tuple[str, str], Companion]:
    """Return the companions that are named after their maker, by type and name."""
    plain = [c for c in COMPANIONS[maker.resource.type] if not c.is_stamped]
    return {(c.type, c.name.format(name=maker.resource.name)): c for c in plain}


def _named(fabric: Fabric, makers: Sequence[Maker], rows: Sequence[JsonObject], workspace_id: str) -> Iterator[Found]:
    by_slot = {(row.get("type"), row.get("displayName")): row for row in rows if "id" in row}
    for maker in makers:
        for slot, companion in _slots(maker).items():
            row = by_slot.get(slot)
            if row is not None and _is_its_own(fabric, maker, companion, row["id"]):
                yield Found(_resource(row, workspace_id), maker.step_id, companion.outlives)


def _is_its_own(fabric: Fabric, maker: Maker, companion: Companion, item_id: str) -> bool:
    if companion.type == SQL_ENDPOINT:
        return True  # nobody else can create a SQL endpoint: Fabric has no call for it
    if companion.type in (maker.beside or {}):
        return False
    if companion.type in (maker.made or {}):
        return bool((maker.made or {})[companion.type] == item_id)
    return bool(companion.owner) and _owner(fabric, companion, maker.resource.parent_id, item_id) == maker.resource.id


def _owner(fabric: Fabric, companion: Companion, workspace_id: str | None, item_id: str) -> str | None:
    """Return the id of the item that a companion says it belongs to; None if it names none. Raises FabricError."""
    collection, *members = companion.owner
    try:
        found: object = fabric.get(f"/workspaces/{workspace_id}/{collection}/{item_id}").get("properties")
    except (FabricNotFoundError, FabricRefusedError, FabricAuthError):
        return None  # deleted since it was listed, or Fabric does not say it: no proof
    for member in members:
        found = (as_object(found) or {}).get(member)
    return found.lower() if isinstance(found, str) else None


def _stamped(
    makers: Sequence[Maker], untouched: Sequence[JsonObject], rows: Sequence[JsonObject], workspace_id: str
) -> Iterator[Found]:
    """Yield the companions whose names have a time, of those that nobody touched.

    A span of time in which makers were created must contain no more candidates than makers, touched ones included. With
    one more, nobody can decide which of them is foreign: the touched one may be the companion.
    """
    for item_type, slots in COMPANIONS.items():
        own = sorted((m for m in makers if m.resource.type == item_type), key=lambda m: m.since)
        for companion in (c for c in slots if c.is_stamped) if own else ():
            spans = _spans(own, companion)
            fitting = [(i, row) for row in rows for i, span in enumerate(spans) if _fits(row, companion, span)]
            counts = Counter(i for i, _ in fitting)
            for i, row in fitting:
                if counts[i] <= len(spans[i].makers) and row in untouched:
                    yield Found(_resource(row, workspace_id), spans[i].makers[0].step_id, companion.outlives)


def unproven(
    makers: Sequence[Maker], rows: Iterable[JsonObject], workspace_id: str, known: Iterable[Found]
) -> list[Resource]:
    """Return the items that look like companions that outlive these makers, and that nothing proves to be that."""
    ids = {found.resource.id for found in known} | {i for m in makers for i in (m.beside or {}).values()}
    return [
        _resource(row, workspace_id)
        for row in rows
        if "id" in row and row["id"] not in ids and any(_looks_like_one(maker, row) for maker in makers)
    ]


def _looks_like_one(maker: Maker, row: JsonObject) -> bool:
    companion = _slots(maker).get((row.get("type") or "", row.get("displayName") or ""))
    stamped = (c for c in COMPANIONS[maker.resource.type] if c.is_stamped)
    return (companion is not None and companion.outlives) or any(
        _fits(row, each, span) for each in stamped for span in _spans([maker], each)
    )


@dataclass
class _Span:
    begin: datetime
    end: datetime
    makers: list[Maker]


def _spans(makers: Sequence[Maker], companion: Companion) -> list[_Span]:
    """Return the spans of time in which the companions of makers were created; overlapping spans are merged."""
    spans: list[_Span] = []
    for maker in makers:
        begin, end = maker.since - _SLACK, maker.until + timedelta(seconds=companion.made_within) + _SLACK
        if spans and begin <= spans[-1].end:
            spans[-1].end = max(spans[-1].end, end)
            spans[-1].makers.append(maker)
        else:
            spans.append(_Span(begin, end, [maker]))
    return spans


def _fits(row: JsonObject, companion: Companion, span: _Span) -> bool:
    name = row.get("displayName") or ""
    prefix = companion.name.removesuffix("{stamp}")
    stamp = name.removeprefix(prefix)
    if row.get("type") != companion.type or not name.startswith(prefix) or not _STAMP.fullmatch(stamp):
        return False
    try:
        made_at = datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return False  # fourteen digits that are not a time
    return span.begin <= made_at <= span.end


def seen(fabric: Fabric, resource: Resource, beside: JsonObject) -> JsonObject:
    """Return the ids, by type, of the companions of a new item that say themselves whose they are.

    Raises FabricError.
    """
    maker = Maker("", resource, _NEVER, _NEVER, beside)
    rows = list(fabric.list(f"/workspaces/{resource.parent_id}/items"))
    found = _named(fabric, [maker], rows, resource.parent_id or "")
    return {f.resource.type: f.resource.id for f in found if f.resource.type != SQL_ENDPOINT}


def beside(fabric: Fabric, spec: JsonObject) -> JsonObject | None:
    """Return the ids, by type, of items that have the name of a future companion, before its maker is created.

    A maker that is created with a definition gets no such companion (recorded), so every name counts as in use. None
    means that no companion is named after the maker. Raises FabricError.
    """
    item_type, workspace_id = spec.get("type"), spec.get("workspaceId")
    if item_type not in COMPANIONS or not spec.get("displayName"):
        return None
    maker = Maker("", Resource(item_type, "", spec["displayName"], workspace_id), _NEVER, _NEVER)
    slots = {slot for slot, companion in _slots(maker).items() if companion.type != SQL_ENDPOINT}
    if not slots:
        return None
    if "definition" in spec or "template" in spec:
        return {companion_type: "" for companion_type, _ in sorted(slots)}
    rows = fabric.list(f"/workspaces/{workspace_id}/items")
    return {row["type"]: row.get("id", "") for row in rows if (row.get("type"), row.get("displayName")) in slots}
