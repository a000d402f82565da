"""A repository with all 31 types and its second release, packed as the command line packs them.

The repository is that of the differential test: items of each type, two cycles, nested folders, parameters that need
ids, environments, shortcuts, schedules and a variable library. Two steps put more shortcuts beside it. Its second
release changes a line of every item, renames one, moves two, schedules one, adds two and has one less; of the
shortcuts, one leads elsewhere, one is new and one is gone.
"""

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from shared.cli.pack import packed
from shared.cli.stored import StoredFiles
from tests.differential import all_types
from tests.fakes import MemoryBlobs
from tests.simulation.edges import WORKSPACE

LINES: dict[str, tuple[str, str]] = {
    "Data/Bronze.Lakehouse/.platform": ("Raw data, as it arrives", "Raw data of today"),
    "Data/Silver.Lakehouse/.platform": ('"Silver"', '"Silver", "description": "Cleaned"'),
    "Data/Store.Warehouse/.platform": ('"Store"', '"Store", "description": "For reports"'),
    "Data/Ops.SQLDatabase/.platform": ('"Ops"', '"Ops", "description": "For operations"'),
    "Data/Mirror.MirroredDatabase/mirroring.json": ('"name"', '"title"'),
    "Data/Docs.CosmosDBDatabase/definition.json": ("[]", "[{}]"),
    "Vars.VariableLibrary/variables.json": ('"note"', '"remark"'),
    "Code/Jobs/Load data.Notebook/notebook-content.py": ("print(", "print('now', "),
    "Code/Common.Notebook/notebook-content.sql": ("SELECT 1", "SELECT 2"),
    "Code/Explore.Notebook/.platform": ('"Explore"', '"Explore sales"'),
    "Code/Again.Notebook/notebook-content.py": ("me =", "myself ="),
    "Code/Spark.Environment/Setting/Sparkcompute.yml": ("driver_cores: 8", "driver_cores: 4"),
    "Code/Other.Environment/Setting/Sparkcompute.yml": ("driver_cores: 8", "driver_cores: 4"),
    "Code/Nightly.SparkJobDefinition/Main/main.py": ("print(1)", "print(1)\nprint(2)"),
    "Code/Udf.UserDataFunction/function_app.py": ("# x", "# y"),
    "Code/Exp.MLExperiment/.platform": ('"Exp"', '"Exp", "description": "Runs"'),
    "Code/Air.ApacheAirflowJob/dags/dag.py": ("lake =", "house ="),
    "Code/Dbt.DataBuildToolJob/dbt-content.json": ('"p"', '"q"'),
    "BI/Sales.SemanticModel/definition/model.tmdl": ("en-US", "en-GB"),
    "BI/Overview.Report/report.json": ("config", "settings"),
    "BI/Details.Report/report.json": ("{}", '{"pages": []}'),
    "BI/Print.PaginatedReport/Print.rdl": ("</Report>", "<Body /></Report>"),
    "RT/House.Eventhouse/EventhouseProperties.json": ("{}", '{"minimumConsumptionUnits": 2.25}'),
    "RT/House.Eventhouse/.children/Events.KQLDatabase/DatabaseSchema.kql": ("x:int", "x:int, y:int"),
    "RT/Ask.KQLQueryset/RealTimeQueryset.json": ('"tabs": []', '"tabs": [{}]'),
    "RT/Live.KQLDashboard/RealTimeDashboard.json": ('{"dataSources"', '{"title": "Live", "dataSources"'),
    "RT/Alert.Reflex/ReflexEntities.json": ('"Rule"', '"Alarm"'),
    "RT/Stream.Eventstream/eventstreamProperties.json": ("{}", '{"retentionTimeInDays": 2}'),
    "RT/Places.Map/map.json": ('{"lakehouse"', '{"zoom": 2, "lakehouse"'),
    "Flow/Main.DataPipeline/pipeline-content.json": ('"properties": {\n', '"properties": {\n    "annotations": [],\n'),
    "Flow/Child.DataPipeline/pipeline-content.json": ('{"properties": {}}', '{"properties": {"annotations": []}}'),
    "Flow/Base.Dataflow/mashup.pq": ("Section1;", "Section1;\nshared One = 1;"),
    "Flow/Copy.CopyJob/copyjob-content.json": ('{"source"', '{"mode": "Batch", "source"'),
    "Flow/Api.GraphQLApi/graphql-definition.json": ('{"source"', '{"kind": "x", "source"'),
    "Flow/Factory.MountedDataFactory/mountedDataFactory-content.json": ("{}", '{"dataFactory": 1}'),
    "Flow/Onto.Ontology/definition.json": ('{"lakehouse"', '{"kind": "x", "lakehouse"'),
    "Flow/Agent.DataAgent/Files/Config/draft/stage_config.json": ('{"source"', '{"kind": "x", "source"'),
    "Flow/Graph.GraphModel/graphModel.json": ('{"lakehouse"', '{"kind": "x", "lakehouse"'),
    "Flow/Exported.Notebook/notebook-content.py": ("x = 1", "x = 2"),
}
"""The changed files of the second release: a text and its replacement."""
MOVED = {"Code/Common.Notebook": "Code/Shared/Common.Notebook", "Flow/Child.DataPipeline": "Child.DataPipeline"}
GONE = "Flow/Derived.Dataflow"
"""A directory that only the first release has."""


def build_second(root: Path) -> None:
    """Write the second release of the repository below a directory."""
    all_types.build(root)
    for name, (old, new) in LINES.items():
        text = (root / name).read_bytes().decode()
        assert old in text, f"{name} does not contain {old}"
        (root / name).write_bytes(text.replace(old, new, 1).encode())
    for old, new in MOVED.items():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)
    for file in sorted((root / GONE).iterdir()):
        file.unlink()
    (root / GONE).rmdir()
    links = root / "Data/Bronze.Lakehouse/shortcuts.metadata.json"
    orders, _ = json.loads(links.read_text())  # the second one is gone
    orders["target"]["oneLake"]["path"] = "Files"
    all_types.write(links, json.dumps([orders, {**orders, "name": "files", "path": "/Files"}]))
    all_types.write(root / "Child.DataPipeline" / ".schedules", all_types.SCHEDULES)
    all_types.item(root, "New/Fresh.Notebook", "Notebook", "Fresh", {"notebook-content.py": "x = 1\n"})
    fresh = f'{{"notebook": "{all_types.logical_id("Notebook/Fresh")}"}}'
    all_types.item(root, "Flow/Late.CopyJob", "CopyJob", "Late", {"copyjob-content.json": fresh})


@dataclass(frozen=True)
class Release:
    """A packed manifest and the files that it names."""

    manifest: dict[str, Any]
    files: MemoryBlobs


@cache
def release(number: int) -> Release:
    """Return a release of the repository, packed once as the command line packs it."""
    stored, files = StoredFiles(), MemoryBlobs()
    with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", all_types.ENV):
        build = all_types.build if number == 1 else build_second
        build(Path(folder) / "repository")
        made = packed({"name": "m", "target": "T", "steps": _steps(number)}, Path(folder), stored=stored)
        stored.send(files)
    return Release(made, files)


def _steps(number: int) -> list[dict[str, Any]]:
    content = {"workspaceId": WORKSPACE, "path": "repository", "environment": "PROD", "environmentVariables": True}
    silver, bronze = (f"${{{{ steps.content/Lakehouse/{name}.outputs.id }}}}" for name in ("Silver", "Bronze"))
    folder = "Files" if number == 1 else "Tables"
    target = {"oneLake": {"workspaceId": WORKSPACE, "itemId": silver, "path": folder}}
    place = {"workspaceId": WORKSPACE, "itemId": bronze, "path": "Files", "ifExists": "update"}
    link = {"id": "link", "kind": "shortcut", "with": {**place, "name": "silver", "target": target}}
    more = {"id": "more", "kind": "shortcut", "with": {**place, "name": f"more{number}", "target": target}}
    return [
        {"id": "ws", "kind": "workspace", "with": {"displayName": "sales", "ifExists": "adopt"}},
        {"id": "content", "kind": "repository", "with": {**content, "orphans": "quarantine"}},
        link,
        more,
    ]
