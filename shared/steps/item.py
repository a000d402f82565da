"""Kind `item`: an item of any type by Fabric's items API, bare or with a definition."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from shared.domain.field_schema import REFERENCE, given
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps import definitions, eventhouse, items, schedules
from shared.steps.definition_parts import is_as_asked, is_base64, restorable, wire_definition
from shared.steps.kind import (
    ANY_TYPE,
    WORKSPACE_ID,
    Call,
    IfExists,
    NoBeforeImageError,
    Snapshot,
    VerificationError,
    check_if_exists,
    check_name,
)
from shared.steps.makers import Found, Own
from shared.steps.marker import check_description, keep_marker, with_marker

_PART = {"path": "notebook-content.py", "text": "print('sales')"}
_GIVEN_BY_FOLDER = ("type", "displayName", "description", "definition", "creationPayload", "ifExists")
_UPDATES = "updateDefinition"


def _is_type(types: frozenset[str]) -> JsonObject:
    return {"properties": {"type": {"enum": sorted(types)}}, "required": ["type"]}


def _if(condition: JsonObject, then: JsonObject) -> JsonObject:
    return {"if": condition, "then": then}


_FOLDER, _DEFINITION = given("folder", "string"), given("definition", "object")
_WORD_NAME = {"anyOf": [{"pattern": f"^(?:{items.WORD_NAME.pattern})$"}, REFERENCE]}
_SCHEMA_RULES: tuple[JsonObject, ...] = (
    _if(_is_type(definitions.NEEDS_DEFINITION), {"anyOf": [_FOLDER, _DEFINITION]}),
    _if(_is_type(definitions.NO_DEFINITION), {"not": _DEFINITION}),
    _if(_is_type(items.WORD_NAMED), {"properties": {"displayName": _WORD_NAME}}),
    _if(given("format", "string"), _FOLDER),
    {"not": {"allOf": [_DEFINITION, given("creationPayload", "object")]}},
)
"""The JSON Schema of the comparisons between fields in `check`."""


class ItemKind(items.InWorkspace):
    """Create, adopt or update an item. An update keeps the earlier definition, and compensation restores it."""

    name = "item"
    about = "An item of any type, with or without a definition."
    packs = "folder"
    if_exists = IfExists.ADOPT
    is_found_by_marker = True
    outputs = frozenset({"id", "displayName", "workspaceId", "type"})
    keys = ("workspaceId", "type", "displayName")
    expected_seconds: Mapping[str, float] = {
        "create Notebook": 1.5,
        "create SemanticModel": 10.9,
        "create Warehouse": 9.1,
        "create SQLDatabase": 16.9,
        "create Eventstream": 4.2,
        "create KQLDatabase": 6.9,
        "create Report": 0.4,
        "create MLModel": 0.6,
        "create MLExperiment": 0.9,
        "create Environment": 3.1,
        "create UserDataFunction": 3.2,
        "create DigitalTwinBuilder": 7.9,
        "create CosmosDBDatabase": 7.4,
        "getDefinition": 0.4,
        "updateDefinition": 0.8,
    }
    """Medians of server-side durations (createdTimeUtc to lastUpdatedTimeUtc). Source: recorded traffic of
    microsoft/fabric-cli, 436 operations, September 2025 to July 2026."""
    tracks = ANY_TYPE
    tracked_fields: Mapping[str, str] = {"workspaceId": "workspace_id", "displayName": "name", "type": "type"}

    def item_type(self, spec: JsonObject) -> str:
        return spec["type"]

    def check(self, spec: Fields) -> None:
        spec.schema_rules(_SCHEMA_RULES)
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        chosen = spec.raw(
            "format",
            schema={"type": "string", "minLength": 1},
            words=Words("With a folder: the definition's format, if it cannot be inferred from the files.", "ipynb"),
        )
        is_folder = spec.path_field(
            "folder",
            gives=_GIVEN_BY_FOLDER,
            words=Words(
                "A folder in Fabric's source-control format, relative to the manifest; it also gives type and name. "
                "The command line packs it.",
                "notebook/Clean sales.Notebook",
            ),
        )
        if is_folder:
            spec.not_packed("folder")
            return
        item_type = spec.text(
            "type", required=True, maximum=64, words=Words("Any type of Fabric's items API.", "Notebook")
        )
        if item_type in items.WORD_NAMED:
            pattern, hint = items.WORD_NAME, items.WORD_HINT
        else:
            pattern, hint = None, ""
        name = spec.text(
            "displayName",
            required=True,
            maximum=items.NAME_LIMIT,
            pattern=pattern,
            hint=hint,
            refers=True,
            words=Words("Unique among the workspace's items of that type.", "Clean sales"),
        )
        if pattern is None:
            check_name(spec, name)
        check_description(spec, items.DESCRIPTION_LIMIT)
        if chosen is not None:
            spec.problem("format", "is allowed only with a folder; without one write it in `definition`")
        payload = spec.any_object(
            "creationPayload",
            words=Words("In the form that Fabric's own API accepts; not with a definition.", {"enableSchemas": True}),
        )
        definition = spec.sub("definition", words=Words("The content of the item, part by part.", {"parts": [_PART]}))
        if definition is not None:
            check_definition(definition, item_type)
            if item_type in definitions.NO_DEFINITION:
                spec.problem("definition", f"is not accepted by Fabric for a {item_type}; leave it out")
        if payload is not None and definition is not None:
            spec.problem("creationPayload", "cannot be used with a definition (Fabric's rule)")
        if item_type in definitions.NEEDS_DEFINITION and definition is None:
            spec.problem("definition", f"is required: Fabric does not create a {item_type} without one")
        check_if_exists(spec, self.if_exists)

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return the fields that differ. The definition counts as different until it has been read."""
        changed = ["description"] if items.description_differs(spec, found.image) else []
        present = as_object(found.image.get("definition"))
        if "definition" in spec and (present is None or not is_as_asked(spec, present)):
            changed.append("definition")
        return changed

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """Return the description, and the definition if the manifest has one; reading it may be an operation."""
        if "definition" not in spec:
            return found.image
        if captured is None:
            resource = found.resource
            path = f"/workspaces/{resource.parent_id}/items/{resource.id}/getDefinition"
            # getDefinition is a POST that changes nothing, so it needs no intent.
            reply = fabric.send("POST", path, None, _format_query(spec))
            if reply.operation is not None:
                return reply.operation
            captured = reply.body or {}
        definition = restorable(as_object(captured.get("definition")) or {})
        if definition is None:
            message = (
                f"Fabric does not return the complete definition of {found.resource.type} '{found.resource.name}', "
                "so it could not be restored"
            )
            raise NoBeforeImageError(message, call="getDefinition")
        place, item = found.resource.parent_id or "", found.resource
        more = schedules.captured(fabric, place, item.id, item.type, spec["definition"])
        return {**found.image, "definition": _in_format(spec, definition), **more}

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return POST /items, or updateDefinition and PATCH."""
        if intent.action is IntentAction.CREATE:
            body: JsonObject = {
                "displayName": spec["displayName"],
                "type": spec["type"],
                "description": with_marker(spec.get("description", ""), intent.marker),
            }
            if "definition" in spec:
                body["definition"] = wire_definition(spec["definition"], spec["type"])
            if "creationPayload" in spec:
                body["creationPayload"] = spec["creationPayload"]
            return [Call("POST", items.items_path(spec), f"create {spec['type']}", body)]
        return _update_calls(spec, intent.before or {}, intent.before_id or "")

    def calls(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> Iterable[Call]:
        """Yield the calls of `apply` and then, after a definition that does not say which schedules there are, those
        that make the schedules again that Fabric has deleted with it. Raises FabricError."""
        calls = self.apply(spec, intent)
        yield from calls
        has_new = any(call.operation_kind == _UPDATES for call in calls)
        if intent.action is IntentAction.UPDATE and has_new and not schedules.has_part(spec["definition"]):
            at = (spec["workspaceId"], intent.before_id or "", self.item_type(spec))
            yield from schedules.kept(fabric, *at, intent.before or {}, is_on=self.starts_jobs(spec))

    def starts_jobs(self, spec: JsonObject) -> bool:
        """Return True if schedules may be on when the update is done; False if a later step switches them on."""
        return True

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check the type and, unless it was adopted, the description.

        The definition is not read back, because Fabric normalises it, and reading it can be an operation of its own.
        """
        shown = items.shown_item(fabric, resource)
        shown_type = shown.get("type", spec["type"])
        if shown_type != spec["type"]:
            raise VerificationError(f"item {resource.id} is a {shown_type}, not a {spec['type']}")
        image: JsonObject = {"description": shown.get("description", "")}
        if intent.action is not IntentAction.ADOPT and items.description_differs(spec, image):
            raise VerificationError(f"{spec['type']} {resource.id}: Fabric shows a different description")
        name = shown.get("displayName", resource.name)
        return {"id": resource.id, "displayName": name, "workspaceId": spec["workspaceId"], "type": spec["type"]}

    def guard(self, fabric: Fabric, resource: Resource, own: Own) -> list[Found]:
        """Return the companions that are deleted with it. Raises GuardError if it contains items of others."""
        return eventhouse.guard(fabric, resource, own) if resource.type == eventhouse.TYPE else []

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE, or the calls that restore definition and description."""
        if intent.action is IntentAction.CREATE:
            return [items.delete_call(found)]
        before = intent.before or {}
        calls: list[Call] = []
        if "definition" in spec and before.get("definition"):
            calls += self.definition_calls(spec, before, found)
        if items.description_differs(spec, before):
            calls.append(items.description_call(spec["workspaceId"], found.resource.id, before["description"]))
        return calls

    def completed(self, fabric: Fabric, intent: Intent, found: Snapshot, sent: int) -> Snapshot:
        """Return the item with its present schedules if an update may have changed them. Raises FabricError."""
        if not schedules.may_change(intent.before or {}):
            return found
        item = found.resource
        present = schedules.of_item(fabric, item.parent_id or "", item.id, item.type)
        return Snapshot(item, {**found.image, "schedules": present})

    def definition_calls(self, spec: JsonObject, before: JsonObject, found: Snapshot) -> list[Call]:
        """Return the calls that restore the definition of a before-image and then the schedules.

        The definition comes first, because it is the one that Fabric may continue as an operation.
        """
        call = _update_definition(spec, found.resource.id, before["definition"])
        if not schedules.may_change(before):
            return [call]
        present = as_list(found.image.get("schedules")) or []
        more = schedules.restored(spec["workspaceId"], found.resource.id, spec["type"], before, present)
        return [replace(call, decides_next=True), *more]


def _update_calls(spec: JsonObject, before: JsonObject, item_id: str) -> list[Call]:
    calls: list[Call] = []
    if "definition" in spec and not is_as_asked(spec, as_object(before.get("definition")) or {}):
        calls.append(_update_definition(spec, item_id, wire_definition(spec["definition"], spec["type"])))
    if items.description_differs(spec, before):
        text = keep_marker(spec["description"], before.get("description", ""))
        calls.append(items.description_call(spec["workspaceId"], item_id, text))
    return calls


def _update_definition(spec: JsonObject, item_id: str, definition: JsonObject) -> Call:
    path = f"{items.items_path(spec)}/{item_id}/updateDefinition"
    return Call("POST", path, _UPDATES, {"definition": definition})


def _format_query(spec: JsonObject) -> dict[str, str] | None:
    chosen = definitions.format_of(spec["type"], spec["definition"])
    return {"format": chosen} if chosen else None


def _in_format(spec: JsonObject, captured: JsonObject) -> JsonObject:
    """Return a captured definition with the format in which it was asked for, so that it is restored in that format.

    Fabric may leave the format out of its response.
    """
    chosen = definitions.format_of(spec["type"], spec["definition"])
    return {**captured, "format": captured.get("format") or chosen} if chosen else captured


def check_definition(definition: Fields, item_type: str) -> None:
    chosen = definition.text(
        "format",
        maximum=64,
        words=Words(
            "The format, if the type has several. If it is absent, it is inferred from the paths of the parts.", "ipynb"
        ),
    )
    paths: set[str] = set()
    parts = definition.each(
        "parts",
        _read_part,
        required=True,
        empty="must contain at least one part",
        words=Words("The files of the item.", [_PART]),
    )
    for part, (path, payload, text) in parts:
        if path in paths:
            part.problem("path", f"'{path}' is the path of another part already")
        paths.add(path)
        part.refers("text", text)
        if (payload is None) == (text is None):
            part.problem("payload", "give either payload (base64) or text")
        elif text is not None and not isinstance(text, str):
            part.problem("text", "must be a string")
        elif payload is not None and not is_base64(payload):
            part.problem("payload", "is not base64 (A-Z, a-z, 0-9, +, /, padded with =); use `text` for plain text")
        elif problem := definitions.part_problem(item_type, path, part.data):
            part.problem("text" if payload is None else "payload", f"'{path}' {problem}")
    if problem := definitions.format_problem(item_type, paths, chosen):
        definition.problem("format" if chosen else "parts", problem)
    definition.finish()


def _read_part(part: Fields) -> tuple[str, Any, Any]:
    path = part.text("path", required=True, maximum=1024, words=Words("Relative to the item.", "notebook-content.py"))
    is_text: JsonObject = {"type": "string"}
    payload = part.raw(
        "payload",
        schema=is_text,
        words=Words("Its content in base64, wrapped or not; or `text`.", "cHJpbnQoJ3NhbGVzJyk="),
    )
    text = part.raw("text", schema=is_text, words=Words("Its content as it is; or `payload`.", "print('sales')"))
    part.choice("payloadType", ("InlineBase64",), words=Words("The only type that Fabric has.", "InlineBase64"))
    part.one_of({"payload": "string", "text": "string"})
    return path, payload, text
