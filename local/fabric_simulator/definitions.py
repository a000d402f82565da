"""Definitions: checked when they are sent, normalised when they are stored, converted when they are read.

Source: recordings of microsoft/fabric-cli for what is read back of SemanticModel, Report, MirroredDatabase,
SparkJobDefinition, Lakehouse, SQLDatabase and Notebook; the published OpenAPI for the formats. The parts that a type
needs are those of every repository in Fabric's source-control format (microsoft/fabric-cicd); a refusal for a missing
one is synthetic.
"""

import base64
import binascii
import fnmatch
import json
import re
from typing import Any

from local.fabric_simulator import bare, catalogue, notebooks, tmdl, tmdl_text
from local.fabric_simulator.http import ApiError, as_object
from local.fabric_simulator.store import Item, Workspace
from local.fabric_simulator.world import Body, World

MAX_BYTES = 128 << 20
"""The decoded size of a definition that is taken; synthetic, from the limit of a bulk import."""
_PATH = re.compile(r"(?!/)(?!.*//)(?!.*(?:^|/)\.\.?(?:/|$))[^\\]{1,1024}")
_SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric"
_PLATFORM = f"{_SCHEMAS}/gitIntegration/platformProperties/2.0.0/schema.json"
_NO_ID = "00000000-0000-0000-0000-000000000000"

NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "ApacheAirflowJob": (("apacheairflowjob-content.json",),),
    "CopyJob": (("copyjob-content.json",),),
    "CosmosDBDatabase": (("definition.json",),),
    "DataAgent": (("Files/Config/*",),),
    "DataBuildToolJob": (("dbt-content.json",),),
    "DataPipeline": (("pipeline-content.json",),),
    "Dataflow": (("mashup.pq",), ("queryMetadata.json",)),
    "DigitalTwinBuilder": (("definition.json",),),
    "DigitalTwinBuilderFlow": (("definition.json",),),
    "Eventhouse": (("EventhouseProperties.json",),),
    "Eventstream": (("eventstream.json",),),
    "GraphQLApi": (("graphql-definition.json",),),
    "GraphQuerySet": (("exportedDefinition.json",),),
    "KQLDashboard": (("RealTimeDashboard.json",),),
    "KQLDatabase": (("DatabaseProperties.json",),),
    "KQLQueryset": (("RealTimeQueryset.json",),),
    "Map": (("map.json",),),
    "MirroredDatabase": (("mirroring.json", "mirroredDatabase.json"),),
    "MountedDataFactory": (("mountedDataFactory-content.json",),),
    "Notebook": (("notebook-content.*", "*.ipynb"),),
    "Ontology": (("definition.json",),),
    "PaginatedReport": (("*.rdl",),),
    "Reflex": (("ReflexEntities.json",),),
    "Report": (("definition.pbir",), ("report.json", "definition/report.json")),
    "SemanticModel": (("definition.pbism",), ("model.bim", "definition/*.tmdl")),
    "SparkJobDefinition": (("SparkJobDefinitionV1.json",),),
    "UserDataFunction": (("definition.json",),),
    "VariableLibrary": (("variables.json",),),
}
"""The parts that a definition of a type must have: one of each row; a pattern may contain `*`."""
FORMATS: dict[str, tuple[str, ...]] = {
    "Notebook": ("fabricGitSource", "ipynb"),
    "SemanticModel": ("TMDL", "TMSL"),
    "Report": ("PBIR", "PBIR-Legacy"),
    "SparkJobDefinition": ("SparkJobDefinitionV1", "SparkJobDefinitionV2"),
    "SQLDatabase": ("dacpac", "sqlproj"),
    "Lakehouse": ("LakehouseDefinitionV1",),
}
"""The formats of a type; the first is the default. A type that is not named takes any (unknown ones are not known)."""


def check(kind: str, definition: Any) -> None:
    """Raise ApiError 400 for a definition that Fabric would not take."""
    if kind in catalogue.NO_DEFINITION:
        message = f"A definition is not supported for {kind}."
        raise ApiError(400, "OperationNotSupportedForItem", message, synthetic=True)
    try:
        contents = dict(_contents(definition))
    except (TypeError, KeyError, ValueError, AttributeError, binascii.Error):
        raise ApiError(400, "CorruptedPayload", "The definition's parts are not valid.") from None
    if len(contents) != len(definition["parts"]):
        raise ApiError(400, "CorruptedPayload", "Two parts of the definition have the same path.", synthetic=True)
    if sum(len(content) for content in contents.values()) > MAX_BYTES:
        raise ApiError(413, "PayloadTooLarge", f"The definition has more than {MAX_BYTES} bytes.", synthetic=True)
    _check_format(kind, definition)
    _check_parts(kind, contents)
    _check_json(contents)


def _contents(definition: Any) -> list[tuple[str, bytes]]:
    parts: list[Any] = definition["parts"]
    if not parts:
        raise ValueError
    found: list[tuple[str, bytes]] = []
    for part in parts:
        if part.get("payloadType") != "InlineBase64" or not _PATH.fullmatch(part["path"]):
            raise ValueError
        found.append((part["path"], base64.b64decode(part["payload"], validate=True)))
    return found


def _check_format(kind: str, definition: Any) -> None:
    """Raise ApiError for an unknown format, and for a notebook with an .ipynb part whose format is not `ipynb`.

    Source: the published OpenAPI, in which the default format is `fabricGitSource`. The error code is the reported one
    (microsoft/fabric-cicd #846).
    """
    given = definition.get("format")
    if given is not None and kind in FORMATS and given not in FORMATS[kind]:
        raise ApiError(400, "InvalidDefinitionFormat", f"{kind} has no format {str(given)[:60]}.", synthetic=True)
    is_notebook = kind == "Notebook" and given != "ipynb"
    if is_notebook and any(part["path"].endswith(".ipynb") for part in definition["parts"]):
        raise ApiError(400, "PyToIPynbFailure", "The notebook's content cannot be converted.", synthetic=True)


def _check_parts(kind: str, contents: dict[str, bytes]) -> None:
    if set(contents) == {".platform"} and kind not in catalogue.NEEDS_DEFINITION:
        return  # A folder that contains nothing else: Fabric creates the item with its defaults.
    for patterns in NEEDED.get(kind, ()):
        if not any(fnmatch.fnmatchcase(path, pattern) for path in contents for pattern in patterns):
            message = f"A definition of {kind} must have the part {' or '.join(patterns)}."
            raise ApiError(400, "MissingDefinitionParts", message, synthetic=True)


def _check_json(contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        if path.endswith((".json", ".pbir", ".pbism", ".bim", ".ipynb", ".platform")) and not path.startswith("."):
            _read_json(path, content)
    if ".platform" in contents:
        _read_json(".platform", contents[".platform"])


def _read_json(path: str, content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        message = f"The part {path[:200]} is not valid JSON."
        raise ApiError(400, "CorruptedPayload", message, synthetic=True) from None


def text_of(definition: Any, path: str) -> str | None:
    """Return a part's text; None if the definition has no such part or it is not text."""
    rows: list[Any] = as_object(definition).get("parts") or []
    for part in rows:
        if part["path"] == path:
            try:
                return base64.b64decode(part["payload"]).decode("utf-8-sig")
            except UnicodeDecodeError:
                return None
    return None


def platform_of(definition: Any) -> Body:
    """Return the metadata in a definition's `.platform`; empty without one."""
    return _member(definition, "metadata")


def _member(definition: Any, name: str) -> Body:
    text = text_of(definition, ".platform")
    return as_object(as_object(json.loads(text)).get(name)) if text else {}


def logical_id_of(definition: Any) -> str | None:
    """Return the logical id in a definition's `.platform`, unless it is zero, as in what Fabric exports."""
    found = _member(definition, "config").get("logicalId")
    return found.lower() if isinstance(found, str) and found != _NO_ID else None


def stored(world: World, item: Item, definition: Any) -> Any:
    """Return what Fabric keeps of a definition that was sent; `.platform` is the item's own from then on.

    Without the format SparkJobDefinitionV2, a Spark job's files are silently lost (reported: microsoft/fabric-cicd
    #115).
    """
    parts = [dict(part) for part in definition["parts"] if part["path"] != ".platform"]
    if item.type == "SparkJobDefinition" and definition.get("format") != "SparkJobDefinitionV2":
        parts = [part for part in parts if not part["path"].startswith(("Main/", "Libs/"))]
    if item.type == "SQLDatabase":
        files = {part["path"]: base64.b64decode(part["payload"]) for part in parts}
        sent = next((content for path, content in files.items() if path.endswith(".dacpac")), None)
        parts = [bare.part("dacpac", sent or bare.dacpac(files))] if files else []
    kept = [_normalised(world, item, part) for part in parts]
    return {**definition, "parts": kept} if kept else None


def _normalised(world: World, item: Item, part: dict[str, str]) -> dict[str, str]:
    """Return a part as Fabric writes it."""
    path, text = part["path"], text_of({"parts": [part]}, part["path"])
    if text is None:
        return part
    if item.type == "SemanticModel" and path.endswith(".tmdl"):
        return bare.part(path, text.replace("\r\n", "\n").rstrip("\n") + "\n\n")
    if not path.endswith((".json", ".pbir", ".pbism")) or item.type not in _REWRITTEN:
        return part
    value = as_object(json.loads(text))
    if not value:
        return part
    if path == "definition.pbism" and value.get("version") == "4.0":
        value = {**value, "version": "4.2"}
    if path in _WITH_SCHEMA:
        value = {"$schema": f"{_SCHEMAS}/{_WITH_SCHEMA[path]}", **value}
    if path == "definition.pbir":
        value = _connected(world, value)
    if path == "SparkJobDefinitionV1.json":
        value = {k: None if v == "" and k.endswith("ArtifactId") else v for k, v in value.items()}
    return bare.part(path, bare.json_text(value, crlf=item.type == "SparkJobDefinition"))


_REWRITTEN = frozenset({"SemanticModel", "Report", "MirroredDatabase", "SparkJobDefinition"})
_WITH_SCHEMA = {
    "definition.pbism": "item/semanticModel/definitionProperties/1.0.0/schema.json",
    "definition.pbir": "item/report/definitionProperties/2.0.0/schema.json",
}


def _connected(world: World, pbir: Body) -> Body:
    """Return a report's `definition.pbir` with the connection as Fabric writes it, if the model exists."""
    model = model_of(world, pbir)
    if model is None:
        return pbir
    workspace, item = model
    text = (
        f"Data Source=powerbi://api.powerbi.com/v1.0/myorg/{workspace.name};initial catalog={item.name};"
        f"integrated security=ClaimsToken;semanticmodelid={item.id}"
    )
    return {**pbir, "datasetReference": {"byConnection": {"connectionString": text}}}


def model_id(pbir: Body) -> str | None:
    """Return the id of the semantic model that a report's connection names."""
    connection = as_object(as_object(pbir.get("datasetReference")).get("byConnection"))
    found = re.search(r"semanticmodelid=([0-9a-fA-F-]{36})", str(connection.get("connectionString") or ""))
    return found[1].lower() if found else (str(connection.get("pbiModelDatabaseName") or "") or None)


def model_of(world: World, pbir: Body) -> tuple[Workspace, Item] | None:
    """Return the semantic model that a report's connection names, with its workspace."""
    wanted = str(model_id(pbir)).lower()
    for workspace in world.store.workspaces.values():
        item = workspace.items.get(wanted)
        if item is not None and item.type == "SemanticModel":
            return workspace, item
    return None


def shown(workspace: Workspace, item: Item, wanted: str | None) -> Body:
    """Return the result of getDefinition in a format, or in the type's default. Raises ApiError 400."""
    formats = FORMATS.get(item.type, ())
    if wanted and formats and wanted.lower() not in {f.lower() for f in formats}:
        raise ApiError(400, "InvalidDefinitionFormat", f"{item.type} has no format {wanted[:60]}.", synthetic=True)
    named = next((f for f in formats if f.lower() == (wanted or "").lower()), None)
    parts = list((item.definition or {}).get("parts", [])) or bare.parts(workspace, item)
    if item.type == "Lakehouse":
        sent = {part["path"] for part in parts}
        parts = [*parts, *(p for p in bare.parts(workspace, item) if p["path"] not in sent)]
    parts, shown_format = _converted(item, parts, named)
    body: Body = {"parts": [*parts, bare.part(".platform", platform(item))]}
    return {"definition": {"format": shown_format, **body} if shown_format else body}


def _converted(item: Item, parts: list[dict[str, str]], wanted: str | None) -> tuple[list[dict[str, str]], str | None]:
    """Return the parts in a format, and the format that the result names; None for a type whose result names none."""
    if item.type == "Notebook":
        return [_notebook(part, wanted or "fabricGitSource") for part in parts], None
    if item.type == "SemanticModel":
        is_text = any(part["path"].endswith(".tmdl") for part in parts)
        if wanted == "TMSL":
            return _tmsl(parts) if is_text else parts, "TMSL"
        return parts if is_text else _tmdl(parts), "TMDL"
    if item.type == "Report":
        is_legacy = any(part["path"] == "report.json" for part in parts)
        return parts, "PBIR-Legacy" if is_legacy else "PBIR"
    if item.type == "SQLDatabase":
        package = parts[0]["payload"] if parts else base64.b64encode(bare.dacpac({})).decode()
        return [{"path": f"{item.name}.dacpac", "payload": package, "payloadType": "InlineBase64"}], "dacpac"
    return parts, None


def _notebook(part: dict[str, str], wanted: str) -> dict[str, str]:
    text = text_of({"parts": [part]}, part["path"])
    stem, _, suffix = part["path"].rpartition(".")
    if not text or stem != "notebook-content" or (suffix == "ipynb") == (wanted == "ipynb"):
        return part
    if wanted == "ipynb":
        return bare.part("notebook-content.ipynb", notebooks.to_ipynb(text))
    return bare.part("notebook-content.py", notebooks.to_source(text)) if notebooks.is_ipynb(text) else part


def _tmsl(parts: list[dict[str, str]]) -> list[dict[str, str]]:
    texts = {part["path"]: text_of({"parts": [part]}, part["path"]) or "" for part in parts}
    files = {path: text for path, text in texts.items() if path.endswith(".tmdl")}
    rest = [part for part in parts if part["path"] not in files]
    return [*rest, bare.part("model.bim", tmdl.to_tmsl(files))]


def _tmdl(parts: list[dict[str, str]]) -> list[dict[str, str]]:
    text = text_of({"parts": parts}, "model.bim")
    rest = [part for part in parts if part["path"] != "model.bim"]
    return [*rest, *(bare.part(path, content) for path, content in tmdl_text.to_tmdl(text or "{}").items())]


def platform(item: Item) -> str:
    """Return an item's `.platform`; the logical id of an item that no repository is connected to is zero."""
    metadata = {"type": item.type, "displayName": item.name}
    if item.description:
        metadata["description"] = item.description
    config = {"version": "2.0", "logicalId": _NO_ID}
    return bare.json_text({"$schema": _PLATFORM, "metadata": metadata, "config": config})
