"""The JSON Schema of a manifest, for editors (schemas/manifest.schema.json) and for the API's document.

It is recorded from the checks (domain/field_schema.py). It describes what a person writes, so it includes `file` and
`folder`, which the command line packs. The checks between steps (needs, references, cycles) are not part of it.
"""

from shared.domain import inputs, manifest
from shared.domain.deployment_ids import DEPLOYMENT_ID
from shared.domain.field_schema import recorded
from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.step_graph import MAX_STEPS
from shared.steps import KINDS

ID = "urn:fabric-saga:manifest:1"


def document() -> JsonObject:
    """Return the whole schema, as it is published."""
    defs = definitions("#/$defs/")
    top = defs.pop("Manifest")
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "A deployment to Microsoft Fabric",
        "description": "Either all steps are applied, or the applied ones are compensated.",
    }
    return {**about, **top, "$defs": defs}


def definitions(prefix: str) -> dict[str, JsonObject]:
    """Return `Manifest`, `ManifestStep` and one `With_<kind>` each. They refer to each other by `prefix` and name."""
    kinds = {f"With_{name}": {"description": kind.about, **recorded(kind.check)} for name, kind in KINDS.items()}
    return {"Manifest": _manifest(prefix), "ManifestStep": _step(prefix), **kinds}


def _manifest(prefix: str) -> JsonObject:
    def read(top: Fields) -> None:
        manifest.read_head(top)
        manifest.read_steps(top)

    schema = recorded(read)
    properties = schema["properties"]
    properties["steps"] |= {"minItems": 1, "maxItems": MAX_STEPS, "items": {"$ref": f"{prefix}ManifestStep"}}
    one = {"anyOf": [recorded(inputs.read_declaration), {"type": "null"}]}
    properties["inputs"] |= {"maxProperties": inputs.MAX_INPUTS, "additionalProperties": one}
    # Only the command line reads the id; the body that it sends has none.
    deployment_id = {
        "description": manifest.ID.description,
        "type": "string",
        "pattern": f"^(?:{DEPLOYMENT_ID.pattern})$",
        "examples": [manifest.ID.example],
    }
    return {**schema, "properties": {"id": deployment_id, **properties}}


def _step(prefix: str) -> JsonObject:
    def read(fields: Fields) -> None:
        manifest.read_name(fields)
        fields.raw("with", schema={"type": "object"}, words=manifest.WITH)
        manifest.read_order(fields, None)

    schema = recorded(read)
    schema["properties"]["kind"] = {
        "description": manifest.KIND.description,
        "type": "string",
        "enum": sorted(KINDS),
        "examples": [manifest.KIND.example],
    }
    schema["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"properties": {"with": {"$ref": f"{prefix}With_{name}"}}, "required": ["with"]},
        }
        for name in sorted(KINDS)
    ]
    return schema
