"""How an environment variable is declared; the rows are in variables.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.breaker import BreakerPolicy
from shared.domain.policy import EnginePolicy, HealthPolicy
from shared.domain.rate import RatePolicy
from shared.domain.secrets import CachePolicy


class Kind(StrEnum):
    """How a value is read, and what is accepted."""

    TEXT = "text"
    """A word, a key or an address: printable ASCII."""
    PATH = "any text"
    """Any characters, as a path or JSON may have them."""
    ADDRESS = "address"
    """An https address, or an http address of this machine."""
    WORD = "word"
    """One of the row's `words`."""
    SECRET_NAME = "name of a secret"  # noqa: S105 - not a secret
    FLAG = "flag"
    SECONDS = "seconds"
    COUNT = "number"


POLICIES: Mapping[str, object] = {
    "engine": EnginePolicy(),
    "forward": EnginePolicy().forward,
    "backward": EnginePolicy().backward,
    "breaker": BreakerPolicy(),
    "health": HealthPolicy(),
    "rate": RatePolicy(),
    "cache": CachePolicy(),
}
"""The policies that rows fill, with their defaults."""


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    `field` is the field of a policy that it fills, as `policy.field`; the default is then the field's.
    `shown` is what the documentation says of the default if the value does not say it.
    `sample` is its value in local.settings.sample.json. With `in_azure`, infra/ must set it.
    `is_late`: it is read when it is needed, and not at the start. `is_secret`: infra/ must not set it.
    """

    name: str
    meaning: str
    kind: Kind = Kind.TEXT
    value: str | bool = ""
    field: str = ""
    minimum: float = 0
    words: tuple[str, ...] = ()
    shown: str = ""
    sample: str | None = None
    in_azure: bool = False
    is_late: bool = False
    is_secret: bool = False

    @property
    def default(self) -> str | float | bool:
        """The value if the variable is not set, or empty."""
        policy, _, field = self.field.partition(".")
        return getattr(POLICIES[policy], field) if policy else self.value


def seconds(name: str, field: str, meaning: str, *, minimum: float = 0, in_azure: bool = False) -> Variable:
    """Return the row of a duration that a policy has."""
    return Variable(name, meaning, Kind.SECONDS, field=field, minimum=minimum, in_azure=in_azure)


def count(name: str, field: str, meaning: str, *, minimum: int = 1) -> Variable:
    """Return the row of a whole number that a policy has."""
    return Variable(name, meaning, Kind.COUNT, field=field, minimum=minimum)
