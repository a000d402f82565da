"""The drift watch: plans the last successful deployment of each target again, and reports what differs.

It reads only. A step that would be created, updated, renamed or moved now has drifted: somebody deleted, changed,
renamed or moved what the deployment made. A resource that the manifest only adopts may differ; that is not drift.

A round goes through the targets in the order of their names, and may take several sweeps: each has a budget, and the
next one continues where it ended.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.errors import FabricError, InvalidInputError, NotFoundError, StorageUnavailableError
from shared.domain.json import JsonObject
from shared.domain.manifest import compile_manifest
from shared.domain.ports import Blobs, DriftedTarget, DriftSignal, KindRules, Signals
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, Origin
from shared.domain.step_graph import StepGraph
from shared.domain.telemetry import Event
from shared.saga import deployed
from shared.saga.dry_run.changes import DRY_RUN_RETRY, dry_run
from shared.saga.dry_run.result import Action, StepChange
from shared.saga.step.delivery import Services
from shared.steps.git_update import GitUpdateKind
from shared.steps.item_notes import Unchanged
from shared.steps.item_schedules import ItemSchedulesKind
from shared.steps.kind import IfExists
from shared.steps.removed_schedules import RemovedSchedulesKind
from shared.steps.repository_item import RepositoryItemKind
from shared.steps.schedules import DELETED
from shared.steps.sql_endpoint_refresh import MetadataRefreshKind

log = logging.getLogger(__name__)

BUDGET_SECONDS = 45.0
"""A sweep plans no further target after this. With the sweep itself it stays below the functionTimeout."""
_PLAN_SECONDS = 15.0
_MAX_TARGETS, _MAX_ITEMS = 50, 10
"""Targets that drifted and items of each, as many as the signal names if it has room for them."""
ROOM_CHARACTERS = 26_000
"""Room for them, as JSON: the signal is one string of Azure Tables, of 32 768 characters."""
_DRIFT = frozenset({Action.CREATE, Action.UPDATE, Action.RENAME, Action.MOVE, Action.DRIFT})


@dataclass(frozen=True)
class DriftWatch:
    """Plans targets again every `every_seconds`; 0: never."""

    services: Services
    blobs: Blobs
    signals: Signals
    kinds: Mapping[str, KindRules]
    every_seconds: float

    def run(self) -> DriftSignal | None:
        """Begin a round if one is due, or continue it; return its state, or None if nothing was due.

        Raises StorageUnavailableError.
        """
        now = self.services.clock.now()
        last = self.signals.last_drift()
        if not self.every_seconds or not _is_due(last, now, timedelta(seconds=self.every_seconds)):
            return None
        signal = last if last is not None and last.finished_at is None else DriftSignal(now)
        until = now + timedelta(seconds=BUDGET_SECONDS)
        for header in self._last_of_each_target():
            if header.target <= signal.after:
                continue
            if self.services.clock.now() > until:
                self.signals.record_drift(signal)
                return signal
            signal = replace(self._with(signal, header), after=header.target)
        signal = replace(signal, finished_at=self.services.clock.now())
        self.signals.record_drift(signal)
        log.info("drift watch: %d of %d targets drifted", len(signal.drifted), signal.targets)
        return signal

    def _last_of_each_target(self) -> list[DeploymentRecord]:
        """Return the last successful deployment of each target, by name; none of a target where one is under way, or
        to which a script deployed last: it may have changed what an earlier manifest asks for."""
        newest: dict[str, DeploymentRecord] = {}
        busy: set[str] = set()
        for header in self.services.journal.deployments():
            if header.state not in DEPLOYMENT_ENDED:
                busy.add(header.target)
            if header.state is DeploymentState.SUCCEEDED:
                newest.setdefault(header.target, header)
        watched = (header for target, header in sorted(newest.items()) if target not in busy)
        return [header for header in watched if header.origin is Origin.MANIFEST]

    def _with(self, signal: DriftSignal, header: DeploymentRecord) -> DriftSignal:
        items = self._drift_of(header)
        if items is None:
            return replace(signal, unread=signal.unread + 1, targets=signal.targets + 1)
        signal = replace(signal, targets=signal.targets + 1)
        if not items:
            return signal
        about = {"deployment_id": header.deployment_id, "name": header.name, "target": header.target}
        found = {**about, "count": len(items), "items": ", ".join(items[:_MAX_ITEMS])}
        self.services.telemetry.event(Event.DRIFT_FOUND, found)
        log.warning("target %s has drifted from deployment %s: %s", header.target, header.deployment_id, found["items"])
        drifted = DriftedTarget(header.target, header.deployment_id, len(items), tuple(items[:_MAX_ITEMS]))
        return replace(signal, drifted=added(signal.drifted, drifted))

    def _drift_of(self, header: DeploymentRecord) -> list[str] | None:
        """Return what has drifted, each with what happened to it; None if it cannot be told."""
        try:
            content = self.blobs.get(header.manifest_hash).decode("utf-8", "surrogatepass")
            found = dry_run(
                self.services.fabric,
                self.services.kinds,
                _watched(compile_manifest(json.loads(content), self.kinds)),
                clock=self.services.clock,
                policy=DRY_RUN_RETRY.once(),
                budget_seconds=_PLAN_SECONDS,
                recall=deployed.noted(self.services.deployed, header.target, self.services.clock),
                read=self.services.payloads.read,
            )
        except StorageUnavailableError:
            raise
        except (FabricError, InvalidInputError, NotFoundError, ValueError) as error:
            log.warning("drift of %s (deployment %s) cannot be told: %s", header.target, header.deployment_id, error)
            return None
        except Exception:  # a bug that one target triggers must not stop the round at it for ever
            log.exception("drift of %s (deployment %s) cannot be told", header.target, header.deployment_id)
            return None
        drifted = [step for step in found.steps if _has_drifted(step)]
        if not drifted and (blocked := [step for step in found.steps if _is_untold(step)]):
            about = f"step {blocked[0].id}: {blocked[0].reason}"
            log.warning("drift of %s (deployment %s) cannot be told: %s", header.target, header.deployment_id, about)
            return None
        return [f"{step.id} ({_WORDS.get(step.action) or ', '.join(step.fields)})" for step in drifted]


def added(drifted: tuple[DriftedTarget, ...], more: DriftedTarget) -> tuple[DriftedTarget, ...]:
    """Return the targets with one more. Leave out its items if there is no room for them, and the target if there is no
    room for it either."""
    for each in (more, replace(more, items=())):
        found = (*drifted, each)
        if len(found) <= _MAX_TARGETS and len(json.dumps([{**vars(row)} for row in found])) <= ROOM_CHARACTERS:
            return found
    return drifted


def _watched(graph: StepGraph) -> StepGraph:
    """Return the steps as they are watched.

    An item that each deployment sends again counts as changed in every plan, so it is trusted instead. A resource that
    must not have existed exists since the deployment, so it is used like one that is adopted; it and all steps that
    need it would be blocked.
    """
    return replace(graph, steps=tuple(replace(step, spec=_watched_spec(step.kind, step.spec)) for step in graph.steps))


def _watched_spec(kind: str, spec: JsonObject) -> JsonObject:
    if kind == RepositoryItemKind.name and spec.get("unchanged") == Unchanged.REDEPLOY:
        spec = {**spec, "unchanged": Unchanged.SKIP.value}
    return {**spec, "ifExists": IfExists.ADOPT.value} if spec.get("ifExists") == IfExists.FAIL else spec


def _is_untold(step: StepChange) -> bool:
    """Return True if the plan could not compare a step. One that asks for what is newest says nothing of drift."""
    return step.action is Action.BLOCKED and step.kind not in _MOVE_ON


def _has_drifted(step: StepChange) -> bool:
    if step.action not in _DRIFT or step.kind in _MOVE_ON:
        return False
    is_deletion = bool(step.files) and all(each.endswith(f" {DELETED}") for each in step.files)
    return not (is_deletion and step.kind in _DELETE_LATER)


_MOVE_ON = frozenset({GitUpdateKind.name, MetadataRefreshKind.name})
"""Kinds whose steps ask for what is newest: a commit to the branch is not a drift of the workspace, and nothing shows
whether a SQL endpoint is behind its tables."""
_DELETE_LATER = frozenset({ItemSchedulesKind.name, RemovedSchedulesKind.name})
"""Kinds that delete what an earlier deployment has switched off: nobody has changed that since."""
_WORDS = {Action.CREATE: "missing", Action.RENAME: "renamed", Action.MOVE: "moved"}


def _is_due(last: DriftSignal | None, now: datetime, every: timedelta) -> bool:
    return last is None or last.finished_at is None or now - last.began_at >= every
