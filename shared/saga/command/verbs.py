"""The verbs that a person may use on a deployment: one row each, which every surface reads.

A row of `VERBS` feeds the messages on the queue, the routes and their OpenAPI document, the command line with its help,
the page (shared/web/dashboard/verbs.js) and docs/states.md; `make diagrams` writes the last two. handling.py carries
the verbs out. A verb without a row is offered nowhere, and tests/unit/saga/command/test_verbs.py names it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.access import APPROVERS, DEPLOYERS, OPERATORS, Role
from shared.domain.approval import waits_for_person
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState as D


class Verb(StrEnum):
    """Spell the verbs as queue messages, routes and the command line do."""

    CANCEL = "cancel"
    APPROVE = "approve"
    REFUSE = "refuse"
    RESUME = "resume"
    COMPENSATE = "compensate"
    RETIRE = "retire"
    RELEASE = "release"


@dataclass(frozen=True)
class VerbSpec:
    """Declare a verb.

    `states` are the deployment's states that allow it. `goal` is the final state that a waiting caller expects. `label`
    is the page's button, and `effect` is what its dialog says will happen. `example` has the arguments after `VERB ID`
    on the command line. `roles` are the app roles of which a signed-in caller needs one. `reason` says what a required
    reason must state; '' if no reason is required.
    """

    states: tuple[D, ...]
    goal: D
    label: str
    summary: str
    effect: str
    roles: frozenset[Role]
    example: str = ""
    reason: str = ""
    is_for_step: bool = False
    is_destructive: bool = False


VERBS: Mapping[Verb, VerbSpec] = {
    Verb.CANCEL: VerbSpec(
        states=(D.ACCEPTED, D.RUNNING, D.HELD),
        goal=D.CANCELLED,
        label="Cancel",
        summary="Cancel an accepted, running or held deployment: it is rolled back",
        effect="No further step starts, and steps in flight settle. Then the deployment is rolled back.",
        roles=DEPLOYERS | OPERATORS,
        example='--reason "wrong workspace" --wait',
        is_destructive=True,
    ),
    Verb.APPROVE: VerbSpec(
        states=(D.RUNNING,),
        goal=D.SUCCEEDED,
        label="Approve",
        summary="Approve a step that waits for a person",
        effect="The step succeeds, and the deployment continues.",
        roles=APPROVERS,
        example='gate --requested-by anna --reason "figures checked"',
        is_for_step=True,
    ),
    Verb.REFUSE: VerbSpec(
        states=(D.RUNNING,),
        goal=D.SUCCEEDED,
        label="Refuse",
        summary="Refuse a step that waits for a person",
        effect="The step fails, and the deployment is rolled back or held, as its manifest says.",
        roles=APPROVERS,
        is_for_step=True,
        is_destructive=True,
    ),
    Verb.RESUME: VerbSpec(
        states=(D.HELD, D.FAILED),
        goal=D.SUCCEEDED,
        label="Resume",
        summary="Continue a held or failed deployment from its failed steps",
        effect="The failed steps are tried again. Applied steps stay as they are.",
        roles=DEPLOYERS | OPERATORS,
        example="--wait",
    ),
    Verb.COMPENSATE: VerbSpec(
        states=(D.HELD, D.FAILED, D.STUCK),
        goal=D.COMPENSATED,
        label="Roll back",
        summary="Roll back a held or failed deployment, or try a stuck one again now",
        effect="All applied steps of this deployment are compensated. Resources that it did not create or change stay.",
        roles=DEPLOYERS | OPERATORS,
        example="--wait",
        is_destructive=True,
    ),
    Verb.RETIRE: VerbSpec(
        states=(D.SUCCEEDED,),
        goal=D.COMPENSATED,
        label="Retire",
        summary="Roll back a deployment that succeeded",
        effect="The deployment is rolled back as if it had expired: what it created is deleted.",
        roles=DEPLOYERS | OPERATORS,
        example="--wait",
        is_destructive=True,
    ),
    Verb.RELEASE: VerbSpec(
        states=(D.STUCK,),
        goal=D.FAILED,
        label="Release",
        summary="Give up what a stuck deployment cannot compensate, so that its target is free",
        effect="Resources that could not be compensated stay as they are. "
        "The deployment ends failed, and its target is free.",
        roles=OPERATORS,
        example='--reason "its items belong to finance" --wait',
        reason="why what could not be compensated may stay as it is",
        is_destructive=True,
    ),
}
"""In the order in which answers list them."""


def possible_verbs(record: DeploymentRecord) -> tuple[Verb, ...]:
    """Return the verbs about the whole deployment that its state allows, including those already requested.

    A released deployment is rolled back in part, so it cannot be resumed. One whose orphans are deleted cannot be
    retired.
    """
    return tuple(
        verb
        for verb, spec in VERBS.items()
        if record.state in spec.states
        and not spec.is_for_step
        and not (record.is_released and verb is Verb.RESUME)
        and not (record.deleted_since is not None and verb is Verb.RETIRE)
    )


def allowed_verbs(record: DeploymentRecord, steps: Iterable[StepRecord] = ()) -> list[Verb]:
    """Return the verbs that a person may use now; those about a step only if one of `steps` waits for a person."""
    if record.is_being_released:
        return []
    requested = {Verb.CANCEL: record.cancel_requested_by, Verb.RETIRE: record.retire_requested_by}
    verbs = [verb for verb in possible_verbs(record) if not requested.get(verb)]
    about_steps = [verb for verb, spec in VERBS.items() if spec.is_for_step and record.state in spec.states]
    if about_steps and not record.is_rolling_back and any(map(waits_for_person, steps)):
        verbs += about_steps
    return verbs


def reason_required(verb: Verb) -> str:
    """Return the message for a request without the reason that its verb requires."""
    return f"{verb.value} needs a reason: say {VERBS[verb].reason}"
