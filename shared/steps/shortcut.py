"""Kind `shortcut`: a OneLake shortcut in a lakehouse or another item. It carries no marker."""

from collections.abc import Mapping

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.repository.shortcuts import MAX_NAME, MAX_PATH, NAME, ONE_LAKE, PATH, ROOTS, TARGETS
from shared.steps import needed, shortcuts
from shared.steps.kind import (
    WORKSPACE_ID,
    Call,
    IfExists,
    Snapshot,
    VerificationError,
    check_if_exists,
)
from shared.steps.missing import Missing
from shared.steps.reporting_kind import ReportingKind
from shared.steps.rows import located

TYPE = "Shortcut"


class ShortcutKind(ReportingKind):
    """Create a shortcut, or give it another destination. What it points to is never changed or deleted."""

    name = "shortcut"
    about = "A OneLake shortcut in a lakehouse or another item."
    if_exists = IfExists.ADOPT
    outputs = frozenset({"name", "path", "itemId", "workspaceId"})
    keys = ("workspaceId", "itemId", "path", "name")
    names_itself_by = "name"
    tracks = ""
    tracked_fields: Mapping[str, str] = {}

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        spec.guid("itemId", required=True, words=Words("The item that contains it.", "${{ steps.bronze.outputs.id }}"))
        spec.text(
            "path",
            required=True,
            maximum=MAX_PATH,
            pattern=PATH,
            hint=f"must begin with {', '.join(ROOTS)}, and have no segment . or ..",
            refers=True,
            words=Words("The folder in the item that contains it.", "Tables"),
        )
        spec.text(
            "name",
            required=True,
            maximum=MAX_NAME,
            pattern=NAME,
            hint="must not contain a slash or a backslash, nor be . or ..",
            refers=True,
            words=Words("Unique in its folder.", "orders"),
        )
        example = {"oneLake": {"workspaceId": "...", "itemId": "...", "path": "Tables/orders"}}
        target = spec.any_object("target", words=Words("Exactly one destination, as Fabric's API expects it.", example))
        if not target or len(target) != 1 or next(iter(target)) not in TARGETS:
            spec.problem("target", f"must have exactly one of: {', '.join(TARGETS)}")
        spec.any_object(
            "transform",
            words=Words(
                "How Fabric transforms the files, in the form of its API; {} for not at all. Default: as it is.",
                {"type": "csvToDelta"},
            ),
        )
        check_if_exists(spec, self.if_exists)

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        shown = shortcuts.find(fabric, *_place(spec))
        return None if shown is None else Snapshot(_resource(spec), shown)

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        is_there = shortcuts.is_same_target(found.image["target"], spec["target"])
        has_other = "transform" in spec and not shortcuts.is_same_transform(
            found.image.get("transform"), spec["transform"]
        )
        return [*([] if is_there else ["target"]), *(["transform"] if has_other else [])]

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Refuse to replace a shortcut whose destination no request may name: it could not be restored.

        Raises FabricTransientError if Fabric shows only a part of the destination.
        """
        if found is not None and not shortcuts.is_complete(found.image["target"]):
            text = f"Fabric's response shows no complete target of {spec['path']}/{spec['name']}"
            raise FabricTransientError(text, call="GET shortcuts")
        if found is not None and not found.image["target"]:
            what = f"the shortcut '{spec['path']}/{spec['name']}' exists, and has a destination that cannot be restored"
            raise InvalidInputError([Problem("$.with.target", f"{what}; delete it, or rename one of the two")])

    def missing(self, fabric: Fabric, spec: JsonObject) -> Missing | None:
        """Return the item that it points to, or the connection that leads there, if Fabric does not show it. Whether
        the item has the path is known to OneLake only."""
        for kind, place in (as_object(spec.get("target")) or {}).items():
            found = needed.item(fabric, place) if kind == ONE_LAKE else None
            return found or needed.connection(fabric, place)
        return None

    def refused(self, spec: JsonObject) -> str:
        """Return what to do if the destination is refused although its item or connection is there."""
        place = as_object((as_object(spec.get("target")) or {}).get(ONE_LAKE))
        if place is None:
            return "Check that the destination (location and subpath) exists, and that the connection is for it."
        return (
            f"A shortcut points to what exists: check that item {place.get('itemId')} has "
            f"'{place.get('path')}'. If a job of this deployment writes it, let this step need that job."
        )

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return POST: for an update it replaces, and is refused if somebody deleted the shortcut. Fabric would take
        away a transform that is not sent again."""
        is_update = intent.action is IntentAction.UPDATE
        kept = (intent.before or {}).get("transform")
        transform = spec.get("transform", kept)
        return [shortcuts.put_call(*_place(spec), spec["target"], replaces=is_update, transform=transform)]

    def check_result(self, spec: JsonObject, answer: JsonObject) -> None:
        """Raise FabricTransientError if Fabric could not make a shortcut with a transform: the next delivery looks,
        and tries again a few times."""
        for each in as_list(answer.get("value")) or []:
            row = as_object(each) or {}
            if row.get("status") == "Failed":
                error = as_object(row.get("error")) or {}
                what = str(error.get("message") or "Fabric gives no reason")[:500]
                code = str(error.get("errorCode") or "") or None
                raise FabricTransientError(what, call="POST shortcuts/bulkCreate", error_code=code, is_outcome=True)

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        return _resource(spec)

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return True if the response was lost and the destination is the step's.

        The same shortcut that somebody else created at that moment cannot be distinguished.
        """
        return uncertain and self.has_target(spec, found)

    def has_target(self, spec: JsonObject, found: Snapshot) -> bool:
        """Return True if a shortcut still has the step's destination. A transform proves nothing: Fabric may show
        another one than was sent, which fails the step, and then the shortcut must not stay."""
        return shortcuts.is_same_target(found.image["target"], spec["target"])

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that the shortcut is shown, and that it has the destination unless it was adopted."""
        found = self.find(fabric, spec)
        if found is None:
            raise VerificationError(f"shortcut '{resource.name}' in {spec['path']} is not shown")
        if intent.action is not IntentAction.ADOPT and (wrong := self.changes(spec, found)):
            raise VerificationError(f"shortcut '{resource.name}' in {spec['path']} has another {wrong[0]}")
        return {name: spec[name] for name in self.outputs}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Search its item first: with the item, the shortcut is gone."""
        if located(fabric, f"/workspaces/{resource.parent_id}/items", None, spec["itemId"]) is None:
            return None
        return self.find(fabric, spec)

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE, or the POST with the old destination; nothing if somebody else has changed it since."""
        if not self.has_target(spec, found):
            return []
        if intent.action is IntentAction.CREATE:
            return [shortcuts.delete_call(*_place(spec))]
        before = intent.before or {}
        old = before.get("transform")
        is_restored = shortcuts.is_same_target(found.image["target"], before["target"])
        if is_restored and shortcuts.is_same_transform(found.image.get("transform"), as_object(old) or {}):
            return []
        return [shortcuts.put_call(*_place(spec), before["target"], replaces=True, transform=old)]


def _place(spec: JsonObject) -> tuple[str, str, str, str]:
    return spec["workspaceId"], spec["itemId"], spec["path"], spec["name"]


def _resource(spec: JsonObject) -> Resource:
    path = f"{spec['itemId'].lower()}/{spec['path'].strip('/')}/{spec['name']}"
    return Resource(TYPE, path, spec["name"], spec["workspaceId"])
