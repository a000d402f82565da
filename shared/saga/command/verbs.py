"""The verbs that a person may use on a deployment, and in which state; commands.py carries them out."""

from collections.abc import Iterable
from enum import StrEnum

from shared.domain.approval import waits_for_person
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState as D
from shared.saga.step.execution import is_rolling_back


class Verb(StrEnum):
    """What may be asked; the words of the queue message, the routes and the command line."""

    CANCEL = "cancel"
    APPROVE = "approve"
    REFUSE = "refuse"
    RESUME = "resume"
    COMPENSATE = "compensate"
    RETIRE = "retire"
    RELEASE = "release"


ALLOWED: dict[D, tuple[Verb, ...]] = {
    D.ACCEPTED: (Verb.CANCEL,),
    D.RUNNING: (Verb.CANCEL,),
    D.HELD: (Verb.CANCEL, Verb.RESUME, Verb.COMPENSATE),
    D.FAILED: (Verb.RESUME, Verb.COMPENSATE),
    D.STUCK: (Verb.COMPENSATE, Verb.RELEASE),
    D.SUCCEEDED: (Verb.RETIRE,),
}


def possible_verbs(record: DeploymentRecord) -> tuple[Verb, ...]:
    """Return what a deployment's state has room for, though it was asked already. A released one is rolled back in
    part, so nothing can go on from there."""
    verbs = ALLOWED.get(record.state, ())
    return tuple(verb for verb in verbs if not (record.is_released and verb is Verb.RESUME))


def allowed_verbs(record: DeploymentRecord, steps: Iterable[StepRecord] = ()) -> list[Verb]:
    """What may be asked of a deployment as it stands; approve and refuse only where `steps` has one that waits."""
    request = {Verb.CANCEL: record.cancel_requested_by, Verb.RETIRE: record.retire_requested_by}
    verbs = [verb for verb in possible_verbs(record) if not request.get(verb)]
    if record.is_being_released:
        return []
    if record.state is D.RUNNING and not is_rolling_back(record) and any(map(waits_for_person, steps)):
        verbs += [Verb.APPROVE, Verb.REFUSE]
    return verbs
