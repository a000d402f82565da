"""Where the scenarios run: the same app on the embedded host, with the simulator or with a tenant as its Fabric.

Which of the two is a matter of settings: where the environment names a service principal and a capacity, the second is
run as well. Names are each test's own, and whatever a test leaves is put back.
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
    """A stack and the Fabric that it deploys to."""

    def __init__(self, stack: Stack, *, capacity: str, principals: Path | None) -> None:
        super().__init__(stack)
        self.capacity = capacity
        self.principals = principals
        self.patience_seconds = 150.0 if stack.has_simulator else 1800.0
        """How long a deployment is followed."""

    @property
    def is_tenant(self) -> bool:
        """Whether what is made is real and costs money."""
        return not self.stack.has_simulator

    @property
    def environment(self) -> dict[str, str]:
        """For a tenant what the stack itself was given: address, identity and whom to trust."""
        if not self.is_tenant:
            return super().environment
        return {**self.stack.environment, "AzureWebJobsStorage": self.stack.connection_string}

    @property
    def loaded(self) -> settings.Settings:
        """Of a program beside the app."""
        return settings.load(self.environment)

    def client(self) -> Fabric:
        """Fabric as the project's own client reads it; nothing of the journal."""
        return command_line.fabric(self.loaded)

    def row(self, deployment_id: str) -> tuple[DeploymentRecord, list[StepRecord]]:
        """Header and steps. Raises NotFoundError."""
        journal = command_line.storage(self.loaded).journal
        return journal.header(deployment_id).record, [s.record for s in journal.steps(deployment_id)]


@dataclass(frozen=True)
class Standing:
    """What Fabric shows of a workspace."""

    workspace: JsonObject
    items: dict[tuple[str, str], JsonObject]
    roles: dict[str, str]


@dataclass
class Scenario:
    """A manifest of examples/scenarios under a name of the test's own."""

    place: Place
    workspace: str
    """Its workspace's name, and the deployment's id."""
    manifest: dict[str, Any]
    file: Path

    def write(self) -> None:
        """Put it where the command line reads it."""
        self.file.write_text(yaml.safe_dump(self.manifest))

    def submit(self, code: int) -> str:
        """Submit it and follow it to its end, which must have this exit code; what was printed."""
        self.write()
        return self._waited("submit", str(self.file), "--id", self.workspace, code=code)

    def ask(self, verb: Verb, code: int = 0) -> str:
        """Ask for its end, and wait for that."""
        return self._waited(verb.value, self.workspace, "--reason", "end of the test", code=code)

    def _waited(self, *arguments: str, code: int | None) -> str:
        maximum = f"{self.place.patience_seconds * 0.9:g}s"
        return self.place.cli(*arguments, "--wait", "--timeout", maximum, check=code).stdout

    def standing(self) -> Standing | None:
        """Everything read back through Fabric's API; None where there is no such workspace."""
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
        """Put back what still stands, by the app; what it cannot put back is deleted, and that is a failure."""
        try:
            header, steps = self.place.row(self.workspace)
            for verb in (v for v in _ENDING if v in allowed_verbs(header, steps)):
                self._waited(verb.value, self.workspace, "--reason", "end of the test", code=None)
                break
        except NotFoundError:
            pass  # it never got so far
        finally:
            left = self.standing()
            if left is not None:
                self.place.client().send("DELETE", f"/workspaces/{left.workspace['id']}")
        assert left is None, f"the app left {self.workspace}: it was deleted by the test"


def _simulator() -> Place:
    stack = make_stack(environment={"BREAKER_OPEN_SECONDS": "8"}).up()
    place = Place(stack, capacity=_CAPACITY, principals=ROOT / "examples" / "principals.csv")
    place.fabric("seed", {"capacities": [{"id": _CAPACITY}]})
    # As at a tenant: without a capacity there is no lakehouse.
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
    """The simulator, and a tenant where the environment names one."""
    running = _simulator() if request.param == "simulator" else _tenant()
    try:
        yield running
    finally:
        finish(running.stack)


@pytest.fixture
def scenario(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """The one that the test's marker `parametrize` names, put back afterwards whatever happened."""
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
                pytest.skip("TEST_PRINCIPALS_FILE is not set: there is nobody to give a role to (docs/real-tenant.md)")
            (tmp_path / "principals.csv").write_bytes(place.principals.read_bytes())
            step["with"]["file"] = "principals.csv"
    try:
        yield made
    finally:
        made.end()
