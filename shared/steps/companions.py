"""Companions: items that Fabric itself adds to an item that a step created, and the proof that an item is one.

A companion carries no marker. An item counts as a companion only if all of this is true; otherwise it is foreign:

- its maker is in the journal as created by this deployment, in that workspace;
- type and name are exactly those that Fabric gives it (companion_types.py);
- nobody touched it: it has no description except the one that Fabric gives it, no tag, and is in no folder but its
  maker's;
- if it is named after its maker: nothing of that name existed before the maker was created, Fabric itself says that the
  two belong together, and if that was read when the maker was verified, the item still has the id that was read then;
- if its name has a time: the maker was created at that time, and no more such items than makers fit it, now or when
  they were first counted (staging.py).

Tables and files prove nothing, because Fabric fills staging items by itself (ADR 17).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from shared.domain.errors import FabricAuthError, FabricNotFoundError, FabricRefusedError
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Resource
from shared.steps.companion_types import COMPANIONS, SQL_ENDPOINT, Companion
from shared.steps.makers import Found, Maker, resource_of
from shared.steps.staging import looks_stamped, stamped

_NEVER = datetime.min.replace(tzinfo=UTC)


def proven(fabric: Fabric, makers: Sequence[Maker], rows: Iterable[JsonObject], workspace_id: str) -> list[Found]:
    """Return the companions of the makers among the items of a workspace, as its list shows them.

    Raises FabricError.
    """
    inside = [m for m in makers if m.resource.parent_id == workspace_id]
    everything = list(rows)
    untouched = _untouched(everything, {maker.folder_id.lower() for maker in inside})
    found = [
        *_named(fabric, inside, untouched, workspace_id),
        *stamped(inside, untouched, everything, workspace_id),
    ]
    lakehouses = {f.resource.name: f for f in found if f.resource.type == "Lakehouse"}
    for row in untouched:
        lakehouse = lakehouses.get(row.get("displayName") or "")
        if row.get("type") == SQL_ENDPOINT and lakehouse is not None:
            found.append(Found(resource_of(row, workspace_id), lakehouse.step_id, outlives=False))
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
                yield Found(resource_of(row, workspace_id), maker.step_id, companion.outlives)


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


def unproven(
    makers: Sequence[Maker], rows: Iterable[JsonObject], workspace_id: str, known: Iterable[Found]
) -> list[Resource]:
    """Return the items that look like companions that outlive these makers, and that nothing proves to be that."""
    ids = {found.resource.id for found in known} | {i for m in makers for i in (m.beside or {}).values()}
    return [
        resource_of(row, workspace_id)
        for row in rows
        if "id" in row and row["id"] not in ids and any(_looks_like_one(maker, row) for maker in makers)
    ]


def _looks_like_one(maker: Maker, row: JsonObject) -> bool:
    companion = _slots(maker).get((row.get("type") or "", row.get("displayName") or ""))
    return (companion is not None and companion.outlives) or looks_stamped(maker, row)


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
