"""A script's resource as a row of the journal: the kind that compensates it, and how that kind finds it."""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.domain.errors import FabricError, InvalidInputError, LimitError, Problem
from shared.domain.fields import GUID
from shared.domain.json import JsonObject
from shared.domain.records import Intent, Resource, StepRecord
from shared.domain.row_limits import NAME_CHARACTERS, fitted, fitting
from shared.domain.states import IntentAction, StepState
from shared.domain.step_graph import MAX_STEPS
from shared.saga.step.delivery import Services
from shared.steps import tracking
from shared.steps.companions import beside
from shared.steps.custom import CUSTOM
from shared.steps.marker import marker_of

MAX_NAME, MAX_DESCRIPTION = 256, 1_000
"""Characters of a name in Fabric, and of a script's description of a custom resource."""
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


class ResourceType(StrEnum):
    """The resources that can be tracked; any other item type of Fabric may be given by its name."""

    WORKSPACE = "Workspace"
    ROLE_ASSIGNMENT = "RoleAssignment"
    LAKEHOUSE = "Lakehouse"
    WAREHOUSE = "Warehouse"
    NOTEBOOK = "Notebook"
    ENVIRONMENT = "Environment"
    DATA_PIPELINE = "DataPipeline"
    SPARK_JOB_DEFINITION = "SparkJobDefinition"
    SEMANTIC_MODEL = "SemanticModel"
    REPORT = "Report"
    EVENTHOUSE = "Eventhouse"
    EVENTSTREAM = "Eventstream"
    KQL_DATABASE = "KQLDatabase"
    ML_MODEL = "MLModel"
    ML_EXPERIMENT = "MLExperiment"


@dataclass(frozen=True)
class TrackedResource:
    """A resource that a script created or is about to create. `name` may be unknown if `id` is known."""

    type: str
    id: str = ""
    name: str = ""
    workspace_id: str = ""
    role: str = ""

    def check(self) -> None:
        """Raise InvalidInputError with all problems, because a resource without an address cannot be compensated."""
        problems: list[Problem] = []
        ids = {"id": self.id} if self.type != CUSTOM else {}
        needed = tracking(self.type).tracked_fields.values()
        if "workspace_id" in needed:
            ids["workspace_id"] = self.workspace_id
        if not _TYPE.fullmatch(self.type):
            problems.append(Problem("type", f"{self.type[:64]!r} is not an item type of Fabric"))
        for name, value in ids.items():
            is_named = name == "id" and not value and self.name and "id" not in needed
            if not GUID.fullmatch(value) and not is_named:
                problems.append(Problem(name, f"must be the GUID that Fabric gave, not {value[:64]!r}"))
        maximum = MAX_DESCRIPTION if self.type == CUSTOM else MAX_NAME
        if len(self.name) > maximum:
            problems.append(Problem("name", f"has {len(self.name)} characters; at most {maximum} are allowed"))
        if len(self.role) > MAX_NAME:
            problems.append(Problem("role", f"has {len(self.role)} characters; no role of Fabric's has"))
        if "role" in needed and not self.role:
            problems.append(
                Problem("role", "is required, because a role that another person changed since is left alone")
            )
        if problems:
            raise InvalidInputError(problems)

    @property
    def kind(self) -> str:
        """Return the kind of step that compensates the resource."""
        return tracking(self.type).name

    @property
    def spec(self) -> JsonObject:
        """Return the `with` by which that kind finds the resource."""
        return {field: getattr(self, name) for field, name in tracking(self.type).tracked_fields.items()}

    @property
    def resource(self) -> Resource:
        """Return the resource as the journal names it, with ids in lower case, as Fabric writes and compares them."""
        parent = self.workspace_id.lower() or None
        name = fitting(self.name[:MAX_NAME], NAME_CHARACTERS)
        return Resource(self.type, self.id.lower(), name or self.id, parent)


def _beside(services: Services, made: TrackedResource) -> JsonObject | None:
    """Return the resource with the name of a future companion; None, which proves nothing, if Fabric cannot answer."""
    with suppress(FabricError):
        return beside(services.fabric, made.spec)
    return None


def row_of(
    services: Services,
    deployment_id: str,
    ordinal: int,
    made: TrackedResource,
    *,
    needs: tuple[int, ...],
    is_there: bool,
) -> StepRecord:
    """Return the row of a resource. Raises LimitError if the deployment has MAX_STEPS rows."""
    if ordinal >= MAX_STEPS:
        raise LimitError(f"a transaction holds at most {MAX_STEPS} resources: commit it and start another")
    step_id, now = f"{made.type.lower()}_{ordinal:03d}", services.clock.now()
    resource = replace(made.resource, id=step_id) if made.type == CUSTOM else made.resource
    row = StepRecord(
        deployment_id=deployment_id,
        ordinal=ordinal,
        step_id=step_id,
        kind=made.kind,
        spec=services.payloads.store(made.spec),
        needs=needs,
        refers_to={},
        timeout_seconds=services.policy.compensation_timeout_seconds,
        state=StepState.SUCCEEDED if is_there else StepState.INTENT,
        intent=Intent(
            IntentAction.CREATE,
            marker_of(deployment_id, step_id),
            beside=_beside(services, made) if not is_there else None,
        ),
        resource=resource if is_there else None,
        started_at=now,
        finished_at=now if is_there else None,
    )
    return fitted(row)
