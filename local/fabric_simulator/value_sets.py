"""The active value set of a variable library."""

from local.fabric_simulator.http import ApiError
from local.fabric_simulator.parts import parts_of
from local.fabric_simulator.store import Item

DEFAULT = "Default value set"


def check(item: Item, name: str) -> None:
    """Raise ApiError 400 unless the library's definition has the value set. The refusal is an assumption."""
    if name != DEFAULT and f"valueSets/{name}.json" not in parts_of(item):
        message = f"The variable library has no value set '{name}'."
        raise ApiError(400, "InvalidValueSet", message, synthetic=True)
