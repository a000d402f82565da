"""The settings that a test may change while the simulator runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast


@dataclass
class SimulatorSettings:
    """The settings with their defaults. Durations are in seconds at scale 1."""

    page_size: int = 1000
    name_reservation_seconds: float = 0.0
    quota_per_minute: int = 0
    delete_quota_per_minute: int = 0
    conflict_status: int = 409
    create_at_once: list[str] = field(default_factory=lambda: list[str]())
    create_later: list[str] = field(default_factory=lambda: list[str]())
    require_capacity: bool = False
    paused_capacity: str = ""
    known_principals: list[str] | None = None
    capacity_assignment_seconds: float = 0.0
    capacity_shown_late: bool = False
    """Show a workspace's earlier capacity until the assignment has ended. Synthetic: recorded ones end at once."""
    list_lag_seconds: float = 0.0
    job_retry_seconds: float = 60.0
    companion_seconds: float = 0.0
    item_recovery: bool = False
    refuse_dangling_references: bool = False
    schedules_need_their_part: bool = False
    schedule_data_added: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    """Members that are added to a schedule's data, if it has data. Synthetic: no recording shows that Fabric does."""


def check(changes: Any) -> None:
    """Raise ValueError, with the path, for an unknown setting or a value that is not valid."""
    if not isinstance(changes, dict):
        raise ValueError("$: must be an object of settings by name")
    for name, value in cast(dict[str, Any], changes).items():
        if name not in _RULES:
            raise ValueError(f"$.{name}: unknown setting; the settings are: {', '.join(sorted(_RULES))}")
        message, holds = _RULES[name]
        if not holds(value):
            raise ValueError(f"$.{name}: must be {message}")


def is_number(value: Any, minimum: float = 0.0, maximum: float = math.inf) -> bool:
    """Return True for a finite number within the bounds; true and false are not numbers."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and minimum <= value <= maximum
    )


def is_whole(value: Any, minimum: int = 0) -> bool:
    """Return True for a whole number that is at least `minimum`."""
    return isinstance(value, int) and is_number(value, minimum)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in cast(list[Any], value))


_SECONDS: tuple[str, Callable[[Any], bool]] = ("a number of seconds, at least 0", is_number)
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "page_size": ("a whole number, at least 1", lambda v: is_whole(v, 1)),
    "name_reservation_seconds": _SECONDS,
    "delete_quota_per_minute": ("a whole number, at least 0 (0: unlimited)", is_whole),
    "quota_per_minute": ("a whole number, at least 0 (0: unlimited)", is_whole),
    "conflict_status": ("400 or 409", lambda v: is_whole(v) and v in (400, 409)),
    "create_at_once": ("a list of item types", _is_strings),
    "create_later": ("a list of item types", _is_strings),
    "require_capacity": ("true or false", lambda v: isinstance(v, bool)),
    "paused_capacity": ("'', '400', '404' or '500'", lambda v: isinstance(v, str) and v in ("", "400", "404", "500")),
    "known_principals": ("null or a list of ids", lambda v: v is None or _is_strings(v)),
    "capacity_assignment_seconds": _SECONDS,
    "capacity_shown_late": ("true or false", lambda v: isinstance(v, bool)),
    "list_lag_seconds": _SECONDS,
    "companion_seconds": _SECONDS,
    "job_retry_seconds": _SECONDS,
    "item_recovery": ("true or false", lambda v: isinstance(v, bool)),
    "refuse_dangling_references": ("true or false", lambda v: isinstance(v, bool)),
    "schedules_need_their_part": ("true or false", lambda v: isinstance(v, bool)),
    "schedule_data_added": ("an object", lambda v: isinstance(v, dict)),
}
