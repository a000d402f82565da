"""A tenant for the kinds: the simulator's model behind the real Fabric client, with calls sent as the engine sends
them."""

from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.model import FabricModel
from local.fabric_simulator.store import Item, Workspace
from shared.adapters.fabric.client import FabricClient
from shared.domain.errors import Problems
from shared.domain.fields import Fields
from shared.domain.ports import KindRules, OperationStarted
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.kind import Call, Snapshot, StepKind
from shared.steps.marker import marker_of
from tests.fakes import FakeClock
from tests.simulation.edges import IDENTITY, FixedToken, ModelTransport

MARKER = marker_of("d", "step")
PERSON = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
OTHER = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c02"


class Tenant:
    """A tenant with one identity, whose calls are made one at a time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.model = FabricModel(lambda: self.clock.now().timestamp(), seed=1)
        transport = ModelTransport(self.model, self.clock)
        self.fabric = FabricClient("http://127.0.0.1", FixedToken(), transport, sleep=self.clock.advance)

    def workspace(self, name: str = "sales", **fields: Any) -> str:
        """Create a workspace that the identity administers and no deployment created, and return its id."""
        roles = [{"id": IDENTITY, "type": "ServicePrincipal", "role": "Admin"}, *fields.pop("roles", [])]
        row = {"displayName": name, "roleAssignments": roles, **fields}
        return control.seed(self.model, {"workspaces": [row]})["workspaces"][0]["id"]

    def stored(self, workspace_id: str) -> Workspace:
        """Return a workspace as the simulator stores it."""
        return self.model.store.workspaces[workspace_id]

    def item(self, workspace_id: str, name: str) -> Item:
        """Return an item as the simulator stores it."""
        return next(i for i in self.stored(workspace_id).items.values() if i.name == name)

    def send(self, calls: list[Call]) -> Any:
        """Send calls in order, and return the body of the last response or the result of its operation."""
        answer: Any = None
        for call in calls:
            reply = self.fabric.send(call.method, call.path, call.body, call.query)
            answer = reply.body
            if reply.operation is not None:
                status = self.fabric.poll(reply.operation.id, reply.operation.location)
                assert status.state == "succeeded"
                answer = self.fabric.result(reply.operation.id, reply.operation.location)
        return answer

    def create(self, kind: StepKind, spec: dict[str, Any]) -> Resource:
        """Create the resource as the engine would."""
        return kind.created(spec, self.send(kind.apply(spec, Intent(IntentAction.CREATE, MARKER))))

    def image(self, kind: StepKind, spec: dict[str, Any]) -> tuple[Snapshot, Intent]:
        """Find the resource, take its before-image, and return the intent of an update."""
        found = kind.find(self.fabric, spec)
        assert found is not None
        before = kind.capture(self.fabric, spec, found, None)
        if isinstance(before, OperationStarted):
            captured = self.fabric.result(before.id, before.location)
            before = kind.capture(self.fabric, spec, found, captured)
        assert not isinstance(before, OperationStarted)
        return found, Intent(IntentAction.UPDATE, MARKER, before, found.resource.id)

    def compensate(self, kind: StepKind, spec: dict[str, Any], intent: Intent, resource: Resource) -> None:
        """Compensate the step as the engine would."""
        found = kind.locate(self.fabric, spec, resource)
        assert found is not None
        self.send(kind.compensate(spec, intent, found))


def problems(kind: KindRules, spec: Any) -> dict[str, str]:
    """Return the message of every problem of a `with` by its path."""
    found = Problems()
    fields = Fields(spec, "$", found, [])
    kind.check(fields)
    fields.finish()
    return {p.path: p.message for p in found}
