"""The dry run: what a deployment of a step graph would change in the live workspace, found by reading only.

Each step is looked up as in its first delivery (forward.py), with the same kinds:

    a need is blocked ─────────────────────────────── blocked
    its key is known only after apply ─────────────── create, or run; update, if it creates nothing
    look ─┬─ absent ───────────────────────────────── create, or run
          ├─ there ─┬─ ifExists: fail ─────────────── blocked
          │         ├─ ifExists: update, differs ──── update; drift, if only Fabric's side has changed
          │         ├─ ifExists: update, as asked ─── unchanged
          │         └─ ifExists: adopt ────────────── adopt
          └─ refused (403, ...) ───────────────────── blocked

A step that would create or update something is blocked, too, if it names something that is missing and that no step
makes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from shared.domain.errors import (
    FabricAuthError,
    FabricError,
    FabricNotFoundError,
    FabricTransientError,
    InvalidInputError,
    SagaError,
)
from shared.domain.fabric_codes import IDENTITY_CODES
from shared.domain.json import JsonObject
from shared.domain.policy import RetryPolicy
from shared.domain.ports import Clock, Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.domain.references import open_fields, readable, substituted
from shared.domain.remedies import recorded
from shared.domain.states import IntentAction, OperationState
from shared.domain.step_graph import GraphStep, StepGraph, levels
from shared.saga import deployed
from shared.saga.dry_run.exported import ExportedItems
from shared.saga.dry_run.lacking import comes_after, lacking
from shared.saga.dry_run.read_only import ReadOnlyFabric
from shared.saga.dry_run.result import CHANGING, Action, DryRun, StepChange
from shared.steps import ELSEWHERE
from shared.steps.details import Details
from shared.steps.elsewhere import ElsewhereKind
from shared.steps.gathering_kind import GatheringKind
from shared.steps.kind import (
    IfExists,
    NoBeforeImageError,
    NotYetError,
    Snapshot,
    StepKind,
    VerificationError,
    check_resolved,
    policy_for,
    policy_of,
)
from shared.steps.recall import Recall
from shared.steps.run_kind import RunKind
from shared.steps.updating_kind import UpdatingKind

BUDGET_SECONDS = 120.0
"""How long a dry run waits in all while Fabric throttles or fails."""
DRY_RUN_RETRY = RetryPolicy(max_attempts=3, base_seconds=1.0, max_seconds=8.0)
"""A person waits for the answer, so an outage of Fabric is reported within seconds."""
DEFINITION_SECONDS = 30.0
"""How long a dry run waits for one definition; Fabric returns most of them within a second."""
PARALLEL = 8
"""Steps that are looked up in parallel."""
_ACTIONS: Mapping[tuple[str, ...], Action] = {("displayName",): Action.RENAME, ("folder",): Action.MOVE}
"""The action if nothing but these fields would change."""


NOTHING_RECALLED = deployed.Recalled(None, "")
"""Without storage, nothing is known of earlier deployments."""


@dataclass(frozen=True)
class _Recall:
    """The notes of earlier deployments, and the payloads that are at hand."""

    recalled: Recall
    read: Callable[[str], bytes]

    def payload(self, digest: str) -> bytes:
        return self.read(digest)

    def of_item(self, workspace_id: str, logical_id: str, key: str) -> JsonObject | None:
        return self.recalled.of_item(workspace_id, logical_id, key)

    def named(self, workspace_id: str, key: str) -> list[JsonObject]:
        return self.recalled.named(workspace_id, key)

    def of_part(self, workspace_id: str, part: str, item_id: str, name: str = "") -> JsonObject | None:
        return self.recalled.of_part(workspace_id, part, item_id, name)

    def of_step(self, workspace_id: str, step_id: str) -> list[JsonObject]:
        return self.recalled.of_step(workspace_id, step_id)


def dry_run(
    fabric: Fabric,
    kinds: Mapping[str, StepKind],
    graph: StepGraph,
    *,
    clock: Clock,
    policy: RetryPolicy = DRY_RUN_RETRY,
    budget_seconds: float = BUDGET_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    parallel: int = PARALLEL,
    recall: Recall = NOTHING_RECALLED,
    read: Callable[[str], bytes] = deployed.nothing_stored,
) -> DryRun:
    """Look all steps up and change nothing. `recall` and `read` are those of `StepKind.prepare` and `opened`.

    Raises FabricTransientError if Fabric fails for longer than `budget_seconds`, and FabricAuthError if Fabric does not
    accept the identity at all.
    """
    looking = ReadOnlyFabric(fabric, clock, policy, budget_seconds=budget_seconds, sleep=sleep)
    needs = {step.step_id: step.needs for step in graph.steps}
    run = _Run(looking, kinds, needs, {}, {}, _Recall(recall, read), read, ExportedItems(looking, graph, clock, sleep))
    ordinals = {step.step_id: i for i, step in enumerate(graph.steps)}
    waves = levels({i: [ordinals[need] for need in step.needs] for i, step in enumerate(graph.steps)})
    with ThreadPoolExecutor(parallel) as pool:
        for wave in waves:
            steps = [graph.steps[i] for i in wave]
            for step, (change, outputs) in zip(steps, pool.map(run.step, steps), strict=True):
                run.found[step.step_id], run.outputs[step.step_id] = change, outputs
    return DryRun(graph.name, graph.target, tuple(run.found[step.step_id] for step in graph.steps))


@dataclass(frozen=True)
class _Run:
    """The results so far: by step id, the change and those of its outputs that are known before apply."""

    fabric: ReadOnlyFabric
    kinds: Mapping[str, StepKind]
    needs: Mapping[str, Sequence[str]]
    found: dict[str, StepChange]
    outputs: dict[str, JsonObject]
    recall: Recall
    read: Callable[[str], bytes]
    exported: ExportedItems

    def step(self, step: GraphStep) -> tuple[StepChange, JsonObject]:
        """Return the change and the known outputs of a step whose needs have been looked up."""
        kind = ELSEWHERE.get(step.kind) or self.kinds[step.kind]
        blocked = [need for need in step.needs if self.found[need].action is Action.BLOCKED]
        if blocked:
            return _change(step, readable(step.spec), Action.BLOCKED, f"it needs {blocked[0]}, which is blocked"), {}
        template: JsonObject = substituted(step.spec, lambda step_id, name: self.outputs[step_id].get(name))
        spec: JsonObject = readable(template)
        unknown = open_fields(template)
        try:
            check_resolved(kind, template, is_template=True)
            return self._looked_up(step, kind, spec, unknown)
        except NoBeforeImageError as error:
            return _blocked(step, spec, error), {}
        except FabricTransientError:
            raise
        except FabricNotFoundError as error:
            known = None if isinstance(kind, ElsewhereKind) else lacking(self.fabric, kind, spec, unknown)
            return _blocked(step, spec, known or error), {}
        except FabricAuthError as error:
            if error.status in (None, 401) or error.error_code in IDENTITY_CODES:
                raise
            return _blocked(step, spec, error), {}
        except (FabricError, InvalidInputError, VerificationError) as error:
            return _blocked(step, spec, error), {}

    def _looked_up(
        self, step: GraphStep, kind: StepKind | ElsewhereKind, spec: JsonObject, unknown: set[str]
    ) -> tuple[StepChange, JsonObject]:
        """Look a step up; `unknown` are the fields of `with` that are known only after apply."""
        if isinstance(kind, ElsewhereKind):
            return _change(step, spec, Action.UNCHANGED, "waits for a person"), {}
        text = {name: spec[name] for name in kind.outputs if name in spec and name not in unknown}
        if open_keys := [name for name in kind.keys if name in unknown]:
            if policy_of(kind, spec) is IfExists.UPDATE:
                kind.allow(self.fabric, spec, None)
            change = _new(step, kind, spec, f"known after apply: {', '.join(open_keys)}")
            return self._unless_lacking(change, step, kind, spec, unknown), text
        spec = kind.prepare(self.fabric, spec, self.recall)
        found = kind.find(self.fabric, spec)
        if found is None and isinstance(kind, GatheringKind):
            return self._unconnected(step, kind, spec), text
        if found is None:
            return self._unless_lacking(_new(step, kind, spec, "absent"), step, kind, spec, unknown), text
        outputs = self._outputs(kind, spec, found, text)
        resource = found.resource
        if policy_for(kind, spec, found) is IfExists.ADOPT:
            return _change(step, spec, Action.ADOPT, "there: used as it is", resource=resource), outputs
        fields, remark, details, is_drift = self._differences(kind, spec, found)
        if not fields:
            return _change(step, spec, Action.UNCHANGED, kind.idle or "there, as asked", resource=resource), outputs
        # The values that an update sets are known before apply, from the manifest.
        outputs = {n: v for n, v in outputs.items() if n not in fields} | {n: text[n] for n in fields if n in text}
        action = Action.DRIFT if is_drift else _ACTIONS.get(tuple(fields), Action.UPDATE)
        shown = {"files": details.files, "lines": details.lines, "restorable": details.restorable}
        change = replace(_change(step, spec, action, remark, tuple(fields), resource), **shown)
        return self._unless_lacking(change, step, kind, spec, unknown), outputs

    def _unless_lacking(
        self, change: StepChange, step: GraphStep, kind: StepKind, spec: JsonObject, unknown: set[str]
    ) -> StepChange:
        """Return the change, or that the step is blocked because something is missing. After a job that is a
        remark, because the job may make it."""
        error = lacking(self.fabric, kind, spec, unknown)
        if error is None:
            return change
        runs = {step_id for step_id, each in self.found.items() if each.action is Action.RUN}
        if comes_after(step, self.needs, runs):
            return replace(change, reason=f"{change.reason}; now {error.detail}")
        return _blocked(step, spec, error)

    def _unconnected(self, step: GraphStep, kind: GatheringKind, spec: JsonObject) -> StepChange:
        """Return the change of a step whose resource is absent now, and may be created by a step that it needs. Raises
        VerificationError if none of those changes anything."""
        if all(self.found[need].action not in CHANGING for need in step.needs):
            raise VerificationError(kind.absent(spec))
        return _change(step, spec, Action.UPDATE, "known after apply: what it changes")

    def _differences(self, kind: StepKind, spec: JsonObject, found: Snapshot) -> tuple[list[str], str, Details, bool]:
        """Compare with the before-image: return the fields to change, a remark, the details, and if all is drift."""
        fields, remark = kind.changes(spec, found), "there, and differs"
        if not fields:
            return [], "", Details(), False
        kind.allow(self.fabric, spec, found)
        spec = kind.opened(spec, self.read)
        if self.exported.is_as_asked(kind, spec, found):
            return [], "", Details(), False
        image = self._gathered(kind, spec) if isinstance(kind, GatheringKind) else self._image(kind, spec, found)
        if isinstance(image, str):
            return fields, f"there; definition: not compared, because {image}", Details(), False
        before = Snapshot(found.resource, image)
        details, drift = kind.details(spec, before), kind.drift(spec, before)
        remark, is_drift = (details.will or remark, False) if drift is None else (drift.remark, drift.is_all)
        return kind.changes(spec, before), remark, details, is_drift

    def _image(self, kind: StepKind, spec: JsonObject, found: Snapshot) -> JsonObject | str:
        """Return the before-image of an update, or why Fabric does not show it."""
        image = kind.capture(self.fabric, spec, found, None)
        if not isinstance(image, OperationStarted):
            return image
        captured, failed = self._captured(image)
        if captured is None:
            return failed
        image = kind.capture(self.fabric, spec, found, captured)
        assert not isinstance(image, OperationStarted)  # noqa: S101 - it got the operation's result
        return image

    def _gathered(self, kind: GatheringKind, spec: JsonObject) -> JsonObject | str:
        """Return a before-image that takes several reads, without its pieces; or why Fabric does not show a piece."""
        image: JsonObject | None = None
        answer: JsonObject | None = None
        count = 0
        while True:
            gathered = kind.gather(self.fabric, spec, image, count, answer)
            image, answer = gathered.image, None
            count += 0 if gathered.piece is None else 1
            if image is not None and gathered.is_complete:
                return image
            if gathered.operation is not None:
                answer, failed = self._captured(gathered.operation)
                if answer is None:
                    return failed

    def _captured(self, operation: OperationStarted) -> tuple[JsonObject | None, str]:
        """Return the result of the operation of getDefinition; or None, and why."""
        status = self.fabric.wait_for(operation, "getDefinition", DEFINITION_SECONDS)
        if status is None:
            return None, f"Fabric did not return it within {DEFINITION_SECONDS:g} s"
        if status.state is not OperationState.SUCCEEDED:
            return None, f"reading it failed: {status.error_code}: {status.message}"
        return self.fabric.result(operation.id, operation.location) or {}, ""

    def _outputs(self, kind: StepKind, spec: JsonObject, found: Snapshot, said: JsonObject) -> JsonObject:
        """Return the outputs of an existing resource, verified as in a deployment; before it is ready, those of the
        manifest. Raises VerificationError if the deployment would fail there, whatever it changes."""
        adopted = Intent(IntentAction.ADOPT, "", None, found.resource.id)
        try:
            return kind.verify(self.fabric, spec, found.resource, adopted)
        except NotYetError:
            return {"id": found.resource.id} | said


def _change(
    step: GraphStep,
    spec: JsonObject,
    action: Action,
    reason: str,
    fields: tuple[str, ...] = (),
    resource: Resource | None = None,
) -> StepChange:
    name = str(spec.get("displayName") or spec.get("principalId") or "")
    return StepChange(step.step_id, step.kind, action, name, fields, reason, resource)


def _new(step: GraphStep, kind: StepKind, spec: JsonObject, reason: str) -> StepChange:
    """Return the change of a step that finds nothing: a resource to create, or a run to start. A step that creates
    nothing works on what the deployment creates before it."""
    if isinstance(kind, UpdatingKind):
        return _change(step, spec, Action.UNCHANGED if kind.idle_of_new else Action.UPDATE, kind.idle_of_new or reason)
    if not isinstance(kind, RunKind):
        return _change(step, spec, Action.CREATE, reason)
    if kind.runs_last(spec):
        effects = "its effects cannot be compensated, so it comes after every step that does not need it"
    else:
        effects = "a rollback cancels it while it runs, and changes nothing afterwards"
    if kind.runs_always(spec):
        effects = f"it runs when all other steps have ended, also if one has failed; {effects}"
    reason = effects if reason == "absent" else f"{reason}; {effects}"
    return replace(_change(step, spec, Action.RUN, reason), restorable="no")


def _blocked(step: GraphStep, spec: JsonObject, error: SagaError) -> StepChange:
    """Return the reason as the journal would record it: Fabric's code and request id, and what to do."""
    text = recorded(error)
    facts = [f"HTTP {text.status}"] if text.status is not None else []
    facts += [text.error_code] if text.error_code else []
    facts += [f"request {text.request_id}"] if text.request_id else []
    where = f" ({text.call}: {', '.join(facts)})" if facts else ""
    return _change(step, spec, Action.BLOCKED, f"{text.message}{where}. What to do: {text.remedy}")
