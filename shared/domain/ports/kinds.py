"""What the check of a manifest needs of a step kind."""

from typing import Protocol

from shared.domain.fields import Fields
from shared.domain.json import JsonObject


class KindRules(Protocol):
    """What a manifest's check needs to know of a step kind."""

    @property
    def name(self) -> str:
        """The word under `kind:`."""
        ...

    @property
    def outputs(self) -> frozenset[str]:
        """What other steps may refer to."""
        ...

    def check(self, spec: Fields) -> None:
        """Note every problem of a step's `with`; strings that hold references are checked again when resolved."""
        ...

    def expand(self, spec: JsonObject) -> list[tuple[str, str, JsonObject]] | None:
        """For a kind that stands for several steps: (suffix, kind, with) of each; None for a plain kind."""
        ...
