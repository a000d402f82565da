"""The durable orchestration of one deployment: a small generator around the decisions of progress.py.

It does no work and stores no state of its own. It sends a message for each ready step, receives the events of settled
steps, and reads the journal when in doubt. Its history stays bounded: after GENERATION events it continues as new with
its view as the input. While its target is held, or a person decides, it sleeps until an event comes; its timers are
only the safety net for a lost event.
"""

from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from durabletask import task

from shared.domain.json import JsonObject
from shared.domain.messages import COMMAND_EVENT, STEP_EVENT, TARGET_EVENT, Direction
from shared.domain.states import StepState
from shared.saga.orchestration import names, views
from shared.saga.orchestration.views import Ended, Hold, Run, View, Wait

GENERATION = 20
"""Events handled before the orchestration continues as new. Replays cost the square of it, a new start is O(plan)."""


class Context(Protocol):
    """The part of durabletask's OrchestrationContext that is used; the tests drive the generator with a twin."""

    def call_activity(self, activity: str, *, input: Any = None) -> Any:
        """Schedule an activity."""
        ...

    def create_timer(self, fire_at: timedelta) -> Any:
        """Create a durable timer."""
        ...

    def wait_for_external_event(self, name: str) -> Any:
        """Wait for the next event of that name."""
        ...

    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
        """Begin again with a fresh history."""
        ...


type _Steps[T] = Generator[Any, Any, T]
"""Yields durabletask's tasks, and returns a T."""


def run(context: Context, state: JsonObject) -> _Steps[JsonObject | None]:
    """Orchestrate a deployment. `state` is {"deployment_id"} at first, and has "view" when it continues as new."""
    saga = _Saga(context, state["deployment_id"])
    stored: JsonObject | None = state.get("view")
    view = views.from_json(stored) if stored else (yield from saga.ask(names.BEGIN_DEPLOYMENT))
    for _ in range(GENERATION):
        match view:
            case Ended() | Hold():
                return views.to_json(view)
            case Wait():
                view = yield from saga.wait(view)
            case Run():
                view = yield from saga.advance(view)
    context.continue_as_new({"deployment_id": saga.deployment_id, "view": views.to_json(view)}, save_events=True)
    return None


class _Saga:
    """One execution of the orchestration: the events and the timer that it waits for. Each method returns the view
    after one event."""

    def __init__(self, context: Context, deployment_id: str) -> None:
        self.deployment_id = deployment_id
        self._context = context
        self._step_event = context.wait_for_external_event(STEP_EVENT)
        self._command = context.wait_for_external_event(COMMAND_EVENT)
        self._target_left = context.wait_for_external_event(TARGET_EVENT)
        self._timer: Any = None
        self._timer_seconds = 0.0
        self._finish_requested = False

    def ask(self, activity: str, given: JsonObject | None = None) -> _Steps[View]:
        """Run an activity that answers with a view."""
        answer = yield self._context.call_activity(activity, input=self.deployment_id if given is None else given)
        return views.from_json(answer)

    def wait(self, view: Wait) -> _Steps[View]:
        """Wait for the target: until its last holder wakes this deployment, a command comes, or the time is over."""
        timer = self._context.create_timer(timedelta(seconds=view.seconds))
        yield task.when_any([timer, self._command, self._target_left])
        self._drop_commands()
        while self._target_left.is_complete:
            self._target_left = self._context.wait_for_external_event(TARGET_EVENT)
        self._timer = None
        return (yield from self.ask(names.BEGIN_DEPLOYMENT))

    def advance(self, view: Run) -> _Steps[View]:
        """Send what is ready, or ask for the end of this direction; else wait for the next event."""
        progress = view.progress
        ready = progress.take_ready()
        if ready:
            message = {
                "deployment_id": self.deployment_id,
                "ordinals": ready,
                "direction": progress.direction.value,
            }
            sent_at: float | None = yield self._context.call_activity(names.DISPATCH_STEPS, input=message)
            if sent_at is not None:  # an earlier version of the activity returned nothing
                progress.sent_at |= dict.fromkeys(ready, sent_at)
            view = replace(view, round_seconds=min(view.round_seconds, view.watchdog_seconds))
        elif progress.is_quiet and not self._finish_requested:
            # Asked once for each change of the view: should the journal disagree, the watchdog settles it.
            turns = progress.direction is Direction.FORWARD and progress.rolling_back
            self._finish_requested = not turns
            return (yield from self.ask(names.BEGIN_COMPENSATION if turns else names.FINISH_DEPLOYMENT))
        return (yield from self._next_event(view))

    def _next_event(self, view: Run) -> _Steps[View]:
        """Wait for a settled step, a command or the watchdog's time. A round that is shorter than the present one
        replaces it."""
        if self._timer is None or view.round_seconds < self._timer_seconds:
            self._timer = self._context.create_timer(timedelta(seconds=view.round_seconds))
            self._timer_seconds = view.round_seconds
        winner = yield task.when_any([self._step_event, self._command, self._timer])
        self._finish_requested = False
        if winner is self._step_event:
            return (yield from self._settled(view))
        if winner is self._timer:
            self._timer = None
        self._drop_commands()
        ask = {"deployment_id": self.deployment_id, "progress": view.progress.to_json()}
        return (yield from self.ask(names.RECONCILE_DEPLOYMENT, ask))

    def _settled(self, view: Run) -> _Steps[View]:
        """Take in all events of settled steps that have come, because continuing as new drops a completed task."""
        progress = view.progress
        was_rolling_back = progress.rolling_back
        while self._step_event.is_complete:
            event: JsonObject = self._step_event.get_result()
            progress.on_settled(event["ordinal"], StepState(event["state"]))
            self._step_event = self._context.wait_for_external_event(STEP_EVENT)
        if progress.rolling_back and not was_rolling_back:
            return (yield from self.ask(names.RECORD_FAILURE))
        return view

    def _drop_commands(self) -> None:
        """Drop the commands that have come: the activity that follows reads the journal, which holds all of them."""
        while self._command.is_complete:
            self._command = self._context.wait_for_external_event(COMMAND_EVENT)
