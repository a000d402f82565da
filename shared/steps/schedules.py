"""The schedules of an item's jobs: the calls to Fabric that read them, switch them off and on, and restore them.

A definition may contain schedules, in the part `.schedules`. Fabric makes them when it takes the definition, with new
ids, and does not have to return the part. Reports differ on whether a definition without the part deletes those that
there are. So an update reads them before, and makes those again that are gone after it; and a rollback first restores
the definition, and then compares the schedules with those before the update.

Source: published OpenAPI (job scheduler); recordings of microsoft/fabric-cli; reports of users of fabric-cicd (#560,
#655, #688).
"""

import base64
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from shared.domain.errors import FabricAuthError, FabricNotFoundError, FabricRefusedError, FabricTransientError
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.ports import Fabric
from shared.domain.row_limits import as_many
from shared.repository.schedules import GENERAL_JOB, PART, is_same, is_same_data, is_same_plan, may_be_of
from shared.steps.kind import Call

log = logging.getLogger(__name__)

_FIELDS = ("schedules", "sentSchedules")
"""The fields of a before-image: the schedules of the item, and those of the wanted definition."""
JOBS: dict[str, str] = {
    "Notebook": "RunNotebook",
    "DataPipeline": "Pipeline",
    "SparkJobDefinition": "sparkjob",
    "Dataflow": "Refresh",
    "CopyJob": "Execute",
}
"""The type of the job that a schedule of such an item starts."""
DELETED = "deleted"
"""The word with which a plan names a schedule that the step deletes."""
_RENEWED_CHARACTERS = 1_600
"""Characters of the output `renewed`: both ids of 20 schedules, which is what Fabric allows for an item."""


def of_item(
    fabric: Fabric, workspace_id: str, item_id: str, item_type: str, more: Iterable[str] = ()
) -> list[JsonObject]:
    """Return what must be known of each schedule of an item to switch it off and on. Raises FabricError.

    A row without an id, or that does not say whether it is on, is a transient error: with it, the list does not say
    which schedules there are. One that does not show when it starts has no `configuration` here: it could not be
    restored, and stays. `more` names further members that are objects.
    """
    if item_type not in JOBS:
        return []
    at = path(workspace_id, item_id, item_type)
    rows = list(fabric.list(at))
    if not all(row.get("id") and isinstance(row.get("enabled"), bool) for row in rows):
        what = "the list has a schedule without an id, or one that is neither on nor off"
        raise FabricTransientError(what, call=f"GET {at}", status=200)
    names = ("configuration", "executionData", *more)
    return [_read(row, names) for row in rows]


def _read(row: JsonObject, names: Iterable[str]) -> JsonObject:
    shown: JsonObject = {"id": row["id"], "enabled": row["enabled"]}
    return shown | {name: row[name] for name in names if as_object(row.get(name)) is not None}


def switched(
    workspace_id: str, item_id: str, item_type: str, schedules: Iterable[JsonObject], *, is_on: bool
) -> list[Call]:
    """Return the calls that switch the schedules off that were on, or on again. One that is gone needs no call."""
    return [
        Call(
            "PATCH",
            f"{path(workspace_id, item_id, item_type)}/{each['id']}",
            "schedule",
            {**{name: each[name] for name in ("configuration", "executionData") if name in each}, "enabled": is_on},
            may_be_done=True,
        )
        for each in schedules
        if each.get("enabled") is True and "configuration" in each
    ]


def in_definition(definition: JsonObject) -> list[JsonObject]:
    """Return the schedules that a definition contains; an empty list if it has none that can be read."""
    return _entries(definition) or []


def _entries(definition: JsonObject) -> list[JsonObject] | None:
    """Return the schedules that a definition contains; None if its part cannot be read: Fabric says what is wrong."""
    found: list[JsonObject] = []
    for part in as_list(definition.get("parts")) or []:
        if part["path"] == PART:
            rows = _rows(part)
            if rows is None:
                return None
            found += [as_object(row) or {} for row in rows]
    return found


def _rows(part: JsonObject) -> list[Any] | None:
    try:
        text = base64.b64decode(part["payload"]) if part.get("payload") is not None else part["text"]
        return as_list(json.loads(text)["schedules"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def is_as_asked(wanted: JsonObject, present: JsonObject, item_type: str) -> bool | None:
    """Return True if a definition that Fabric returned has the schedules of the wanted one; None if either part cannot
    be read.

    Fabric may write them in another order and way (members, times, null). A member that only Fabric has in the data of
    a schedule counts as a difference: it may be one that the manifest does not ask for any more.
    """
    asked, shown = _entries(wanted), _entries(present)
    if asked is None or shown is None:
        return None
    _, missing, others = _paired(asked, shown, lambda one, row: _is_entry_of(one, row, item_type))
    return not missing and not others


def _is_entry_of(asked: JsonObject, shown: JsonObject, item_type: str) -> bool:
    own = JOBS.get(item_type, "").casefold()
    jobs = [str(each.get("jobType") or own).casefold() for each in (asked, shown)]
    plans = [as_object(each.get("configuration")) or {} for each in (asked, shown)]
    data = [as_object(each.get("executionData")) for each in (asked, shown)]
    is_same_job = jobs[0] == jobs[1] or set(jobs) <= {own, GENERAL_JOB}
    is_same_state = asked.get("enabled") == shown.get("enabled")
    return is_same_job and is_same_state and is_same(plans[1], plans[0]) and is_same_data(data[1], data[0])


def captured(fabric: Fabric, workspace_id: str, item_id: str, item_type: str, wanted: JsonObject) -> JsonObject:
    """Return the fields of a before-image that `restored` needs; none for a type of item that has no schedules.

    Raises FabricError, but not if Fabric refuses the list: an update must not need more than it did before.
    """
    if item_type not in JOBS:
        return {}
    try:
        present = of_item(fabric, workspace_id, item_id, item_type)
    except (FabricRefusedError, FabricAuthError, FabricNotFoundError) as error:
        log.warning("the schedules of %s %s cannot be read, so a rollback leaves them: %s", item_type, item_id, error)
        return {"schedules": None}
    return {"schedules": present, "sentSchedules": in_definition(wanted)}


def has_part(definition: JsonObject) -> bool:
    """Return True if a definition says which schedules its item has."""
    return any(part["path"] == PART for part in as_list(definition.get("parts")) or [])


def kept(
    fabric: Fabric, workspace_id: str, item_id: str, item_type: str, before: JsonObject, *, is_on: bool
) -> Iterator[Call]:
    """Yield the calls that make the schedules of a before-image again which an update of the definition has deleted.

    A create whose response was lost is repeated. So each is created switched off, and then one of each is switched on
    that was on before, unless `is_on` is False; a second one starts nothing and is deleted. Raises FabricError.
    """
    if not before.get("schedules"):
        return
    for _ in range(2):  # the ids of what was created are known only after another look
        present = of_item(fabric, workspace_id, item_id, item_type)
        yield from _made_again(path(workspace_id, item_id, item_type), before["schedules"], present, is_on)


def _made_again(at: str, before: list[JsonObject], present: list[JsonObject], is_on: bool) -> Iterator[Call]:
    pairs, missing, spare = _found_again(before, present)
    yield from (Call("POST", at, "schedule", {**body_of(old), "enabled": False}) for old in missing)
    for old, row in pairs:
        if row["enabled"] != (is_wanted := is_on and old.get("enabled") is True):
            body = {**body_of(row), "enabled": is_wanted}
            yield Call("PATCH", f"{at}/{row['id']}", "schedule", body, may_be_done=True)
    yield from (Call("DELETE", f"{at}/{row['id']}", "schedule", may_be_done=True) for row in spare)


def renewed(before: JsonObject, present: Iterable[JsonObject]) -> dict[str, str]:
    """Return the new ids of the schedules of a before-image that Fabric deleted and that were made again, by their
    earlier ids."""
    pairs, _, _ = _found_again(before.get("schedules") or [], present)
    return {old["id"]: row["id"] for old, row in pairs}


def ids_text(renewed: dict[str, str]) -> str:
    """Return the output `renewed` of a step, from the new ids by the earlier ones: as many as a row has room for."""
    return " ".join(as_many((f"{old}>{new}" for old, new in renewed.items()), _RENEWED_CHARACTERS))


def ids_after(renewed: object) -> dict[str, str]:
    """Return the new ids by the earlier ones, from the output `renewed` of a step."""
    pairs = [each.partition(">") for each in str(renewed or "").split() if ">" in each]
    return {old: new for old, _, new in pairs}


def _found_again(
    before: Iterable[JsonObject], present: Iterable[JsonObject]
) -> tuple[list[tuple[JsonObject, JsonObject]], list[JsonObject], list[JsonObject]]:
    """Return pairs of a schedule that is gone and the one made in its place, those that nothing was made for, and the
    second ones, which a repeated create has made: they are switched off."""
    old = [row for row in before if "configuration" in row]
    ids = {row["id"] for row in old}
    new = [row for row in present if row["id"] not in ids and "configuration" in row]
    new.sort(key=lambda row: (not row.get("enabled"), row["id"]))
    gone = [row for row in old if row["id"] not in {each["id"] for each in present}]
    alike, missing, others = _paired(gone, new, _is_like)
    made, missing, others = _paired(missing, others, _may_be_made_from)
    spare = [row for row in others if row.get("enabled") is False and any(_may_be_made_from(e, row) for e in gone)]
    return [*alike, *made], missing, spare


def _is_like(old: JsonObject, row: JsonObject) -> bool:
    """Return True if two schedules that Fabric has shown start their jobs at the same times and with the same data."""
    return is_same_plan(old, row) and is_same_data(old.get("executionData"), row.get("executionData"))


def _may_be_made_from(old: JsonObject, row: JsonObject) -> bool:
    """Return True if a schedule may have been made in place of another one. Fabric may add to the data that is sent."""
    return is_same_plan(old, row) and may_be_of(row.get("executionData"), old.get("executionData"))


def is_as_it_was(old: JsonObject, row: JsonObject) -> bool:
    """Return True if a schedule is on or off as before, and starts its jobs at the same times with the same data."""
    return old.get("enabled") == row.get("enabled") and _is_like(old, row)


def _is_made_from(sent: JsonObject, row: JsonObject) -> bool:
    """Return True if Fabric may have made a schedule from one of a definition. One without a plan makes none."""
    wanted = as_object(sent.get("configuration"))
    return bool(wanted) and is_same(as_object(row.get("configuration")) or {}, wanted or {})


def may_change(before: JsonObject) -> bool:
    """Return True if an update of the definition may have changed schedules."""
    return any(before.get(name) for name in _FIELDS)


def restored(
    workspace_id: str, item_id: str, item_type: str, before: JsonObject, present: Iterable[JsonObject]
) -> list[Call]:
    """Return the calls that lead from the present schedules to those of the before-image.

    A schedule that Fabric made again from the definition counts as the old one with the same plan; if there is none, it
    gets the plan of one that is gone. A schedule that neither the before-image nor the definition has belongs to
    somebody else, and stays.
    """
    at = path(workspace_id, item_id, item_type)
    sent: list[JsonObject] = before["sentSchedules"]
    earlier = [row for row in before["schedules"] if "configuration" in row]  # without it, none can be made again
    present = list(present)
    _, _, spare = _found_again(earlier, present)
    present = [row for row in present if row not in spare]
    held, gone, others = _paired(before["schedules"], present, lambda old, row: old["id"] == row["id"])
    gone = [row for row in gone if row in earlier]
    anew, gone, others = _paired(gone, others, is_same_plan)
    made = [row for row in others if any(_is_made_from(each, row) for each in sent)]
    reused, gone, made = _paired(gone, made, lambda old, row: True)
    changed = [
        (old, row) for old, row in (*held, *anew, *reused) if "configuration" in old and not is_as_it_was(old, row)
    ]
    calls = [
        *(Call("PATCH", f"{at}/{row['id']}", "schedule", body_of(old, row)) for old, row in changed),
        *(Call("POST", at, "schedule", body_of(old)) for old in gone),
        *(Call("DELETE", f"{at}/{row['id']}", "schedule", may_be_done=True) for row in (*made, *spare)),
    ]
    return [replace(call, is_looked_for=True) for call in calls]


def _paired(
    old: Iterable[JsonObject], present: Iterable[JsonObject], is_pair: Callable[[JsonObject, JsonObject], bool]
) -> tuple[list[tuple[JsonObject, JsonObject]], list[JsonObject], list[JsonObject]]:
    """Return pairs of an old and a present schedule, and what is left of both."""
    pairs: list[tuple[JsonObject, JsonObject]] = []
    alone, left = list[JsonObject](), list(present)
    for row in old:
        held = next((each for each in left if is_pair(row, each)), None)
        if held is None:
            alone.append(row)
        else:
            pairs.append((row, held))
            left = [each for each in left if each is not held]
    return pairs, alone, left


def body_of(row: JsonObject, shown: JsonObject | None = None) -> JsonObject:
    """Return a schedule as it is sent, with the data that it gives to its jobs.

    It is sent in place of the one that is `shown`, whose data an empty object removes: nothing says what Fabric does
    with data that a request leaves out, so this is an assumption.
    """
    data: JsonObject = row.get("executionData") or {}
    replaced: JsonObject = (shown or {}).get("executionData") or {}
    more = {"executionData": data} if data or replaced else {}
    return {"enabled": row.get("enabled"), "configuration": row.get("configuration"), **more}


def path(workspace_id: str, item_id: str, item_type: str) -> str:
    """Return the collection of the schedules of an item."""
    return f"/workspaces/{workspace_id}/items/{item_id}/jobs/{JOBS[item_type]}/schedules"
