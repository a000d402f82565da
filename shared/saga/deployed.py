"""Notes on the items of repositories: written when a deployment succeeds, and reversed when it is rolled back.

The notes pair an item of the repository with an item of the workspace: so a renamed item is recognised, an unchanged
one is skipped, and only items that a deployment created can count as orphans. A note is never the only proof: the item
that it names is looked up in Fabric.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from weakref import WeakKeyDictionary

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.json import JsonObject, canonical
from shared.domain.ports import Clock, DeployedItem, DeployedItems
from shared.domain.ports.deployed import PARTS_OF_ITEMS, SCHEDULES, identity_of
from shared.domain.record_json import dump, load
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState, IntentAction, StepState
from shared.steps.item_schedules import ItemSchedulesKind
from shared.steps.orphans import OrphansKind
from shared.steps.removed_schedules import RemovedSchedulesKind
from shared.steps.repository_item import RepositoryItemKind
from shared.steps.repository_shortcuts import RemovedShortcutsKind, RepositoryShortcutKind
from shared.steps.schedules import ids_after

_NOTED = frozenset(
    kind.name
    for kind in (
        *(RepositoryItemKind, RepositoryShortcutKind, RemovedShortcutsKind),
        *(ItemSchedulesKind, RemovedSchedulesKind),
    )
)
"""The kinds of steps whose ends are noted."""
_WORKSPACES = 4
"""Workspaces whose notes a process keeps, the latest ones."""


def nothing_stored(digest: str) -> bytes:
    """Raise InvalidInputError: no payload is at hand."""
    raise InvalidInputError([Problem("$.with", f"the file with the SHA-256 {digest} is not at hand")])


def settle(
    notes: DeployedItems | None, header: DeploymentRecord, rows: Iterable[StepRecord], end: DeploymentState
) -> None:
    """Write the notes that follow from the end of a deployment, before the end itself is written. Safe to repeat."""
    rows = list(rows)
    own = [row for row in rows if row.kind in _NOTED and row.resource is not None]
    if notes is None:
        return
    if end is DeploymentState.SUCCEEDED:
        _forget_deleted(notes, header, rows)
        _write(notes, header, own)
    elif end in (DeploymentState.COMPENSATED, DeploymentState.CANCELLED):
        _reverse(notes, header, own)
    elif end is DeploymentState.FAILED:  # released, or rollback is off: only what was compensated is as before
        left = [row for row in own if row.state is not StepState.COMPENSATED]
        own = [row for row in own if row.state is StepState.COMPENSATED]
        _reverse(notes, header, own, _noted_by(own))
        _doubt(notes, left)
        _renew(notes, header, left)
    if end in (DeploymentState.COMPENSATED, DeploymentState.CANCELLED, DeploymentState.FAILED):
        for workspace_id in {(row.outputs or {})["workspaceId"] for row in own if (row.outputs or {}).get("renewed")}:
            notes.put(list(_with_new_ids(own, notes.of_workspace(workspace_id))))


@dataclass(frozen=True)
class Recalled:
    """The notes as a step of a deployment at `target` recalls them (`Recall` of steps/kind.py).

    With `later_than`, the notes of the whole workspace may have been read at any time after it, for another step.
    """

    notes: DeployedItems | None
    target: str
    later_than: datetime | None = None
    now: Callable[[], datetime] | None = None
    read: Callable[[str], bytes] = nothing_stored

    def of_item(self, workspace_id: str, logical_id: str, key: str) -> JsonObject | None:
        """Return the id and name of an item, what was sent, what Fabric showed, and if a deployment created it."""
        item_type, _, name = key.partition("/")
        note = self._of_workspace(workspace_id).get(identity_of(logical_id, item_type, name))
        return None if note is None else _recalled(note)

    def of_part(self, workspace_id: str, part: str, item_id: str, name: str = "") -> JsonObject | None:
        """Return what was noted last of a part of an item."""
        found = [
            note
            for note in self._of_workspace(workspace_id).values()
            if note.type == part
            and note.item_id.lower() == item_id.lower()
            and name.casefold() in ("", note.name.casefold())
        ]
        return _recalled(max(found, key=lambda note: note.accepted_at)) if found else None

    def named(self, workspace_id: str, key: str) -> list[JsonObject]:
        """Return the identity and the id of each item that was deployed under this type and name, whatever its case."""
        item_type, _, name = key.partition("/")
        wanted = name.casefold()
        return [
            {"identity": note.identity, "id": note.item_id}
            for note in self._of_workspace(workspace_id).values()
            if note.type == item_type and note.name.casefold() == wanted
        ]

    def _of_workspace(self, workspace_id: str) -> Mapping[str, DeployedItem]:
        """Return the notes by identity, without those whose item has another identity now."""
        if self.notes is None:
            return {}
        if self.later_than is None or self.now is None:
            return _current(self.notes.of_workspace(workspace_id))
        return _read_by(self.notes).of_workspace(self.notes, workspace_id, self.later_than, self.now)

    def ids(self, workspace_id: str, later_than: datetime) -> list[str]:
        """Return the ids of all items that the notes of a workspace name, in the same order for all who ask; the notes
        may have been read at any time after `later_than`."""
        if self.notes is None or self.now is None:
            return []
        found = _read_by(self.notes).of_workspace(self.notes, workspace_id, later_than, self.now)
        return sorted({note.item_id.lower() for note in found.values()})

    def of_step(self, workspace_id: str, step_id: str) -> list[JsonObject]:
        """Return the notes whose source is this step, in the order of their names."""
        if self.notes is None:
            return []
        source = source_of(self.target, step_id)
        found = sorted(self.notes.of_workspace(workspace_id), key=lambda note: (note.type, note.name))
        items = {note.item_id.lower(): note for note in _current(found).values() if note.type not in PARTS_OF_ITEMS}
        rows: list[JsonObject] = []
        for note in found:
            if note.source == source:
                row = {"identity": note.identity, "type": note.type, **_recalled(note)}
                row.pop("seen", None)
                if note.type in PARTS_OF_ITEMS and (item := items.get(note.item_id.lower())) is not None:
                    row["holder"] = {"identity": item.identity, "key": f"{item.type}/{item.name}"}
                rows.append(row)
        return rows

    def payload(self, digest: str) -> bytes:
        """Return a stored payload. Raises InvalidInputError, or as `read`."""
        return self.read(digest)


def _recalled(note: DeployedItem) -> JsonObject:
    seen = {"seen": note.seen} if note.seen else {}
    return {"id": note.item_id, "name": note.name, "sent": note.sent, "isOwn": note.is_own, **seen}


def noted(notes: DeployedItems | None, target: str, clock: Clock) -> Recalled:
    """Return the notes as they are from now on: those of a workspace are read once for all steps of a plan."""
    return Recalled(notes, target, clock.now(), clock.now)


def source_of(target: str, step_id: str) -> str:
    """Return what a note says of where it comes from: the target, and the step of the manifest."""
    return f"{target}/{step_id.split('/')[0]}"


def _current(notes: Iterable[DeployedItem]) -> Mapping[str, DeployedItem]:
    """Return the notes by identity. An item that was deployed under two of them, because its logical id changed, has
    the later one: under the other one, an item that comes back would be taken for it."""
    last: dict[str, DeployedItem] = {}
    found = list(notes)
    for note in found:
        known = last.get(note.item_id.lower())
        if note.type not in PARTS_OF_ITEMS and (known is None or known.accepted_at < note.accepted_at):
            last[note.item_id.lower()] = note
    return {note.identity: note for note in found if note.type in PARTS_OF_ITEMS or last[note.item_id.lower()] is note}


class _ReadNotes:
    """The notes of the workspaces that one process has read last: a deployment begins all of its items at once."""

    def __init__(self) -> None:
        # Reentrant: in the simulation, the thread of a read runs the other deliveries of its process meanwhile.
        self._lock = threading.RLock()
        self._found: dict[str, tuple[datetime, Mapping[str, DeployedItem]]] = {}

    def of_workspace(
        self, notes: DeployedItems, workspace_id: str, later_than: datetime, now: Callable[[], datetime]
    ) -> Mapping[str, DeployedItem]:
        with self._lock:
            known = self._found.get(workspace_id)
            if known is not None and known[0] > later_than:
                return known[1]
            requested_at = now()
            found = _current(notes.of_workspace(workspace_id))
            self._found.pop(workspace_id, None)
            self._found[workspace_id] = requested_at, found
            while len(self._found) > _WORKSPACES:
                del self._found[next(iter(self._found))]
            return found


_read: WeakKeyDictionary[DeployedItems, _ReadNotes] = WeakKeyDictionary()
_reading = threading.Lock()


def _read_by(notes: DeployedItems) -> _ReadNotes:
    with _reading:
        found = _read.get(notes)
        if found is None:
            found = _read[notes] = _ReadNotes()
        return found


def _write(notes: DeployedItems, header: DeploymentRecord, rows: list[StepRecord]) -> None:
    found: dict[tuple[str, str], DeployedItem] = {}
    removed: dict[str, set[str]] = {}
    for row in rows:
        outputs = row.outputs or {}
        if row.state is not StepState.SUCCEEDED:
            continue
        if "removed" in outputs:
            removed.setdefault(outputs["workspaceId"], set()).update(outputs["removed"])
        if "identity" not in outputs:
            continue
        note = DeployedItem(
            workspace_id=outputs["workspaceId"],
            identity=outputs["identity"],
            item_id=outputs["id"],
            type=outputs["type"],
            name=outputs["displayName"],
            sent=outputs.get("sent") or "",
            is_own=bool(outputs.get("isOwn")),
            source=source_of(header.target, row.step_id),
            deployment_id=header.deployment_id,
            accepted_at=header.accepted_at,
            seen=outputs.get("seen"),
        )
        shell = found.get((note.workspace_id, note.identity))
        if shell is not None:  # the two steps of one item
            own = {"sent": note.sent or shell.sent, "is_own": note.is_own or shell.is_own}
            note = replace(note, **own, seen=note.seen or shell.seen)
        found[(note.workspace_id, note.identity)] = note
    for workspace_id in {workspace_id for workspace_id, _ in found}:
        stored = {note.identity: note for note in notes.of_workspace(workspace_id)}
        fresh = [note for (place, _), note in found.items() if place == workspace_id]
        fresh += _given_up(header, stored, removed.get(workspace_id, set()) - {note.identity for note in fresh})
        fresh += _renewed(header, rows, stored, {note.identity for note in fresh})
        notes.put([_after(note, stored.get(note.identity)) for note in fresh])


def _forget_deleted(notes: DeployedItems, header: DeploymentRecord, rows: Iterable[StepRecord]) -> None:
    """Remove the notes on orphans that somebody has deleted: otherwise each deployment would look for them."""
    for row in rows:
        outputs = row.outputs or {}
        if row.kind == OrphansKind.name and row.state is StepState.SUCCEEDED and outputs.get("gone"):
            place, source, gone = outputs["workspaceId"], source_of(header.target, row.step_id), set(outputs["gone"])
            found = [note for note in notes.of_workspace(place) if note.identity in gone and note.source == source]
            notes.remove(place, [note.identity for note in found])


def _given_up(
    header: DeploymentRecord, stored: Mapping[str, DeployedItem], identities: Iterable[str]
) -> list[DeployedItem]:
    """Return the notes of what is deleted: it is not ours any more, whoever creates it again."""
    old = [stored[identity] for identity in identities if identity in stored]
    return [
        replace(note, is_own=False, deployment_id=header.deployment_id, accepted_at=header.accepted_at) for note in old
    ]


def _renew(notes: DeployedItems, header: DeploymentRecord, rows: Iterable[StepRecord]) -> None:
    """Write the new ids of schedules that steps have made again and that stay as they are."""
    rows = list(rows)
    places = {(row.outputs or {})["workspaceId"] for row in rows if (row.outputs or {}).get("renewed")}
    for workspace_id in places:
        stored = {note.identity: note for note in notes.of_workspace(workspace_id)}
        found = _renewed(header, rows, stored, set())
        notes.put([_after(note, stored[note.identity]) for note in found])


def _renewed(
    header: DeploymentRecord, rows: Iterable[StepRecord], stored: Mapping[str, DeployedItem], written: set[str]
) -> list[DeployedItem]:
    """Return the notes on schedules that have other ids now, because Fabric deleted them with the definition of their
    item and the deployment made them again: without the new ids, nothing would prove that they are ours."""
    old = [note for note in stored.values() if note.identity not in written]
    return [
        replace(note, deployment_id=header.deployment_id, accepted_at=header.accepted_at)
        for note in _with_new_ids(rows, old)
    ]


def _with_new_ids(rows: Iterable[StepRecord], notes: Iterable[DeployedItem]) -> Iterator[DeployedItem]:
    """Yield the notes on schedules of which some have other ids now, with those."""
    new: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.ordinal, reverse=True):  # a rollback ends with the first step
        new |= ids_after((row.outputs or {}).get("renewed"))
    for note in notes:
        if note.type == SCHEDULES and (sent := _renewed_text(note.sent, new)) != note.sent:
            previous = note.previous and {**note.previous, "sent": _renewed_text(note.previous["sent"], new)}
            yield replace(note, sent=sent, previous=previous)


def _renewed_text(sent: str, new: Mapping[str, str]) -> str:
    """Return the digests of schedules with their new ids."""
    noted: list[JsonObject] = json.loads(sent) if sent else []
    return canonical([{**each, "id": new.get(each["id"], each["id"])} for each in noted]) if noted else sent


def _after(note: DeployedItem, before: DeployedItem | None) -> DeployedItem:
    if before is None:
        return note
    if before.deployment_id == note.deployment_id:
        return replace(note, previous=before.previous)
    return replace(note, previous=dump(replace(before, previous=None)))


def _doubt(notes: DeployedItems, rows: Iterable[StepRecord]) -> None:
    """Forget which content was sent to the items that these steps have changed or may have changed: the next deployment
    sends it, whatever it is."""
    changed: dict[str, set[str]] = {}
    for row in rows:
        is_begun = row.intent is not None and row.intent.action is not IntentAction.ADOPT
        if row.kind == RepositoryItemKind.name and is_begun and row.resource is not None and row.resource.parent_id:
            changed.setdefault(row.resource.parent_id, set()).add(row.resource.id.lower())
    for workspace_id, ids in changed.items():
        noted = [note for note in notes.of_workspace(workspace_id) if note.item_id.lower() in ids]
        notes.put([replace(each, sent="", seen=None) for each in noted if each.type not in PARTS_OF_ITEMS])


def _noted_by(rows: Iterable[StepRecord]) -> Callable[[DeployedItem], bool]:
    """Return what is True for the notes that these steps have written or given up, and for those on the schedules of
    their items."""
    outputs = [row.outputs or {} for row in rows]
    identities = {each["identity"] for each in outputs if "identity" in each}
    identities |= {identity for each in outputs for identity in each.get("removed", ())}
    items = {each["id"] for each in outputs if "id" in each}
    return lambda note: note.identity in identities or (note.type == SCHEDULES and note.item_id in items)


def _reverse(
    notes: DeployedItems,
    header: DeploymentRecord,
    rows: list[StepRecord],
    is_chosen: Callable[[DeployedItem], bool] = lambda _: True,
) -> None:
    """Put the notes before this deployment in place of its own, or of those that are chosen."""
    for workspace_id in {row.resource.parent_id for row in rows if row.resource is not None and row.resource.parent_id}:
        noted = [note for note in notes.of_workspace(workspace_id) if note.deployment_id == header.deployment_id]
        own = [note for note in noted if is_chosen(note)]
        notes.put([load(DeployedItem, note.previous) for note in own if note.previous is not None])
        notes.remove(workspace_id, [note.identity for note in own if note.previous is None])
