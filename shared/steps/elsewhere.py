"""The base of the kinds whose steps change nothing in Fabric."""

from collections.abc import Mapping

from shared.domain.fields import Fields
from shared.domain.records import Resource
from shared.steps.plain_kind import PlainKind


class ElsewhereKind(PlainKind):
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

    def reverse(self, resource: Resource) -> None:
        """Reverse what the step did. Raises GuardError if only a person can do it, FabricError to be tried again."""
