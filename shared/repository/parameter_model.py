"""The entries of parameter.yml for one environment, with their places."""

from dataclasses import dataclass

from shared.domain.errors import Problem
from shared.repository.model import Binding, Plain, Ref

NO_ENVIRONMENT = "N/A"
"""The environment of a deployment that names none; only `_ALL_` applies to it."""


@dataclass(frozen=True)
class Where:
    """The filters of an entry as they are written. None means no filter."""

    types: tuple[str, ...] | None
    names: tuple[str, ...] | None
    paths: tuple[str, ...] | None
    place: str


@dataclass(frozen=True)
class FindEntry:
    """An entry of `find_replace` that has a value for the environment."""

    find: str | Ref
    is_regex: bool
    ignore_case: bool
    value: Plain | Ref
    where: Where
    place: str


@dataclass(frozen=True)
class KeyEntry:
    """An entry of `key_value_replace`; without a value for the environment, JSON is written again all the same."""

    path: str
    value: Plain | Ref | None
    where: Where
    place: str


@dataclass(frozen=True)
class PoolEntry:
    """An entry of `spark_pool`; `pool` is None if it has no value for the environment."""

    find: str
    pool: Ref | None
    names: tuple[str, ...] | None
    place: str


@dataclass(frozen=True)
class Parameters:
    """The parameters of one environment, in the order of the file; templates come after it.

    `default_connections` are those of the semantic models that no binding names. `warnings` are what fabric-cicd warns
    of: entries that do nothing. `environment_variables` are the names of the variables whose values the entries now
    contain.
    """

    environment: str = NO_ENVIRONMENT
    finds: tuple[FindEntry, ...] = ()
    keys: tuple[KeyEntry, ...] = ()
    pools: tuple[PoolEntry, ...] = ()
    bindings: tuple[Binding, ...] = ()
    default_connections: Binding | None = None
    warnings: tuple[Problem, ...] = ()
    environment_variables: tuple[str, ...] = ()
