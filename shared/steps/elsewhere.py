"""The base of the kinds whose steps change nothing in Fabric."""

from collections.abc import Mapping

from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.ports import Expanded
from shared.domain.records import Resource


class ElsewhereKind:
    """Base of the kinds whose steps change nothing in Fabric: a person or a script decides how they end."""

    name: str
    about: str
    packs = ""
    outputs: frozenset[str] = frozenset()
    tracks = ""
    tracked_fields: Mapping[str, str] = {}

    def check(self, spec: Fields) -> None:
        """Note every problem of a step's `with`."""
        raise NotImplementedError

    def expand(self, step_id: str, spec: JsonObject) -> list[Expanded] | None:
        return None

    def runs_last(self, spec: JsonObject) -> bool:
        return False

    def reverse(self, resource: Resource) -> None:
        """Reverse what the step did. Raises GuardError if only a person can do it, FabricError to be tried again."""
