"""Leads from a trigger to the saga: reads the host's input, calls the engine with the app's services, and raises the
event for the orchestration. There is one function for each trigger; function_app.py has the decorators."""

import functools
import json
import logging
from collections.abc import Callable
from typing import Any

from shared import bootstrap, telemetry
from shared.bootstrap import worker
from shared.domain.deployment_ids import is_deployment_id
from shared.domain.errors import InvalidInputError, NotFoundError, Problem, SagaError
from shared.domain.forgotten import ForgottenError
from shared.domain.json import JsonObject
from shared.domain.messages import STEP_EVENT, TARGET_EVENT, Direction, StepMessage
from shared.domain.notices import Notice
from shared.domain.ports import Locks, SweepSignal
from shared.domain.states import DEPLOYMENT_ENDED
from shared.domain.step_graph import MAX_STEPS
from shared.domain.telemetry import Event
from shared.saga.command import commands, handling
from shared.saga.orchestration import activities, views
from shared.saga.orchestration.progress import Progress
from shared.saga.step import execution
from shared.saga.step.delivery import Settled
from shared.saga.submission.acceptance import opened, salvaged_id
from shared.saga.submission.encoding import decoded
from shared.saga.sweep import sweeper
from shared.saga.waking_locks import by_event, read_wake

log = logging.getLogger(__name__)

_NAMED = 5
"""Ids of each list that a sweep stores for the health check."""
_UNPROVEN = "the queue does not prove who sent it (QUEUE_NEEDS_IDENTITY); send it over the HTTP API, signed in"


def _operation[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Track the work of a trigger as an operation of the function's name."""

    @functools.wraps(function)
    def tracked(*args: P.args, **kwargs: P.kwargs) -> R:
        with telemetry.track_operation(function.__name__):
            return function(*args, **kwargs)

    return tracked


@_operation
def accept(content: bytes, message_id: str, client: Any) -> None:
    """Handle a message of the queue `deployments`: a command to an existing deployment, a submission, or the wake-up of
    a script that left its target."""
    app = bootstrap.app()
    orchestrations = bootstrap.orchestrations(client)
    woken = read_wake(opened(content))
    if woken is not None:
        orchestrations.raise_event(woken, TARGET_EVENT, {})
        return
    try:
        command = commands.read(content)
    except InvalidInputError as error:
        _misread(error)
        return
    if command is not None and app.services.policy.access.queue_needs_identity:
        log.warning("%s is refused: it came by the queue (QUEUE_NEEDS_IDENTITY)", command.verb.value)
        handling.give_up(app.services, command, _UNPROVEN)
        return
    if command is not None:
        try:
            handling.handle(app.services, _locks(client), orchestrations, command)
        except NotFoundError as error:
            log.warning("%s is dropped: %s", command.verb.value, error)
        return
    accepted = app.acceptance.accept(content, message_id)
    header = accepted.header
    log.info("deployment %s of %s is %s", header.deployment_id, header.target, header.state.value)
    if header.forgotten_at is not None:
        log.warning("submitted again: %s", ForgottenError(header))
    if not accepted.conflict and header.state not in DEPLOYMENT_ENDED:
        app.acceptance.keep(accepted.manifest)
        orchestrations.start(header.deployment_id)


@_operation
def execute_step(content: bytes, client: Any) -> None:
    """Handle a message of the queue `deployment-steps`."""
    message = _step_message(content)
    if message is not None:
        _raise_step_event(execution.execute_step(bootstrap.app().services, message), client)


@_operation
def poisoned_step(content: bytes, client: Any, delivery: int = 1) -> None:
    """Settle a step whose every delivery failed, or send its message again after an outage (`_was_unavailable`)."""
    message = _step_message(content)
    if message is not None and _was_unavailable(content, delivery):
        bootstrap.app().services.queue.send(message)
        return
    _count_poisoned("deployment-steps")
    telemetry.event(Event.POISON_MESSAGE, {"queue": "deployment-steps", **(message.to_json() if message else {})})
    if message is not None:
        reason = "every delivery of this step ended in an unexpected error"
        _raise_step_event(execution.poisoned_step(bootstrap.app().services, message, reason), client)


@_operation
def poisoned_deployment(content: bytes, message_id: str, delivery: int = 1) -> None:
    """Reject a submission whose every delivery failed, under its id.

    A failed command is recorded in the audit of its deployment, because it claims no id. After an outage
    (`_was_unavailable`) both are sent again, except a submission without an id, whose new message would be a new
    deployment.
    """
    try:
        command = commands.read(content)
    except InvalidInputError as error:
        _count_poisoned("deployments")
        log.warning("a command is dropped: %s", error)
        return
    if (command or salvaged_id(content)) and _was_unavailable(content, delivery):
        bootstrap.app().submit(content.decode(), 0.0)
        return
    _count_poisoned("deployments")
    if command is not None:
        telemetry.event(Event.POISON_MESSAGE, {"queue": "deployments", "deployment_id": command.deployment_id})
        reason = "every delivery of this command ended in an unexpected error; repeat the command"
        handling.give_up(bootstrap.app().services, command, reason)
        return
    problem = Problem("$", "every delivery of this submission ended in an error of the app; see its log")
    refused = bootstrap.app().acceptance.refuse(content, message_id, problem)
    about = {"queue": "deployments", "deployment_id": refused.header.deployment_id}
    telemetry.event(Event.POISON_MESSAGE, about)


def _was_unavailable(content: bytes, delivery: int) -> bool:
    """Return True if a poison message could not be recorded before, because the settings or storage were unusable.

    That is most likely why its deliveries failed too. A message that causes the failure itself is recorded at its first
    delivery. So is one whose body names a `dequeueCount`: the host then reports that number as the message's own.
    """
    if delivery == 1 or any(name.casefold() == "dequeuecount" for name in opened(content) or {}):
        return False
    log.warning("a poisoned message could not be recorded before (delivery %d): it is sent again", delivery)
    return True


def _misread(error: InvalidInputError) -> None:
    """Drop a message that is meant as a command and is invalid. It claims no id; the log says why, and health warns."""
    log.warning("a command is dropped: %s", error)
    telemetry.event(Event.POISON_MESSAGE, {"queue": "deployments"})
    _count_poisoned("deployments")


def _count_poisoned(queue: str) -> None:
    """Count a poison message for health. A failure to count must not prevent its recording."""
    app = bootstrap.app()
    try:
        app.signals.record_poison_message(queue, app.services.clock.now())
    except SagaError as error:
        log.warning("a poisoned message of %s was not counted: %s", queue, error)


@_operation
def notify(content: bytes) -> None:
    """Handle a message of the queue `deployment-notices`."""
    notifications = bootstrap.app().notifications
    notice = _notice(content)
    if notice is None:
        return
    if notifications is None:
        log.warning("notice %s is dropped: NOTIFY_URL is not set any more", notice.event_id)
        return
    notifications.deliver(notice)


@_operation
def poisoned_notice(content: bytes, delivery: int = 1) -> None:
    """Give up a notice whose every delivery failed, or send it again after an outage (`_was_unavailable`)."""
    notice, notifications = _notice(content), bootstrap.app().notifications
    if notice is not None and notifications is not None and _was_unavailable(content, delivery):
        notifications.send_later(notice, 0.0)
        return
    _count_poisoned("deployment-notices")
    telemetry.event(Event.POISON_MESSAGE, {"queue": "deployment-notices"})


def _notice(content: bytes) -> Notice | None:
    """Parse a notice. An invalid message is not from this app: it is logged and dropped, and None returned."""
    try:
        return Notice.from_json(json.loads(decoded(content)))
    except (SagaError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.error("not a notice, dropped (%s): %.200r", error, content)
        return None


def _step_message(content: bytes) -> StepMessage | None:
    """Parse a step message. An invalid message is not from this app: it is logged and dropped, and None returned."""
    try:
        message = StepMessage.from_json(json.loads(decoded(content)))
        if not is_deployment_id(message.deployment_id) or not 0 <= message.ordinal < MAX_STEPS:
            raise ValueError("it names an impossible step")
        return message
    except (SagaError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.error("not a step message, dropped (%s): %.200r", error, content)
        return None


def _raise_step_event(settled: Settled | None, client: Any) -> None:
    if settled is not None:
        payload: JsonObject = {"ordinal": settled.ordinal, "state": settled.state.value}
        bootstrap.orchestrations(client).raise_event(settled.deployment_id, STEP_EVENT, payload)


def _locks(client: Any) -> Locks:
    """Return the target locks, whose release wakes the next deployment through the client of this invocation."""
    app = bootstrap.app()
    return by_event(app.locks, app.services.journal, bootstrap.orchestrations(client))


@_operation
def begin(deployment_id: str, client: Any) -> JsonObject:
    return views.to_json(activities.begin(bootstrap.app().services, _locks(client), deployment_id))


@_operation
def dispatch(request: JsonObject) -> float:
    services = bootstrap.app().services
    return activities.dispatch(services, request["deployment_id"], request["ordinals"], Direction(request["direction"]))


@_operation
def record_failure(deployment_id: str) -> JsonObject:
    return views.to_json(activities.record_failure(bootstrap.app().services, deployment_id))


@_operation
def begin_compensation(deployment_id: str, client: Any) -> JsonObject:
    return views.to_json(activities.begin_compensation(bootstrap.app().services, _locks(client), deployment_id))


@_operation
def reconcile(request: JsonObject) -> JsonObject:
    app = bootstrap.app()
    progress = Progress.from_json(request["progress"])
    return views.to_json(activities.reconcile(app.services, app.locks, request["deployment_id"], progress))


@_operation
def finish(deployment_id: str, client: Any) -> JsonObject:
    return views.to_json(activities.finish(bootstrap.app().services, _locks(client), deployment_id))


@_operation
def sweep(client: Any) -> None:
    """Run one sweep, and store its result for the health check."""
    app = bootstrap.app()
    dry_run, clock = app.sweep_dry_run, app.services.clock
    began = clock.now()
    swept = sweeper.sweep(app.services, _locks(client), bootstrap.orchestrations(client), dry_run=dry_run)
    log.info("swept%s: %s", " (dry run, nothing was done)" if dry_run else "", json.dumps(swept.counts()))
    if dry_run:
        log.info("the sweeper would have handled: %s", json.dumps(swept.ids()))
    ended = clock.now()
    seconds = (ended - began).total_seconds()
    telemetry.event(Event.SWEEP_FINISHED, {**swept.counts(), "dry_run": dry_run, "seconds": seconds})
    app.signals.record_sweep(SweepSignal(ended, seconds, swept.counts(), swept.ids(_NAMED)))
    if app.drift is not None and not dry_run:
        app.drift.run()


def resize_thread_pool() -> None:
    """Give the worker's thread pool the size that the settings name; function_app.py calls it when it is loaded."""
    worker.resize_thread_pool()
