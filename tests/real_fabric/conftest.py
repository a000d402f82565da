"""The place where the scenarios run: the same app on the embedded host, with the simulator or with a tenant as its
Fabric.

Settings decide which: if the environment names a service principal and a capacity, the tenant runs too. Each test has
names of its own, and everything that a test leaves is rolled back.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from local.paths import ROOT
from local.stack import Stack
from shared import settings
from shared.bootstrap import command_line
from shared.domain.errors import NotFoundError
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.variables import VARIABLES
from shared.saga.command.verbs import Verb, allowed_verbs
from tests.conftest import require
from tests.e2e.conftest import Running, finish, make_stack

NEEDED = ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "FABRIC_CAPACITY_ID")
SCENARIOS = ROOT / "examples" / "scenarios"
_CAPACITY = "00000000-0000-0000-0000-000000000004"
_ENDING = (Verb.CANCEL, Verb.COMPENSATE, Verb.RETIRE)


class Place(Running):
    """A stack, and the Fabric that it deploys to."""

    def __init__(self, stack: Stack, *, capacity: str, principals: Path | None) -> None:
        super().__init__(stack)
        self.capacity = capacity
        self.principals = principals
        self.patience_seconds = 150.0 if stack.has_simulator else 1800.0
        """How long a deployment is followed, in seconds."""

    @property
    def is_tenant(self) -> bool:
        """Return True if the created resources are real and cost money."""
        return not self.stack.has_simulator

    @property
    def environment(self) -> dict[str, str]:
        """Return a program's environment; for a tenant it has the stack's own address, identity and certificates."""
        if not self.is_tenant:
            return super().environment
        return {**self.stack.environment, "AzureWebJobsStorage": self.stack.connection_string}

    @property
    def loaded(self) -> settings.Settings:
        """Return the settings of a program beside the app."""
        return settings.load(self.environment)

    def client(self) -> Fabric:
        """Return the project's own client of Fabric, without the journal."""
        return command_line.fabric(self.loaded)

    def row(self, deployment_id: str) -> tuple[DeploymentRecord, list[StepRecord]]:
        """Return header and steps. Raises NotFoundError."""
        journal = command_line.storage(self.loaded).journal
        return journal.header(deployment_id).record, [s.record for s in journal.steps(deployment_id)]


@dataclass(frozen=True)
class Standing:
    """The state of a workspace in Fabric."""

    workspace: JsonObject
    items: dict[tuple[str, str], JsonObject]
    roles: dict[str, str]


@dataclass
class Scenario:
    """A manifest of examples/scenarios with names of the test's own."""

    place: Place
    workspace: str
    """The name of its workspace, and the deployment's id."""
    manifest: dict[str, Any]
    file: Path

    def write(self) -> None:
        """Write the manifest to a file for the command line."""
        self.file.write_text(yaml.safe_dump(self.manifest))

    def submit(self, code: int) -> str:
        """Submit the manifest, follow the deployment until it ends with this exit code, and return the output."""
        self.write()
        return self._waited("submit", str(self.file), "--id", self.workspace, code=code)

    def ask(self, verb: Verb, code: int = 0) -> str:
        """Send a verb that ends the deployment, and wait for that."""
        return self._waited(verb.value, self.workspace, "--reason", "end of the test", code=code)

    def _waited(self, *arguments: str, code: int | None) -> str:
        maximum = f"{self.place.patience_seconds * 0.9:g}s"
        return self.place.cli(*arguments, "--wait", "--timeout", maximum, check=code).stdout

    def standing(self) -> Standing | None:
        """Read everything back through Fabric's API, or return None if the workspace does not exist."""
        fabric = self.place.client()
        row = next((w for w in fabric.list("/workspaces") if w["displayName"] == self.workspace), None)
        if row is None:
            return None
        path = f"/workspaces/{row['id']}"
        items = {(i["type"], i["displayName"]): i for i in fabric.list(f"{path}/items")}
        roles = {
            cast(JsonObject, r["principal"])["id"].lower(): r["role"] for r in fabric.list(f"{path}/roleAssignments")
        }
        return Standing(fabric.get(path), items, roles)

    def end(self) -> None:
        """Roll back with the app what still exists. Anything left after that is deleted, and fails the test."""
        try:
            header, steps = self.place.row(self.workspace)
            for verb in (v for v in _ENDING if v in allowed_verbs(header, steps)):
                self._waited(verb.value, self.workspace, "--reason", "end of the test", code=None)
                break
        except NotFoundError:
            pass  # It was not submitted.
        finally:
            left = self.standing()
            if left is not None:
                self.place.client().send("DELETE", f"/workspaces/{left.workspace['id']}")
        assert left is None, f"the app left {self.workspace}: it was deleted by the test"


def _simulator() -> Place:
    stack = make_stack(environment={"BREAKER_OPEN_SECONDS": "8"}).up()
    place = Place(stack, capacity=_CAPACITY, principals=ROOT / "examples" / "principals.csv")
    place.fabric("seed", {"capacities": [{"id": _CAPACITY}]})
    # As in a tenant: a lakehouse needs a capacity.
    place.fabric("settings", {"require_capacity": True})
    return place


def _tenant() -> Place:
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        pytest.skip(f"no tenant to test against: {', '.join(missing)} not set (docs/real-tenant.md)")
    require(shutil.which("npm") is not None, "the embedded stack needs Node.js and npm")
    environment = {
        "FABRIC_API_BASE_URL": str(VARIABLES["FABRIC_API_BASE_URL"].default),
        "SWEEP_SCHEDULE": "*/30 * * * * *",
        **os.environ,
        "FABRIC_CREDENTIAL": "service_principal",
    }
    stack = Stack(name=f"tenant-{secrets.token_hex(4)}", environment=environment).up()
    file = os.environ.get("TEST_PRINCIPALS_FILE")
    return Place(stack, capacity=os.environ["FABRIC_CAPACITY_ID"], principals=Path(file).resolve() if file else None)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("simulator", marks=pytest.mark.e2e),
        pytest.param("tenant", marks=pytest.mark.real_fabric),
    ],
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Start the simulator, and a tenant if the environment names one."""
    running = _simulator() if request.param == "simulator" else _tenant()
    try:
        yield running
    finally:
        finish(running.stack)


@pytest.fixture
def scenario(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """Return the scenario that the test's `parametrize` names, and roll it back afterwards in any case."""
    name: str = request.param
    manifest = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text())
    unique = f"fabric-saga-test-{secrets.token_hex(4)}-{name}"
    made = Scenario(place, unique, manifest, tmp_path / f"{name}.yaml")
    manifest["target"] = made.workspace
    for step in manifest["steps"]:
        if step["kind"] == "workspace":
            step["with"] |= {"displayName": made.workspace, "capacityId": place.capacity}
        if step["kind"] == "principals":
            if place.principals is None:
                pytest.skip("TEST_PRINCIPALS_FILE is not set: roles need at least one principal (docs/real-tenant.md)")
            (tmp_path / "principals.csv").write_bytes(place.principals.read_bytes())
            step["with"]["file"] = "principals.csv"
    try:
        yield made
    finally:
        made.end()
