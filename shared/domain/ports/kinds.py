"""The rules of a kind of step, which the check of a manifest needs."""

from dataclasses import dataclass
from typing import Protocol

from shared.domain.fields import Fields
from shared.domain.json import JsonObject


@dataclass(frozen=True)
class Expanded:
    """A step that another step expands to. Its id is the id of that step followed by `suffix`.

    `needs` are suffixes of steps of the same expansion. A step without them gets the needs of the expanded step.
    `outputs` are the names to which other steps of the manifest may refer.
    """

    suffix: str
    kind: str
    spec: JsonObject
    needs: tuple[str, ...] = ()
    outputs: frozenset[str] = frozenset()


class KindRules(Protocol):
    """The part of a kind that does not depend on Fabric. The kinds themselves are in shared/steps."""

    @property
    def name(self) -> str:
        """The word under `kind:` in a manifest."""
        ...

    @property
    def about(self) -> str:
        """One sentence for editors and the API's document."""
        ...

    @property
    def outputs(self) -> frozenset[str]:
        """The names to which `${{ steps.<id>.outputs.<name> }}` may refer."""
        ...

    @property
    def packs(self) -> str:
        """The field of `with` that names a local file or folder, which the command line reads; empty if none does."""
        ...

    def check(self, spec: Fields) -> None:
        """Note every problem of a step's `with`. Text with references is checked again when they are replaced."""
        ...

    def expand(self, step_id: str, spec: JsonObject) -> list[Expanded] | None:
        """Return the steps that the step of this id expands to; None if it stands for itself."""
        ...

    def runs_last(self, spec: JsonObject) -> bool:
        """Return True if the effects of the step cannot be compensated: each step that does not need it comes first."""
        ...

    def runs_always(self, spec: JsonObject) -> bool:
        """Return True if the step runs when all others have ended, also if one of them has failed."""
        ...
