"""A repository with an item of each of the 31 types, cycles, nested folders, shortcuts, binary files and parameters.

Every rule of parameter.yml that changes bytes applies somewhere in it. All content is made up.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.repository.model import ZERO_ID

ENVIRONMENT = "PROD"
ENV = {"SAGA_STORE": "https://store.example/prod", "SAGA_TEAM": "operations"}
PLATFORM_SCHEMA = (
    "https://developer.microsoft.com/json-schemas/fabric/gitIntegration/platformProperties/2.0.0/schema.json"
)
DEV_LAKEHOUSE, DEV_ENDPOINT = "dddddddd-0000-4000-8000-000000000001", "dev.datawarehouse.fabric.microsoft.com"
CONNECTION = "dddddddd-0000-4000-8000-00000000000c"
SOURCES = {
    "11111111-2222-4333-8444-666666666666": ("SQL", "sales.example.net;sales"),
    "11111111-2222-4333-8444-777777777777": ("Web", "https://rates.example.net"),
}
"""The connections to which the semantic model is bound, with type and path of its data sources."""
DEV_DATAFLOW, DEV_WORKSPACE = "dddddddd-0000-4000-8000-000000000002", "dddddddd-0000-4000-8000-000000000003"


def logical_id(name: str) -> str:
    """Return the logical id of an item, made from its name."""
    return f"{zlib.crc32(name.encode()):08x}-1111-4111-8111-111111111111"


def item(
    root: Path,
    directory: str,
    item_type: str,
    name: str,
    files: Mapping[str, str | bytes] | None = None,
    *,
    logical: str | None = None,
    **metadata: Any,
) -> None:
    """Write an item as Fabric commits it. The file names are relative to its directory."""
    platform = {
        "$schema": PLATFORM_SCHEMA,
        "metadata": {"type": item_type, "displayName": name, **metadata},
        "config": {"version": "2.0", "logicalId": logical or logical_id(f"{item_type}/{name}")},
    }
    write(root / directory / ".platform", json.dumps(platform, indent=2))
    for path, content in (files or {}).items():
        write(root / directory / path, content)


def write(path: Path, content: str | bytes) -> None:
    """Write a file with its directories, byte for byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def png() -> bytes:
    """Return a small picture that contains bytes which look like text to replace."""
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return head + DEV_LAKEHOUSE.encode() + b"\r\n\xff"


def build(root: Path) -> None:
    """Write the repository and its parameters below a directory."""
    _data_stores(root)
    _code(root)
    _power_bi(root)
    _real_time(root)
    _others(root)
    write(root / "parameter.yml", PARAMETERS)
    write(root / "templates" / "pipelines.yml", TEMPLATE)
    write(root / "README.md", f"not part of any item: {DEV_LAKEHOUSE}\n")
    write(root / "Empty folder" / "notes.txt", "makes no workspace folder")


def _shortcut(name: str, target: str) -> dict[str, Any]:
    one_lake = {"path": "Tables", "itemId": target, "workspaceId": ZERO_ID}
    return {"name": name, "path": "/Tables", "target": {"type": "OneLake", "oneLake": one_lake}}


def _data_stores(root: Path) -> None:
    bronze, silver = logical_id("Lakehouse/Bronze"), logical_id("Lakehouse/Silver")
    shortcuts = [_shortcut("orders", silver), _shortcut("own", ZERO_ID)]
    item(
        root,
        "Data/Bronze.Lakehouse",
        "Lakehouse",
        "Bronze",
        {
            "lakehouse.metadata.json": '{"defaultSchema":"dbo"}',
            "shortcuts.metadata.json": json.dumps(shortcuts, indent=2).replace("\n", "\r\n"),
            "alm.settings.json": '{"version": "1.0.1"}\r\n',
        },
        description="Raw data, as it arrives",
    )
    account = {"url": "https://dev.dfs", "location": "https://dev.dfs", "subpath": "/raw", "connectionId": CONNECTION}
    external = {"name": "ext", "path": "/Files", "target": {"type": "AdlsGen2", "adlsGen2": account}}
    item(
        root,
        "Data/Silver.Lakehouse",
        "Lakehouse",
        "Silver",
        {"shortcuts.metadata.json": json.dumps([_shortcut("raw", bronze), external])},
    )
    payload = {"defaultCollation": "Latin1_General_100_CI_AS_KS_WS_SC_UTF8"}
    item(root, "Data/Store.Warehouse", "Warehouse", "Store", {"Store.sqlproj": "<Project/>"}, creationPayload=payload)
    item(root, "Data/Ops.SQLDatabase", "SQLDatabase", "Ops", {"Ops.sqlproj": "<Project/>", ".gitignore": "bin/"})
    item(
        root,
        "Data/Mirror.MirroredDatabase",
        "MirroredDatabase",
        "Mirror",
        {"mirroring.json": json.dumps({"properties": {"source": {"connection": "dev-connection"}, "name": "Über"}})},
    )
    item(root, "Data/Docs.CosmosDBDatabase", "CosmosDBDatabase", "Docs", {"definition.json": '{"containers": []}'})
    variables = {"variables": [{"name": "Lake", "type": "String", "value": DEV_LAKEHOUSE, "note": bronze}]}
    item(
        root,
        "Vars.VariableLibrary",
        "VariableLibrary",
        "Vars",
        {
            "variables.json": json.dumps(variables, indent=2),
            "settings.json": '{"valueSetsOrder": ["TEST", "PROD"]}',
            "valueSets/PROD.json": '{"name": "PROD", "variableOverrides": [{"name": "Lake", "value": "x"}]}',
        },
    )


NOTEBOOK = """# Fabric notebook source

# METADATA ********************

# META {{
# META   "dependencies": {{
# META     "lakehouse": {{
# META       "default_lakehouse": "{lakehouse}",
# META       "default_lakehouse_workspace_id": "{zero}"
# META     }},
# META     "environment": {{
# META       "environmentId": "{environment}",
# META       "workspaceId": "{zero}"
# META     }}
# META   }}
# META }}

# CELL ********************

# MAGIC %run Common
endpoint = "{endpoint}"; ENDPOINT = "{upper}"
store = "jdbc:store=old-store;user=x"; again = "jdbc:store=old-store;user=y"
notworkspaceId = "{zero}"  # workspace = "{zero}"
print("Grüße, 世界 \\u00e9")
"""


AIRFLOW = {"apacheairflowjob-content.json": '{"properties": {"type": "Airflow"}}'}


def _code(root: Path) -> None:
    environment = logical_id("Environment/Spark")
    text = NOTEBOOK.format(
        lakehouse=DEV_LAKEHOUSE,
        environment=environment,
        zero=ZERO_ID,
        endpoint=DEV_ENDPOINT,
        upper=DEV_ENDPOINT.upper(),
    )
    settings = '{"includedResources": true}'
    item(
        root,
        "Code/Jobs/Load data.Notebook",
        "Notebook",
        "Load data",
        {
            "notebook-content.py": text,
            "notebook-settings.json": settings,
            ".schedules": '{"schedules": []}',
            "Resources/logo.png": png(),
        },
    )
    item(root, "Code/Common.Notebook", "Notebook", "Common", {"notebook-content.sql": "-- Fabric\r\nSELECT 1\r\n"})
    ipynb = {"cells": [{"cell_type": "code", "source": [f"x = '{DEV_LAKEHOUSE}'\n"]}], "nbformat": 4}
    item(root, "Code/Explore.Notebook", "Notebook", "Explore", {"notebook-content.ipynb": json.dumps(ipynb, indent=1)})
    own = logical_id("Notebook/Again")
    item(root, "Code/Again.Notebook", "Notebook", "Again", {"notebook-content.py": f"me = '{own}'\n"})
    spark = "enable_native_execution_engine: false\r\ninstance_pool_id: {pool}\r\ndriver_cores: 8\r\nnote: é\r\n"
    for name, pool in (
        ("Spark", "aaaaaaaa-0000-4000-8000-00000000000a"),
        ("Other", "bbbbbbbb-0000-4000-8000-00000000000b"),
    ):
        item(
            root,
            f"Code/{name}.Environment",
            "Environment",
            name,
            {
                "Setting/Sparkcompute.yml": spark.format(pool=pool),
                "Libraries/PublicLibraries/environment.yml": "# pinned\ndependencies:\n- pip:\n  - fuzzywuzzy==0.0.1\n",
                "Libraries/CustomLibraries/tool-1.0-py3-none-any.whl": b"PK\x03\x04" + bytes(range(256)),
            },
        )
    job = {
        "executableFile": "main.py",
        "defaultLakehouseArtifactId": DEV_LAKEHOUSE,
        "environmentArtifactId": environment,
    }
    files: dict[str, str | bytes] = {"SparkJobDefinitionV1.json": json.dumps(job), "Main/main.py": "print(1)\n"}
    item(root, "Code/Nightly.SparkJobDefinition", "SparkJobDefinition", "Nightly", files)
    functions = {"definition.json": "{}", "functions.json": "[]", ".resources/functions.json": "[]"}
    item(root, "Code/Udf.UserDataFunction", "UserDataFunction", "Udf", {**functions, "function_app.py": "# x\n"})
    item(root, "Code/Exp.MLExperiment", "MLExperiment", "Exp", {"mlexperiment.metadata.json": "{}"})
    item(
        root,
        "Code/Air.ApacheAirflowJob",
        "ApacheAirflowJob",
        "Air",
        {**AIRFLOW, "dags/dag.py": f"lake = '{DEV_LAKEHOUSE}'\n"},
    )
    item(root, "Code/Dbt.DataBuildToolJob", "DataBuildToolJob", "Dbt", {"dbt-content.json": '{"project": "p"}'})


SALES = """table Sales

	partition Sales = m
		mode: import
		source = Sql.Database("sales.example.net", "sales")

	partition Rates = m
		mode: import
		source = Web.Contents("https://rates.example.net")
"""


def _power_bi(root: Path) -> None:
    model = {
        "definition.pbism": '{"version": "4.0"}',
        "definition/model.tmdl": "model Model\n\tculture: en-US\n",
        "definition/expressions.tmdl": f'expression Server = "{DEV_ENDPOINT}" meta [IsParameterQuery=true]\n',
        "definition/tables/Sales.tmdl": SALES,
        ".pbi/localSettings.json": '{"userConsent": 1}',
    }
    item(root, "BI/Sales.SemanticModel", "SemanticModel", "Sales", dict(model))
    by_path = {
        "version": "4.0",
        "datasetReference": {"byPath": {"path": "../Sales.SemanticModel"}, "byConnection": None},
    }
    report: dict[str, str | bytes] = {
        "definition.pbir": json.dumps(by_path, indent=2),
        "report.json": '{"config": "ünïcode"}',
        "StaticResources/RegisteredResources/logo.png": png(),
        ".pbi/localSettings.json": "{}",
    }
    item(root, "BI/Overview.Report", "Report", "Overview", report)
    connected = {"datasetReference": {"byConnection": {"pbiModelDatabaseName": "dev-model"}}}
    item(
        root, "BI/Details.Report", "Report", "Details", {"definition.pbir": json.dumps(connected), "report.json": "{}"}
    )
    rdl = f"<Report><DataSource>semanticmodelid={DEV_DATAFLOW}</DataSource></Report>"
    item(root, "BI/Print.PaginatedReport", "PaginatedReport", "Print", {"Print.rdl": rdl})


def _real_time(root: Path) -> None:
    house, events = logical_id("Eventhouse/House"), logical_id("KQLDatabase/Events")
    item(root, "RT/House.Eventhouse", "Eventhouse", "House", {"EventhouseProperties.json": "{}"})
    database = {"databaseType": "ReadWrite", "parentEventhouseItemId": house}
    item(
        root,
        "RT/House.Eventhouse/.children/Events.KQLDatabase",
        "KQLDatabase",
        "Events",
        {"DatabaseProperties.json": json.dumps(database), "DatabaseSchema.kql": ".create-merge table E (x:int)\n"},
    )
    sources = [
        {"id": "1", "clusterUri": "", "type": "Fabric", "databaseItemId": events, "databaseItemName": "Events"},
        {"id": "2", "clusterUri": "https://given", "type": "Manual"},
    ]
    queryset = {"queryset": {"version": "1.0.0", "dataSources": sources, "tabs": []}, "ü": 1}
    item(root, "RT/Ask.KQLQueryset", "KQLQueryset", "Ask", {"RealTimeQueryset.json": json.dumps(queryset)})
    dashboard = {"dataSources": [{"name": "Events", "clusterUri": "", "database": events, "workspace": ZERO_ID}]}
    item(root, "RT/Live.KQLDashboard", "KQLDashboard", "Live", {"RealTimeDashboard.json": json.dumps(dashboard)})
    reflex, stream = logical_id("Reflex/Alert"), logical_id("Eventstream/Stream")
    entity = {"eventstreamArtifactId": stream, "definition": {"type": "Rule", "instance": ""}}
    escaped = json.dumps({"name": "workspaceId", "type": "string", "value": ZERO_ID}, separators=(",", ":"))
    entity["definition"] = {"type": "Rule", "instance": escaped}
    item(root, "RT/Alert.Reflex", "Reflex", "Alert", {"ReflexEntities.json": json.dumps([entity], indent=2)})
    nodes = {"destinations": [{"type": "Activator", "properties": {"workspaceId": ZERO_ID, "itemId": reflex}}]}
    files: dict[str, str | bytes] = {
        "eventstream.json": json.dumps(nodes, indent=2),
        "eventstreamProperties.json": "{}",
    }
    item(root, "RT/Stream.Eventstream", "Eventstream", "Stream", files)
    item(
        root, "RT/Places.Map", "Map", "Places", {"map.json": json.dumps({"lakehouse": logical_id("Lakehouse/Silver")})}
    )


SCHEDULES = json.dumps(
    {
        "schedules": [
            {
                "enabled": True,
                "jobType": "Execute",
                "configuration": {
                    "type": "Daily",
                    "startDateTime": "2026-01-01T00:00:00",
                    "endDateTime": "2030-01-01T00:00:00",
                    "localTimeZoneId": "UTC",
                    "times": ["04:00"],
                },
            }
        ]
    }
)


def _others(root: Path) -> None:
    notebook, child = logical_id("Notebook/Load data"), logical_id("DataPipeline/Child")
    activities = [
        {"name": "Load", "type": "TridentNotebook", "typeProperties": {"notebookId": notebook, "workspaceId": ZERO_ID}},
        {"name": "Child", "typeProperties": {"pipelineId": child}, "policy": {"retry": 0, "secure": False}},
    ]
    library = {"Vars_Lake": {"type": "String", "variableName": "Lake", "libraryName": "Vars"}}
    pipeline = {"properties": {"activities": activities, "libraryVariables": library}}
    item(
        root,
        "Flow/Main.DataPipeline",
        "DataPipeline",
        "Main",
        {"pipeline-content.json": json.dumps(pipeline, indent=2), ".schedules": SCHEDULES},
    )
    item(root, "Flow/Child.DataPipeline", "DataPipeline", "Child", {"pipeline-content.json": '{"properties": {}}'})
    item(
        root, "Flow/Base.Dataflow", "Dataflow", "Base", {"mashup.pq": "section Section1;\n", "queryMetadata.json": "{}"}
    )
    mashup = (
        "section Section1;\r\nshared Query = let\r\n  Source = PowerPlatform.Dataflows([]),\r\n"
        f'  w = Source{{[workspaceId = "{DEV_WORKSPACE}"]}}[Data],\r\n'
        f'  d = w{{[dataflowId = "{DEV_DATAFLOW}"]}}[Data]\r\nin d;\r\n'
    )
    item(root, "Flow/Derived.Dataflow", "Dataflow", "Derived", {"mashup.pq": mashup, "queryMetadata.json": "{}"})
    bronze = logical_id("Lakehouse/Bronze")
    item(root, "Flow/Copy.CopyJob", "CopyJob", "Copy", {"copyjob-content.json": json.dumps({"source": bronze})})
    item(root, "Flow/Api.GraphQLApi", "GraphQLApi", "Api", {"graphql-definition.json": json.dumps({"source": bronze})})
    item(
        root,
        "Flow/Factory.MountedDataFactory",
        "MountedDataFactory",
        "Factory",
        {"mountedDataFactory-content.json": "{}"},
    )
    item(root, "Flow/Onto.Ontology", "Ontology", "Onto", {"definition.json": json.dumps({"lakehouse": bronze})})
    agent: dict[str, str | bytes] = {"Files/Config/draft/stage_config.json": json.dumps({"source": bronze})}
    item(root, "Flow/Agent.DataAgent", "DataAgent", "Agent", {**agent, ".pbi/cache.json": "{}"})
    item(root, "Flow/Graph.GraphModel", "GraphModel", "Graph", {"graphModel.json": json.dumps({"lakehouse": bronze})})
    # An export has the zero id; it identifies nothing and is replaced nowhere.
    item(root, "Flow/Exported.Notebook", "Notebook", "Exported", {"notebook-content.py": "x = 1\n"}, logical=ZERO_ID)


PARAMETERS = f"""
# Everything that changes bytes. The order of the entries matters.
extend:
  - templates/pipelines.yml
  - templates/pipelines.yml
find_replace:
  - find_value: "{DEV_LAKEHOUSE}"
    replace_value:
      DEV: "{DEV_LAKEHOUSE}"
      PROD: "$items.Lakehouse.Bronze.$id"
  - find_value: "{DEV_ENDPOINT}"
    replace_value:
      PROD: "$items.Lakehouse.Silver.$sqlendpoint"
    ignore_case: "True"
    item_type: [Notebook, SemanticModel]
  - find_value: 'jdbc:store=([\\w-]+);'
    is_regex: "true"
    replace_value:
      _ALL_: 'new\\1-store'
    file_path: Code/**/*.py
  - find_value: 'NEW\\\\1-(store)'
    is_regex: "TRUE"
    ignore_case: "true"
    replace_value:
      PROD: "$items.Warehouse.Store.sqlendpoint"
    item_name: Load data
    file_path: ["/Code/Jobs/Load data.Notebook/notebook-content.py", "no/such/file.py"]
  - find_value: "{DEV_DATAFLOW}"
    replace_value:
      PROD: "$items.Dataflow.Base.$id"
  - find_value: "dev-model"
    replace_value:
      PROD: "$items.SemanticModel.Sales.$id"
    item_type: Report
  - find_value: "Ops data"
    replace_value:
      PROD: "not reached: another item has the name"
    item_name: ""
  - find_value: "$workspace.Shared.Data"
    replace_value:
      PROD: "$workspace.$name_encoded"
  - find_value: "project"
    replace_value:
      PROD: "$workspace.$name"
    item_type: DataBuildToolJob
  - find_value: "https://dev.dfs"
    replace_value:
      PROD: "$ENV:SAGA_STORE"
  - find_value: "only in dev"
    replace_value:
      DEV: "x"
  - find_value: "print(1)"
    replace_value:
      PROD: "print('$workspace.id is literal inside a text')"
    file_path: "**/Main/*.py"
key_value_replace:
  - find_key: $.variables[?(@.name=="Lake")].value
    replace_value:
      PROD: "$items.Lakehouse.Silver.$sqlendpointid"
    item_type: VariableLibrary
  - find_key: $.variableOverrides[0].value
    replace_value:
      PROD: $workspace.Shared.Data.$items.Lakehouse.Hub.$id
    file_path: "Vars.VariableLibrary/valueSets/*.json"
  - find_key: $.properties.source.connection
    replace_value:
      PROD: "$items.Eventhouse.House.$queryserviceuri"
    item_type: "MirroredDatabase"
  - find_key: $.dependencies[0].pip
    replace_value:
      PROD: [fuzzywuzzy==0.0.2, "größe==1"]
    file_path: "**/PublicLibraries/environment.yml"
  - find_key: $..retry
    replace_value:
      DEV: 1
      PROD: 3
    item_type: DataPipeline
  - find_key: $.properties.activities[1].policy.secure
    replace_value:
      PROD: true
    item_name: [Main, Child]
  - find_key: $.version
    replace_value:
      DEV: "5"
    item_type: Report
  - find_key: $.missing
    replace_value:
      PROD: {{any: [1, 2.5, null, "é"]}}
    item_type: CopyJob
spark_pool:
  - instance_pool_id: aaaaaaaa-0000-4000-8000-00000000000a
    item_name: Nobody
    replace_value:
      PROD: {{type: Capacity, name: Cap}}
  - instance_pool_id: aaaaaaaa-0000-4000-8000-00000000000a
    replace_value:
      _all_: {{type: Workspace, name: Big}}
semantic_model_binding:
  default:
    connection_id:
      _ALL_: 11111111-2222-4333-8444-555555555555
  models:
    - semantic_model_name: [Sales]
      connection_id:
        PROD: [11111111-2222-4333-8444-666666666666, 11111111-2222-4333-8444-777777777777]
"""

TEMPLATE = """
find_replace:
  - find_value: "Child"
    replace_value:
      PROD: "Child of $ENV:SAGA_TEAM"
    file_path: '**\\pipeline-content.json'
key_value_replace:
  - find_key: $.properties.activities[0].name
    replace_value:
      PROD: $workspace.Shared.Data.$id
    item_type: DataPipeline
    item_name: Main
"""
