"""Kind `role_assignment`: one principal's role on a workspace. In Fabric its id is the principal's id."""

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.principals import ROLES, TYPES
from shared.domain.records import Intent, Resource
from shared.steps.companions import Found, Makers
from shared.steps.kind import IF_EXISTS, Call, Snapshot, VerificationError, located


class RoleAssignmentKind:
    """Gives a principal a role, or changes the role it has; compensation takes it away or gives the old one back."""

    name = "role_assignment"
    if_exists = "update"
    outputs = frozenset({"id", "principalId", "role", "workspaceId"})
    keys = ("workspaceId", "principalId")

    def check(self, spec: Fields) -> None:
        """`with`: workspaceId, principalId, principalType, role, description, ifExists."""
        spec.guid("workspaceId", required=True)
        check_principal(spec)
        spec.choice("ifExists", IF_EXISTS)

    def expand(self, spec: JsonObject) -> None:
        """A plain kind."""
        return

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """By the principal's id among the workspace's assignments."""
        return _find(fabric, spec["workspaceId"], spec["principalId"])

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Another role."""
        return ["role"] if found.image["role"] != spec["role"] else []

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """The identity that deploys keeps at least the role that it has: with less it could not give itself the old
        one back, nor delete what was created. Whoever creates a workspace is its Admin."""
        present = found.image["role"] if found is not None else "Admin"
        if spec["principalId"].lower() == fabric.identity() and _rank(spec["role"]) > _rank(present):
            message = (
                f"would lower the role of the identity that deploys ({spec['principalId']}) from {present} to "
                f"{spec['role']}, and it could undo nothing any more: leave it out, or give it {present}"
            )
            raise InvalidInputError([Problem("$.with.role", message)])

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """The snapshot holds everything already."""
        return found.image

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """POST, or PATCH the role; Fabric has no upsert."""
        path = f"/workspaces/{spec['workspaceId']}/roleAssignments"
        if intent.action == "create":
            principal = {"id": spec["principalId"], "type": spec["principalType"]}
            return [Call("POST", path, "role", {"principal": principal, "role": spec["role"]})]
        return [Call("PATCH", f"{path}/{intent.before_id}", "role", {"role": spec["role"]})]

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """The 201's own body."""
        return Resource("RoleAssignment", answer["id"], spec["principalId"], spec["workspaceId"])

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """By its role, and only after an answer was lost: an assignment carries no description to mark. The same
        role given to the same principal by somebody else in that very moment cannot be told apart."""
        return uncertain and found.image["role"] == spec["role"]

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """The principal holds the role (or, adopted, some role)."""
        found = fabric.get(f"/workspaces/{spec['workspaceId']}/roleAssignments/{resource.id}")
        role = _role(found, spec["principalId"])
        if intent.action != "adopt" and role != spec["role"]:
            raise VerificationError(f"principal {spec['principalId']} has the role {role}, not {spec['role']}")
        return {
            "id": resource.id,
            "principalId": spec["principalId"],
            "role": role,
            "workspaceId": spec["workspaceId"],
        }

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """By id in the list."""
        return _find(fabric, resource.parent_id or "", resource.id)

    def guard(self, fabric: Fabric, resource: Resource, makers: Makers) -> list[Found]:
        """Nothing hangs on an assignment."""
        return []

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """DELETE it, or PATCH the old role back; a role that somebody changed since is left to them."""
        if found.image["role"] != spec["role"]:
            return []
        path = f"/workspaces/{found.resource.parent_id}/roleAssignments/{found.resource.id}"
        if intent.action == "create":
            return [Call("DELETE", path, "role")]
        return [Call("PATCH", path, "role", {"role": (intent.before or {})["role"]})]


def check_principal(spec: Fields) -> None:
    """Check who gets which role: principalId, principalType, role, description."""
    spec.guid("principalId", required=True)
    spec.choice("principalType", TYPES, required=True)
    spec.choice("role", ROLES, required=True)
    spec.text("description", maximum=1000, refers=True)


def _find(fabric: Fabric, workspace_id: str, principal_id: str) -> Snapshot | None:
    row = located(fabric, f"/workspaces/{workspace_id}/roleAssignments", None, principal_id)
    if row is None:
        return None
    resource = Resource("RoleAssignment", row["id"], principal_id, workspace_id)
    return Snapshot(resource, {"role": _role(row, principal_id)})


def _rank(role: str) -> int:
    """The higher the role, the lower the number; a role that is not known is the highest."""
    return ROLES.index(role) if role in ROLES else -1


def _role(row: JsonObject, principal_id: str) -> str:
    """The role that an assignment gives. Raises FabricTransientError where Fabric does not say: none is a proof of a
    change that somebody made."""
    if "role" not in row:
        raise FabricTransientError(f"Fabric does not say which role {principal_id} has", call="GET roleAssignments")
    return row["role"]
