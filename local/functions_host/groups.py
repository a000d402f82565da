"""The groups in which Flex Consumption scales functions: each instance serves one group of an app's functions.

All HTTP functions are one group, all durable functions another, and each other function is a group of its own
(learn.microsoft.com/azure/azure-functions/flex-consumption-plan#per-function-scaling). An instance learns its group
from the variable FUNCTIONS_TARGET_GROUP; its worker indexes all functions, but the host listens for its own only.
"""

from collections.abc import Sequence

from local.functions_host.worker import Function

VARIABLE = "FUNCTIONS_TARGET_GROUP"
HTTP, DURABLE = "http", "durable"
_DURABLE_TRIGGERS = frozenset({"orchestrationTrigger", "activityTrigger", "entityTrigger"})


def group_of(function: Function) -> str:
    """Return the name of a function's group."""
    trigger = function.trigger["type"]
    if trigger == "httpTrigger":
        return HTTP
    return DURABLE if trigger in _DURABLE_TRIGGERS else f"function:{function.name}"


def served(functions: Sequence[Function], target: str) -> list[Function]:
    """Return the functions of the group; with an empty target, all. Raises RuntimeError if the group has none."""
    found = [f for f in functions if not target or group_of(f) == target]
    if functions and not found:
        groups = ", ".join(sorted({group_of(f) for f in functions}))
        raise RuntimeError(f"{VARIABLE} is {target!r}, but the app's groups are: {groups}")
    return found
