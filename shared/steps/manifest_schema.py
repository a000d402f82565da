"""The JSON Schema of a manifest, for editors (schemas/manifest.schema.json) and for the API's document.

Made of the checks themselves (domain/field_schema.py), with words of our own beside them. It says what a person writes:
`file` and `folder`, too, which the command line packs. What one part says of another (needs, references, cycles) is
checked beyond it.
"""

from shared.domain.field_schema import recorded
from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.manifest import DEPLOYMENT_ID, read_head, read_name, read_order
from shared.domain.step_graph import MAX_STEPS
from shared.steps import KINDS, items, manifest_words
from shared.steps.definitions import NEEDS_DEFINITION, NO_DEFINITION
from shared.steps.item import read_part
from shared.steps.manifest_words import WORDS

ID = "urn:fabric-saga:manifest:1"
_BESIDE_THE_LIST = ("workspaceId", "ifExists")


def document() -> JsonObject:
    """The whole schema, as it is published."""
    defs = definitions("#/$defs/")
    top = defs.pop("Manifest")
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "A deployment to Microsoft Fabric",
        "description": "All of it is applied, or all of it is put back.",
    }
    return {**about, **top, "$defs": defs}


def definitions(prefix: str) -> dict[str, JsonObject]:
    """`Manifest`, `ManifestStep` and one `With_<kind>` each, which refer to each other by `prefix` and name."""
    top = recorded(read_head)
    top["properties"] = {"id": {"type": "string", "pattern": f"^(?:{DEPLOYMENT_ID.pattern})$"}, **top["properties"]}
    steps = {"type": "array", "minItems": 1, "maxItems": MAX_STEPS, "items": {"$ref": f"{prefix}ManifestStep"}}
    top["properties"]["steps"] = steps
    top["required"].append("steps")
    return {
        "Manifest": _told("manifest", top),
        "ManifestStep": _step(prefix),
        **{f"With_{name}": {"description": manifest_words.KINDS[name], **_with(name)} for name in KINDS},
    }


def _step(prefix: str) -> JsonObject:
    def read(fields: Fields) -> None:
        read_name(fields)
        fields.raw("with")
        read_order(fields, "")

    step = recorded(read)
    step["properties"]["kind"] = {"type": "string", "enum": sorted(KINDS)}
    step["properties"]["with"] = {"type": ["object", "null"]}
    rules: list[JsonObject] = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"properties": {"with": {"$ref": f"{prefix}With_{name}"}}, "required": ["with"]},
        }
        for name in sorted(KINDS)
    ]
    return {**_told("step", step), "allOf": rules}


def _with(name: str) -> JsonObject:
    schema = recorded(KINDS[name].check)
    if name == "item":
        _complete_item(schema)
    if name == "principals":
        _complete_principals(schema)
    return _told(name, schema)


def _complete_item(schema: JsonObject) -> None:
    """What its check finds out row by row, and where one field depends on another."""
    properties = schema["properties"]
    part = recorded(read_part)
    part["properties"] |= {name: {"type": ["string", "null"]} for name in ("payload", "text")}
    part["oneOf"] = [_given("payload", "string"), _given("text", "string")]
    properties["definition"]["properties"]["parts"] |= {"minItems": 1, "items": _told("part", part)}
    properties["definition"] = _told("definition", properties["definition"])
    properties["creationPayload"] = {"type": ["object", "null"]}
    properties["folder"] = {"type": ["string", "null"], "minLength": 1}
    properties["format"] = {"type": ["string", "null"], "minLength": 1}
    schema["required"] = ["workspaceId"]
    packed = {"required": ["type", "displayName"]}
    schema["anyOf"] = [_given("folder", "string"), packed]
    whole = {"anyOf": [_given("folder", "string"), _given("definition", "object")]}
    word = {"properties": {"displayName": {"anyOf": [{"pattern": f"^(?:{items.WORD_NAME.pattern})$"}, _OPEN]}}}
    schema["allOf"] = [
        {"if": _is_type(NEEDS_DEFINITION), "then": whole},
        {"if": _is_type(NO_DEFINITION), "then": {"not": _given("definition", "object")}},
        {"if": _is_type(items.WORD_NAMED), "then": word},
        {"if": _given("format", "string"), "then": _given("folder", "string")},
        {"not": {"allOf": [_given("definition", "object"), _given("creationPayload", "object")]}},
    ]


_OPEN: JsonObject = {"pattern": r"\$\{\{"}


def _is_type(types: frozenset[str]) -> JsonObject:
    return {"properties": {"type": {"enum": sorted(types)}}, "required": ["type"]}


def _complete_principals(schema: JsonObject) -> None:
    """Its list, and that there is one of three."""
    row = recorded(KINDS["role_assignment"].check)
    row["properties"] |= {name: {"type": "null"} for name in _BESIDE_THE_LIST}
    row["required"] = [name for name in row["required"] if name not in _BESIDE_THE_LIST]
    words = {name: word for name, word in WORDS["role_assignment"].items() if name not in _BESIDE_THE_LIST}
    schema["properties"] |= {
        "principals": {"type": ["array", "null"], "minItems": 1, "items": _described(row, words)},
        "csv": {"type": ["string", "null"]},
        "file": {"type": ["string", "null"], "minLength": 1},
    }
    schema["oneOf"] = [_given("principals", "array"), _given("csv", "string"), _given("file", "string")]


def _given(name: str, kind: str) -> JsonObject:
    """The field is there and has a value."""
    return {"properties": {name: {"type": kind}}, "required": [name]}


def _told(name: str, schema: JsonObject) -> JsonObject:
    return _described(schema, WORDS[name])


def _described(schema: JsonObject, words: dict[str, tuple[str, object]]) -> JsonObject:
    """With a description and an example at each field that the check knows."""
    properties = {
        name: {"description": words[name][0], **field, "examples": [words[name][1]]} if name in words else field
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": properties}
