"""The before-image of an update of many resources: many reads one after the other, over several deliveries.

    gather ──┬─ another piece ─ gather ─ ...
             ├─ operation: the pieces so far are stored (pieces.py) ─ look ─ ... ─ gather
             └─ complete: the image

Reading changes nothing, so an operation that failed, or that Fabric has forgotten, is requested again.
"""

from dataclasses import replace
from typing import Any

from shared.domain.json import JsonObject, as_object
from shared.domain.ports import OperationStarted
from shared.domain.records import Intent, StepChanges
from shared.domain.states import IntentAction, OperationPurpose
from shared.saga.step import before_image as reading
from shared.saga.step import giving_up, operations
from shared.saga.step.delivery import Delivery
from shared.saga.step.outcome import Reschedule
from shared.saga.step.pieces import Pieces
from shared.steps.gathering_kind import GatheringKind
from shared.steps.kind import Call

_SO_FAR = "gathered"
"""The member of a stored spec that leads to the pieces of an incomplete before-image (pieces.py)."""
_SHOWN = "shown"
"""The member of `Intent.made` that has what Fabric showed when the update was verified, until it is surveyed."""
_PIECES = 50
"""Pieces that one delivery reads before it stores them."""


def before_image(d: Delivery, kind: GatheringKind, spec: JsonObject) -> JsonObject | Reschedule:
    """Return the before-image, with references to its pieces; Reschedule if Fabric is still preparing one of them, or
    if there are many.

    Raises FabricError, InvalidInputError.
    """
    answer = reading.answer(d)
    if isinstance(answer, Reschedule):
        return answer
    # A resumed step has not started: what was read before may have changed since, and is read again.
    stored = as_object(spec.get(_SO_FAR)) if d.step.started_at is not None else None
    payloads, plain, so_far = d.services.payloads, without_pieces(spec), Pieces.from_json(stored)
    if stored and so_far.rest is None:
        answer = None  # the answer continues what is read again
    image = so_far.image(payloads)
    for _ in range(_PIECES):
        gathered = kind.gather(d.fabric, plain, image, so_far.count, answer)
        image, answer = gathered.image, None
        if image is not None:
            so_far = so_far.begun(payloads, image)
        if gathered.piece is not None:
            so_far = so_far.added(payloads, *gathered.piece)
        if image is not None and gathered.is_complete:
            return {**image, kind.pieces: so_far.references(payloads)}
        if gathered.operation is not None:
            waiting = reading.awaited(d, gathered.operation, gathered.operation_kind)
            return replace(waiting, changes={**waiting.changes, **_kept(d, plain, so_far)})
    return Reschedule(1.0, changes={"operation": None, **_kept(d, plain, so_far), **giving_up.started(d)})


def filled(d: Delivery, call: Call) -> Call:
    """Return a call of a compensation with the pieces that its body refers to. Raises StorageUnavailableError."""
    if not isinstance(d.kind, GatheringKind) or call.body is None:
        return call
    return replace(call, body={name: _loaded(d, value) for name, value in call.body.items()})


def _loaded(d: Delivery, value: Any) -> Any:
    found = as_object(value)
    return value if found is None else d.services.payloads.load(found)


def without_pieces(spec: JsonObject) -> JsonObject:
    """Return a spec without the pieces of a before-image that a delivery has stored with it."""
    return {name: value for name, value in spec.items() if name != _SO_FAR}


def surveyed(d: Delivery, kind: GatheringKind, spec: JsonObject, intent: Intent) -> Intent | Reschedule:
    """Return the intent with what its update made and changed, which is read once and stored; Reschedule while Fabric
    prepares it. Raises FabricError, GuardError."""
    intent = replace(intent, made=d.services.payloads.load(intent.made) if intent.made is not None else None)
    if intent.made is not None and _SHOWN not in intent.made:
        return intent
    answer = reading.answer(d)
    if isinstance(answer, Reschedule):
        return answer
    found = kind.survey(d.fabric, spec, replace(intent, made=(intent.made or {}).get(_SHOWN)), answer)
    if isinstance(found, OperationStarted):
        started = operations.started(d, found, OperationPurpose.CAPTURE, "git status")
        return Reschedule(operations.first_delay(d, started.kind), changes={"operation": started})
    stored = d.step.intent
    assert stored is not None  # noqa: S101 - a step without an intent has nothing to compensate
    d.write({"intent": replace(stored, made=d.services.payloads.store(found)), "operation": None})
    return replace(intent, made=found)


def remember(d: Delivery, spec: JsonObject, intent: Intent) -> None:
    """Stage what a verified update made, as Fabric shows it now. Raises FabricError."""
    stored = d.step.intent
    if isinstance(d.kind, GatheringKind) and stored is not None and intent.action is IntentAction.UPDATE:
        made = d.services.payloads.store({_SHOWN: d.kind.shown(d.fabric, spec, intent)})
        d.stage({"intent": replace(stored, made=made)})


def is_done(d: Delivery, spec: JsonObject, intent: Intent) -> bool:
    """Return True if an earlier delivery's update took effect, although its row does not say so. Raises FabricError."""
    if not isinstance(d.kind, GatheringKind) or intent.action is not IntentAction.UPDATE:
        return False
    return d.kind.took_effect(d.fabric, spec, intent)


def _kept(d: Delivery, spec: JsonObject, so_far: Pieces) -> StepChanges:
    return {"spec": d.services.payloads.store({**spec, _SO_FAR: so_far.to_json()}), "refers_to": {}}
