"""The base of the kinds whose call says in its response, or in the result of its operation, what it did not do.

No look shows it afterwards, so the engine reads the result (saga/step/forward.py).
"""

from shared.domain.json import JsonObject
from shared.steps.kind import ResourceKind


class ReportingKind(ResourceKind):
    """A kind whose calls report in their results whether they had their effect."""

    def check_result(self, spec: JsonObject, answer: JsonObject) -> None:
        """Raise FabricError if the response to a call, or the result of its operation, says that it did not have its
        effect."""
        raise NotImplementedError
