"""Kind `repository_item`: one item of a repository. A manifest cannot name it; `repository` expands to it.

It differs from `item` in four ways. Its files are in storage, and are rendered when they are sent, because only then
the ids of other items are known. It is in a folder. An item that an earlier deployment of the same repository created
is found by its id, so that it can be renamed. And it is skipped if it was deployed with the same content.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.fields import Fields
from shared.domain.item_template import stored_template
from shared.domain.json import JsonObject, as_list, as_object, content_hash
from shared.domain.names import same_name
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.ports.deployed import identity_of
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.repository import normalise
from shared.repository.model import Ref
from shared.repository.model_json import from_json, to_json
from shared.repository.render import RenderError, render
from shared.steps import freed_names, item_notes, items, lookups, published, restorable, schedules
from shared.steps.definition_parts import PLATFORM, platform_payload
from shared.steps.details import Details, Drift
from shared.steps.item import ItemKind
from shared.steps.item_actions import EnvironmentPublishKind, publish_call
from shared.steps.item_notes import Unchanged
from shared.steps.kind import Call, IfExists, NotYetError, Snapshot, VerificationError
from shared.steps.marker import keep_marker, with_marker
from shared.steps.recall import Recall
from shared.steps.rows import located

OUTPUT_OF = {
    "id": "id",
    "sqlendpoint": "sqlEndpointConnectionString",
    "sqlendpointid": "sqlEndpointId",
    "queryserviceuri": "queryServiceUri",
}
"""The output that has an attribute of an item, by its name in parameter.yml."""


class RepositoryItemKind(ItemKind):
    """Create or update an item of a repository."""

    name = "repository_item"
    about = "One item of a repository; a step of the kind repository expands to it."
    packs = ""
    if_exists = IfExists.UPDATE
    outputs = frozenset(
        {
            *("id", "displayName", "workspaceId", "type", "created", "changed", "switchedOff", "renewed"),
            *OUTPUT_OF.values(),
        }
    )
    keys = ("workspaceId", "type", "displayName")
    is_found_by_marker = True
    tracks = ""
    tracked_fields: Mapping[str, str] = {}

    def check(self, spec: Fields) -> None:
        """Check what is sent to Fabric once its references are replaced; `repository` checked the rest."""
        spec.guid("workspaceId", required=True)
        spec.text("type", required=True, maximum=64)
        spec.text("displayName", required=True, maximum=items.NAME_LIMIT, refers=True)
        for name in (
            *("description", "logicalId", "template", "folderId", "refs", "ready", "unchanged", "creationPayload"),
            *("itemId", "shellIsNew", "bundle", "hasSchedules", "identities"),
        ):
            spec.raw(name)

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        """Return the spec with the values of references to what is not in the repository, with a digest of all that
        its definition is made of, and with what an earlier deployment noted about the item. Raises FabricError."""
        prepared = {"description": "", **spec}  # a file `.platform` leaves an empty description out
        if "template" in spec:
            refs = [each if "value" in each else self._looked_up(fabric, spec, each) for each in spec["refs"]]
            prepared |= {"refs": refs, "sent": content_hash([spec["template"], refs])}
        key = f"{spec['type']}/{spec['displayName']}"
        known = recall.of_item(spec["workspaceId"], spec.get("logicalId") or "", key)
        if known is not None:
            prepared["known"] = known
        if "identities" in spec and "itemId" not in spec and item_notes.has_new_name(prepared):
            prepared["renamed"] = freed_names.renamed(fabric, prepared, recall)
        return prepared

    def _looked_up(self, fabric: Fabric, spec: JsonObject, each: JsonObject) -> JsonObject:
        try:
            return {**each, "value": lookups.value_of(fabric, spec["workspaceId"], from_json(each["ref"]))}
        except NotYetError as error:
            raise FabricTransientError(str(error), call="look up a reference") from None

    def opened(self, spec: JsonObject, read: Callable[[str], bytes]) -> JsonObject:
        """Return the spec with its definition, rendered from the stored files. Raises InvalidInputError."""
        if "template" not in spec or "definition" in spec:
            return spec
        values = {str(content_hash(each["ref"])): each["value"] for each in spec["refs"]}

        def value_of(ref: Ref) -> str:
            return values[content_hash(to_json(ref))]

        try:
            template = stored_template(spec, read)
            parts = [
                {
                    "path": part["path"],
                    "payload": base64.b64encode(
                        render(_content(part, read), part["is_text"], from_json(part["replacements"]), value_of)
                    ).decode(),
                    "payloadType": "InlineBase64",
                }
                for part in template["parts"]
            ]
        except (KeyError, TypeError, ValueError, RenderError) as error:
            message = f"the stored template of {spec['type']} '{spec['displayName']}' cannot be used: {error}"
            raise InvalidInputError([Problem("$.with.template", message)]) from None
        chosen = {"format": template["format"]} if template.get("format") else {}
        return {**spec, "definition": {"parts": parts, **chosen}}

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Return the item that an earlier deployment created under this logical id, or that has this type and name.

        An item that another step of the repository renames now has the name no longer: then this one is created.
        """
        rows = freed_names.rows_of(fabric, spec)
        wanted: str = spec.get("itemId") or item_notes.known(spec).get("id") or ""
        by_id = next((row for row in rows if wanted and row["id"].lower() == wanted.lower()), None)
        named = (row for row in rows if same_name(row["displayName"], spec["displayName"]))
        row = by_id or next((row for row in named if not freed_names.is_renamed_later(spec, row)), None)
        return None if row is None else _snapshot(row, spec["workspaceId"])

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return what differs. The definition counts as different until it has been read, unless it was deployed with
        the same content."""
        image = found.image
        has_other_name = found.resource.name != spec["displayName"]
        changed = ["displayName"] if has_other_name else []
        if items.description_differs(spec, image):
            changed.append("description")
        if "folderId" in spec and (image.get("folderId") or "").lower() != spec["folderId"].lower():
            changed.append("folder")
        if "template" in spec and not item_notes.is_as_sent(spec, found):
            present = as_object(image.get("definition"))
            is_same = present is not None and "definition" in spec
            is_same = is_same and not item_notes.has_other_content(spec, found, present or {})
            if not is_same or spec["unchanged"] == Unchanged.REDEPLOY:
                changed.append("definition")
        return changed

    def is_probably_as_asked(self, spec: JsonObject, found: Snapshot) -> bool:
        """Return True if an earlier deployment sent exactly this content to exactly this item, and it is checked."""
        is_checked = spec["unchanged"] == Unchanged.CHECK
        return is_checked and self.changes(spec, found) == ["definition"] and item_notes.was_sent(spec, found)

    def drift(self, spec: JsonObject, found: Snapshot) -> Drift | None:
        return item_notes.drift_of(spec, found, self.changes(spec, found))

    def shown_digest(self, spec: JsonObject, found: Snapshot, before: JsonObject | None = None) -> str:
        """Return the digest; empty if Fabric still shows what was there before other content was sent, because it has
        not taken that, or not yet."""
        seen, old = item_notes.seen_of(spec, found), Snapshot(found.resource, before or {})
        is_old = not item_notes.was_sent(spec, found) and seen == item_notes.seen_of(spec, old)
        return "" if is_old else seen

    def reads_back(self, spec: JsonObject, intent: Intent) -> bool:
        """Return True for a definition that was written and is checked. An export has the default format alone."""
        is_written = intent.action is not IntentAction.ADOPT and "template" in spec
        is_noted = spec["unchanged"] == Unchanged.CHECK and spec["type"] not in item_notes.CHANGED_LATER
        return is_written and is_noted and not (as_object(spec.get("definition")) or {}).get("format")

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        """Return which parts differ from what Fabric has, with the lines of each."""
        present = as_object(found.image.get("definition"))
        if present is None or "definition" not in spec:
            return Details()
        sent, live = item_notes.parts(spec["definition"]), item_notes.parts(present)
        changes = item_notes.differences(spec, present)
        lines = [line for each in changes for line in normalise.lines(spec["type"], each, sent, live)]
        files = tuple(f"{each.path} {each.change}" for each in changes)
        return Details(files, tuple(lines), restorable.of_update(spec["type"]).value)

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """Return the image, with the definition if the step may replace it. That of a shell which this deployment
        created is not kept, because the shell is deleted."""
        if item_notes.is_as_sent(spec, found) or spec.get("shellIsNew") is True:
            return found.image
        image = super().capture(fabric, spec, found, captured)
        if isinstance(image, OperationStarted) or spec["type"] != EnvironmentPublishKind.type:
            return image
        return {**image, "publish": published.read(fabric, spec["workspaceId"], found.resource.id)}

    def completed(self, fabric: Fabric, intent: Intent, found: Snapshot, sent: int) -> Snapshot:
        """Return an environment with its last publish, too, if there is a before-image of its definition."""
        found, before = super().completed(fabric, intent, found, sent), intent.before or {}
        if found.resource.type != EnvironmentPublishKind.type or not before.get("definition"):
            return found
        publish = published.read(fabric, found.resource.parent_id or "", found.resource.id)
        return Snapshot(found.resource, {**found.image, "publish": publish})

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return POST /items, or the calls that change name, description, folder and definition."""
        if intent.action is IntentAction.CREATE:
            text = with_marker(spec.get("description", ""), intent.marker)
            [call] = super().apply(spec, intent)
            body = {**(call.body or {}), **({"folderId": spec["folderId"]} if spec.get("folderId") else {})}
            if "definition" in body:
                body["definition"] = _marked(body["definition"], text)
            return [Call(call.method, call.path, call.operation_kind, body)]
        before, item_id = intent.before or {}, intent.before_id or ""
        found = Snapshot(Resource(spec["type"], item_id, before.get("displayName", ""), spec["workspaceId"]), before)
        changed = self.changes(spec, found)
        calls: list[Call] = []
        if "definition" in changed:  # no schedule may start a job of an item that has only half of its changes
            calls += _switched(spec, item_id, before)
            calls.append(self.definition_call(spec, item_id, spec["definition"]))
        return calls + _metadata_calls(spec, item_id, changed, _wanted(spec, before))

    def calls(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> Iterable[Call]:
        """Return the calls of `apply`, as for every item. Raises FabricTransientError while an item that another step
        renames has the name that this one gets: Fabric would refuse the call, and no retry follows a refusal."""
        if spec.get("renamed") and any(
            freed_names.is_renamed_later(spec, row) for row in freed_names.rows_of(fabric, spec)
        ):
            what = f"another step renames the {spec['type']} that has the name '{spec['displayName']}', and has not yet"
            todo = "if that item refers to this one, rename it in a deployment of its own first"
            raise FabricTransientError(f"{what}: {todo}", call=f"GET {items.items_path(spec)}")
        return super().calls(fabric, spec, intent)

    def starts_jobs(self, spec: JsonObject) -> bool:
        return not spec.get("hasSchedules")

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check in the list of items that it has its type, name, folder and description, and return the outputs."""
        found = self.locate(fabric, spec, resource)
        if found is None:
            raise NotYetError(f"{spec['type']} '{resource.name}' ({resource.id}) is not shown yet", 1.0)
        if found.resource.type != spec["type"]:
            raise VerificationError(f"item {resource.id} is a {found.resource.type}, not a {spec['type']}")
        if intent.action is not IntentAction.ADOPT and (wrong := _metadata(self.changes(spec, found))):
            raise VerificationError(f"{spec['type']} {resource.id}: Fabric shows another {wrong[0]}")
        return {
            "id": resource.id,
            "displayName": found.resource.name,
            "workspaceId": spec["workspaceId"],
            "type": spec["type"],
            "created": intent.action is IntentAction.CREATE,
            "changed": intent.action is not IntentAction.ADOPT,
            "identity": identity_of(spec.get("logicalId") or "", spec["type"], spec["displayName"]),
            "isOwn": intent.action is IntentAction.CREATE or item_notes.is_own(spec, resource),
            **_schedules_after(fabric, spec, resource, intent),
            **({"sent": spec["sent"]} if "sent" in spec else {}),
            **({"seen": seen} if (seen := item_notes.seen_before(spec, found)) else {}),
            **lookups.ready(fabric, spec["workspaceId"], found.resource, spec.get("ready") or ()),
        }

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        row = located(fabric, f"/workspaces/{resource.parent_id}/items", None, resource.id)
        if row is None:
            return None
        return _snapshot({"displayName": resource.name, "type": resource.type, **row}, resource.parent_id or "")

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE, or the calls that restore definition, folder, name and description."""
        if intent.action is IntentAction.CREATE:
            return [items.delete_call(found)]
        before = intent.before or {}
        image = Snapshot(
            Resource(spec["type"], found.resource.id, before.get("displayName", ""), spec["workspaceId"]), before
        )
        changed = self.changes(spec, image)
        calls: list[Call] = []
        if before.get("definition") and "definition" in changed:
            calls += self.definition_calls(spec, before, found)
            if "publish" in found.image and published.is_new(before.get("publish") or {}, found.image["publish"]):
                # Its definition is only staged; operations come before other calls.
                calls.append(publish_call(spec["workspaceId"], found.resource.id))
        old = {
            "displayName": before.get("displayName", ""),
            "description": before.get("description", ""),
            "folderId": before.get("folderId") or "",
        }
        return calls + _metadata_calls(spec, found.resource.id, changed, old)

    def made_again(self, fabric: Fabric, spec: JsonObject, intent: Intent, resource: Resource) -> JsonObject:
        """Return the ids of the schedules that were made again, beside their earlier ids."""
        before, place = intent.before or {}, resource.parent_id or ""
        if not before.get("schedules"):
            return {}
        new = schedules.renewed(before, schedules.of_item(fabric, place, resource.id, resource.type))
        return {"id": resource.id, "workspaceId": place, "renewed": schedules.ids_text(new)}

    def definition_call(self, spec: JsonObject, item_id: str, definition: JsonObject) -> Call:
        """Return POST updateDefinition without `updateMetadata`, so that Fabric keeps name, description and marker."""
        path = f"{items.items_path(spec)}/{item_id}/updateDefinition"
        return Call("POST", path, "updateDefinition", {"definition": definition})


def _switched(spec: JsonObject, item_id: str, before: JsonObject) -> list[Call]:
    """Return the calls that switch the item's schedules off, if a later step switches them on again."""
    rows: list[JsonObject] = (before.get("schedules") or []) if spec.get("hasSchedules") else []
    return schedules.switched(spec["workspaceId"], item_id, spec["type"], rows, is_on=False)


def _schedules_after(fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
    """Return the outputs about the schedules of a changed item: the ids of those that the update switched off, if a
    later step switches them on; and `old>new` for those that Fabric deleted and that were made again. With spaces
    between them. Raises FabricError."""
    before = intent.before or {}
    new: dict[str, str] = {}
    rows: list[JsonObject] = before.get("schedules") or []
    if rows and intent.action is IntentAction.UPDATE:
        new = schedules.renewed(before, schedules.of_item(fabric, spec["workspaceId"], resource.id, spec["type"]))
    on = [str(row["id"]) for row in rows if row.get("enabled") is True and "configuration" in row]
    outputs: JsonObject = {"renewed": schedules.ids_text(new)} if new else {}
    if spec.get("hasSchedules"):
        outputs |= {"switchedOff": " ".join(new.get(each, each) for each in on), "renewed": outputs.get("renewed", "")}
    return outputs


def _content(part: JsonObject, read: Callable[[str], bytes]) -> bytes:
    """Return the bytes of a file, which are in the template if they are few."""
    content = part.get("content")
    return read(part["sha256"]) if content is None else base64.b64decode(content)


def _snapshot(row: JsonObject, workspace_id: str) -> Snapshot:
    resource = Resource(row["type"], row["id"], row["displayName"], workspace_id)
    image = {"description": row.get("description", ""), "displayName": row["displayName"]}
    return Snapshot(resource, {**image, "folderId": row.get("folderId") or ""})


def _wanted(spec: JsonObject, before: JsonObject) -> JsonObject:
    """Return the name, description and folder that an update sets; the description keeps the marker that it carries."""
    text = keep_marker(spec.get("description", ""), before.get("description", ""))
    return {"displayName": spec["displayName"], "description": text, "folderId": spec.get("folderId") or ""}


def _metadata(changed: list[str]) -> list[str]:
    return [name for name in changed if name != "definition"]


def _metadata_calls(spec: JsonObject, item_id: str, changed: list[str], values: JsonObject) -> list[Call]:
    """Return PATCH with name and description, and move; each only if it is among what changed."""
    path = f"{items.items_path(spec)}/{item_id}"
    body = {name: values[name] for name in ("displayName", "description") if name in changed}
    calls = [Call("PATCH", path, "item", body)] if body else []
    if "folder" in changed:
        calls.append(items.move_call(spec["workspaceId"], item_id, values["folderId"]))
    return calls


def _marked(definition: JsonObject, description: str) -> JsonObject:
    """Return a definition whose `.platform` has this description: Fabric may take it from there."""
    parts: list[Any] = [_marked_part(part, description) for part in as_list(definition["parts"]) or []]
    return {**definition, "parts": parts}


def _marked_part(part: JsonObject, description: str) -> JsonObject:
    if part["path"] != PLATFORM:
        return part
    try:
        platform: Any = json.loads(base64.b64decode(part["payload"]))
        platform["metadata"]["description"] = description
        return {**part, "payload": platform_payload(platform)}
    except (ValueError, KeyError, TypeError, RecursionError):
        return part  # Fabric reports what is wrong with it
