"""Every error of ours names the next move.

SagaError
├── InvalidInputError           the caller's input is wrong; lists every problem with its path; never retried
├── ConflictError               a conditional write lost: somebody else moved first; do nothing
├── IllegalTransitionError      a bug: the store refused a move that transitions.py does not have
├── UnknownVersionError         a record was written by a newer program; upgrade, or drain first
├── UnwritableError             a bug: a record that could not be read again is not written; the step fails
├── NotFoundError               no such deployment, step or blob
│   └── ForgottenError          a deployment past its retention: its id stays taken, its audit stands
├── StorageUnavailableError     queue, table or blob service cannot be reached; the delivery is repeated
│   └── StorageAuthError        it answers, and refuses this identity or key
├── SecretError                 a secret cannot be had; the message names it and never its value
│   ├── SecretNotFoundError     there is none of that name, or none that may be used (disabled, expired)
│   └── VaultUnavailableError   Key Vault does not answer, throttles or fails; may pass by itself
│       └── VaultAuthError      it answers, and refuses this identity: a person must grant a role
├── TransactionError            a script's transaction cannot do what was asked
│   └── RolledBackError         it was put back, or is being: nothing more is to be begun in it
├── LimitError                  Azure Storage would refuse it (entity, property, batch or message too large)
└── FabricError                 the Fabric REST API said no, or said nothing
    ├── FabricTransientError    try again: after `retry_after_seconds` where Fabric named it
    │   └── FabricAmbiguousError    as above, and the effect may have happened: look before acting again
    ├── FabricNameReservedError a deleted item's name is not free yet: wait
    ├── FabricConflictError     something of that name or principal is there already: look
    ├── FabricNotFoundError     what was addressed does not exist (or is not visible)
    ├── FabricAuthError         401/403: a person must grant something
    └── FabricRefusedError      any other refusal: final
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from shared.domain.json import JsonObject
from shared.domain.redaction import redacted

if TYPE_CHECKING:
    from shared.domain.records import DeploymentRecord

MESSAGE_LIMIT, SHORT_LIMIT = 1_000, 200
"""Characters kept of a vendor's message, and of its codes and ids; the rest never reaches a table or a log."""
KEPT_PROBLEMS = 100
"""Problems of one input that are told one by one; the others are counted."""


class SagaError(Exception):
    """Root of all errors of ours."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where (a JSON path) and what, with the remedy in the sentence.

    `count` is more than one only in the last entry of a list that was cut: how many problems that entry stands for.
    """

    path: str
    message: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"

    def to_json(self) -> JsonObject:
        """Return the problem as answers and records hold it."""
        row: JsonObject = {"path": self.path, "message": self.message}
        return row if self.count == 1 else {**row, "count": self.count}


class Problems(list[Problem]):
    """A list of problems that has an end: KEPT_PROBLEMS are kept, and one last entry says how many more there are."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        super().__init__()
        self.extend(problems)

    def append(self, problem: Problem, /) -> None:
        """Keep the problem, or count it in the last entry."""
        if len(self) <= KEPT_PROBLEMS:
            super().append(problem)
        else:
            self[-1] = _more(self[-1].count + problem.count)

    def extend(self, problems: Iterable[Problem], /) -> None:
        """Append each of them."""
        for problem in problems:
            self.append(problem)

    def __iadd__(self, problems: Iterable[Problem], /) -> Self:
        self.extend(problems)
        return self

    def fitting(self, characters: int) -> "Problems":
        """Return those that take no more characters than that as JSON in ASCII; the others are counted."""
        kept, left, more = Problems(), characters, 0
        for problem in self:
            left -= len(json.dumps(problem.to_json()))
            if left < 0 or problem.count > 1:
                left, more = -1, more + problem.count
            else:
                kept.append(problem)
        if more:
            kept.append(_more(more))
        return kept


def _more(count: int) -> Problem:
    return Problem("$", f"and {count:,} more", count)


def how_many(problems: Iterable[Problem]) -> str:
    """Return their number in words: '1 problem', '2 problems'."""
    count = sum(problem.count for problem in problems)
    return f"{count} problem{'s' if count != 1 else ''}"


class InvalidInputError(SagaError):
    """The caller's input is wrong. `problems` holds them in document order, those beyond KEPT_PROBLEMS counted."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = problems if isinstance(problems, Problems) else Problems(problems)
        super().__init__("; ".join(str(p) for p in self.problems))


class ConflictError(SagaError):
    """A conditional write lost its condition: the record moved since it was read."""


class IllegalTransitionError(SagaError):
    """A move that the tables in transitions.py do not have. A bug, never bad input."""

    def __init__(self, what: str, before: str, after: str) -> None:
        super().__init__(f"a {what} may not move from '{before}' to '{after}'")


class UnknownVersionError(SagaError):
    """A persisted record carries a schema version that this program does not know."""


class UnwritableError(SagaError):
    """A record holds what could not be read again, so that nothing was written. A bug, never bad input."""


class NotFoundError(SagaError):
    """No such deployment, step or blob."""


class ForgottenError(NotFoundError):
    """A deployment is past its retention. `record` is what stays of its header: which manifest had the id, and its end.
    Its audit stands, and as long as it does, nothing else can have the id."""

    def __init__(self, record: "DeploymentRecord") -> None:
        since = f" since {record.forgotten_at:%Y-%m-%d}" if record.forgotten_at is not None else ""
        super().__init__(
            f"deployment '{record.deployment_id}' ended {record.state.value} and is past its retention{since}: "
            "only its audit is kept, and nothing runs again under its id"
        )
        self.record = record


class StorageUnavailableError(SagaError):
    """The storage account cannot be reached or is failing; nothing was decided, the delivery is repeated."""


class StorageAuthError(StorageUnavailableError):
    """The storage account answers and refuses: 401 or 403. A person must grant a role or correct the connection."""


class SecretError(SagaError):
    """A secret cannot be had. Messages name the secret and the place, never a value."""


class SecretNotFoundError(SecretError):
    """Where secrets are, there is none of that name, or it is disabled, expired or not valid yet."""


class VaultUnavailableError(SecretError):
    """Key Vault does not answer, throttles (429) or fails (5xx); `retry_after_seconds` where it named a time."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class VaultAuthError(VaultUnavailableError):
    """Key Vault, or the sign-in to it, refuses: 401 or 403. A person must grant a role or open the firewall."""


class LimitError(SagaError):
    """Azure Storage would refuse this write; Azurite would not, so the adapter does."""


class TransactionError(SagaError):
    """A script's transaction cannot do what was asked; the message says why."""


class RolledBackError(TransactionError):
    """Somebody asked for the transaction to be put back, or took its script for dead. What it tracked is, or will be,
    put back."""


class FabricError(SagaError):
    """An answer of the Fabric REST API that is not a success, or the absence of an answer.

    `status` is None where no answer came. `error_code` is Fabric's own (`errorCode`), the thing to dispatch on:
    the same code arrives under different HTTP statuses. `request_id` is what Microsoft's support asks for.
    `is_outcome` says that it is how a long-running operation ended, and not a failure to ask for that.
    """

    def __init__(
        self,
        message: str,
        *,
        call: str,
        status: int | None = None,
        error_code: str | None = None,
        request_id: str | None = None,
        is_retriable: bool | None = None,
        retry_after_seconds: float | None = None,
        counts_as_attempt: bool = True,
        is_outcome: bool = False,
    ) -> None:
        self.detail = redacted(message[: 10 * MESSAGE_LIMIT])[:MESSAGE_LIMIT]
        self.call = call
        self.status = status
        error_code = self.error_code = error_code[:SHORT_LIMIT] if error_code else None
        request_id = self.request_id = request_id[:SHORT_LIMIT] if request_id else None
        self.is_retriable = is_retriable
        self.retry_after_seconds = retry_after_seconds
        self.counts_as_attempt = counts_as_attempt
        self.is_outcome = is_outcome
        answer = f"HTTP {status}" if status is not None else "no answer"
        code = f" {error_code}" if error_code else ""
        request = f" (request {request_id})" if request_id else ""
        super().__init__(f"{call}: {answer}{code}: {self.detail}{request}")


class FabricTransientError(FabricError):
    """May pass by itself: throttled (429), 408, 5xx on a call without effect, connection refused."""


class FabricAmbiguousError(FabricTransientError):
    """The connection broke, timed out or answered 5xx after a mutating call was sent: it may have happened."""


class FabricNameReservedError(FabricError):
    """ItemDisplayNameNotAvailableYet: the name of a deleted item is reserved for some minutes."""


class FabricConflictError(FabricError):
    """The name is taken, or the principal has a role already."""


class FabricNotFoundError(FabricError):
    """Not there, or not visible. Alone no proof of absence: a paused capacity answers 404 too."""


class FabricAuthError(FabricError):
    """401 or 403: the identity is unknown, expired beyond renewal, or not permitted."""


class FabricRefusedError(FabricError):
    """A final refusal; repeating it changes nothing."""
