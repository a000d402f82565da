"""From a trigger to the saga: reads what the host hands over, calls the engine with the app's services, tells the
orchestration. One function a trigger; function_app.py holds the decorators.
"""

import json
import logging
from typing import Any

from shared import bootstrap
from shared.domain.errors import NotFoundError, Problem, SagaError
from shared.domain.json import JsonObject
from shared.domain.manifest import DEPLOYMENT_ID
from shared.domain.messages import STEP_EVENT, Direction, StepMessage
from shared.domain.plan import MAX_STEPS
from shared.domain.states import DEPLOYMENT_ENDED
from shared.saga import activities, commands, engine, health, sweeper
from shared.saga.accept import decoded
from shared.saga.delivery import Settled
from shared.saga.progress import Progress

log = logging.getLogger(__name__)


def accept(content: bytes, message_id: str, client: Any) -> None:
    """A message of the queue `deployments`: a command to a deployment that exists, or a new submission."""
    app = bootstrap.app()
    orchestrations = bootstrap.orchestrations(client)
    command = commands.read(content)
    if command is not None:
        try:
            commands.handle(app.services, app.locks, orchestrations, command)
        except NotFoundError:
            log.warning("%s of the unknown deployment %s: dropped", command.verb.value, command.deployment_id)
        return
    accepted = app.acceptance.accept(content, message_id)
    header = accepted.header
    log.info("deployment %s of %s is %s", header.deployment_id, header.target, header.state.value)
    if not accepted.conflict and header.state not in DEPLOYMENT_ENDED:
        orchestrations.start(header.deployment_id)


def execute_step(content: bytes, client: Any) -> None:
    """A message of the queue `deployment-steps`."""
    message = _step_message(content)
    if message is not None:
        _tell(engine.execute_step(bootstrap.app().services, message), client)


def poisoned_step(content: bytes, client: Any) -> None:
    """A message that every delivery failed on."""
    message = _step_message(content)
    if message is not None:
        reason = "every delivery of this step ended in an unexpected error"
        _tell(engine.poisoned_step(bootstrap.app().services, message, reason), client)


def poisoned_deployment(content: bytes, message_id: str) -> None:
    """A submission that every delivery failed on: recorded as rejected under the id it asked for."""
    problem = Problem("$", "every delivery of this submission ended in an unexpected error; see the app's log")
    bootstrap.app().acceptance.refuse(content, message_id, problem)


def _step_message(content: bytes) -> StepMessage | None:
    """The message; one that is none was not put there by this app, and is logged and dropped."""
    try:
        message = StepMessage.from_json(json.loads(decoded(content)))
        if not DEPLOYMENT_ID.fullmatch(message.deployment_id) or not 0 <= message.ordinal < MAX_STEPS:
            raise ValueError("it names no step that could be")
        return message
    except (SagaError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.error("not a step message, dropped (%s): %.200r", error, content)
        return None


def _tell(settled: Settled | None, client: Any) -> None:
    if settled is not None:
        payload: JsonObject = {"ordinal": settled.ordinal, "state": settled.state.value}
        bootstrap.orchestrations(client).raise_event(settled.deployment_id, STEP_EVENT, payload)


def begin(deployment_id: str) -> JsonObject:
    """Activity `begin_deployment`."""
    app = bootstrap.app()
    return activities.begin(app.services, app.locks, deployment_id)


def dispatch(request: JsonObject) -> None:
    """Activity `dispatch_steps`."""
    services = bootstrap.app().services
    activities.dispatch(services, request["deployment_id"], request["ordinals"], Direction(request["direction"]))


def turn_back(deployment_id: str) -> JsonObject:
    """Activity `turn_back`."""
    return activities.turn_back(bootstrap.app().services, deployment_id)


def begin_compensation(deployment_id: str) -> JsonObject:
    """Activity `begin_compensation`."""
    app = bootstrap.app()
    return activities.begin_compensation(app.services, app.locks, deployment_id)


def reconcile(request: JsonObject) -> JsonObject:
    """Activity `reconcile_deployment`."""
    app = bootstrap.app()
    progress = Progress.from_json(request["progress"])
    return activities.reconcile(app.services, app.locks, request["deployment_id"], progress, request["tick"])


def finish(deployment_id: str) -> JsonObject:
    """Activity `finish_deployment`."""
    app = bootstrap.app()
    return activities.finish(app.services, app.locks, deployment_id)


def sweep(client: Any) -> None:
    """The timer."""
    app = bootstrap.app()
    dry_run = app.sweep_dry_run
    swept = sweeper.sweep(app.services, app.locks, bootstrap.orchestrations(client), dry_run=dry_run)
    log.info("swept%s: %s", " (dry run, nothing was done)" if dry_run else "", json.dumps(swept.counts()))


def ready() -> tuple[bool, JsonObject]:
    """The checks behind `health/ready`."""
    return health.ready(bootstrap.app().checks)
