"""What a step kind is: reads (`find`, `capture`, `verify`) and descriptions of calls (`apply`, `compensate`).

A kind never sends a mutating call. It says which calls would do it, and the engine sends them one at a time, in
the one place where the intent is journaled first, the claim is held, and an answer that was lost is looked for.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from shared.domain.errors import FabricNotFoundError, FabricTransientError, InvalidInputError, Problems, SagaError
from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.domain.template import has_reference
from shared.steps.companions import Found, Makers

log = logging.getLogger(__name__)

IF_EXISTS = ("adopt", "update", "fail")
_MARKER = re.compile(r" ?(\[saga:[0-9a-f]{12}\])")
MARKER_LENGTH = len(" [saga:0123456789ab]")
"""Characters that the marker takes from what a description may hold."""


@dataclass(frozen=True)
class Snapshot:
    """A thing as Fabric shows it now: which it is, and the fields of it that a step may change."""

    resource: Resource
    image: JsonObject


@dataclass(frozen=True)
class Call:
    """One mutating call, described. `operation_kind` names it for the polling schedule (domain/polling.py).

    Every call but a create is idempotent: sent again after a lost answer, it changes nothing more.
    """

    method: str
    path: str
    operation_kind: str
    body: JsonObject | None = None
    query: dict[str, str] | None = None


class NotYetError(SagaError):
    """Not a fault: it is on its way. Ask again; `expected_seconds` is how long it usually takes in all."""

    def __init__(self, reason: str, expected_seconds: float) -> None:
        super().__init__(reason)
        self.expected_seconds = expected_seconds


class VerificationError(SagaError):
    """What Fabric shows is not what was asked for."""


class NoBeforeImageError(FabricTransientError):
    """Fabric does not show what an update is about to change, so that it could not be restored. It may do so later."""


class GuardError(SagaError):
    """Undoing it would destroy what this deployment did not create. A person has to look."""


class StepKind(Protocol):
    """One kind of Fabric resource. Methods stand in the order in which a step meets them."""

    @property
    def name(self) -> str:
        """The word under `kind:` in a manifest."""
        ...

    @property
    def outputs(self) -> frozenset[str]:
        """What other steps may refer to."""
        ...

    @property
    def if_exists(self) -> str:
        """What happens, where the manifest says nothing, to a thing that is there already: adopt, update or fail."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields of `with` by which `find` looks."""
        ...

    def check(self, spec: Fields) -> None:
        """Note every problem of `with`."""
        ...

    def expand(self, spec: JsonObject) -> list[tuple[str, str, JsonObject]] | None:
        """The steps this one stands for, or None."""
        ...

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """What is there now under the name asked for, by a successful look; None is a proof of absence."""
        ...

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """The fields that `ifExists: update` would change. May name one of which only `capture` can tell."""
        ...

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Raise InvalidInputError if updating it would take away what undoing that needs.

        `found` is what is there; None if it is in something that this deployment has yet to create.
        """
        ...

    def capture(
        self, fabric: Fabric, spec: JsonObject, found: Snapshot, captured: JsonObject | None
    ) -> JsonObject | OperationStarted:
        """The before-image of all that an update may change.

        Where Fabric answers with a long-running operation, that is returned; its result comes back as `captured`.
        """
        ...

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """The calls that create it (one) or update it (in order, each idempotent)."""
        ...

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        """Which resource a create's answer (or its operation's result) names."""
        ...

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Whether what is found is what this step created; `uncertain` where an answer to its create was lost."""
        ...

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Read back what was asked for and return the outputs. Raises NotYetError or VerificationError."""
        ...

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """The very resource, by id, by a successful look; None is a proof of absence."""
        ...

    def guard(self, fabric: Fabric, resource: Resource, makers: Makers) -> list[Found]:
        """Raise GuardError if deleting it would take something with it that is not of this deployment. Returns the
        companions that go with it; `makers` are what the deployment created in it."""
        ...

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """The calls that delete what was created, or restore the before-image of what was updated."""
        ...


def check_resolved(kind: StepKind, spec: JsonObject, *, is_template: bool = False) -> None:
    """Check a `with` whose references have been replaced; of a template, those that could be.

    Raises InvalidInputError with all problems.
    """
    problems = Problems()
    fields = Fields(spec, "$.with", problems, [] if is_template else None)
    kind.check(fields)
    fields.finish()
    if problems:
        raise InvalidInputError(problems)


def marker_of(deployment_id: str, step_id: str) -> str:
    """Twelve hex digits that only this step of this deployment has."""
    return hashlib.sha256(f"{deployment_id}/{step_id}".encode()).hexdigest()[:12]


def with_marker(description: str, marker: str) -> str:
    """Return the description as Fabric gets it: the caller's words, exactly as they are, then `[saga:<marker>]`."""
    return _marked(without_marker(description), f"[saga:{marker}]")


def has_marker(description: str, marker: str) -> bool:
    """Return True if a description carries that very marker."""
    return f"[saga:{marker}]" in description


def without_marker(description: str) -> str:
    """Return the caller's words, exactly as they are: whatever `with_marker` added is gone, whichever deployment did.

    A description that was exported from Fabric carries the marker of the step that created the item there.
    """
    while (words := _MARKER.sub("", description)) != description:
        description = words
    return description


def keep_marker(description: str, present: str) -> str:
    """Return the new words with the marker, if any, that the present description carries."""
    found = _MARKER.findall(present)
    words = without_marker(description)
    return _marked(words, found[-1]) if found else words


def says_the_same(one: str, other: str) -> bool:
    """Return True if two descriptions hold the same words.

    Markers, white space at the ends and the kind of line ends are not compared: Fabric may drop them, and a person
    does not see them.
    """
    return _comparable(one) == _comparable(other)


def check_description(spec: Fields, limit: int) -> None:
    """Note a `description` that leaves no room for the marker. `limit` is Fabric's own, in characters."""
    text, room = spec.data.get("description"), limit - MARKER_LENGTH
    words = without_marker(text) if isinstance(text, str) and len(text) <= limit else text
    if not isinstance(words, str) or has_reference(text) or len(words) <= room:
        spec.text("description", maximum=limit, refers=True)
        return
    spec.raw("description")
    spec.problem(
        "description",
        f"has {len(words)} characters; at most {room} are allowed: Fabric takes {limit}, and {MARKER_LENGTH} of them "
        "are for the marker by which Saga knows what it created",
    )


def check_name(spec: Fields, name: str) -> None:
    """Note a `displayName` with white space at an end: Fabric may drop it, and nobody sees it."""
    if name.strip() and name != name.strip():
        spec.problem("displayName", "must not begin or end with white space")


def usable(rows: Iterable[JsonObject], path: str) -> Iterator[JsonObject]:
    """Yield the rows of a list that have an id and a name; no other can be what is looked for."""
    for row in rows:
        if row.get("id") and row.get("displayName"):
            yield row
        else:
            log.warning("GET %s: a row without an id or a name is passed over", path)


def located(fabric: Fabric, path: str, query: dict[str, str] | None, resource_id: str) -> JsonObject | None:
    """Return the row of that id in the list at `path`; None is a proof of absence.

    A row without an id may be the one: then the resource itself is asked for. Alone, its 404 would prove nothing, for
    a paused capacity answers so too; but then there would be no list either.
    """
    is_proof = True
    for row in fabric.list(path, query):
        if row.get("id", "").lower() == resource_id.lower():
            return row
        is_proof = is_proof and "id" in row
    if is_proof:
        return None
    try:
        return {**fabric.get(f"{path}/{resource_id}"), "id": resource_id}
    except FabricNotFoundError:
        return None


def _marked(words: str, marker: str) -> str:
    return f"{words} {marker}" if words else marker


def _comparable(description: str) -> str:
    return without_marker(description).replace("\r\n", "\n").strip()
