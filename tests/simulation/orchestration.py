"""The twin of the durable engine: one run of the orchestrator's generator, with durabletask's own task classes and
without replay.

The scheduler decides when an activity runs. An activity may run twice, as it may in a real engine.
"""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from durabletask import task

from shared.saga.orchestration import orchestrator

if TYPE_CHECKING:
    from tests.simulation.world import World


HANGS = ("timers", "result", "everything")
"""The parts of an orchestration that an engine may lose although it counts the orchestration as running."""


class Orchestration:
    """One instance of the orchestration."""

    def __init__(self, world: "World", state: dict[str, Any]) -> None:
        self._world = world
        self.is_busy = False
        self.deployment_id: str = state["deployment_id"]
        self.started_at = world.clock.now()
        self.is_deaf = False
        self.activity: tuple[str, Any, task.CompletableTask] | None = None
        self.timers: list[tuple[datetime, task.CompletableTask]] = []
        self._waiting: dict[str, list[task.CompletableTask]] = {}
        self._events: dict[str, list[Any]] = {}
        self.is_over = False
        self._begin(state)

    def _begin(self, state: dict[str, Any]) -> None:
        self._next_state: dict[str, Any] | None = None
        self.timers, self._waiting = [], {}
        self._generator = orchestrator.run(self, state)
        self._advance(None)

    # Called by the generator.

    def call_activity(self, activity: str, *, input: Any = None) -> Any:
        """Schedule an activity; the scheduler decides when it runs."""
        found: task.CompletableTask = task.CompletableTask()
        self.activity = (activity, json.loads(json.dumps(input)), found)
        return found

    def create_timer(self, fire_at: timedelta) -> Any:
        """Start a timer on the simulated clock."""
        found: task.CompletableTask = task.CompletableTask()
        self.timers.append((self._world.clock.now() + fire_at, found))
        return found

    def wait_for_external_event(self, name: str) -> Any:
        """Wait for the next event, which may have come before."""
        found: task.CompletableTask = task.CompletableTask()
        if self._events.get(name):
            found.complete(self._events[name].pop(0))
        else:
            self._waiting.setdefault(name, []).append(found)
        return found

    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
        """Begin again when the generator returns."""
        assert save_events
        self._next_state = json.loads(json.dumps(new_input))

    # Called by the world.

    def hang(self, how: str) -> None:
        """Let the engine lose something, so that the orchestration counts as running and does nothing any more: its
        timers, so that only an event wakes it; the result of its activity; or everything, as if it were suspended."""
        if how == "timers":
            self.timers = []
        elif how == "result" and self.activity is not None:
            self.activity = None
        else:
            self.is_deaf, self.activity, self.timers = True, None, []

    def raise_event(self, name: str, payload: Any) -> None:
        """Deliver an event."""
        if self.is_deaf:
            return
        if self._waiting.get(name):
            self._waiting[name].pop(0).complete(payload)
            self._step()
        else:
            self._events.setdefault(name, []).append(payload)

    def run_activity(self) -> None:
        """Run the scheduled activity. A crash leaves it scheduled, as a durable engine does."""
        assert self.activity is not None
        scheduled = self.activity
        name, given, found = scheduled
        self.is_busy = True
        try:
            answer = self._world.activity(name, given)
        finally:
            self.is_busy = False
        if self._world.orchestrations.get(self.deployment_id) is not self or self.activity is not scheduled:
            return  # Lost in the meantime, or run a second time before this run ended: the result is dropped.
        if self.is_deaf:
            return
        self.activity = None
        found.complete(json.loads(json.dumps(answer)))
        self._step()

    def fire(self, now: datetime) -> bool:
        """Fire one due timer. Return False if no timer is due."""
        for i, (due, found) in enumerate(self.timers):
            if due <= now:
                del self.timers[i]
                found.complete(None)
                self._step()
                return True
        return False

    def _step(self) -> None:
        if not self.is_over and self._current.is_complete:
            self._advance(self._current.get_result())

    def _advance(self, value: Any) -> None:
        try:
            self._current = self._generator.send(value)
            while self._current.is_complete:
                self._current = self._generator.send(self._current.get_result())
        except StopIteration:
            if self._next_state is None:
                self.is_over = True
            else:
                self._begin(self._next_state)
