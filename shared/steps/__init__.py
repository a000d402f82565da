"""The registry of step kinds: the one place where a new kind is added.

Kinds are built here and nowhere else; the engine and the manifest's check see them through `StepKind` and `KindRules`.
"""

from shared.domain.manifest import KindRules
from shared.steps.approval import ApprovalKind
from shared.steps.item import ItemKind
from shared.steps.kind import StepKind
from shared.steps.lakehouse import LakehouseKind
from shared.steps.principals import PrincipalsKind
from shared.steps.role_assignment import RoleAssignmentKind
from shared.steps.workspace import WorkspaceKind

STEPS: dict[str, StepKind] = {
    kind.name: kind for kind in (WorkspaceKind(), LakehouseKind(), ItemKind(), RoleAssignmentKind(), ApprovalKind())
}
"""The kinds that run, by name."""

KINDS: dict[str, KindRules] = {**STEPS, PrincipalsKind.name: PrincipalsKind()}
"""The kinds that a manifest may name: those that run, and those that expand into them."""
