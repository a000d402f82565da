"""The orchestration's generator, driven by a scripted context: which activities it calls, and when it continues as
new."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from durabletask import task

from shared.domain.messages import COMMAND_EVENT, STEP_EVENT, TARGET_EVENT, Direction
from shared.domain.states import DeploymentState, StepState
from shared.saga.orchestration import orchestrator, views
from shared.saga.orchestration.progress import Progress
from shared.saga.orchestration.views import Ended, Hold, Run, View, Wait

S = StepState
ENDED = views.to_json(Ended(DeploymentState.SUCCEEDED))
WAIT = views.to_json(Wait(3.0, "other"))


def view(count: int = 3, state: StepState = S.PENDING, round_seconds: float = 30.0, **changes: Any) -> dict[str, Any]:
    """Return a view of `count` steps without needs."""
    progress = Progress([[] for _ in range(count)], [state] * count, **changes)
    return views.to_json(Run(progress, 30.0, round_seconds))


class Driver:
    """Runs the generator until it waits for something that only the test can complete."""

    def __init__(self, answers: dict[str, Any], state: dict[str, Any] | None = None) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Any]] = []
        self.timers: list[tuple[timedelta, task.CompletableTask]] = []
        self.renewed: dict[str, Any] | None = None
        self.result: Any = None
        self.is_over = False
        self._waiting: dict[str, list[task.CompletableTask]] = {}
        self._generator = orchestrator.run(self, state or {"deployment_id": "d"})
        self._go(None)

    def call_activity(self, activity: str, *, input: Any = None) -> Any:
        """Return the test's answer at once."""
        self.asked.append((activity, input))
        answer = self.answers.get(activity)
        found: task.CompletableTask = task.CompletableTask()
        found.complete(answer(input) if callable(answer) else answer)
        return found

    def create_timer(self, fire_at: timedelta) -> Any:
        """Return a timer that the test fires."""
        found: task.CompletableTask = task.CompletableTask()
        self.timers.append((fire_at, found))
        return found

    def wait_for_external_event(self, name: str) -> Any:
        """Return an event that the test raises."""
        found: task.CompletableTask = task.CompletableTask()
        self._waiting.setdefault(name, []).append(found)
        return found

    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
        """Record the new input."""
        assert save_events
        self.renewed = new_input

    def event(self, name: str, payload: Any = None) -> None:
        """Raise an event."""
        self._waiting[name].pop(0).complete(payload)
        self._wake()

    def settled(self, ordinal: int, state: StepState = S.SUCCEEDED) -> None:
        """Raise a step's event."""
        self.event(STEP_EVENT, {"ordinal": ordinal, "state": state.value})

    def fire(self) -> None:
        """Fire the latest timer."""
        self.timers[-1][1].complete(None)
        self._wake()

    def names(self) -> list[str]:
        """Return the names of the called activities."""
        return [name for name, _ in self.asked]

    def dispatched(self) -> list[list[int]]:
        """Return the ordinals of each dispatch."""
        return [given["ordinals"] for name, given in self.asked if name == "dispatch_steps"]

    def _wake(self) -> None:
        if not self.is_over and self._current.is_complete:
            self._go(self._current.get_result())

    def _go(self, value: Any) -> None:
        try:
            self._current = self._generator.send(value)
            while self._current.is_complete:
                self._current = self._generator.send(self._current.get_result())
        except StopIteration as end:
            self.is_over, self.result = True, end.value


def test_orchestrator_runs_all_and_finishes() -> None:
    """All ready steps are sent at once; after all events the finishing activity returns the result."""
    driver = Driver({"begin_deployment": view(), "finish_deployment": ENDED})
    assert driver.dispatched() == [[0, 1, 2]]
    for i in range(3):
        driver.settled(i)
    assert driver.names() == ["begin_deployment", "dispatch_steps", "finish_deployment"]
    assert (driver.is_over, driver.result, driver.renewed) == (True, ENDED, None)


@pytest.mark.parametrize("answer", [ENDED, views.to_json(Hold())])
def test_orchestrator_ends_if_there_is_nothing_to_do(answer: dict[str, Any]) -> None:
    """Ended or held: the orchestration ends at once."""
    driver = Driver({"begin_deployment": answer})
    assert (driver.is_over, driver.result, driver.names()) == (True, answer, ["begin_deployment"])


def test_orchestrator_waits_for_its_target() -> None:
    """It asks again after the given time, or at once when a command comes or another deployment leaves the target."""
    answers: list[dict[str, Any]] = [WAIT] * 4 + [ENDED]
    driver = Driver({"begin_deployment": lambda _: answers.pop(0)})
    assert driver.timers[-1][0] == timedelta(seconds=3)
    driver.fire()
    driver.event(COMMAND_EVENT, {})
    driver.event(TARGET_EVENT, {})
    assert not driver.is_over
    driver.fire()
    assert driver.names() == ["begin_deployment"] * 5
    assert driver.result == ENDED


def test_orchestrator_wait_does_not_grow_the_history() -> None:
    """A long wait for the target continues as new too."""
    driver = Driver({"begin_deployment": WAIT})
    while not driver.is_over:
        driver.fire()
    assert len(driver.asked) == orchestrator.GENERATION + 1
    assert driver.renewed is not None
    assert driver.renewed["view"]["next"] == "wait"


@pytest.mark.parametrize("name", [TARGET_EVENT, COMMAND_EVENT])
def test_orchestrator_wakes_once_for_events_that_came_together(name: str) -> None:
    """Three events cost one look at the journal, which shows what all of them told."""
    driver = Driver({"begin_deployment": WAIT})
    real, stored = driver.wait_for_external_event, [{}, {}]

    def buffered(asked: str) -> Any:
        found = real(asked)
        if asked == name and stored:
            driver._waiting[name].remove(found)
            found.complete(stored.pop())
        return found

    driver.wait_for_external_event = buffered  # type: ignore[method-assign]
    driver.event(name, {})
    assert driver.names() == ["begin_deployment"] * 2
    assert stored == []


def test_orchestrator_watches_closely_again_after_it_sent_a_message() -> None:
    """While a person decides, the watchdog comes rarely. The message that follows the approval may be lost like any
    other, so its timer is the usual one."""
    progress = Progress([[], [0]], [S.PENDING, S.PENDING], sent={0})
    idle = views.to_json(Run(progress, 30.0, 300.0))
    driver = Driver({"begin_deployment": idle, "reconcile_deployment": idle})
    assert [seconds.total_seconds() for seconds, _ in driver.timers] == [300.0]
    driver.settled(0)
    assert driver.dispatched() == [[1]]
    assert [seconds.total_seconds() for seconds, _ in driver.timers] == [300.0, 30.0]


def test_orchestrator_replaces_a_long_wait_by_a_shorter_one() -> None:
    """A command shows that the steps must be watched more closely than when the timer was started."""
    driver = Driver(
        {
            "begin_deployment": view(1, round_seconds=300.0, sent={0}),
            "reconcile_deployment": view(1, round_seconds=16.0, sent={0}),
        }
    )
    driver.event(COMMAND_EVENT, {})
    assert [seconds.total_seconds() for seconds, _ in driver.timers] == [300.0, 16.0]


@pytest.mark.parametrize(
    "shown", [Ended(DeploymentState.STUCK), Hold(), Wait(2.5, "d"), Run(Progress([[]], [S.INTENT]), 20.0, 300.0)]
)
def test_view_survives_json(shown: View) -> None:
    """The durable engine stores views; one of an earlier version has no round of its own."""
    data = json.loads(json.dumps(views.to_json(shown)))
    assert views.from_json(data) == shown
    if isinstance(shown, Run):
        del data["round"]
        assert views.from_json(data) == Run(shown.progress, 20.0, 20.0)


def test_orchestrator_continues_as_new_after_its_events() -> None:
    """After GENERATION events it continues as new with its view, without reading what it knows."""
    driver = Driver({"begin_deployment": view(50)})
    for i in range(orchestrator.GENERATION):
        assert not driver.is_over
        driver.settled(i)
    assert driver.is_over
    assert driver.renewed is not None
    repeated = Driver({"finish_deployment": ENDED}, driver.renewed)
    assert repeated.names() == []
    for i in range(orchestrator.GENERATION, 50):
        if repeated.is_over:
            repeated = Driver({"finish_deployment": ENDED}, repeated.renewed)
        repeated.settled(i)
    assert repeated.names() == ["finish_deployment"]
    assert repeated.result == ENDED


def test_orchestrator_repeated_event_changes_nothing() -> None:
    """A duplicate is one more event, and nothing is sent because of it."""
    driver = Driver({"begin_deployment": view(2), "finish_deployment": ENDED})
    for _ in range(3):
        driver.settled(0)
    assert driver.dispatched() == [[0, 1]]
    driver.settled(1)
    assert driver.result == ENDED


def test_orchestrator_takes_in_all_waiting_events() -> None:
    """Events that came in the meantime are handled together, so that continuing as new drops none."""
    driver = Driver({"begin_deployment": view(3), "finish_deployment": ENDED})
    real = driver.wait_for_external_event
    waiting = [{"ordinal": 1, "state": "succeeded"}, {"ordinal": 2, "state": "succeeded"}]

    def buffered(name: str) -> Any:
        found = real(name)
        if name == STEP_EVENT and waiting:
            driver._waiting[name].remove(found)
            found.complete(waiting.pop(0))
        return found

    driver.wait_for_external_event = buffered  # type: ignore[method-assign]
    driver.settled(0)
    assert driver.result == ENDED


def test_orchestrator_failure_is_recorded_and_rolled_back() -> None:
    """A failure is recorded once; steps in flight are waited for; then the rollback begins, and its end is
    requested."""
    back = view(2, S.FAILED, direction=Direction.BACKWARD)

    def turned(_: Any) -> dict[str, Any]:
        progress = Progress([[], []], [S.FAILED, S.PENDING], rolling_back=True, sent={1})
        return views.to_json(Run(progress, 30.0, 30.0))

    driver = Driver(
        {"begin_deployment": view(2), "record_failure": turned, "begin_compensation": back, "finish_deployment": ENDED}
    )
    driver.settled(0, S.FAILED)
    assert driver.names() == ["begin_deployment", "dispatch_steps", "record_failure"]
    driver.settled(1, S.SUCCEEDED)
    assert driver.names()[3:] == ["begin_compensation", "dispatch_steps"]
    assert driver.asked[-1][1]["direction"] == "backward"
    for i in (1, 0):
        driver.settled(i, S.COMPENSATED)
    assert driver.names()[5:] == ["finish_deployment"]
    assert driver.result == ENDED


def test_orchestrator_requests_the_end_once_for_each_view() -> None:
    """If the journal disagrees about the end, it is not requested again until an event comes or time passes."""
    driver = Driver(
        {
            "begin_deployment": view(1, S.SUCCEEDED),
            "finish_deployment": view(1, S.SUCCEEDED),
            "reconcile_deployment": ENDED,
        }
    )
    assert driver.names() == ["begin_deployment", "finish_deployment"]
    assert not driver.is_over
    driver.fire()
    assert driver.names()[2:] == ["reconcile_deployment"]
    assert driver.result == ENDED


@pytest.mark.parametrize("wake", [Driver.fire, lambda driver: driver.event(COMMAND_EVENT, {})])
def test_orchestrator_reads_the_journal_when_woken(wake: Callable[[Driver], None]) -> None:
    """The watchdog's timer or a command compares the view with the journal."""
    driver = Driver({"begin_deployment": view(2), "reconcile_deployment": lambda given: view(2, sent={0, 1})})
    assert driver.timers[0][0] == timedelta(seconds=30)
    wake(driver)
    name, given = driver.asked[-1]
    assert (name, given["deployment_id"]) == ("reconcile_deployment", "d")
    assert given["progress"]["sent"] == [0, 1]
    assert driver.dispatched() == [[0, 1]]
