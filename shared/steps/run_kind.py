"""The base of the kinds that run something: a run has effects of its own, may take hours and can be stopped.

A run differs from every other resource in three ways, for which the engine asks a `RunKind` (saga/step/runs.py):

- nothing marks it. After a lost response only the list of runs can show whether it began. So the runs that existed
  before are written with the intent, and a new run is taken for the step's;
- a second create would run it a second time, so it is created again only if the manifest allows that;
- it goes on while nobody waits for it, so a step that stops waiting stops the run.
"""

from typing import ClassVar

from shared.domain.errors import FabricError
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.steps.kind import IfExists, ResourceKind, Snapshot


class RunKind(ResourceKind):
    """A kind whose resource is one run. `find` returns None, because each step starts its own run."""

    if_exists = IfExists.FAIL
    runs: ClassVar[bool] = True

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        return None

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return []

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return True if a response was lost: then `lost` found the only run that can be the step's."""
        return uncertain

    def may_repeat(self, spec: JsonObject) -> bool:
        """Return True if a run whose response was lost, and which is not shown, may be started again."""
        raise NotImplementedError

    def seen(self, fabric: Fabric, spec: JsonObject) -> JsonObject:
        """Return which runs there are before the step's own. The intent keeps it as `beside`."""
        raise NotImplementedError

    def lost(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> Snapshot | None:
        """Return the run that a create whose response was lost may have started; None if none is shown.

        Raises FabricRefusedError if several runs can be the one and one of them has not ended.
        """
        raise NotImplementedError

    def accepted(self, spec: JsonObject, started: OperationStarted) -> Resource:
        """Return the run that a 202 names. Raises FabricAmbiguousError if it names none."""
        raise NotImplementedError

    def has_failed(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> bool:
        """Return True if a run has ended without success, so that a resumed step starts another one."""
        raise NotImplementedError

    def check_stopped(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> None:
        """Raise NotYetError while a run that was stopped still goes on."""
        raise NotImplementedError

    def ended(self, spec: JsonObject, found: Snapshot, error: FabricError) -> str | None:
        """Return what the audit says of a run that Fabric refuses to stop because it has ended; None for any other
        error. Such a refusal is a proof, whatever state the run shows."""
        raise NotImplementedError

    def compensated(self, spec: JsonObject, found: Snapshot) -> str:
        """Return what the compensation of a run did, as the audit says it; `found` is from before its calls."""
        raise NotImplementedError
