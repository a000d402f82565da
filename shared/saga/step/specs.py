"""The spec and the intent of a step, as its deliveries read them from the row."""

from dataclasses import replace

from shared.domain.errors import FabricRefusedError
from shared.domain.item_template import content_bytes
from shared.domain.json import JsonObject
from shared.domain.records import Intent, StepChanges
from shared.domain.references import resolve
from shared.saga.step.delivery import Delivery
from shared.saga.step.outputs import outputs_of
from shared.steps.kind import check_resolved


def final(d: Delivery, spec: JsonObject) -> StepChanges:
    """Return the fields of a spec whose references are replaced: it refers to nothing any more."""
    return {"spec": d.services.payloads.store(spec), "refers_to": {}}


def opened(d: Delivery, spec: JsonObject) -> JsonObject:
    """Return the spec with what is too large to be stored in it, opened once. Raises InvalidInputError, NoRoomError."""
    if d.opened is None or d.opened[0] is not spec:
        read = d.services.payloads.read
        d.content.take(content_bytes(spec, read))
        d.opened = (spec, d.kind.opened(spec, read))
    return d.opened[1]


def read(d: Delivery) -> JsonObject:
    """Return the spec as the row keeps it: until the first claim, with its references. Raises NoRoomError."""
    return d.services.payloads.load(d.step.spec, d.content.take)


def intent_of(d: Delivery) -> Intent:
    """Return the intent with its before-image. Raises FabricRefusedError if the row has none; NoRoomError."""
    intent = d.step.intent
    if intent is None:
        raise FabricRefusedError("the journal row has no intent", call=d.step.kind)
    return replace(intent, before=d.services.payloads.load(intent.before, d.content.take)) if intent.before else intent


def resolved(d: Delivery) -> JsonObject:
    """Return the spec with every reference replaced by its value in the journal, checked once more."""
    spec = read(d)
    if not d.step.refers_to:
        return spec
    outputs: dict[str, JsonObject] = {}
    for step_id, ordinal in d.services.payloads.load(d.step.refers_to).items():
        outputs[step_id] = outputs_of(d.services.journal, d.step.deployment_id, ordinal)
    resolved: JsonObject = resolve(spec, lambda step_id, name: outputs[step_id][name])
    check_resolved(d.services.elsewhere.get(d.step.kind) or d.kind, resolved)
    return resolved
