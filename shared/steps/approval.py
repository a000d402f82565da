"""Kind `approval`: a person says whether the deployment goes on. It makes no call to Fabric and leaves nothing there.

saga/step/approvals.py decides it. To whoever asks what a step would do at Fabric, it is a thing that is there as asked.
"""

from shared.domain.approval import APPROVAL
from shared.domain.errors import FabricRefusedError
from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.steps.companions import Found, Makers
from shared.steps.kind import Call, Snapshot

DEFAULTS = ("reject", "approve")


class ApprovalKind:
    """Nothing to find, nothing to change, nothing to undo."""

    name = APPROVAL
    if_exists = "adopt"
    outputs = frozenset({"approvedBy", "reason"})
    keys = ()

    def check(self, spec: Fields) -> None:
        """`with`: message, approvers, default."""
        spec.text("message", required=True, maximum=1000, refers=True)
        for i, approver in enumerate(spec.texts("approvers", refers=True)):
            if not approver.strip() or len(approver) > 256:
                spec.problem("approvers", f"entry {i} must have 1 to 256 characters")
        spec.choice("default", DEFAULTS)

    def expand(self, spec: JsonObject) -> None:
        """A plain kind."""
        return

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Nothing that Fabric could lack."""
        return Snapshot(Resource("Approval", "", str(spec["message"])[:80]), {})

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """None, ever."""
        return []

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Allow every update: compensation needs nothing of it."""

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """Nothing."""
        return found.image

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """No call."""
        return []

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """Raises FabricRefusedError: no approval is ever created at Fabric."""
        raise FabricRefusedError("an approval is nothing that Fabric creates", call=APPROVAL)

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Nothing of it could be found."""
        return False

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Nothing to read back."""
        return {}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Nothing is there."""
        return None

    def guard(self, fabric: Fabric, resource: Resource, makers: Makers) -> list[Found]:
        """Nothing hangs on it."""
        return []

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """No call."""
        return []
