"""Secrets, without where they come from: the type that prints as `***`, names, and how long a copy may be served."""

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
    """A value that only `reveal()` tells. It prints, formats and logs as `***`, compares in constant time, and
    refuses to be pickled, hashed or made JSON.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a hash would tell equal values apart from unequal ones, and stay

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value. Hand it to what signs in with it and keep it nowhere."""
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
    """The one name of a secret, as Key Vault takes it: `AZURE_CLIENT_SECRET`, `Azure.Client.Secret` and
    `azure-client-secret` are `azure-client-secret`. Raises InvalidInputError where nothing of the kind can be meant.
    """
    name = _SEPARATORS.sub("-", text).strip("-").lower()
    if len(name) > NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise InvalidInputError(
            # Not quoted: a value that was put where its name belongs would be told.
            [Problem("name", f"this names no secret: it takes letters, digits and '-', {NAME_CHARACTERS} at most")]
        )
    return name


def environment_name(name: str) -> str:
    """The environment variable that a secret of that name is in, where there is no vault."""
    return secret_name(name).replace("-", "_").upper()


class Freshness(Enum):
    """What may be done with a copy."""

    FRESH = "fresh"
    DUE = "due"
    """It may be served, and one reader should fetch it anew."""
    EXPIRED = "expired"


@dataclass(frozen=True)
class CachePolicy:
    """How long copies live. `cache_seconds=0`: nothing is kept, every reading asks the source."""

    cache_seconds: float = 300.0
    missing_seconds: float = 30.0
    """How long "there is none" is believed; never longer than the ttl."""
    renew_at: float = 0.8
    """The part of its life after which a copy is fetched anew while it still serves."""
    pause_seconds: float = 15.0
    """After a fetch that failed while a copy lives: how long nobody tries again."""


@dataclass(frozen=True)
class Entry:
    """What the source said: a secret, or (None) that there is none, and why. `fetched_at` is when it was asked, in
    seconds of any clock that does not go back: an answer is as old as its question.
    """

    secret: Secret | None
    fetched_at: float
    missing_reason: str = ""


def freshness(entry: Entry | None, now: float, policy: CachePolicy) -> Freshness:
    """What may be done with an entry at that time."""
    if entry is None:
        return Freshness.EXPIRED
    is_missing = entry.secret is None
    life = min(policy.missing_seconds, policy.cache_seconds) if is_missing else policy.cache_seconds
    age = now - entry.fetched_at
    if age >= life:
        return Freshness.EXPIRED
    return Freshness.DUE if not is_missing and age >= life * policy.renew_at else Freshness.FRESH
