"""Kind `item`: an item of any type by Fabric's items API, bare or with a definition."""

import base64
import binascii
import json
from typing import Any

from shared.domain.fields import Fields
from shared.domain.json import JsonObject, as_list, as_object, canonical
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.steps import definitions, items
from shared.steps.companions import Found, Makers
from shared.steps.kind import (
    IF_EXISTS,
    Call,
    NoBeforeImageError,
    Snapshot,
    VerificationError,
    check_description,
    check_name,
    keep_marker,
    with_marker,
)

PLATFORM = ".platform"
"""The part with name and type in Fabric's source-control format; Fabric ignores it unless told otherwise."""


class ItemKind:
    """Creates, adopts or updates an item; an update keeps the prior definition and compensation restores it."""

    name = "item"
    if_exists = "adopt"
    outputs = frozenset({"id", "displayName", "workspaceId", "type"})
    keys = ("workspaceId", "type", "displayName")

    def check(self, spec: Fields) -> None:
        """`with`: workspaceId, type, displayName, description, definition or creationPayload, ifExists."""
        spec.guid("workspaceId", required=True)
        chosen = spec.raw("format")
        if spec.raw("folder") is not None:
            spec.problem("folder", "is not packed: submit with the command line, which reads the folder")
            for name in ("type", "displayName", "description", "definition", "creationPayload", "ifExists"):
                spec.raw(name)
            return
        item_type = spec.text("type", required=True, maximum=64)
        if item_type in items.WORD_NAMED:
            pattern, hint = items.WORD_NAME, items.WORD_HINT
        else:
            pattern, hint = None, ""
        name = spec.text(
            "displayName", required=True, maximum=items.NAME_LIMIT, pattern=pattern, hint=hint, refers=True
        )
        if pattern is None:
            check_name(spec, name)
        check_description(spec, items.DESCRIPTION_LIMIT)
        if chosen is not None:
            spec.problem("format", "stands beside a folder only; without one write it in `definition`")
        payload, definition = spec.sub("creationPayload"), spec.sub("definition")
        if definition is not None:
            _check_definition(definition, item_type)
            if item_type in definitions.NO_DEFINITION:
                spec.problem("definition", f"is not taken by Fabric for a {item_type}; leave it out")
        if payload is not None:
            spec.refers("creationPayload", payload.data)
        if payload is not None and definition is not None:
            spec.problem("creationPayload", "cannot stand beside a definition (a rule of Fabric's)")
        if item_type in definitions.NEEDS_DEFINITION and definition is None:
            spec.problem("definition", f"is required: Fabric creates no {item_type} without one")
        spec.choice("ifExists", IF_EXISTS)

    def expand(self, spec: JsonObject) -> None:
        """A plain kind."""
        return

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """By type and name in the workspace."""
        return items.find_item(fabric, spec, spec["type"])

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """The description, and, as far as can be told before it is fetched, the definition."""
        changed = ["description"] if items.description_differs(spec, found.image) else []
        present = as_object(found.image.get("definition"))
        if "definition" in spec and (present is None or not same_definition(spec["definition"], present)):
            changed.append("definition")
        return changed

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Allow every update: compensation needs nothing of it."""

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """The description, and the definition where the manifest has one; Fabric may answer with an operation."""
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
        definition = captured.get("definition", {})
        if not _can_be_restored(definition):
            message = f"Fabric shows no whole definition of {found.resource.type} '{found.resource.name}' to be kept"
            raise NoBeforeImageError(message, call="getDefinition")
        return {**found.image, "definition": _in_format(spec, definition)}

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """POST /items, or updateDefinition and PATCH."""
        if intent.action == "create":
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

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """The 201's body or the operation's result."""
        return items.created_item(spec, answer, spec["type"])

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """By the marker in its description, which nobody else writes."""
        return items.recognises_item(intent, found)

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """It exists with its type and, unless adopted, its description. The definition is not read back: Fabric
        normalises it, and reading it can be an operation of its own."""
        shown = fabric.get(f"{items.items_path(spec)}/{resource.id}")
        shown_type = shown.get("type", spec["type"])
        if shown_type != spec["type"]:
            raise VerificationError(f"item {resource.id} is a {shown_type}, not a {spec['type']}")
        image: JsonObject = {"description": shown.get("description", "")}
        if intent.action != "adopt" and items.description_differs(spec, image):
            raise VerificationError(f"{spec['type']} {resource.id}: Fabric shows another description")
        name = shown.get("displayName", resource.name)
        return {"id": resource.id, "displayName": name, "workspaceId": spec["workspaceId"], "type": spec["type"]}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """By id in the list."""
        return items.locate_item(fabric, resource)

    def guard(self, fabric: Fabric, resource: Resource, makers: Makers) -> list[Found]:
        """Nothing of another's lives inside an item of ours, as far as the API shows."""
        return []

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """DELETE it, or put definition and description back."""
        if intent.action == "create":
            return [items.delete_call(found)]
        before = intent.before or {}
        calls: list[Call] = []
        if "definition" in spec and before.get("definition"):
            calls.append(_update_definition(spec, found.resource.id, before["definition"]))
        if items.description_differs(spec, before):
            calls.append(items.description_call(spec["workspaceId"], found.resource.id, before["description"]))
        return calls


def _update_calls(spec: JsonObject, before: JsonObject, item_id: str) -> list[Call]:
    calls: list[Call] = []
    if "definition" in spec and not same_definition(spec["definition"], as_object(before.get("definition")) or {}):
        calls.append(_update_definition(spec, item_id, wire_definition(spec["definition"], spec["type"])))
    if items.description_differs(spec, before):
        text = keep_marker(spec["description"], before.get("description", ""))
        calls.append(items.description_call(spec["workspaceId"], item_id, text))
    return calls


def _update_definition(spec: JsonObject, item_id: str, definition: JsonObject) -> Call:
    path = f"{items.items_path(spec)}/{item_id}/updateDefinition"
    return Call("POST", path, "updateDefinition", {"definition": definition})


def _can_be_restored(definition: JsonObject) -> bool:
    """Return True if every part of a definition that Fabric handed out can be sent back."""
    parts = as_list(definition.get("parts")) or []
    return bool(parts) and all("path" in part and "payload" in part for part in parts)


def _format_query(spec: JsonObject) -> dict[str, str] | None:
    chosen = definitions.format_of(spec["type"], spec["definition"])
    return {"format": chosen} if chosen else None


def _in_format(spec: JsonObject, captured: JsonObject) -> JsonObject:
    """Return a captured definition with the format that it was asked for in, so that it is restored in that format:
    Fabric may leave it out of its answer."""
    chosen = definitions.format_of(spec["type"], spec["definition"])
    return {**captured, "format": captured.get("format") or chosen} if chosen else captured


def _check_definition(definition: Fields, item_type: str) -> None:
    chosen = definition.text("format", maximum=64)
    paths: set[str] = set()
    parts = definition.rows("parts", required=True)
    if not parts:
        definition.problem("parts", "must hold at least one part")
    for i, row in enumerate(parts):
        part = definition.element("parts", i, row)
        path, payload, text = read_part(part)
        if path in paths:
            part.problem("path", f"'{path}' stands in another part already")
        paths.add(path)
        part.refers("text", text)
        if (payload is None) == (text is None):
            part.problem("payload", "give either payload (base64) or text")
        elif text is not None and not isinstance(text, str):
            part.problem("text", "must be a string")
        elif payload is not None and not _is_base64(payload):
            part.problem("payload", "is not base64 (A-Z, a-z, 0-9, +, /, padded with =); use `text` for plain text")
        elif problem := definitions.part_problem(item_type, path, part.data):
            part.problem("text" if payload is None else "payload", f"'{path}' {problem}")
        part.finish()
    if problem := definitions.format_problem(item_type, paths, chosen):
        definition.problem("format" if chosen else "parts", problem)
    definition.finish()


def read_part(part: Fields) -> tuple[str, Any, Any]:
    """A part's path, payload and text."""
    path = part.text("path", required=True, maximum=1024)
    payload, text = part.raw("payload"), part.raw("text")
    part.choice("payloadType", ("InlineBase64",))
    return path, payload, text


def _is_base64(payload: Any) -> bool:
    try:
        base64.b64decode(_unwrapped(payload), validate=True)
    except (AttributeError, TypeError, ValueError, binascii.Error):
        return False
    return True


def _unwrapped(payload: str) -> str:
    """Base64 without line ends and spaces: most tools wrap it, Fabric takes one line."""
    return "".join(payload.split())


def wire_definition(definition: JsonObject, item_type: str = "") -> JsonObject:
    """The definition as Fabric takes it: every part in base64, and the format where it is not the type's default."""
    parts = [
        {"path": part["path"], "payload": _payload(part), "payloadType": "InlineBase64"} for part in definition["parts"]
    ]
    chosen = definitions.format_of(item_type, definition)
    return {"parts": parts, **({"format": chosen} if chosen else {})}


def _payload(part: JsonObject) -> str:
    payload = part.get("payload")
    return _unwrapped(payload) if payload is not None else base64.b64encode(part["text"].encode()).decode()


def same_definition(wanted: JsonObject, present: JsonObject) -> bool:
    """Whether two definitions say the same; `.platform` and the order and spacing of JSON do not count."""
    return _contents(wanted) == _contents(present)


def _contents(definition: JsonObject) -> dict[str, str | bytes]:
    contents: dict[str, str | bytes] = {}
    for part in as_list(definition.get("parts")) or []:
        if part["path"] == PLATFORM:
            continue
        raw = _decoded(_payload(part))
        try:
            contents[part["path"]] = canonical(json.loads(raw))
        except (ValueError, RecursionError):
            contents[part["path"]] = raw.replace(b"\r\n", b"\n")
    return contents


def _decoded(payload: str) -> bytes:
    """Return the bytes of a payload; if it is not base64, those of its text."""
    try:
        return base64.b64decode(payload)
    except ValueError:
        return payload.encode()
