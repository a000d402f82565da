"""The registry of the kinds of step. A new kind is added here, and all that the app knows about it is in its class.

Tests name the files outside this package
that a new kind needs (tests/kind_files.py).
"""

from shared.domain.polling import DEFAULT_EXPECTED_SECONDS
from shared.domain.ports import KindRules
from shared.steps.approval import ApprovalKind
from shared.steps.connection_binding import ConnectionBindingKind
from shared.steps.custom import CustomKind
from shared.steps.elsewhere import ElsewhereKind
from shared.steps.environment import EnvironmentItemKind, EnvironmentKind
from shared.steps.folder import FolderKind
from shared.steps.git_connection import GitConnectionKind, GitInitialisationKind, GitLinkKind
from shared.steps.git_update import GitUpdateKind
from shared.steps.item import ItemKind
from shared.steps.item_actions import EnvironmentPublishKind, ValueSetKind
from shared.steps.item_schedules import ItemSchedulesKind
from shared.steps.job import JobKind
from shared.steps.kind import ANY_TYPE, StepKind
from shared.steps.lakehouse import LakehouseKind
from shared.steps.orphans import OrphansKind
from shared.steps.principals import PrincipalsKind
from shared.steps.removed_schedules import RemovedSchedulesKind
from shared.steps.repository import RepositoryKind
from shared.steps.repository_item import RepositoryItemKind
from shared.steps.repository_shortcuts import RemovedShortcutsKind, RepositoryShortcutKind
from shared.steps.role_assignment import RoleAssignmentKind
from shared.steps.shortcut import ShortcutKind
from shared.steps.sql_endpoint_refresh import MetadataRefreshKind, SqlEndpointKind, SqlEndpointRefreshKind
from shared.steps.tags import TagsKind
from shared.steps.warehouse import WarehouseKind
from shared.steps.workspace import WorkspaceKind
from shared.steps.workspace_settings import CapacityAssignmentKind, DomainAssignmentKind, SparkSettingsKind

_IN_FABRIC: tuple[StepKind, ...] = (
    WorkspaceKind(),
    LakehouseKind(),
    ItemKind(),
    RoleAssignmentKind(),
    FolderKind(),
    JobKind(),
    CapacityAssignmentKind(),
    DomainAssignmentKind(),
    SparkSettingsKind(),
    TagsKind(),
    ShortcutKind(),
    WarehouseKind(),
    ConnectionBindingKind(),
    GitUpdateKind(),
)
_EXPANDED: tuple[StepKind, ...] = (
    RepositoryItemKind(),
    RepositoryShortcutKind(),
    RemovedShortcutsKind(),
    ItemSchedulesKind(),
    RemovedSchedulesKind(),
    ValueSetKind(),
    EnvironmentPublishKind(),
    EnvironmentItemKind(),
    GitLinkKind(),
    GitInitialisationKind(),
    SqlEndpointKind(),
    MetadataRefreshKind(),
    OrphansKind(),
)
"""The kinds that a manifest cannot name, because others expand to them."""
_APPROVAL, _CUSTOM = ApprovalKind(), CustomKind()
_EXPANDING = (PrincipalsKind(), RepositoryKind(), GitConnectionKind(), EnvironmentKind(), SqlEndpointRefreshKind())

STEPS: dict[str, StepKind] = {kind.name: kind for kind in (*_IN_FABRIC, *_EXPANDED)}
"""The kinds whose steps are resources in Fabric, by name."""

ELSEWHERE: dict[str, ElsewhereKind] = {_APPROVAL.name: _APPROVAL, _CUSTOM.name: _CUSTOM}
"""The kinds whose steps change nothing in Fabric, by name: a person or a script decides them."""

KINDS: dict[str, KindRules] = {kind.name: kind for kind in (*_IN_FABRIC, _APPROVAL, *_EXPANDING)}
"""The kinds that a manifest may name: those that run, and those that expand to them."""


def expected_seconds(operation_kind: str) -> float:
    """Return the usual duration of a long-running operation, in seconds, as its kind declares it."""
    for kind in STEPS.values():
        if operation_kind in kind.expected_seconds:
            return kind.expected_seconds[operation_kind]
    return DEFAULT_EXPECTED_SECONDS


def tracking(resource_type: str) -> StepKind | ElsewhereKind:
    """Return the kind that compensates a resource which a script tracks, by Fabric's type of it."""
    kinds: dict[str, StepKind | ElsewhereKind] = {
        kind.tracks: kind for kind in (*STEPS.values(), *ELSEWHERE.values()) if kind.tracks
    }
    return kinds.get(resource_type, kinds[ANY_TYPE])
