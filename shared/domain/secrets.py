"""Secrets, whatever their source: the type that prints as `***`, names, and how long a cached copy may be used."""

import hmac
import re
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from shared.domain.errors import InvalidInputError, Problem

NAME_CHARACTERS = 127
"""Key Vault's limit for a secret's name."""
_MASK = "***"
_SEPARATORS = re.compile(r"[-_. :]+")
_NAME = re.compile(r"[0-9a-z]+(?:-[0-9a-z]+)*")


class Secret:
    """A value that only `reveal()` returns.

    It prints, formats and logs as `***`, compares in constant time, and cannot be pickled, hashed or made JSON.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a hash would tell equal values apart from unequal ones, and stay

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value. Pass it to the code that signs in, and keep it nowhere."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return _MASK

    def __str__(self) -> str:
        return _MASK

    def __format__(self, specification: str) -> str:
        return _MASK

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not serialised")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def secret_name(text: str) -> str:
    """Return the normalised name of a secret, as Key Vault accepts it. Raises InvalidInputError.

    `AZURE_CLIENT_SECRET`, `Azure.Client.Secret` and `azure-client-secret` all become `azure-client-secret`.
    """
    name = _SEPARATORS.sub("-", text).strip("-").lower()
    if len(name) > NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise InvalidInputError(
            # Not quoted, because it may be a secret that was put in place of its name.
            [Problem("name", f"is not a name of a secret: use letters, digits and '-', at most {NAME_CHARACTERS}")]
        )
    return name


def environment_name(name: str) -> str:
    """Return the environment variable that contains the secret without a vault."""
    return secret_name(name).replace("-", "_").upper()


class Freshness(Enum):
    """The state of a cached copy."""

    FRESH = "fresh"
    DUE = "due"
    """It may be used, and one reader should fetch it again."""
    EXPIRED = "expired"


@dataclass(frozen=True)
class CachePolicy:
    """How long cached copies are used. `cache_seconds=0`: nothing is cached, and every read goes to the source."""

    cache_seconds: float = 300.0
    missing_seconds: float = 30.0
    """How long the absence of a secret is cached; never longer than `cache_seconds`."""
    renew_at: float = 0.8
    """The part of its life after which a copy is fetched again while it is still used."""
    pause_seconds: float = 15.0
    """The wait after a failed fetch, while a cached copy is still valid."""


@dataclass(frozen=True)
class Entry:
    """The source's response: a secret, or None with the reason for its absence.

    `fetched_at` is the time of the request, by a monotonic clock (s), because a response is as old as its request.
    """

    secret: Secret | None
    fetched_at: float
    missing_reason: str = ""


def freshness(entry: Entry | None, now: float, policy: CachePolicy) -> Freshness:
    """Return the state of a cached copy at that time."""
    if entry is None:
        return Freshness.EXPIRED
    is_missing = entry.secret is None
    life = min(policy.missing_seconds, policy.cache_seconds) if is_missing else policy.cache_seconds
    age = now - entry.fetched_at
    if age >= life:
        return Freshness.EXPIRED
    return Freshness.DUE if not is_missing and age >= life * policy.renew_at else Freshness.FRESH
