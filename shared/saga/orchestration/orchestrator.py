"""The durable orchestration of one deployment: a small generator around the decisions of progress.py.

It does no work and stores no state of its own. It sends a message for each ready step, receives the events of settled
steps, and reads the journal when in doubt. Its history stays bounded: after GENERATION events it continues as new with
its view as the input.
"""

from collections.abc import Generator
from datetime import timedelta
from typing import Any, Protocol

from durabletask import task

from shared.domain.json import JsonObject
from shared.domain.messages import COMMAND_EVENT, STEP_EVENT, Direction
from shared.domain.states import StepState
from shared.saga.orchestration import names
from shared.saga.orchestration.progress import Progress

GENERATION = 20
"""Events handled before the orchestration continues as new. Replays cost the square of it, a new start is O(plan)."""


class Context(Protocol):
    """The part of durabletask's OrchestrationContext that is used; the tests drive the generator with a twin."""

    def call_activity(self, activity: str, *, input: Any = None) -> Any:
        """Schedule an activity."""
        ...

    def create_timer(self, fire_at: timedelta) -> Any:
        """A durable timer."""
        ...

    def wait_for_external_event(self, name: str) -> Any:
        """The next event of that name."""
        ...

    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
        """Begin again with a fresh history."""
        ...


def run(context: Context, state: JsonObject) -> Generator[Any, Any, JsonObject | None]:
    """`state` is {"deployment_id"} at first, and with {"view"} where it continues as new."""
    deployment_id: str = state["deployment_id"]
    view: JsonObject = state.get("view") or (yield context.call_activity(names.BEGIN_DEPLOYMENT, input=deployment_id))
    step_event = context.wait_for_external_event(STEP_EVENT)
    command = context.wait_for_external_event(COMMAND_EVENT)
    timer: Any = None
    finish_requested = False
    for _ in range(GENERATION):
        if view["next"] in ("ended", "hold"):
            return view
        if view["next"] == "wait":
            timer = context.create_timer(timedelta(seconds=view["seconds"]))
            winner = yield task.when_any([timer, command])
            if winner is command:
                command = context.wait_for_external_event(COMMAND_EVENT)
            view = yield context.call_activity(names.BEGIN_DEPLOYMENT, input=deployment_id)
            timer = None
            continue
        progress = Progress.from_json(view["progress"])
        ready = progress.take_ready()
        view = {**view, "progress": progress.to_json()}
        if ready:
            message = {"deployment_id": deployment_id, "ordinals": ready, "direction": progress.direction.value}
            yield context.call_activity(names.DISPATCH_STEPS, input=message)
        elif progress.is_quiet and not finish_requested:
            # Asked once for each change of the view: should the journal disagree, the watchdog settles it.
            turns = progress.direction is Direction.FORWARD and progress.rolling_back
            view = yield context.call_activity(
                names.BEGIN_COMPENSATION if turns else names.FINISH_DEPLOYMENT, input=deployment_id
            )
            finish_requested = not turns
            continue
        timer = timer or context.create_timer(timedelta(seconds=view["watchdog"]))
        winner = yield task.when_any([step_event, command, timer])
        finish_requested = False
        if winner is step_event:
            was_rolling_back = progress.rolling_back
            while step_event.is_complete:  # also those that came in the same turn: continuing as new drops a task
                event: JsonObject = step_event.get_result()
                progress.on_settled(event["ordinal"], StepState(event["state"]))
                step_event = context.wait_for_external_event(STEP_EVENT)
            view = {**view, "progress": progress.to_json()}
            if progress.rolling_back and not was_rolling_back:
                view = yield context.call_activity(names.RECORD_FAILURE, input=deployment_id)
            continue
        if winner is command:
            command = context.wait_for_external_event(COMMAND_EVENT)
        else:
            timer = None
        ask = {"deployment_id": deployment_id, "progress": view["progress"]}
        view = yield context.call_activity(names.RECONCILE_DEPLOYMENT, input=ask)
    context.continue_as_new({"deployment_id": deployment_id, "view": view}, save_events=True)
    return None
