"""Kind `removed_schedules`: the schedules of the items whose file `.schedules` is not in the repository any more.

`repository` expands to it. A schedule that a deployment created is switched off, which can be restored exactly, and the
next deployment deletes it, as the kind `item_schedules` does with one that its file does not list any more. The step
comes before the items: no such schedule may start a job while half of the changes are made.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from shared.domain.json import JsonObject, as_list
from shared.domain.ports import Fabric
from shared.domain.ports.deployed import SCHEDULES, identity_of
from shared.domain.records import Intent, Resource
from shared.domain.text import counted
from shared.repository.schedules import is_same_plan, text_of
from shared.steps import schedules
from shared.steps.details import Details
from shared.steps.kind import Call, Snapshot
from shared.steps.removed_parts import RemovedPartsKind
from shared.steps.schedule_notes import is_of, is_own
from shared.steps.schedules import body_of


class RemovedSchedulesKind(RemovedPartsKind):
    """Switch off or delete the schedules of the items without a file of schedules; compensation restores them."""

    name = "removed_schedules"
    about = "The schedules of the items without a file of them; a step of the kind repository expands to it."
    part, parts, holders = SCHEDULES, "schedules", "items"

    def identity(self, item: str, note: JsonObject) -> str:
        return identity_of("", SCHEDULES, item)

    def is_candidate(self, spec: JsonObject, identity: str) -> bool:
        return identity in spec["items"]

    def candidate(self, spec: JsonObject, note: JsonObject, identity: str) -> JsonObject:
        return {**super().candidate(spec, note, identity), "type": spec["items"][identity]}

    def held(
        self, fabric: Fabric, workspace_id: str, item_id: str, candidates: list[JsonObject]
    ) -> Iterator[tuple[JsonObject, bool]]:
        """Yield all schedules of an item that say when they start their jobs. An item that has got another logical id
        may have two notes."""
        own = {row["id"]: (row, each) for each in candidates for row in json.loads(each["sent"]) if is_own(row)}
        for row in schedules.of_item(fabric, workspace_id, item_id, candidates[0]["type"]):
            noted, each = own.get(row["id"], ({}, candidates[0]))
            if "configuration" in row:
                more = {"type": each["type"], "name": each["key"], "identity": each["identity"]}
                yield {**row, **more}, bool(noted) and is_of(noted, row)

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        rows = found.image["schedules"]
        files = tuple(f"{self.text(r)} {'switched off' if r['enabled'] else schedules.DELETED}" for r in rows)
        return Details(files, will=_counted(rows, "switches off", "deletes"))

    def did(self, spec: JsonObject, intent: Intent) -> str:
        return _counted(self.rows(intent), "switched off", "deleted") or super().did(spec, intent)

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return for each schedule the call that switches it off or, if it is off, deletes it."""
        return [
            _patch(spec, row, is_on=False)
            if row["enabled"]
            else Call("DELETE", f"{_path(spec, row)}/{row['id']}", "schedule", may_be_done=True)
            for row in self.rows(intent)
        ]

    def is_left(self, row: JsonObject, before: Iterable[JsonObject]) -> bool:
        return row["enabled"] or any(each["id"] == row["id"] and not each["enabled"] for each in before)

    def text(self, row: JsonObject) -> str:
        return f"{row['name']}: {text_of(row['configuration'])}"

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the calls that switch on what nobody has changed since, and create again what was deleted.

        Fabric may have deleted a schedule with the definition of its item. Then the one that was made in its place is
        switched on.
        """
        before = self.rows(intent)
        old = {row["id"] for row in [*before, *(as_list((intent.before or {}).get("others")) or [])]}
        calls: list[Call] = []
        for row in before:
            now = [each for each in _present(found) if each["itemId"] == row["itemId"]]
            alike = [each for each in now if is_same_plan(each, row)]
            shown = [each for each in alike if each["id"] == row["id"]] or [e for e in alike if e["id"] not in old]
            if row["enabled"]:
                calls += [_patch(spec, each, is_on=True) for each in shown[:1] if not each["enabled"]]
            elif not alike and row["itemId"] in found.image["items"]:
                calls.append(Call("POST", _path(spec, row), "schedule", body_of(row)))
        return calls

    def made_again(self, fabric: Fabric, spec: JsonObject, intent: Intent, resource: Resource) -> JsonObject:
        """Return the ids of the schedules that were deleted and made again, beside their earlier ids."""
        before = self.rows(intent)
        found = self.find(fabric, spec) if any(not row["enabled"] for row in before) else None
        if found is None:
            return {}
        new: dict[str, str] = {}
        for item_id in found.image["items"]:
            own, now = ([row for row in rows if row["itemId"] == item_id] for rows in (before, _present(found)))
            new |= schedules.renewed({"schedules": own}, now)
        return {"workspaceId": spec["workspaceId"], "renewed": schedules.ids_text(new)} if new else {}


def _counted(rows: list[Any], off: str, deleted: str) -> str:
    """Return how many schedules are switched off and how many are deleted, with these verbs."""
    numbers = {off: sum(row["enabled"] for row in rows), deleted: sum(not row["enabled"] for row in rows)}
    return ", ".join(f"{verb} {counted(number, 'schedule')}" for verb, number in numbers.items() if number)


def _present(found: Snapshot) -> list[Any]:
    return [*found.image["schedules"], *found.image["others"]]


def _patch(spec: JsonObject, row: JsonObject, *, is_on: bool) -> Call:
    body = body_of({**row, "enabled": is_on}, row)
    return Call("PATCH", f"{_path(spec, row)}/{row['id']}", "schedule", body, may_be_done=True)


def _path(spec: JsonObject, row: JsonObject) -> str:
    return schedules.path(spec["workspaceId"], row["itemId"], row["type"])
