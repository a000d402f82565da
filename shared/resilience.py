"""The circuit breakers of this process, for operators, monitors and programs of one's own.

A breaker is pybreaker's: `get_circuit_breaker("items").call(function)` calls through it, `.open()` and `.close()`
change it for all workers, `.status()` tells how it stands. The names of those that guard Fabric are
`shared.domain.breaker.AREAS`. Importing this module imports pybreaker and reads nothing.
"""

from shared import bootstrap
from shared.adapters.breakers import SharedCircuitBreaker


def get_circuit_breaker(name: str) -> SharedCircuitBreaker:
    """The breaker of that name, shared by all workers; made where there is none. Raises settings.SettingsError, and
    LimitError for a name that is no table key. Storage that fails raises nothing: the breaker is local then."""
    return bootstrap.app().breakers.get(name)


def get_all_circuit_breakers() -> dict[str, SharedCircuitBreaker]:
    """By name: those that any worker has written about, and those used here. Raises settings.SettingsError."""
    return bootstrap.app().breakers.all()


def reset_circuit_breaker(name: str) -> None:
    """Close it for all workers and forget its faults; the others notice within BREAKER_CACHE_SECONDS. Raises as
    `get_circuit_breaker`."""
    bootstrap.app().breakers.reset(name)
