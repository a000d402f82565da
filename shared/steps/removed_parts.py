"""The base of the kinds that take away what earlier deployments of a repository created in its items and what the
repository does not list any more: shortcuts and schedules.

One step does it for all items. Only notes prove what is ours: a deployment of this repository created it, and it is as
it was deployed. A part that somebody has changed since is theirs.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_list
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.row_limits import as_many
from shared.domain.states import IntentAction
from shared.steps import freed_names, items
from shared.steps.kind import Snapshot, VerificationError
from shared.steps.recall import Recall
from shared.steps.rows import complete
from shared.steps.updating_kind import UpdatingKind

_REMOVED_CHARACTERS = 1_800
"""Characters of the outputs for what is taken away; later deployments find the others. `renewed` has the rest."""


class RemovedPartsKind(UpdatingKind):
    """Take away the parts of one type that the repository does not list any more."""

    idle = idle_of_new = "nothing to remove"
    keys = ("workspaceId",)
    outputs = frozenset({"id", "workspaceId"})
    part = ""
    """The type of the notes on the parts."""
    parts = ""
    """The word for the parts. Journal rows have it too."""
    holders = ""
    """The field of the spec that says which items of the repository may have such parts."""

    def identity(self, item: str, note: JsonObject) -> str:
        """Return what identifies the part of a note if its item has this identity."""
        raise NotImplementedError

    def is_candidate(self, spec: JsonObject, identity: str) -> bool:
        """Return True if the repository contains the item of this part, and does not list the part."""
        raise NotImplementedError

    def candidate(self, spec: JsonObject, note: JsonObject, identity: str) -> JsonObject:
        """Return the fields of a note by which the parts that it is on are found; `identity` is the present one."""
        return {"identity": note["identity"], "itemId": note["id"], "key": note["name"], "sent": note["sent"]}

    def held(
        self, fabric: Fabric, workspace_id: str, item_id: str, candidates: list[JsonObject]
    ) -> Iterator[tuple[JsonObject, bool]]:
        """Yield each part that an item has, candidate or not, and True if it is ours, which means: as it was deployed.
        A part that is ours has the `identity` of its candidate. Raises FabricError."""
        raise NotImplementedError

    def is_left(self, row: JsonObject, before: Iterable[JsonObject]) -> bool:
        """Return True if the step has not yet done to a part what it must do."""
        raise NotImplementedError

    def text(self, row: JsonObject) -> str:
        """Return a part for people."""
        raise NotImplementedError

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True)
        for name in ("repository", self.holders, "names", "displayName", "candidates"):
            spec.raw(name)

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        """Return the spec with the candidates, as earlier deployments of the repository noted them."""
        notes = recall.of_step(spec["workspaceId"], spec["repository"])
        own = [note for note in notes if note["type"] == self.part and note["isOwn"]]
        names = freed_names.Names.of(recall, spec["names"]) if own and spec.get("names") else freed_names.Names()
        found: list[JsonObject] = []
        for note in own:
            holder = note.get("holder")
            identity = note["identity"] if holder is None else self.identity(names.identity_now(holder), note)
            if self.is_candidate(spec, identity):
                found.append(self.candidate(spec, note, identity))
        return {**{name: spec[name] for name in spec if name not in (self.holders, "names")}, "candidates": found}

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Return the parts that are ours. `others` are those beside them that a compensation must know, `items` are the
        ids of the items that exist."""
        place, wanted = spec["workspaceId"], spec["candidates"]
        path = items.items_path(spec)
        there = {row["id"].lower() for row in complete(fabric.list(path), path)} if wanted else set[str]()
        image: dict[str, list[Any]] = {self.parts: [], "others": [], "items": []}
        for item_id in sorted({each["itemId"] for each in wanted if each["itemId"].lower() in there}):
            image["items"].append(item_id)
            for row, is_ours in self.held(fabric, place, item_id, [e for e in wanted if e["itemId"] == item_id]):
                image[self.parts if is_ours else "others"].append({**row, "itemId": item_id})
        name = f"removed {self.parts}"
        return Snapshot(Resource(self.parts.capitalize(), f"{place}/{spec['repository']}", name, place), {**image})

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return [self.parts] if found.image[self.parts] else []

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that the step has done everything, and return which notes do not hold any more."""
        found = self.find(fabric, spec)
        rows: list[JsonObject] = found.image[self.parts] if found is not None else []
        before = self.rows(intent)
        left = [row for row in rows if self.is_left(row, before)] if intent.action is not IntentAction.ADOPT else []
        if left:
            raise VerificationError(f"Fabric still shows {self.text(left[0])} of item {left[0]['itemId']}")
        kept = {row["identity"] for row in rows}
        removed = [each["identity"] for each in spec["candidates"] if each["identity"] not in kept]
        outputs: JsonObject = {"id": resource.id, "workspaceId": spec["workspaceId"]}
        return {**outputs, "removed": as_many(removed, _REMOVED_CHARACTERS)}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        return self.find(fabric, spec)

    def rows(self, intent: Intent) -> list[Any]:
        """Return the parts of the before-image that are ours."""
        return as_list((intent.before or {}).get(self.parts)) or []
