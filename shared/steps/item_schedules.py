"""Kind `item_schedules`: the schedules of an item of a repository, as its part `.schedules` lists them.

`repository` expands to it. The step of the item switches all schedules off before it changes the definition; this step
comes after everything else of the repository, makes those that are missing, and switches them on.

A schedule has neither a name nor a marker, so a create whose response was lost cannot be recognised. Therefore it is
created switched off, and only then one schedule of each configuration is switched on; a second one, which a repeated
create has made, starts nothing and is deleted.

A schedule that a deployment created and that the part does not list any more is switched off, which can be restored
exactly, and the next deployment deletes it. Schedules of people are left as they are.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_list, as_object, canonical
from shared.domain.ports import Fabric
from shared.domain.ports.deployed import SCHEDULES, identity_of
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.repository.schedules import Schedule, has_data, is_same, is_same_plan, may_be_of, schedules_in, text_of
from shared.steps import schedule_notes, schedules
from shared.steps.details import Details
from shared.steps.kind import Call, Snapshot, VerificationError
from shared.steps.recall import Recall
from shared.steps.repository_part import UnusablePartError, rendered_part
from shared.steps.rows import located
from shared.steps.schedules import body_of
from shared.steps.updating_kind import UpdatingKind


class ItemSchedulesKind(UpdatingKind):
    """Set the schedules of an item; compensation restores those that were there."""

    name = "item_schedules"
    about = "The schedules of an item; a step of the kind repository expands to it."
    keys = ("workspaceId", "itemId")
    outputs = frozenset({"id", "workspaceId"})

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True)
        spec.guid("itemId", required=True)
        for name in ("displayName", "type", "identity", "template", "refs", "off", "renewed", "wanted", "own"):
            spec.raw(name)

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        """Return the spec with the schedules of the rendered part in its place, and with the ids of those that earlier
        deployments created. Raises FabricError, InvalidInputError."""
        if "template" not in spec:
            return spec
        kept = {name: spec[name] for name in spec if name not in ("template", "refs")}
        about = f"the schedules of {spec['type']} '{spec['displayName']}'"
        try:
            wanted = schedules_in(rendered_part(fabric, spec, recall, about))
        except ValueError as error:
            raise UnusablePartError(about, str(error)) from None
        known = recall.of_part(spec["workspaceId"], SCHEDULES, spec["itemId"])
        own: list[JsonObject] = json.loads(known["sent"]) if known is not None else []
        new = schedules.ids_after(spec.get("renewed"))
        return {
            **kept,
            "wanted": [{**vars(each)} for each in wanted],
            "own": [{**each, "id": new.get(each["id"], each["id"])} for each in own],
        }

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        rows = schedules.of_item(fabric, spec["workspaceId"], spec["itemId"], spec["type"])
        place = f"{spec['itemId'].lower()}/schedules"
        return Snapshot(Resource(SCHEDULES, place, spec["displayName"], spec["workspaceId"]), {"schedules": rows})

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return ["schedules"] if any(True for _ in _remaining(spec, _shown(found), _shown(found))) else []

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        """Return what becomes of each schedule."""
        shown = _shown(found)
        files = [text for _, text in _remaining(spec, shown, shown)]
        missing = [each.text for each in _wanted(spec) if each.enabled and not _alike(shown, each)]
        return Details((*files, *(f"{text} switched on" for text in missing)), (), "exact")

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return the calls for the schedules as they were; `calls` looks which of them remain."""
        before = _before(intent)
        return [call for call, _ in _remaining(spec, before, before)]

    def calls(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> Iterator[Call]:
        """Yield what remains to be done, and look again after the creates, because the ids to switch on are known
        only then."""
        for shows in (_shows, _shows_at_least):  # what Fabric adds to the data of the first calls stays
            now = schedules.of_item(fabric, spec["workspaceId"], spec["itemId"], spec["type"])
            yield from (call for call, _ in _remaining(spec, now, _before(intent), shows))

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that nothing remains to be done, and return which schedules deployments created."""
        found = self.find(fabric, spec)
        now = _shown(found) if found is not None else []
        before = _before(intent) if intent.action is IntentAction.UPDATE else now
        left = [text for _, text in _remaining(spec, now, before, _shows_at_least)]
        if left and intent.action is not IntentAction.ADOPT:
            raise VerificationError(f"{spec['type']} '{spec['displayName']}': this is still to be done: {left[0]}")
        there = {row["id"] for row in before}
        notes = [note for row in now if (note := _note(spec, row, is_new=row["id"] not in there)) is not None]
        return {
            "id": spec["itemId"],
            "workspaceId": spec["workspaceId"],
            "type": SCHEDULES,
            "displayName": spec["displayName"],
            "identity": identity_of("", SCHEDULES, spec["identity"]),
            "isOwn": any(map(schedule_notes.is_own, notes)),
            "sent": canonical(notes),
        }

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Search the item first: with it, its schedules are gone."""
        if located(fabric, f"/workspaces/{resource.parent_id}/items", None, spec["itemId"]) is None:
            return None
        return self.find(fabric, spec)

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the calls that delete what was created, make again what was deleted, and restore of the others
        whether they are on and with which data, unless somebody has changed them since."""
        before, now, wanted = _before(intent), _shown(found), _wanted(spec)
        ids = {row["id"] for row in before}
        calls = [_delete(spec, row) for row in now if row["id"] not in ids and _is_one_of(row, wanted)]
        here = {row["id"]: row for row in now}
        for row in before:
            shown = here.get(row["id"])
            if shown is None and not any(is_same(each["configuration"], row["configuration"]) for each in now):
                calls += [_post(spec, row, enabled=row["enabled"])] if _own(spec, row) is not None else []
            elif shown is not None and is_same_plan(shown, row):
                is_ours = any(may_be_of(shown.get("executionData"), each.execution) for each in _for(row, wanted))
                old = _with(shown, row["enabled"], row.get("executionData") if is_ours else shown.get("executionData"))
                calls += [_patch(spec, old, shown)] if body_of(old, shown) != body_of(shown, shown) else []
        return calls

    def made_again(self, fabric: Fabric, spec: JsonObject, intent: Intent, resource: Resource) -> JsonObject:
        """Return the ids of the schedules that were made again; they take the room of the notes on them."""
        before, place = intent.before or {}, spec["workspaceId"]
        new = schedules.renewed(before, schedules.of_item(fabric, place, spec["itemId"], spec["type"]))
        return (
            {"id": spec["itemId"], "workspaceId": place, "sent": "", "renewed": schedules.ids_text(new)} if new else {}
        )


def _shows(spec: JsonObject, row: JsonObject, wanted: JsonObject) -> bool:
    """Return True if a schedule has the data that is wanted, as far as it is known what Fabric makes of that."""
    return schedule_notes.shows(spec["own"], row, wanted)


def _shows_at_least(spec: JsonObject, row: JsonObject, wanted: JsonObject) -> bool:
    """Return True if a schedule has the data that is wanted, whatever Fabric has added to it."""
    return has_data(row.get("executionData"), wanted)


def _remaining(
    spec: JsonObject,
    now: list[JsonObject],
    before: list[JsonObject],
    shows: Callable[[JsonObject, JsonObject, JsonObject], bool] = _shows,
) -> Iterator[tuple[Call, str]]:
    """Yield the calls that are still to be sent, each with what it does; `before` is what the step has found.
    `shows` says whether a schedule has the data that is wanted.

    Deletions come first, then what is switched off, then creates, and what is switched on or gets other data comes
    last.
    """
    wanted, old = _wanted(spec), {row["id"] for row in before}
    off = set(str(spec.get("off") or "").split())
    listed = {rows[0]["id"]: each for each in wanted if (rows := _alike(now, each))}
    unlisted = [row for row in now if row["id"] not in listed and _own(spec, row) is not None]
    gone = [row for row in unlisted if not row["enabled"] and (_own(spec, row) or {}).get("isListed") is False]
    gone += [row for row in now if row["id"] not in {*listed, *old} and row not in gone and _is_one_of(row, wanted)]
    rows = {row["id"]: row for row in now if row not in gone}
    aims = {key: each.enabled for key, each in listed.items()}
    aims |= {row["id"]: False for row in unlisted if row not in gone}
    aims |= {schedule_id: True for schedule_id in off if schedule_id in rows and schedule_id not in aims}
    data: dict[str, JsonObject | None] = {key: row.get("executionData") for key, row in rows.items()}
    data |= {key: each.execution for key, each in listed.items() if not shows(spec, rows[key], each.execution)}
    changed = [
        (row, _with(row, aims[key], data[key]))
        for key, row in rows.items()
        if key in aims and (row["enabled"] != aims[key] or data[key] is not row.get("executionData"))
    ]
    yield from ((_delete(spec, row), f"{_text(row)} {schedules.DELETED}") for row in gone)
    yield from _changes(spec, [pair for pair in changed if not pair[1]["enabled"]])
    missing = [each for each in wanted if not _alike(now, each)]
    yield from ((_post(spec, {**vars(each)}, enabled=False), f"{each.text} created") for each in missing)
    yield from _changes(spec, [pair for pair in changed if pair[1]["enabled"]])


def _changes(spec: JsonObject, pairs: Iterable[tuple[JsonObject, JsonObject]]) -> Iterator[tuple[Call, str]]:
    """Yield the call for each pair of a schedule as it is shown and as it is wanted, and what the call does."""
    for row, aim in pairs:
        done = [f"switched {'on' if aim['enabled'] else 'off'}"] if row["enabled"] != aim["enabled"] else []
        done += ["given other data"] if aim.get("executionData") is not row.get("executionData") else []
        yield _patch(spec, aim, row), f"{_text(row)} {' and '.join(done)}"


def _with(row: JsonObject, enabled: bool, data: JsonObject | None) -> JsonObject:
    return {**row, "enabled": enabled, "executionData": data}


def _for(row: JsonObject, wanted: Iterable[Schedule]) -> list[Schedule]:
    """Return what is wanted of a schedule."""
    return [each for each in wanted if is_same(row["configuration"], each.configuration)]


def _alike(now: Iterable[JsonObject], wanted: Schedule) -> list[JsonObject]:
    """Return the schedules of a configuration, those first that are switched on."""
    found = [row for row in now if is_same(row["configuration"], wanted.configuration)]
    return sorted(found, key=lambda row: (not row["enabled"], row["id"]))


def _is_one_of(row: JsonObject, wanted: Iterable[Schedule]) -> bool:
    return bool(_for(row, wanted))


def _own(spec: JsonObject, row: JsonObject) -> JsonObject | None:
    """Return what is noted of a schedule that an earlier deployment created, if nobody has changed it since."""
    own: list[JsonObject] = spec["own"]
    return next((each for each in own if schedule_notes.is_of(each, row)), None)


def _note(spec: JsonObject, row: JsonObject, *, is_new: bool) -> JsonObject | None:
    """Return what is noted of a schedule; `is_new` is True if it was not there before the step."""
    wanted = next(iter(_for(row, _wanted(spec))), None)
    is_own = _own(spec, row) is not None or (is_new and wanted is not None)
    return schedule_notes.note_of(row, wanted, is_own=is_own)


def _wanted(spec: JsonObject) -> list[Schedule]:
    return [Schedule(**each) for each in spec["wanted"]]


def _shown(found: Snapshot) -> list[JsonObject]:
    return [row for row in found.image["schedules"] if "configuration" in row]


def _before(intent: Intent) -> list[JsonObject]:
    rows: list[Any] = as_list((intent.before or {}).get("schedules")) or []
    return [row for row in rows if "configuration" in row]


def _text(row: JsonObject) -> str:
    return text_of(as_object(row["configuration"]) or {})


def _post(spec: JsonObject, row: JsonObject, *, enabled: bool) -> Call:
    return Call(
        "POST", _path(spec), "schedule", body_of({"executionData": row.get("execution"), **row, "enabled": enabled})
    )


def _patch(spec: JsonObject, row: JsonObject, shown: JsonObject) -> Call:
    """Return the call that makes a schedule that is shown what the row says."""
    return Call("PATCH", f"{_path(spec)}/{row['id']}", "schedule", body_of(row, shown), may_be_done=True)


def _delete(spec: JsonObject, row: JsonObject) -> Call:
    return Call("DELETE", f"{_path(spec)}/{row['id']}", "schedule", may_be_done=True)


def _path(spec: JsonObject) -> str:
    return schedules.path(spec["workspaceId"], spec["itemId"], spec["type"])
