"""Finds the things that a step of a dry run names, that Fabric does not show, and that no step makes."""

from collections.abc import Collection, Mapping, Sequence

from shared.domain.errors import FabricError, FabricMissingError, FabricTransientError
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric
from shared.domain.step_graph import GraphStep
from shared.steps.kind import StepKind


def lacking(fabric: Fabric, kind: StepKind, spec: JsonObject, unknown: Collection[str]) -> FabricMissingError | None:
    """Return what is missing, as the error of the deployment would say it; None if nothing is, or if Fabric refuses to
    say it. `unknown` are the fields of `with` that are known only after apply. Raises FabricTransientError."""
    try:
        found = kind.missing(fabric, {name: value for name, value in spec.items() if name not in unknown})
    except FabricTransientError:
        raise
    except FabricError:
        return None
    if found is None:
        return None
    return FabricMissingError(found.what, call=f"look for {kind.name}", remedy=found.remedy)


def comes_after(step: GraphStep, needs: Mapping[str, Sequence[str]], others: Collection[str]) -> bool:
    """Return True if one of `others` comes before the step, directly or through other steps."""
    seen, left = set[str](), list(step.needs)
    while left:
        need = left.pop()
        if need in others:
            return True
        if need not in seen:
            seen.add(need)
            left += needs[need]
    return False
