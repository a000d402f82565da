"""The interface of a kind: reads (`find`, `capture`, `verify`) and descriptions of calls (`apply`, `compensate`).

A kind never sends a call that changes something. It describes the calls, and the engine sends them one at a time, in
the one place where the intent is journaled first, the claim is held, and a lost response is looked for (ADR 5).
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.domain.errors import (
    FabricConflictError,
    FabricTransientError,
    InvalidInputError,
    Problems,
    SagaError,
)
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric, KindRules, OperationStarted
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.details import Details, Drift
from shared.steps.makers import Found, Own
from shared.steps.missing import Missing
from shared.steps.plain_kind import PlainKind
from shared.steps.recall import Recall

log = logging.getLogger(__name__)

ANY_TYPE = "*"
"""`tracks` of the kind that compensates every type of resource without a kind of its own."""
WORKSPACE_ID = Words("The id of the workspace.", "${{ steps.workspace.outputs.id }}")


class IfExists(StrEnum):
    """The treatment of a resource that exists already under the name of a step."""

    ADOPT = "adopt"
    UPDATE = "update"
    FAIL = "fail"


@dataclass(frozen=True)
class Snapshot:
    """A resource as Fabric shows it now: its identity, and the fields that a step may change."""

    resource: Resource
    image: JsonObject


@dataclass(frozen=True)
class Call:
    """The description of one call that changes something. `operation_kind` names it in `StepKind.expected_seconds`.

    Every call except a create is idempotent: after a lost response it can be sent again without further effect.

    - `is_followed` is False if a 202 to it begins no operation, although it names a Location.
    - `may_be_done` is True if a 404 to it means that it took effect before, as for a deletion.
    - `is_looked_for` is True for a call of a compensation that is in the list only while a look shows that it is
      needed, so it is not counted.
    - `folder_id` is the folder that it moves an item into. If that folder was deleted in the meantime, a compensation
      moves the item to the root of the workspace.
    - After a call that `decides_next`, another delivery looks again and makes the others.
    """

    method: str
    path: str
    operation_kind: str
    body: JsonObject | None = None
    query: dict[str, str] | None = None
    is_followed: bool = True
    may_be_done: bool = False
    is_looked_for: bool = False
    folder_id: str = ""
    decides_next: bool = False


class NotYetError(SagaError):
    """The resource is not ready yet. This is not an error; look again. `expected_seconds` is its usual duration."""

    def __init__(self, reason: str, expected_seconds: float) -> None:
        super().__init__(reason)
        self.expected_seconds = expected_seconds


class VerificationError(SagaError):
    """Fabric shows something other than the step asked for."""


class NoBeforeImageError(FabricTransientError):
    """Fabric does not show the content that an update would replace and that could not be restored. It may later."""


class GuardError(SagaError):
    """The compensation would destroy something that this deployment did not create. A person must look.

    `doubted` maps steps to the items that can never be proved to be their companions, because there are too many.
    """

    def __init__(self, message: str, doubted: Mapping[str, Sequence[Resource]] | None = None) -> None:
        super().__init__(message)
        self.doubted = doubted or {}


class StepKind(KindRules, Protocol):
    """A kind whose steps are resources in Fabric. The methods are in the order in which a step uses them."""

    @property
    def if_exists(self) -> IfExists:
        """The policy if the manifest does not set `ifExists`."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields of `with` that `find` uses."""
        ...

    @property
    def expected_seconds(self) -> Mapping[str, float]:
        """The usual duration of its long-running operations, in seconds by `Call.operation_kind`."""
        ...

    @property
    def is_found_by_marker(self) -> bool:
        """Return True if `find` and the marker identify what an operation created, so that its result is not read."""
        ...

    @property
    def names_itself_by(self) -> str:
        """The field of the response to a create that names the resource; empty if the response may be empty."""
        ...

    @property
    def must_be_empty(self) -> bool:
        """Return True if Fabric deletes it only if it is empty: what `guard` returns is deleted before it."""
        ...

    @property
    def tracks(self) -> str:
        """The type of resource that scripts may track and this kind compensates: Fabric's word, or ANY_TYPE."""
        ...

    @property
    def tracked_fields(self) -> Mapping[str, str]:
        """The `with` of a tracked resource: fields, and the attributes of `TrackedResource` that they come from."""
        ...

    idle: str
    """The words for a step that has nothing to do; empty if they are that its resource is there."""

    def did(self, spec: JsonObject, intent: Intent) -> str:
        """Return what a step that succeeded did, in ASCII; empty for `created`, `updated` or `adopted`."""
        ...

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        """Return the spec with what must be known before the first look. It is stored in place of the spec."""
        ...

    def opened(self, spec: JsonObject, read: Callable[[str], bytes]) -> JsonObject:
        """Return the spec with what is too large to be stored in it; `read` returns a stored payload by its digest."""
        ...

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Return the resource that has the name asked for. None, after a successful look, proves its absence."""
        ...

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return the fields that `ifExists: update` would change. Some of them only `capture` can confirm."""
        ...

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        """Return what a plan shows of an update; `found` has the before-image."""
        ...

    def drift(self, spec: JsonObject, found: Snapshot) -> Drift | None:
        """Return the drift among the changes; `found` has the before-image. None if no change is known to be drift."""
        ...

    def is_probably_as_asked(self, spec: JsonObject, found: Snapshot) -> bool:
        """Return True if only the definition may differ and probably does not, so that it is read together with those
        of other items."""
        ...

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Raise InvalidInputError if the update would make its compensation impossible.

        `found` is None for a resource inside something that this deployment has not created yet.
        """
        ...

    def missing(self, fabric: Fabric, spec: JsonObject) -> Missing | None:
        """Return what else the step needs and Fabric does not show, such as a connection; None if it shows all.

        A plan asks before the step, with the known fields of the spec; a deployment asks after Fabric has refused it.
        Raises FabricError."""
        ...

    def refused(self, spec: JsonObject) -> str:
        """Return what to do if Fabric refuses the call without a known cause; empty if the kind does not know."""
        ...

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """Return the before-image of everything that an update may change.

        If Fabric responds with a long-running operation, return that; the next call gets its result as `captured`.
        """
        ...

    def shown_digest(self, spec: JsonObject, found: Snapshot, before: JsonObject | None = None) -> str:
        """Return a digest of the definition as Fabric shows it; empty if it does not show one that may be noted.
        `before` is the before-image of the update that it is read after."""
        ...

    def reads_back(self, spec: JsonObject, intent: Intent) -> bool:
        """Return True if the definition is read back when the step is verified, so that a digest of it can be noted."""
        ...

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return the one call that creates it, or the calls that update it, in order and each idempotent."""
        ...

    def calls(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> Iterable[Call]:
        """Return the calls of `apply`. A kind whose update creates something looks first what remains to be done."""
        ...

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """Return the resource that the response to a create, or the result of its operation, names."""
        ...

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return True if this step created what was found. `uncertain`: the response to its create was lost."""
        ...

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Compare the resource with the step, and return the outputs. Raises NotYetError or VerificationError."""
        ...

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Return exactly this resource, by id. None, after a successful look, proves its absence."""
        ...

    def guard(self, fabric: Fabric, resource: Resource, own: Own) -> list[Found]:
        """Return the companions that are deleted with it; `own` are the items that the deployment created. Raises
        GuardError if something that it did not create would be deleted with it."""
        ...

    def completed(self, fabric: Fabric, intent: Intent, found: Snapshot, sent: int) -> Snapshot:
        """Return what was located with what else `compensate` must know of it now. `sent` is the number of counted
        calls that earlier deliveries have sent. Raises FabricError."""
        ...

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the calls that delete what was created, or restore the before-image of what was updated. Raises
        NotYetError while what is shown may still change by itself."""
        ...

    def unrestored(self, spec: JsonObject, intent: Intent, found: Snapshot) -> str:
        """Return, as the end of an audit reason, what no call of `compensate` restores; usually empty."""
        ...

    def check_compensated(self, fabric: Fabric, spec: JsonObject, resource: Resource, calls: Sequence[Call]) -> None:
        """Raise NotYetError while Fabric still carries out these calls of `compensate`, which it has accepted without
        an operation; FabricError if it could not."""
        ...

    def made_again(self, fabric: Fabric, spec: JsonObject, intent: Intent, resource: Resource) -> JsonObject:
        """Return the outputs about what a compensation made again, with other ids; usually none. Raises FabricError."""
        ...


class ResourceKind(PlainKind):
    """Base of the kinds in Fabric: what most of them do not need. A kind overrides what it does need."""

    packs = ""
    expected_seconds: Mapping[str, float] = {}
    is_found_by_marker = False
    must_be_empty = False
    names_itself_by = "id"
    idle = ""

    def did(self, spec: JsonObject, intent: Intent) -> str:
        return self.idle if intent.action is IntentAction.ADOPT else ""

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        return spec

    def opened(self, spec: JsonObject, read: Callable[[str], bytes]) -> JsonObject:
        return spec

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        return Details()

    def drift(self, spec: JsonObject, found: Snapshot) -> Drift | None:
        return None

    def is_probably_as_asked(self, spec: JsonObject, found: Snapshot) -> bool:
        return False

    def shown_digest(self, spec: JsonObject, found: Snapshot, before: JsonObject | None = None) -> str:
        return ""

    def reads_back(self, spec: JsonObject, intent: Intent) -> bool:
        return False

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return the one call that creates it, or the calls that update it."""
        raise NotImplementedError

    def calls(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> Iterable[Call]:
        """Return the calls of `apply`, which may all be sent again."""
        return self.apply(spec, intent)

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Allow every update."""

    def missing(self, fabric: Fabric, spec: JsonObject) -> Missing | None:
        """Return None: most steps need nothing but their workspace."""
        return None

    def refused(self, spec: JsonObject) -> str:
        return ""

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """Return the image of the snapshot, which is complete already."""
        return found.image

    def guard(self, fabric: Fabric, resource: Resource, own: Own) -> list[Found]:
        """Return an empty list: nothing of others is inside an item or a role, as far as the API shows."""
        return []

    def unrestored(self, spec: JsonObject, intent: Intent, found: Snapshot) -> str:
        return ""

    def check_compensated(self, fabric: Fabric, spec: JsonObject, resource: Resource, calls: Sequence[Call]) -> None:
        """Do nothing: the calls have had their effects when Fabric answers."""

    def made_again(self, fabric: Fabric, spec: JsonObject, intent: Intent, resource: Resource) -> JsonObject:
        return {}

    def completed(self, fabric: Fabric, intent: Intent, found: Snapshot, sent: int) -> Snapshot:
        return found


def check_resolved(kind: KindRules, spec: JsonObject, *, is_template: bool = False) -> None:
    """Check a `with` whose references have been replaced, or with `is_template` those that were known.

    Raises InvalidInputError with all problems.
    """
    problems = Problems()
    fields = Fields(spec, "$.with", problems, [] if is_template else None)
    kind.check(fields)
    fields.finish()
    if problems:
        raise InvalidInputError(problems)


def check_if_exists(spec: Fields, default: IfExists) -> None:
    """Check `ifExists`, whose default is that of the kind."""
    description = (
        "If a resource of that name exists: adopt it unchanged, update it (a before-image is kept, from which "
        f"compensation restores it), or fail. Default: {default}."
    )
    spec.choice("ifExists", tuple(IfExists), words=Words(description, default.value))


def check_name(spec: Fields, name: str) -> None:
    """Note a `displayName` with white space at an end: Fabric may drop it, and nobody sees it."""
    if name.strip() and name != name.strip():
        spec.problem("displayName", "must not begin or end with white space")


def policy_of(kind: StepKind, spec: JsonObject) -> IfExists:
    """Return what the manifest, or by default the kind, says about a resource that exists already."""
    return IfExists(spec.get("ifExists") or kind.if_exists)


def policy_for(kind: StepKind, spec: JsonObject, found: Snapshot, origin: Callable[[], str] = str) -> IfExists:
    """Return ADOPT or UPDATE for a resource that exists and that the step did not create.

    Raises FabricConflictError if the policy is FAIL; `origin` ends its message with where the resource comes from.
    """
    policy = policy_of(kind, spec)
    if policy is IfExists.FAIL:
        resource = found.resource
        raise FabricConflictError(
            f"{resource.type} '{resource.name}' ({resource.id}) exists, and ifExists is fail{origin()}",
            call=f"look for {kind.name}",
        )
    return policy
