"""durabletask's in-memory engine, with the faults corrected that a functions host cannot have.

The original engine has these faults; the correction is in parentheses:

- It listens on all interfaces with ten threads (here on loopback with 64).
- A late result of an activity runs a finished orchestrator again, and a timer of an execution that has continued as new
  fires in its successor, which has the same ids (here a result or a timer counts only while the present history waits
  for it).
- Each timer has a thread that sleeps (here one thread serves all timers).
- The end of a sub-orchestration that takes longer than 30 s is never reported.
- A start with the id of an ended instance is refused (the real extension overwrites that instance).
- An event for an ended instance is accepted (the real extension refuses it).
- A message above 4 MB breaks its streams.
"""

# Hooks private methods of a library that is pinned exactly, and whose protobuf classes have no types.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportIncompatibleMethodOverride=false

import heapq
import threading
from concurrent import futures
from datetime import UTC, datetime
from typing import Any

import grpc
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from durabletask.testing.in_memory_backend import InMemoryOrchestrationBackend, OrchestrationInstance

_SERVER_THREADS = 64
_MAX_SUB_ORCHESTRATION_SECONDS = 86400
CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
"""No limit, because the real extension stores large payloads in blobs."""


class Engine(InMemoryOrchestrationBackend):
    """The engine in memory; engine_store.py adds its persistence."""

    def __init__(self) -> None:
        super().__init__()
        self._timers: list[tuple[float, int, str, int, Any]] = []
        self._timer_count = 0
        self._timers_changed = threading.Condition()
        self._expected: dict[str, dict[int, str]] = {}
        """The completion token of each activity whose result is expected, by instance and task id."""

    def start(self) -> str:
        """Listen on a free port of loopback; return the address."""
        self._shutdown_event.clear()
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=_SERVER_THREADS), options=CHANNEL_OPTIONS)
        self._server = server
        stubs.add_TaskHubSidecarServiceServicer_to_server(self, server)
        self._port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        threading.Thread(target=self._run_timers, daemon=True, name="timers").start()
        return f"127.0.0.1:{self._port}"

    def stop(self, grace: float | None = None) -> None:
        """Stop serving. This class persists nothing."""
        super().stop(grace)
        with self._timers_changed:
            self._timers_changed.notify_all()

    def StartInstance(self, request: Any, context: Any) -> Any:
        """Start an instance. As in the real extension, an ended instance with this id is overwritten."""
        with self._lock:
            stored = self._instances.get(request.instanceId)
            if stored is not None and self._is_terminal_status(stored.status):
                del self._instances[request.instanceId]
                self._orchestration_queue_set.discard(request.instanceId)
                self._expected.pop(request.instanceId, None)
            return super().StartInstance(request, context)

    def RaiseEvent(self, request: Any, context: Any) -> Any:
        """Add an event. As in the real extension, an ended instance refuses it."""
        with self._lock:
            stored = self._instances.get(request.instanceId)
            if stored is not None and self._is_terminal_status(stored.status):
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"instance '{request.instanceId}' has ended")
            return super().RaiseEvent(request, context)

    def CompleteActivityTask(self, request: Any, context: Any) -> Any:
        """Add an activity's result, unless the present execution does not wait for it."""
        with self._lock:
            instance = self._instances.get(request.instanceId)
            if instance is None or self._is_terminal_status(instance.status):
                return pb.CompleteTaskResponse()
            expected = self._expected.get(request.instanceId, {})
            if expected.get(request.taskId) != request.completionToken:
                return pb.CompleteTaskResponse()
            del expected[request.taskId]
            return super().CompleteActivityTask(request, context)

    def _process_schedule_task_action(self, instance: OrchestrationInstance, action: Any) -> None:
        super()._process_schedule_task_action(instance, action)
        self._expect(instance, action.id)

    def _expect(self, instance: OrchestrationInstance, task_id: int) -> None:
        self._expected.setdefault(instance.instance_id, {})[task_id] = str(instance.completion_token)

    def _process_complete_orchestration_action(self, instance: OrchestrationInstance, complete_action: Any) -> None:
        """End an execution, finally or to continue as new; in both cases it no longer waits for any result."""
        super()._process_complete_orchestration_action(instance, complete_action)
        self._expected.pop(instance.instance_id, None)

    def _process_create_timer_action(self, instance: OrchestrationInstance, action: Any) -> None:
        fire_at = action.createTimer.fireAt.ToDatetime(tzinfo=UTC)
        instance.history.append(helpers.new_timer_created_event(action.id, fire_at))
        if instance.status == pb.ORCHESTRATION_STATUS_PENDING:
            instance.status = pb.ORCHESTRATION_STATUS_RUNNING
        self._arm(instance.instance_id, action.id, fire_at)

    def _arm(self, instance_id: str, timer_id: int, fire_at: datetime) -> None:
        with self._timers_changed:
            self._timer_count += 1
            entry = (fire_at.timestamp(), self._timer_count, instance_id, timer_id, fire_at)
            heapq.heappush(self._timers, entry)
            self._timers_changed.notify_all()

    def _run_timers(self) -> None:
        while not self._shutdown_event.is_set():
            with self._timers_changed:
                now = datetime.now(UTC).timestamp()
                if not self._timers or self._timers[0][0] > now:
                    self._timers_changed.wait(min(1.0, self._timers[0][0] - now) if self._timers else 1.0)
                    continue
                _, _, instance_id, timer_id, fire_at = heapq.heappop(self._timers)
            self._fire(instance_id, timer_id, fire_at)

    def _fire(self, instance_id: str, timer_id: int, fire_at: datetime) -> None:
        with self._lock:
            instance = self._instances.get(instance_id)
            if instance is None or self._is_terminal_status(instance.status):
                return
            if not _waits_for_timer(instance, timer_id, fire_at):
                return
            instance.pending_events.append(helpers.new_timer_fired_event(timer_id, fire_at))
            instance.last_updated_at = datetime.now(UTC)
            self._enqueue_orchestration(instance_id)

    def _watch_sub_orchestration(self, parent_instance_id: str, sub_instance_id: str, task_id: int) -> None:
        def watch() -> None:
            ended = self._wait_for_state(
                sub_instance_id, self._is_terminal_status_check, _MAX_SUB_ORCHESTRATION_SECONDS
            )
            if ended is not None and not self._shutdown_event.is_set():
                self._report(parent_instance_id, task_id, ended)

        threading.Thread(target=watch, daemon=True).start()

    def _report(self, parent_id: str, task_id: int, child: OrchestrationInstance) -> None:
        """Add the end of a sub-orchestration to its parent, if the parent still waits for it."""
        with self._lock:
            parent = self._instances.get(parent_id)
            if parent is None or self._is_terminal_status(parent.status):
                return
            if not _waits_for_child(parent, task_id, child.instance_id):
                return
            if child.status == pb.ORCHESTRATION_STATUS_COMPLETED:
                event = helpers.new_sub_orchestration_completed_event(task_id, child.output)
            else:
                details = child.failure_details
                message = details.errorMessage if details else "the sub-orchestration was terminated"
                event = helpers.new_sub_orchestration_failed_event(task_id, Exception(message))
            parent.pending_events.append(event)
            parent.last_updated_at = datetime.now(UTC)
            self._enqueue_orchestration(parent_id)


def _events(instance: OrchestrationInstance) -> list[Any]:
    return [*instance.history, *instance.dispatched_events, *instance.pending_events]


def _waits_for_child(instance: OrchestrationInstance, task_id: int, child_id: str) -> bool:
    created = False
    for event in _events(instance):
        if event.HasField("subOrchestrationInstanceCreated") and event.eventId == task_id:
            created = event.subOrchestrationInstanceCreated.instanceId == child_id
        for ended in ("subOrchestrationInstanceCompleted", "subOrchestrationInstanceFailed"):
            if event.HasField(ended) and getattr(event, ended).taskScheduledId == task_id:
                return False
    return created


def _waits_for_timer(instance: OrchestrationInstance, timer_id: int, fire_at: datetime) -> bool:
    created = False
    for event in _events(instance):
        if event.HasField("timerCreated") and event.eventId == timer_id:
            created = event.timerCreated.fireAt.ToDatetime(tzinfo=UTC) == fire_at
        elif event.HasField("timerFired") and event.timerFired.timerId == timer_id:
            return False
    return created
