"""The errors of the app. Each class names the next move.

SagaError
├── InvalidInputError           the caller's input is wrong; lists every problem with its path; never retried
├── ConflictError               a conditional write failed: the record has changed; do nothing
├── IllegalTransitionError      a bug: the store refused a move that transitions.py does not have
├── UnknownVersionError         a record was written by a newer program; upgrade, or drain first
├── UnwritableError             a bug: a record that could not be read again is not written; the step fails
├── NotFoundError               no such deployment, step or blob
│   └── ForgottenError          a deployment past its retention: its id stays taken, its audit stands (forgotten.py)
├── StorageUnavailableError     queue, table or blob service cannot be reached; the delivery is repeated
│   └── StorageAuthError        it refuses this identity or key
│       └── ForbiddenError      the API knows the caller, who may not do this
├── SecretError                 a secret cannot be read; the message names it and never its value
│   ├── SecretNotFoundError     the secret is missing, disabled or expired
│   └── VaultUnavailableError   Key Vault does not respond, throttles or fails; it may recover
│       └── VaultAuthError      it refuses this identity: a person must grant a role
├── TransactionError            a script's transaction cannot do what was asked
│   └── RolledBackError         it was rolled back, or is being rolled back: nothing more may start in it
├── LimitError                  Azure Storage would refuse it (entity, property, batch or message too large)
└── FabricError                 the Fabric REST API refused, or did not respond
    ├── FabricTransientError    try again, after `retry_after_seconds` if Fabric named it
    │   └── FabricAmbiguousError    as above, and the effect may have happened: look before acting again
    ├── FabricNameReservedError a deleted item's name is not free yet: wait
    ├── FabricConflictError     that name or principal exists already: look
    ├── FabricNotFoundError     what was addressed does not exist (or is not visible)
    │   └── FabricMissingError  nor does any step make it: look a few times more, then tell a person
    ├── FabricAuthError         401/403: a person must grant something
    └── FabricRefusedError      any other refusal: final
        └── FabricJobError      a job ended without success
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from shared.domain.json import JsonObject
from shared.domain.redaction import redacted

MESSAGE_LIMIT, SHORT_LIMIT = 1_000, 200
"""Characters of a vendor's message, and of its codes and ids, that are kept; the rest reaches no table and no log."""
KEPT_PROBLEMS = 100
"""Problems of one input that are reported one by one; the others are counted."""


class SagaError(Exception):
    """The base of all errors of the app."""


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
        """Return the problem as responses and records contain it."""
        row: JsonObject = {"path": self.path, "message": self.message}
        return row if self.count == 1 else {**row, "count": self.count}


class Problems(list[Problem]):
    """A bounded list of problems: KEPT_PROBLEMS are kept, and one last entry has the number of the others."""

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
        """Return the problems that fit into so many characters of JSON in ASCII; the others are counted."""
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


def number_of(problems: Iterable[Problem]) -> int:
    """Return their number, with those that the last entry stands for."""
    return sum(problem.count for problem in problems)


def how_many(problems: Iterable[Problem]) -> str:
    """Return their number in words: '1 problem', '2 problems'."""
    count = number_of(problems)
    return f"{count} problem{'s' if count != 1 else ''}"


class InvalidInputError(SagaError):
    """The caller's input is not valid. `problems` are in the order of the document, at most KEPT_PROBLEMS of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = problems if isinstance(problems, Problems) else Problems(problems)
        super().__init__("; ".join(str(p) for p in self.problems))


class ConflictError(SagaError):
    """The condition of a write failed: the record has changed since it was read."""


class IllegalTransitionError(SagaError):
    """A move that the tables in transitions.py do not have. A bug, never bad input."""

    def __init__(self, what: str, before: str, after: str) -> None:
        super().__init__(f"a {what} may not move from '{before}' to '{after}'")


class UnknownVersionError(SagaError):
    """A persisted record carries a schema version that this program does not know."""


class UnwritableError(SagaError):
    """A record contains a value that could not be read again, so nothing was written. A bug, never bad input."""


class NotFoundError(SagaError):
    """No such deployment, step or blob."""


class StorageUnavailableError(SagaError):
    """The storage account cannot be reached or is failing. Nothing was decided, and the delivery is repeated."""


class StorageAuthError(StorageUnavailableError):
    """The storage account refuses: 401 or 403. A person must grant a role or correct the connection."""


class ForbiddenError(StorageAuthError):
    """The API refuses one request of a caller: 403. It may allow another one, for example for another target."""


class SignInError(SagaError):
    """A token proves nobody. The message says why and quotes nothing of the token."""


class SignInUnavailableError(SagaError):
    """The keys of the sign-in service cannot be read now, so no token can be verified."""


class SecretError(SagaError):
    """A secret cannot be read. Messages name the secret and the place, never a value."""


class SecretNotFoundError(SecretError):
    """The source has no secret of that name, or it is disabled, expired or not valid yet."""


class VaultUnavailableError(SecretError):
    """Key Vault does not respond, throttles (429) or fails (5xx). `retry_after_seconds` is None if it named no time."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class VaultAuthError(VaultUnavailableError):
    """Key Vault, or the sign-in to it, refuses: 401 or 403. A person must grant a role or open the firewall."""


class LimitError(SagaError):
    """Azure Storage would refuse this write; Azurite would not, so the adapter does."""


class TransactionError(SagaError):
    """A script's transaction cannot do what was requested; the message says why."""


class RolledBackError(TransactionError):
    """A person requested the rollback of the transaction, or its script was taken for dead.

    Everything that it tracked has been compensated, or will be.
    """


class FabricError(SagaError):
    """A response of the Fabric REST API that is not a success, or a missing response.

    `status` is None if no response came. `error_code` is Fabric's own (`errorCode`), and decisions use it, because the
    same code comes with different HTTP statuses. Microsoft's support asks for `request_id`. `is_outcome` is True if the
    error is the outcome of a long-running operation, rather than a failure to read it. `remedy` says what a person
    should do, if the step's kind knows more than Fabric's code tells.
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
        remedy: str = "",
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
        self.remedy = remedy
        answer = f"HTTP {status}" if status is not None else "no answer"
        code = f" {error_code}" if error_code else ""
        request = f" (request {request_id})" if request_id else ""
        super().__init__(f"{call}: {answer}{code}: {self.detail}{request}")


class FabricTransientError(FabricError):
    """A transient error: throttled (429), 408, 5xx on a call without effect, connection refused."""


class FabricAmbiguousError(FabricTransientError):
    """No usable response after a call that changes something: it may have had its effect."""


class FabricNameReservedError(FabricError):
    """ItemDisplayNameNotAvailableYet: the name of a deleted item is reserved for some minutes."""


class FabricConflictError(FabricError):
    """The name is taken, or the principal already has a role."""


class FabricNotFoundError(FabricError):
    """The resource is missing or not visible. A 404 does not prove its absence: a paused capacity sends it too."""


class FabricMissingError(FabricNotFoundError):
    """Something that a step names is missing or not visible, and no step of the deployment has made it. Only what was
    made elsewhere a moment ago can still appear."""


class FabricAuthError(FabricError):
    """401 or 403: the identity is unknown, expired beyond renewal, or not permitted."""


class FabricRefusedError(FabricError):
    """A final refusal: another attempt would fail too."""


class FabricJobError(FabricRefusedError):
    """A job ended without success; it is not run again without a request."""
