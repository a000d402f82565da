"""The registry of step kinds: the one place where a new kind is added.

Kinds are built here and nowhere else; the engine and the manifest's check see them through `StepKind` and `KindRules`.
"""

from shared.domain.ports import KindRules
from shared.steps.approval import ApprovalKind
from shared.steps.custom import CustomKind
from shared.steps.item import ItemKind
from shared.steps.kind import StepKind
from shared.steps.lakehouse import LakehouseKind
from shared.steps.principals import PrincipalsKind
from shared.steps.role_assignment import RoleAssignmentKind
from shared.steps.workspace import WorkspaceKind

_DEPLOYED: dict[str, StepKind] = {
    kind.name: kind for kind in (WorkspaceKind(), LakehouseKind(), ItemKind(), RoleAssignmentKind(), ApprovalKind())
}

STEPS: dict[str, StepKind] = {**_DEPLOYED, CustomKind.name: CustomKind()}
"""The kinds that run, by name: those of manifests, and what only a script can have done."""

KINDS: dict[str, KindRules] = {**_DEPLOYED, PrincipalsKind.name: PrincipalsKind()}
"""The kinds that a manifest may name: those that run, and those that expand into them."""
