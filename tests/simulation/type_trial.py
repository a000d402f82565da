"""An item of one type deployed, changed and rolled back by the whole system in memory; what became of it each time.

Every outcome is read from the simulator's state and its log of calls, and not from what the product says of itself.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from local.fabric_simulator import catalogue, control, definitions
from local.fabric_simulator.store import Item, Workspace
from local.paths import ROOT
from shared.cli.pack import packed
from shared.cli.stored import StoredFiles
from shared.domain.manifest import compile_manifest
from shared.domain.states import DeploymentState
from shared.saga import deployed
from shared.saga.command.verbs import Verb
from shared.saga.dry_run.changes import dry_run
from shared.saga.dry_run.result import Action, DryRun
from shared.steps import KINDS, STEPS
from shared.steps.marker import without_marker
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.world import World

REPOSITORY = ROOT / "tests" / "peers" / "repository"
"""A repository with one item of each type."""
CHANGES: dict[str, tuple[str, str, str]] = {
    "ApacheAirflowJob": ("dags/nightly.py", "pass", "..."),
    "CopyJob": ("copyjob-content.json", "Batch", "CDC"),
    "CosmosDBDatabase": ("definition.json", "[]", "[{}]"),
    "DataAgent": ("Files/Config/draft/stage_config.json", "one sentence", "two sentences"),
    "DataBuildToolJob": ("dbt-content.json", "DataWarehouse", "Lakehouse"),
    "DataPipeline": ("pipeline-content.json", '"Clean"', '"Clean orders"'),
    "Dataflow": ("mashup.pq", '"a", 1', '"a", 2'),
    "Environment": ("Setting/Sparkcompute.yml", "driver_cores: 8", "driver_cores: 4"),
    "Eventhouse": ("EventhouseProperties.json", "{", '{"minimumConsumptionUnits": 2.25'),
    "Eventstream": ("eventstreamProperties.json", "1", "2"),
    "GraphModel": ("graphType.json", "1.0.0", "1.0.1"),
    "GraphQLApi": ("graphql-definition.json", "[]", "[{}]"),
    "KQLDashboard": ("RealTimeDashboard.json", '"60"', '"61"'),
    "KQLDatabase": ("DatabaseSchema.kql", "Readings", "Measures"),
    "KQLQueryset": ("RealTimeQueryset.json", "take 10", "take 20"),
    "Lakehouse": (".platform", "as they arrive", "of today"),
    "MLExperiment": (".platform", '"forecast"', '"forecast", "description": "changed"'),
    "Map": ("map.json", '"layerSources": []', '"layerSources": [{}]'),
    "MirroredDatabase": ("mirroring.json", '"dbo"', '"raw"'),
    "MountedDataFactory": ("mountedDataFactory-content.json", "factories/legacy", "factories/new"),
    "Notebook": ("notebook-content.py", 'print("cleaned")', 'print("tidied")'),
    "Ontology": ("EntityTypes/1/definition.json", "Customer", "Client"),
    "PaginatedReport": ("invoice.rdl", "<ReportSections />", "<ReportSections></ReportSections>"),
    "Reflex": ("ReflexEntities.json", "kqlQueries", "other"),
    "Report": ("report.json", '"layoutOptimization": 0', '"layoutOptimization": 1'),
    "SQLDatabase": ("dbo/Tables/Country.sql", "CHAR (2)", "CHAR (3)"),
    "SemanticModel": ("definition/tables/Orders.tmdl", "Amount", "Total"),
    "SparkJobDefinition": ("Main/main.py", "compacted", "compressed"),
    "UserDataFunction": ("function_app.py", "amount >= 0", "amount > 0"),
    "VariableLibrary": ("variables.json", "EUR", "USD"),
    "Warehouse": (".platform", '"reporting"', '"reporting", "description": "changed"'),
}
"""The line that is changed in each type's item: its file, and what is replaced in it. An item that is deployed without
a definition has nothing but `.platform`."""
_SHELL_CHANGE = (".platform", '"reference"', '"reference", "description": "changed"')
_BY_NAME = {"KQLDashboard": ("KQLDatabase",)}
"""The types to which a type's item refers by name."""
WAYS = ("repository", "item")
"""The kinds of step that deploy a folder."""
OK = "yes"
_BALL = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "ball"}
FAILS = {"id": "ball", "kind": "item", "needs": ["content"], "with": _BALL}
"""A step that fails, after everything else."""


type State = dict[str, tuple[Any, ...]]
"""The contents of a workspace: type and name of each item by its id, and all that a rollback must restore."""


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of one item: each field is OK, or what was found instead."""

    failed_create: str
    create: str
    plan: str
    again: str
    failed_update: str
    update: str
    deleted: str


@cache
def folders() -> dict[str, str]:
    """Return the folder of each type's item in the repository."""
    found = {json.loads(f.read_text())["metadata"]["type"]: f.parent for f in sorted(REPOSITORY.rglob(".platform"))}
    return {item_type: str(folder.relative_to(REPOSITORY)) for item_type, folder in found.items()}


def platform(item_type: str) -> dict[str, Any]:
    """Return the content of `.platform` of a type's item."""
    return json.loads((REPOSITORY / folders()[item_type] / ".platform").read_text())


def files(folder: Path) -> list[Path]:
    """Return the files of an item, without `.platform` and without items below it."""
    found = [each for each in folder.rglob("*") if each.is_file() and each.name != ".platform"]
    return [each for each in found if ".children" not in each.relative_to(folder).parts]


@cache
def needs(item_type: str) -> tuple[str, ...]:
    """Return the types of the items that a type's item refers to, directly or through others, in their order."""
    text = "".join(file.read_text() for file in files(REPOSITORY / folders()[item_type]))
    found: list[str] = []
    for other in folders():
        names = (platform(other)["config"]["logicalId"], f"{Path(folders()[other]).name}")
        if other != item_type and (any(name in text for name in names) or other in _BY_NAME.get(item_type, ())):
            found += [*needs(other), other]
    return tuple(dict.fromkeys(found))


class Trial:
    """A workspace in which the item of a type is deployed again and again."""

    def __init__(self, item_type: str, way: str, folder: Path) -> None:
        self.item_type, self.way, self.folder = item_type, way, folder
        self.world = World(1)
        self.count = 0
        control.seed(self.world.model, {"workspaces": [{"displayName": "sales", "roleAssignments": [own_role()]}]})
        shutil.copytree(REPOSITORY, folder / "repository")
        (folder / "repository" / "parameter.yml").unlink()
        if needs(item_type):
            state = self.deploy(self.repository(needs(item_type)))
            assert state is DeploymentState.SUCCEEDED, self.problems()
        if way == "item":
            self.put_ids()

    @property
    def workspace(self) -> Workspace:
        return next(iter(self.world.model.store.workspaces.values()))

    @property
    def item(self) -> Item | None:
        """Return the item of the type, if there is one."""
        return next((i for i in self.workspace.standing() if i.type == self.item_type), None)

    def put_ids(self) -> None:
        """Replace logical ids by ids of items, and a report's path: a step of kind `item` sends files as they are."""
        ids = {i.type: i.id for i in self.workspace.standing()}
        for file in files(self.folder / "repository" / folders()[self.item_type]):
            text = file.read_text()
            for other in needs(self.item_type):
                text = text.replace(platform(other)["config"]["logicalId"], ids[other])
            if file.name == "definition.pbir":
                connection = {"connectionString": f"semanticmodelid={ids['SemanticModel']}"}
                text = json.dumps({"version": "4.0", "datasetReference": {"byConnection": connection}})
            file.write_text(text)

    def step(self) -> dict[str, Any]:
        """Return the step that deploys the item."""
        if self.way == "repository":
            return self.repository((*needs(self.item_type), self.item_type))
        spec = {"workspaceId": WORKSPACE, "folder": f"repository/{folders()[self.item_type]}", "ifExists": "update"}
        return {"id": "content", "kind": "item", "with": spec}

    @staticmethod
    def repository(types: tuple[str, ...]) -> dict[str, Any]:
        names = [f"{platform(each)['metadata']['displayName']}.{each}" for each in types]
        spec = {"workspaceId": WORKSPACE, "path": "repository", "include": names, "environment": "TEST"}
        return {"id": "content", "kind": "repository", "with": spec}

    def manifest(self, *steps: dict[str, Any]) -> dict[str, Any]:
        """Return the manifest, packed as the command line packs it."""
        workspace = {"id": "ws", "kind": "workspace", "with": {"displayName": "sales", "ifExists": "adopt"}}
        stored = StoredFiles()
        made = packed({"name": "m", "target": "T", "steps": [workspace, *steps]}, self.folder, stored=stored)
        stored.send(self.world.blobs)
        return made

    def deploy(self, *steps: dict[str, Any]) -> DeploymentState:
        """Deploy these steps as one deployment, and return its final state."""
        self.count += 1
        self.world.clock.advance(60.0)  # nothing else takes time, and later deployments are known by their time
        self.world.submit(self.manifest(*steps), self.last)
        return self.world.run(self.last)[0]

    @property
    def last(self) -> str:
        """Return the id of the last deployment."""
        return f"d{self.count}"

    def problems(self, deployment_id: str = "") -> str:
        """Return why a deployment, by default the last one, ended as it did."""
        found = deployment_id or self.last
        rows = [s.record for s in self.world.journal.steps(found)]
        errors = [row.compensation_error or row.error for row in rows if row.compensation_error or row.error]
        return f"{self.world.state(found).value}: {errors[0].message if errors and errors[0] else ''}"

    def state(self) -> State:
        """Return what the workspace holds, by id; without the markers, which tell deployments apart."""
        held = self.workspace
        return {
            i.id: (i.type, i.name, without_marker(i.description), i.folder_id, i.value_set, self.definition(i))
            for i in held.standing()
        }

    def definition(self, item: Item) -> Any:
        """Return the definition as Fabric returns it; None if the type has none."""
        if item.type in catalogue.NO_DEFINITION:
            return None
        shown = definitions.shown(self.workspace, item, None)["definition"]
        return [part for part in shown["parts"] if part["path"] != ".platform"]

    def change(self) -> None:
        """Change one line of the item."""
        is_shell = (self.item_type, self.way) == ("SQLDatabase", "repository")
        name, old, new = _SHELL_CHANGE if is_shell else CHANGES[self.item_type]
        file = self.folder / "repository" / folders()[self.item_type] / name
        text = file.read_text()
        assert old in text, f"{file} does not contain {old}"
        file.write_text(text.replace(old, new, 1))

    def writes(self, act: Callable[[], object]) -> list[str]:
        """Return the calls that change something in Fabric while `act` runs."""
        before = len(self.world.model.calls)
        act()
        calls = [c for c in self.world.model.calls[before:] if c["effect"]]
        return [
            f"{c['method']} {c['path'].rpartition('/')[2]}"
            for c in calls
            if not c["path"].endswith(("/getDefinition", "/bulkExportDefinitions"))
        ]

    # The outcomes, in the order in which they are tried.

    def outcomes(self) -> Outcomes:
        """Try everything once."""
        before = self.state()
        failed_create = self.failed()
        create = self.succeeded(lambda: self.item is not None)
        created = self.last
        plan = self.planned()
        again = self.repeated()
        repeated, was = self.last, self.state()
        self.change()
        failed_update = self.failed()
        update = self.succeeded(lambda: self.state() != was)
        deleted = self.taken_back([(self.last, was), (repeated, was), (created, before)])
        return Outcomes(failed_create, create, plan, again, failed_update, update, deleted)

    def failed(self) -> str:
        """Deploy the item in a deployment that fails after it; everything must be as before."""
        was = self.state()
        ended = self.deploy(self.step(), FAILS)
        rows = [s.record for s in self.world.journal.steps(self.last)]
        if not any(row.intent is not None and row.spec.get("type") == self.item_type for row in rows):
            return f"not tried: {self.problems()}"
        return self.difference(was) if ended is DeploymentState.COMPENSATED else self.problems()

    def succeeded(self, holds: Callable[[], bool]) -> str:
        """Deploy the item; the deployment must succeed, and `holds` be true."""
        if self.deploy(self.step()) is not DeploymentState.SUCCEEDED:
            return self.problems()
        return OK if holds() else "no effect"

    def repeated(self) -> str:
        """Deploy the item again; nothing may be written."""
        wrote = self.writes(lambda: self.deploy(self.step()))
        if self.world.state(self.last) is not DeploymentState.SUCCEEDED:
            return self.problems()
        return f"writes: {', '.join(wrote)}" if wrote else OK

    def planned(self) -> str:
        """Plan the deployment of what is there; nothing may be reported as changed, and nothing be changed."""
        found: list[DryRun] = []
        wrote = self.writes(lambda: found.append(self.plan()))
        other = [step for step in found[0].steps if step.action not in (Action.UNCHANGED, Action.ADOPT)]
        return "; ".join([*wrote, *(f"{step.action.value}: {', '.join(step.fields)}" for step in other)]) or OK

    def planned_files(self) -> list[str]:
        """Plan the deployment, and return the files that it would change, each with how."""
        return [file for step in self.plan().steps for file in step.files]

    def plan(self) -> DryRun:
        """Plan the deployment of what is there."""
        graph, world = compile_manifest(self.manifest(self.step()), KINDS), self.world
        return dry_run(
            world.fabric,
            STEPS,
            graph,
            clock=world.clock,
            sleep=world.clock.advance,
            parallel=1,
            recall=deployed.Recalled(world.deployed, graph.target),
            read=world.blobs.get,
        )

    def taken_back(self, deployments: list[tuple[str, State]]) -> str:
        """Roll deployments back, the last one first; after each the workspace must hold what is given."""
        for deployment_id, was in deployments:
            self.world.ask(Verb.RETIRE, deployment_id)
            self.world.pass_hours(0.5)
            if self.world.state(deployment_id) is not DeploymentState.COMPENSATED:
                return self.problems(deployment_id)
            if (found := self.difference(was)) != OK:
                return found
        return OK

    def difference(self, was: State) -> str:
        """Return how the workspace differs from what it held."""
        now = self.state()
        left = [f"{now[i][0]} {now[i][1]} is left" for i in now.keys() - was.keys()]
        gone = [f"{was[i][0]} {was[i][1]} is gone" for i in was.keys() - now.keys()]
        other = [f"{now[i][0]} {now[i][1]} differs" for i in now.keys() & was.keys() if now[i] != was[i]]
        return ", ".join(sorted([*left, *gone, *other])) or OK
