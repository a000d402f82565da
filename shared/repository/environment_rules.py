"""Check the Spark compute and the public libraries of an environment before they are sent.

Source: published OpenAPI (environment/definitions.json: UpdateEnvironmentSparkComputeRequest, whose fields the file
`Setting/Sparkcompute.yml` has in snake case; Microsoft's page on the definition of an environment). A value of a
list that Fabric may extend is a warning.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from shared.domain.json import as_list, as_object

type Report = Callable[[str, str], None]
"""Takes the name of a field, with a dot before the name of a member, and what is wrong with its value."""

CORES = (4, 8, 16, 32, 64)
MEMORY = ("28g", "56g", "112g", "224g", "400g")
SETTINGS = (
    *("instance_pool_id", "driver_cores", "driver_memory", "executor_cores", "executor_memory"),
    *("dynamic_executor_allocation", "spark_conf", "runtime_version", "enable_native_execution_engine"),
)
_ALLOCATION = "dynamic_executor_allocation"
_PACKAGE = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._\-]*[A-Za-z0-9])?)(?:\[[A-Za-z0-9._,\- ]+\])?"
    r"(?: ?(?:===?|~=|!=|<=?|>=?) ?[^\s;#'\",]+(?:, ?(?:===?|~=|!=|<=?|>=?) ?[^\s;#'\",]+)*)?"
)
"""A requirement of pip that names a package of the index, with or without versions."""
_NEAR = 0.85
"""How similar a name must be to a known setting to be taken for a slip: Fabric may add settings."""
_SAME_NAME = re.compile(r"[-_.]+")


def check_compute(given: dict[str, Any], bad: Report, doubtful: Report) -> None:
    """Report what is wrong with the Spark compute of an environment."""
    for name in sorted(given.keys() - set(SETTINGS)):
        if near := _meant(name):
            bad(name, f"'{name[:64]}' is not a setting of the Spark compute. Did you mean '{near}'?")
        else:
            doubtful(name, f"'{name[:64]}' is not a known setting of the Spark compute: {', '.join(SETTINGS)}")
    for name in ("driver_cores", "executor_cores"):
        if given.get(name) is not None and (isinstance(given[name], bool) or given[name] not in CORES):
            bad(name, f"`{name}` must be one of {_listed(CORES)}")
    for name in ("driver_memory", "executor_memory"):
        if given.get(name) is not None and not isinstance(given[name], str):
            bad(name, f"`{name}` must be a text such as {MEMORY[0]}")
        elif given.get(name) is not None and given[name] not in MEMORY:
            doubtful(name, f"`{name}` {given[name][:64]!r} is not among the published values {_listed(MEMORY)}")
    _check_allocation(given.get(_ALLOCATION), bad)
    version = given.get("runtime_version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, str | int | float)):
        bad("runtime_version", "`runtime_version` must be a version such as 1.3")
    _check_conf(given.get("spark_conf"), bad)


def _meant(name: str) -> str:
    """Return the setting that a name stands for, written as in Fabric's API or with a slip; empty if none is alike."""
    folded = {each.replace("_", ""): each for each in SETTINGS}
    same = folded.get(name.replace("_", "").casefold())
    near = difflib.get_close_matches(name[:64], SETTINGS, n=1, cutoff=_NEAR)
    return same or next(iter(near), "")


def _check_allocation(value: Any, bad: Report) -> None:
    if value is None:
        return
    row = as_object(value)
    if row is None:
        bad(_ALLOCATION, f"`{_ALLOCATION}` must be an object with enabled, min_executors and max_executors")
        return
    if not isinstance(row.get("enabled"), bool):
        bad(f"{_ALLOCATION}.enabled", f"`enabled` of {_ALLOCATION} must be true or false")
    numbers = [row.get(name) for name in ("min_executors", "max_executors")]
    for name, number in zip(("min_executors", "max_executors"), numbers, strict=True):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            bad(f"{_ALLOCATION}.{name}", f"`{name}` of {_ALLOCATION} must be a whole number of at least 1")
            return
    low, high = numbers
    if low is not None and high is not None and low > high:
        bad(f"{_ALLOCATION}.min_executors", f"`min_executors` ({low}) must not exceed `max_executors` ({high})")


def _check_conf(value: Any, bad: Report) -> None:
    """Report Spark properties that are neither a mapping nor a list of mappings."""
    rows = as_list(value)
    if value is not None and as_object(value) is None and (rows is None or None in map(as_object, rows)):
        bad("spark_conf", "`spark_conf` must be a mapping of Spark properties, or a list of such mappings")


def check_packages(given: Iterable[Any], bad: Callable[[int, str], None]) -> None:
    """Report each entry of a list of packages that pip does not understand, and those that appear twice."""
    seen: dict[str, str] = {}
    for i, each in enumerate(given):
        match = _PACKAGE.fullmatch(each) if isinstance(each, str) else None
        if match is None:
            hint = "; pip compares versions with ==" if isinstance(each, str) and _has_single_equals(each) else ""
            bad(i, f"{str(each)[:100]!r} is not a package as pip names it, such as pandas==2.2.3{hint}")
            continue
        name = _SAME_NAME.sub("-", match[1]).lower()
        if name in seen:
            bad(i, f"{each[:100]!r} names the same package as {seen[name][:100]!r}; keep one of them")
        seen.setdefault(name, each)


def _has_single_equals(text: str) -> bool:
    return re.search(r"[^=<>!~]=[^=]", text) is not None


def _listed(values: Collection[object]) -> str:
    return ", ".join(map(str, values))
