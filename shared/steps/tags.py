"""Kind `tags`: tags of the tenant on a workspace or on an item. Other tags stay as they are."""

from shared.domain.fields import GUID, Fields, Words
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent
from shared.domain.template import OPENING
from shared.steps.kind import Call, Snapshot
from shared.steps.setting import SettingKind

MAX_TAGS = 10
"""Tags of one item or workspace. Source: fabric-docs, tags in Fabric."""


class TagsKind(SettingKind):
    """Apply tags; compensation removes those that were not there before."""

    name = "tags"
    about = "Tags of a workspace or an item that exists."
    type = "Tags"
    keys = ("workspaceId", "itemId")

    def check_values(self, spec: Fields) -> None:
        spec.guid("itemId", words=Words("The item. Default: the workspace itself.", "${{ steps.sales.outputs.id }}"))
        tags = spec.texts(
            "tags",
            refers=True,
            words=Words("The ids of the tags to apply.", ["97dd1d38-a4c6-41ed-bc4f-1e383f8ddd01"]),
        )
        if not 1 <= len(tags) <= MAX_TAGS:
            spec.problem("tags", f"must contain 1 to {MAX_TAGS} ids")
        for i, tag in enumerate(tags):
            if not GUID.fullmatch(tag) and OPENING not in tag:
                spec.problem("tags", f"entry {i} must be the GUID of a tag")

    def owner(self, spec: JsonObject) -> str:
        return spec.get("itemId") or spec["workspaceId"]

    def read(self, fabric: Fabric, spec: JsonObject) -> tuple[str, JsonObject]:
        shown = fabric.get(_path(spec))
        tags = [as_object(row) or {} for row in as_list(shown.get("tags")) or []]
        return shown.get("displayName", ""), {"tags": sorted(str(tag.get("id", "")).lower() for tag in tags)}

    def wanted(self, spec: JsonObject) -> JsonObject:
        return {"tags": sorted({tag.lower() for tag in spec["tags"]})}

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return ["tags"] if set(self.wanted(spec)["tags"]) - set(found.image["tags"]) else []

    def set(self, spec: JsonObject, values: JsonObject) -> list[Call]:
        return [Call("POST", f"{_path(spec)}/applyTags", "tags", dict(values))]

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the call that removes the tags which the step added and which are still there."""
        added = set(self.wanted(spec)["tags"]) - set((intent.before or {})["tags"])
        left = sorted(added & set(found.image["tags"]))
        return [Call("POST", f"{_path(spec)}/unapplyTags", "tags", {"tags": left})] if left else []


def _path(spec: JsonObject) -> str:
    place = f"/workspaces/{spec['workspaceId']}"
    return f"{place}/items/{spec['itemId']}" if spec.get("itemId") else place
