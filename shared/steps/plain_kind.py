"""The base of the kinds whose steps expand to nothing and need no special place in the order of the steps."""

from shared.domain.json import JsonObject
from shared.domain.ports import Expanded


class PlainKind:
    """A kind whose steps expand to nothing, and run when their needs have succeeded."""

    def expand(self, step_id: str, spec: JsonObject) -> list[Expanded] | None:
        return None

    def runs_last(self, spec: JsonObject) -> bool:
        return False

    def runs_always(self, spec: JsonObject) -> bool:
        return False
