"""The rules of a kind of step, which the check of a manifest needs."""

from typing import Protocol

from shared.domain.fields import Fields
from shared.domain.json import JsonObject


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

    def expand(self, spec: JsonObject) -> list[tuple[str, str, JsonObject]] | None:
        """Return the steps that this one expands to, each as (suffix, kind, with); None if it stands for itself."""
        ...
