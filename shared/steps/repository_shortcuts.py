"""The shortcuts of a repository's lakehouses: kinds `repository_shortcut` and `removed_shortcuts`, to which
`repository` expands.

A shortcut is a step, so it is created, replaced and restored as one of a manifest. Its part is rendered as a whole,
because parameters may address it as a whole, and only when the ids of the targets are known. Shortcuts that earlier
deployments created, and that the part does not list any more, are deleted by one step, which can be compensated;
shortcuts of people stay.
"""

import json
from collections.abc import Iterable, Iterator

from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_object, canonical
from shared.domain.ports import Fabric
from shared.domain.ports.deployed import SHORTCUT, identity_of
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.domain.text import counted
from shared.repository.shortcuts import shortcuts_in
from shared.steps import shortcuts
from shared.steps.details import Details
from shared.steps.kind import Call, IfExists, Snapshot
from shared.steps.recall import Recall
from shared.steps.removed_parts import RemovedPartsKind
from shared.steps.repository_part import UnusablePartError, rendered_part
from shared.steps.shortcut import ShortcutKind


class RepositoryShortcutKind(ShortcutKind):
    """Create one shortcut of a lakehouse, or give it another destination."""

    name = "repository_shortcut"
    about = "One shortcut of a lakehouse; a step of the kind repository expands to it."
    if_exists = IfExists.UPDATE

    def check(self, spec: Fields) -> None:
        """Check what is used in addresses; the command line checked the part, and `prepare` checks it once more."""
        spec.guid("workspaceId", required=True)
        spec.guid("itemId", required=True)
        for name in ("path", "name"):
            spec.text(name, required=True, maximum=1000, refers=True)
        for name in ("displayName", "identity", "template", "refs", "target", "transform", "isKnown"):
            spec.raw(name)

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        """Return the spec with the destination that the rendered part has, in place of the part. Raises FabricError,
        InvalidInputError."""
        if "template" not in spec:
            return spec
        kept = {name: spec[name] for name in spec if name not in ("template", "refs")}
        wanted = f"{spec['path']}/{spec['name']}"
        about = f"the shortcut '{spec['displayName']}'"
        try:
            listed = shortcuts_in(rendered_part(fabric, spec, recall, about))
        except ValueError as error:
            raise UnusablePartError(about, str(error)) from None
        found = next((each for each in listed if each.key == wanted), None)
        if found is None:
            raise UnusablePartError(about, "its file does not list it once the parameters are replaced")
        known = recall.of_part(spec["workspaceId"], SHORTCUT, spec["itemId"], wanted)
        is_known = known is not None and known["isOwn"]
        return {**kept, "target": found.target, "transform": found.transform, "isKnown": is_known}

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Search the list of all shortcuts of the lakehouse, which answers for all steps of its shortcuts."""
        for row in shortcuts.of_item(fabric, spec["workspaceId"], spec["itemId"]):
            if (row["path"], row["name"]) == (spec["path"], spec["name"]):
                place = f"{spec['itemId'].lower()}/{spec['path']}/{spec['name']}"
                return Snapshot(Resource(SHORTCUT, place, spec["name"], spec["workspaceId"]), row)
        return None

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        """Return the two destinations."""
        old, new = found.image["target"], spec["target"]
        return Details((), (f"-{_text(old)}", f"+{_text(new)}"), "exact")

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        is_update = intent.action is IntentAction.UPDATE
        return [_put(spec, spec["itemId"], spec, replaces=is_update)]

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check the shortcut as the kind `shortcut`, and return what is noted of it too."""
        outputs = super().verify(fabric, spec, resource, intent)
        return {
            **outputs,
            "id": spec["itemId"],
            "type": SHORTCUT,
            "displayName": f"{spec['path']}/{spec['name']}",
            "identity": identity_of("", SHORTCUT, f"{spec['identity']}/{spec['path']}/{spec['name']}"),
            "isOwn": intent.action is IntentAction.CREATE or spec["isKnown"],
            "sent": canonical(spec["target"]),
        }


class RemovedShortcutsKind(RemovedPartsKind):
    """Delete the shortcuts that earlier deployments created and that the repository does not list any more;
    compensation creates them again."""

    name = "removed_shortcuts"
    about = "The shortcuts that a repository does not list any more; a step of the kind repository expands to it."
    part, parts, holders = SHORTCUT, "shortcuts", "lakehouses"

    def identity(self, item: str, note: JsonObject) -> str:
        return identity_of("", SHORTCUT, f"{item}/{note['name']}")

    def is_candidate(self, spec: JsonObject, identity: str) -> bool:
        """Return True if its lakehouse is in the repository; `lakehouses` has what each lists, by identity."""
        return any(
            identity.startswith(begin := identity_of("", SHORTCUT, f"{lakehouse}/"))
            and identity not in {begin + key.casefold() for key in listed}
            for lakehouse, listed in spec["lakehouses"].items()
        )

    def held(
        self, fabric: Fabric, workspace_id: str, item_id: str, candidates: list[JsonObject]
    ) -> Iterator[tuple[JsonObject, bool]]:
        """Yield the shortcuts that have the names of candidates: one with another destination is not ours."""
        own = {each["key"]: each for each in candidates}
        for row in shortcuts.of_item(fabric, workspace_id, item_id):
            each = own.get(f"{row['path']}/{row['name']}")
            if each is not None:
                is_ours = shortcuts.is_same_target(row["target"], json.loads(each["sent"]))
                yield {**row, "identity": each["identity"]}, is_ours

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        rows = found.image["shortcuts"]
        files = tuple(f"{self.text(row)} deleted" for row in rows)
        return Details(files, (), "exact", f"removes {counted(len(rows), 'shortcut')}")

    def did(self, spec: JsonObject, intent: Intent) -> str:
        rows = self.rows(intent)
        return f"removed {counted(len(rows), 'shortcut')}" if rows else super().did(spec, intent)

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        place = spec["workspaceId"]
        return [shortcuts.delete_call(place, row["itemId"], row["path"], row["name"]) for row in self.rows(intent)]

    def is_left(self, row: JsonObject, before: Iterable[JsonObject]) -> bool:
        return True

    def text(self, row: JsonObject) -> str:
        return f"{row['path']}/{row['name']}"

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the calls that create those again whose lakehouse is there and whose name is free."""
        taken = {row["identity"] for row in [*found.image["shortcuts"], *found.image["others"]]}
        there = set(found.image["items"])
        rows = [row for row in self.rows(intent) if row["itemId"] in there and row["identity"] not in taken]
        return [_put(spec, row["itemId"], row) for row in rows]


def _text(target: JsonObject) -> str:
    """Return a destination as one line."""
    for kind, place in target.items():
        members = as_object(place) or {}
        return " ".join([kind, *(f"{name}={members[name]}" for name in sorted(members))])
    return "a destination that cannot be named"


def _put(spec: JsonObject, item_id: str, row: JsonObject, *, replaces: bool = False) -> Call:
    place = (spec["workspaceId"], item_id, row["path"], row["name"])
    return shortcuts.put_call(*place, row["target"], replaces=replaces, transform=row.get("transform"))
