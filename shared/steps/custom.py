"""Kind `custom`: something that a script did outside Fabric, with a function of the script that compensates it.

A function cannot be written to the journal, so only the running script can compensate such a step. The kind is not for
manifests.
"""

import logging
from collections.abc import Callable, Mapping

from shared.domain.errors import FabricRefusedError
from shared.domain.fields import Fields
from shared.domain.records import Resource
from shared.steps.elsewhere import ElsewhereKind
from shared.steps.kind import GuardError

log = logging.getLogger(__name__)
CUSTOM = "custom"
"""The kind, and the type under which scripts track such a thing."""


class CustomKind(ElsewhereKind):
    """The kind as every process has it: it cannot compensate, because the script has the function."""

    name = CUSTOM
    about = "Something that a script did outside Fabric."
    tracks = CUSTOM
    tracked_fields: Mapping[str, str] = {"description": "name"}

    def check(self, spec: Fields) -> None:
        spec.text("description", required=True, maximum=1000)

    def reverse(self, resource: Resource) -> None:
        """Raise GuardError: as far as is known the thing still exists, and only a person can remove it."""
        raise GuardError(
            f"'{resource.name}' can only be compensated by a function of its script, which has ended. Reverse it by "
            "hand, then release the deployment."
        )


class ScriptsOwnKind(CustomKind):
    """The kind in the process of the script, which has the functions."""

    def __init__(self, compensations: dict[str, Callable[[], object]]) -> None:
        self._compensations = compensations

    def reverse(self, resource: Resource) -> None:
        """Call the script's function. Raises FabricRefusedError if it fails, so that it is tried again and reported."""
        compensate = self._compensations.get(resource.id)
        if compensate is None:
            super().reverse(resource)
            return
        try:
            compensate()
        except Exception as error:
            log.exception("the compensating function of '%s' raised an exception", resource.name)
            message = f"its compensating function raised {type(error).__name__}"
            raise FabricRefusedError(message, call=f"compensate {resource.id}") from None
