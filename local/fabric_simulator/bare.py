"""The definition that Fabric shows of an item that was created without one.

Source: recordings of microsoft/fabric-cli, all types below; of the other types none was read. Ids and names in them
are the item's own.
"""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

from local.fabric_simulator import companions
from local.fabric_simulator.http import as_object
from local.fabric_simulator.store import Item, Workspace

_SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric/item"
_SHORTCUTS = (
    "OneLake", "AdlsGen2", "Dataverse", "AmazonS3", "S3Compatible", "GoogleCloudStorage", "AzureBlobStorage",
    "OneDriveSharePoint",
)  # fmt: skip
_SPARK_COMPUTE = {
    "enable_native_execution_engine": "false",
    "driver_cores": "8",
    "driver_memory": "56g",
    "executor_cores": "8",
    "executor_memory": "56g",
    "dynamic_executor_allocation": "",
    "  enabled": "true",
    "  min_executors": "1",
    "  max_executors": "9",
    "runtime_version": "1.3",
}
_EPOCH = (1980, 1, 1, 0, 0, 0)


def parts(workspace: Workspace, item: Item) -> list[dict[str, str]]:
    """Return the parts, without `.platform`; empty for a type that was not recorded without a definition."""
    made = _BY_TYPE.get(item.type)
    return [part(path, text) for path, text in made(workspace, item).items()] if made else []


def part(path: str, content: str | bytes) -> dict[str, str]:
    """Return a part of a definition."""
    raw = content.encode() if isinstance(content, str) else content
    return {"path": path, "payload": base64.b64encode(raw).decode(), "payloadType": "InlineBase64"}


def json_text(value: Any, *, crlf: bool = False) -> str:
    """Return JSON as Fabric writes it: indented by two spaces, without a final newline."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text.replace("\n", "\r\n") if crlf else text


def dacpac(files: dict[str, bytes]) -> bytes:
    """Return a package of SQL files: the same bytes for the same files. Its inside is synthetic."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name in ("model.xml", "DacMetadata.xml", "Origin.xml", "[Content_Types].xml", *sorted(files)):
            package.writestr(zipfile.ZipInfo(name, _EPOCH), files.get(name, b""))
    return buffer.getvalue()


def _lakehouse(workspace: Workspace, item: Item) -> dict[str, str]:
    metadata = '{"defaultSchema":"dbo"}' if item.creation_payload.get("enableSchemas") else "{}"
    kinds = [{"name": f"Shortcuts.{word}", "state": "Enabled"} for word in _SHORTCUTS]
    objects = [
        {"name": "Shortcuts", "state": "Enabled", "subObjectTypes": kinds},
        {"name": "DataAccessRoles", "state": "Disabled"},
    ]
    settings = json_text({"version": "1.0.1", "objectTypes": objects}, crlf=True)
    return {"lakehouse.metadata.json": metadata, "alm.settings.json": settings, "shortcuts.metadata.json": "[]"}


def _environment(workspace: Workspace, item: Item) -> dict[str, str]:
    lines = [f"{name}: {value}".rstrip() for name, value in _SPARK_COMPUTE.items()]
    return {"Setting/Sparkcompute.yml": "\r\n".join(lines) + "\r\n"}


def _kql_database(workspace: Workspace, item: Item) -> dict[str, str]:
    shown = {
        "databaseType": item.creation_payload.get("databaseType") or "ReadWrite",
        "parentEventhouseItemId": item.maker_id or item.creation_payload.get("parentEventhouseItemId"),
        "oneLakeCachingPeriod": "P365000D",
        "oneLakeStandardStoragePeriod": "P365000D",
    }
    script = (
        "// KQL script\r\n// Use management commands in this script to configure your database items, such as tables,"
        " functions, materialized views, and more.\r\n\r\n\r\n"
    )
    return {"DatabaseProperties.json": json_text(shown, crlf=True), "DatabaseSchema.kql": script}


def _twin_builder(workspace: Workspace, item: Item) -> dict[str, str]:
    lakehouse = companions.of(workspace, item, "Lakehouse")
    return {"definition.json": json_text({"LakehouseId": lakehouse.id if lakehouse else None}, crlf=True)}


def _twin_flow(workspace: Workspace, item: Item) -> dict[str, str]:
    reference = as_object(item.creation_payload.get("digitalTwinBuilderItemReference"))
    shown = {
        "DigitalTwinBuilderId": item.maker_id or reference.get("itemId"),
        "OperationIds": list[str](),
        "IsOnDemand": False,
    }
    return {"definition.json": json_text(shown, crlf=True)}


def _map(workspace: Workspace, item: Item) -> dict[str, str]:
    empty: dict[str, Any] = {
        "basemap": {},
        "dataSources": [],
        "iconSources": [],
        "layerSources": [],
        "layerSettings": [],
    }
    return {"map.json": json_text({"$schema": f"{_SCHEMAS}/map/definition/2.0.0/schema.json", **empty}, crlf=True)}


def _fixed(content: dict[str, Any], *, crlf: bool = False) -> Callable[[Workspace, Item], dict[str, str]]:
    texts = {path: v if isinstance(v, str) else json_text(v, crlf=crlf) for path, v in content.items()}
    return lambda workspace, item: texts


_SPARK_JOB = {
    "executableFile": None,
    "defaultLakehouseArtifactId": None,
    "mainClass": None,
    "additionalLakehouseIds": list[str](),
    "retryPolicy": None,
    "commandLineArguments": None,
    "additionalLibraryUris": None,
    "language": None,
    "environmentArtifactId": None,
}
_DATAFLOW = {
    "formatVersion": "202502",
    "computeEngineSettings": {"allowFastCopy": False},
    "name": None,
    "allowNativeQueries": False,
}
_EVENTSTREAM: dict[str, Any] = {
    "sources": [],
    "destinations": [],
    "streams": [],
    "operators": [],
    "compatibilityLevel": "1.1",
}
_GRAPH_QUERIES = '{"dependencies":[],"indirectDependencies":[],"ArtifactContents":[],"ConfigurationCategories":[]}'
_FUNCTIONS: dict[str, Any] = {
    "$schema": f"{_SCHEMAS}/userDataFunction/definition/1.1.0/schema.json",
    "runtime": "PYTHON",
    "connectedDataSources": [],
    "functions": [],
    "libraries": {"public": [], "private": []},
}
_VARIABLES = f"{_SCHEMAS}/variableLibrary/definition"
_BY_TYPE: dict[str, Callable[[Workspace, Item], dict[str, str]]] = {
    "CopyJob": _fixed({"copyjob-content.json": {"properties": {"jobMode": "Batch"}, "activities": []}}),
    "CosmosDBDatabase": _fixed(
        {"definition.json": {"$schema": f"{_SCHEMAS}/CosmosDB/definition/CosmosDB/2.0.0/schema.json", "containers": []}}
    ),
    "DataPipeline": _fixed({"pipeline-content.json": {"properties": {"activities": []}}}),
    "Dataflow": _fixed({"queryMetadata.json": _DATAFLOW, "mashup.pq": "section Section1;"}),
    "DigitalTwinBuilder": _twin_builder,
    "DigitalTwinBuilderFlow": _twin_flow,
    "Environment": _environment,
    "Eventhouse": _fixed({"EventhouseProperties.json": {}}),
    "Eventstream": _fixed(
        {
            "eventstream.json": _EVENTSTREAM,
            "eventstreamProperties.json": {"retentionTimeInDays": 1, "eventThroughputLevel": "Low"},
        },
        crlf=True,
    ),
    "GraphQLApi": _fixed(
        {
            "graphql-definition.json": {
                "$schema": f"{_SCHEMAS}/graphqlApi/definition/1.0.0/schema.json",
                "datasources": [],
            }
        },
        crlf=True,
    ),
    "GraphQuerySet": _fixed({"exportedDefinition.json": _GRAPH_QUERIES}),
    "KQLDashboard": _fixed({"RealTimeDashboard.json": {}}),
    "KQLDatabase": _kql_database,
    "KQLQueryset": _fixed({"RealTimeQueryset.json": {}}),
    "Lakehouse": _lakehouse,
    "Map": _map,
    "Reflex": _fixed({"ReflexEntities.json": []}),
    "SparkJobDefinition": _fixed({"SparkJobDefinitionV1.json": _SPARK_JOB}, crlf=True),
    "UserDataFunction": _fixed({"definition.json": _FUNCTIONS}, crlf=True),
    "VariableLibrary": _fixed(
        {
            "variables.json": {"$schema": f"{_VARIABLES}/variables/1.0.0/schema.json", "variables": []},
            "settings.json": {"$schema": f"{_VARIABLES}/settings/1.0.0/schema.json", "valueSetsOrder": []},
        },
        crlf=True,
    ),
}
