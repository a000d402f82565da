"""The engine of several hosts on one task hub, as the durable extension works on Azure Storage.

A client's call becomes a message on a control queue (hub_client.py). The host of the group `durable` polls the control
queues whose partitions it leases, and the queue of work items. It stores an instance after each turn, together with the
messages that the turn consumed and sent. The messages of a dead host come again when their visibility timeout is over.

Idle polls grow from 50 ms to `maxQueuePollingInterval`; a message that this process sends itself is seen at once
(DurableTask.AzureStorage: BackoffPollingHelper, TaskHubQueue). Sub-orchestrations, entities and waiting for an instance
are not served.
"""

# Hooks private methods of a library that is pinned exactly, and whose protobuf classes have no types.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportIncompatibleMethodOverride=false

import json
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing.in_memory_backend import ActivityWorkItem, OrchestrationInstance

from local.functions_host.engine import Engine
from local.functions_host.hub_client import EVENT, RESUME, SUSPEND, TERMINATE, HubClient, instance_from, state_of
from local.functions_host.hub_config import HubConfig, Polling
from local.functions_host.instances import closed_ids, row_of
from local.functions_host.task_hub import START, WORK_ITEMS, HubMessage, LeaseLostError, Stored, TaskHub, control_queue

log = logging.getLogger("host.durable")

_TIMER, _RESULT, _ACTIVITY = "timer", "result", "activity"
_SERVED_ACTIONS = ("completeOrchestration", "scheduleTask", "createTimer")
_LONGEST_WAIT_SECONDS = 1.0


class _RefusedError(Exception):
    """The engine refused a message: its instance has ended or does not exist."""


class _NoCall:
    """Replaces the context of a gRPC call when the engine handles a message."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise _RefusedError(details)


@dataclass
class _InHand:
    """The taken messages of an instance with their events, and the tokens of its activities by task."""

    messages: list[tuple[int, list[Any]]] = field(default_factory=lambda: list[tuple[int, list[Any]]]())
    tokens: dict[int, str] = field(default_factory=lambda: dict[int, str]())


class SharedEngine(HubClient):
    """The engine of the host that runs the hub's orchestrations and activities."""

    def __init__(self, hub: TaskHub, config: HubConfig) -> None:
        super().__init__(hub)
        self._config = config
        self._owner = uuid.uuid4().hex
        self._next_completion_token = time.time_ns()  # unlike those of every other process
        self._wakes = threading.Condition()
        self._polling = {
            queue: Polling(config.shortest_poll_seconds, config.longest_poll_seconds)
            for queue in (WORK_ITEMS, *map(control_queue, range(hub.partitions)))
        }
        self._held: frozenset[int] = frozenset()
        self._lease_due = self._renewal_due = 0.0
        self._in_hand: dict[str, _InHand] = {}
        self._activities: dict[tuple[str, int, str], int] = {}
        self._outbox: list[HubMessage] = []

    def stop(self, grace: float | None = None) -> None:
        """Stop serving, give unfinished messages back to their queues, and release the leases."""
        super().stop(grace)
        with self._wakes:
            self._wakes.notify_all()
        with self._lock, suppress(sqlite3.Error):
            self._hub.hide(self._taken(), 0.0)
            self._hub.release(self._owner)
            self._held = frozenset()

    # The poller of the host that runs orchestrations

    def _run_timers(self) -> None:
        """Poll the queues until the engine stops. Timers are messages that become visible when they are due."""
        while not self._shutdown_event.is_set():
            try:
                self._keep_leases()
                for queue in (WORK_ITEMS, *map(control_queue, sorted(self._held))):
                    if self._polling[queue].due <= time.monotonic():
                        self._poll(queue)
            except Exception as error:  # without this thread the host would look healthy and do nothing
                is_of_hub = isinstance(error, sqlite3.Error)
                log.error("the task hub cannot be served (%s); trying again", error, exc_info=not is_of_hub)
                self._shutdown_event.wait(_LONGEST_WAIT_SECONDS)
            self._rest()

    def _rest(self) -> None:
        with self._wakes:
            queues = (WORK_ITEMS, *map(control_queue, self._held))
            due = min(self._lease_due, *(self._polling[queue].due for queue in queues))
            self._wakes.wait(min(_LONGEST_WAIT_SECONDS, max(0.0, due - time.monotonic())))

    def _keep_leases(self) -> None:
        """Renew the leases; load the instances of new partitions, and forget those of lost ones."""
        now = time.monotonic()
        if now >= self._renewal_due:
            self._renewal_due = now + min(self._config.control_seconds, self._config.work_item_seconds) / 3
            self._renew_messages()
        if now < self._lease_due:
            return
        self._lease_due = now + self._config.lease_seconds / 3
        held = self._hub.lease(self._owner, self._config.lease_seconds)
        with self._lock:
            for instance_id in list(self._instances):
                if self._hub.partition_of(instance_id) not in held:
                    self._forget(instance_id)
            for partition in held - self._held:
                log.info("this host serves partition %d of the task hub", partition)
                for stored in self._hub.live(partition):
                    self._load(stored)
                self._polling[control_queue(partition)].wake()
            self._held = held

    def _renew_messages(self) -> None:
        with self._lock:
            control = [number for each in self._in_hand.values() for number, _ in each.messages]
            work = list(self._activities.values())
        if control:
            self._hub.hide(control, self._config.control_seconds)
        if work:
            self._hub.hide(work, self._config.work_item_seconds)

    def _taken(self) -> list[int]:
        control = [number for each in self._in_hand.values() for number, _ in each.messages]
        return [*control, *self._activities.values()]

    def _poll(self, queue: str) -> None:
        is_work = queue == WORK_ITEMS
        seconds = self._config.work_item_seconds if is_work else self._config.control_seconds
        room = self._config.activities - len(self._activities) if is_work else self._config.batch
        found = self._hub.take(queue, room, seconds) if room > 0 else []
        for message in found:
            with self._lock:
                self._receive_activity(message) if is_work else self._receive(message)
        self._polling[queue].polled(time.monotonic(), found=bool(found))

    def _wake(self, *queues: str) -> None:
        """Poll these queues now, if this host serves them: a message wakes only its own process."""
        with self._wakes:
            for queue in queues:
                self._polling[queue].wake()
            self._wakes.notify_all()

    def _receive_activity(self, message: HubMessage) -> None:
        row: dict[str, Any] = json.loads(message.body)
        key = (message.instance_id, int(row["task_id"]), str(row["token"]))
        if key in self._activities:
            return
        self._activities[key] = message.number
        token: Any = row["token"]  # the engine only passes it on
        self._activity_queue.append(
            ActivityWorkItem(message.instance_id, row["name"], row["task_id"], row["input"], token)
        )
        self._work_available.set()

    def _receive(self, message: HubMessage) -> None:
        """Add what a message says to its instance. The message is deleted when a turn has handled it."""
        if any(number == message.number for number, _ in self._hand(message.instance_id).messages):
            return
        if message.instance_id not in self._instances:
            stored = self._hub.instance(message.instance_id)
            if stored is not None and stored.is_live:
                self._load(stored)
        known = self._instances.get(message.instance_id)
        before = len(known.pending_events) if known is not None else 0
        try:
            self._apply(message)
        except _RefusedError as error:
            log.info("a message to %s has no effect: %s", message.instance_id, error)
        instance = self._instances.get(message.instance_id)
        added = instance.pending_events[before:] if instance is not None else []
        if added:
            self._hand(message.instance_id).messages.append((message.number, added))
        else:
            self._hub.delete(message.number)
            if instance is None:
                self._in_hand.pop(message.instance_id, None)

    def _apply(self, message: HubMessage) -> None:
        context: Any = _NoCall()
        if message.kind == START:
            Engine.StartInstance(self, pb.CreateInstanceRequest.FromString(message.body), context)
        elif message.kind == EVENT:
            Engine.RaiseEvent(self, pb.RaiseEventRequest.FromString(message.body), context)
        elif message.kind == TERMINATE:
            Engine.TerminateInstance(self, pb.TerminateRequest.FromString(message.body), context)
        elif message.kind == SUSPEND:
            Engine.SuspendInstance(self, pb.SuspendRequest.FromString(message.body), context)
        elif message.kind == RESUME:
            Engine.ResumeInstance(self, pb.ResumeRequest.FromString(message.body), context)
        elif message.kind == _RESULT:
            Engine.CompleteActivityTask(self, pb.ActivityResponse.FromString(message.body), context)
        else:
            timer: dict[str, Any] = json.loads(message.body)
            self._fire(message.instance_id, timer["timer_id"], datetime.fromisoformat(timer["fire_at"]))

    # Instances in memory

    def _hand(self, instance_id: str) -> _InHand:
        return self._in_hand.setdefault(instance_id, _InHand())

    def _load(self, stored: Stored) -> None:
        """Continue a stored instance: its activities and timers are messages, only its own next turn is not."""
        if stored.instance_id in self._instances:
            return
        instance = instance_from(stored)
        instance.completion_token = self._next_completion_token
        self._next_completion_token += 1
        self._instances[stored.instance_id] = instance
        tokens = {int(task): token for task, token in json.loads(stored.tokens).items()}
        self._hand(stored.instance_id).tokens = tokens
        closed = closed_ids(instance.history)
        self._expected[stored.instance_id] = {task: token for task, token in tokens.items() if task not in closed}
        if instance.pending_events and instance.status != pb.ORCHESTRATION_STATUS_SUSPENDED:
            self._enqueue_orchestration(stored.instance_id)

    def _forget(self, instance_id: str) -> None:
        """Remove an instance from memory; its messages come again when their time is over."""
        self._instances.pop(instance_id, None)
        self._in_hand.pop(instance_id, None)
        self._expected.pop(instance_id, None)
        self._orchestration_in_flight.discard(instance_id)

    # The results of turns and activities

    def CompleteOrchestratorTask(self, request: Any, context: Any) -> Any:
        """Store the result of a turn. If that fails, the turn runs again when its messages come again."""
        instance_id = request.instanceId
        with self._lock:
            instance = self._instances.get(instance_id)
            is_current = instance is not None and str(instance.completion_token) == request.completionToken
            self._outbox = []
            try:
                answer = super().CompleteOrchestratorTask(request, context)
                if instance is not None and is_current:
                    self._checkpoint(instance)
            except BaseException as error:
                if is_current:
                    log.error("the turn of %s is not stored (%s); it runs again", instance_id, error)
                    self._forget(instance_id)
                    self._held -= {self._hub.partition_of(instance_id)}
                    self._lease_due = 0.0  # so that its partition is loaded again
                raise
            queues = {message.queue for message in self._outbox}
        self._wake(*queues)
        return answer

    def _checkpoint(self, instance: OrchestrationInstance) -> None:
        hand = self._hand(instance.instance_id)
        has_ended = self._is_terminal_status(instance.status)
        waiting = [] if has_ended else list(instance.pending_events)
        kept = [(n, events) for n, events in hand.messages if any(_holds(waiting, event) for event in events)]
        of_messages = [event for _, events in kept for event in events]
        own = [event for event in waiting if not _holds(of_messages, event)]
        stored = Stored(
            instance.instance_id, not has_ended, json.dumps(hand.tokens), state_of(row_of(instance, pending=own))
        )
        done = [number for number, _ in hand.messages if number not in {n for n, _ in kept}]
        try:
            self._hub.checkpoint(self._owner, stored, done, self._outbox)
        except LeaseLostError as error:
            log.warning("the turn of %s is not stored: %s", instance.instance_id, error)
            self._outbox = []
            self._forget(instance.instance_id)
            return
        hand.messages = kept
        if has_ended:
            self._forget(instance.instance_id)

    def _process_action(self, instance: OrchestrationInstance, action: Any) -> None:
        kind = str(action.WhichOneof("orchestratorActionType"))
        if kind not in _SERVED_ACTIONS:
            raise RuntimeError(f"this host does not serve {kind} on a shared task hub")
        super()._process_action(instance, action)

    def _process_schedule_task_action(self, instance: OrchestrationInstance, action: Any) -> None:
        super()._process_schedule_task_action(instance, action)
        item = self._activity_queue.pop()
        row = {"name": item.name, "task_id": item.task_id, "input": item.input, "token": str(item.completion_token)}
        self._outbox.append(HubMessage(WORK_ITEMS, item.instance_id, _ACTIVITY, json.dumps(row).encode()))

    def _expect(self, instance: OrchestrationInstance, task_id: int) -> None:
        super()._expect(instance, task_id)
        self._hand(instance.instance_id).tokens[task_id] = str(instance.completion_token)

    def _process_complete_orchestration_action(self, instance: OrchestrationInstance, complete_action: Any) -> None:
        super()._process_complete_orchestration_action(instance, complete_action)
        self._hand(instance.instance_id).tokens = {}

    def _arm(self, instance_id: str, timer_id: int, fire_at: datetime) -> None:
        body = json.dumps({"timer_id": timer_id, "fire_at": fire_at.astimezone(UTC).isoformat()}).encode()
        queue = self._hub.control_queue_of(instance_id)
        self._outbox.append(HubMessage(queue, instance_id, _TIMER, body, fire_at.timestamp()))

    def CompleteActivityTask(self, request: Any, context: Any) -> Any:
        """Send an activity's result to its instance, in place of its work item."""
        with self._lock:
            number = self._activities.pop((request.instanceId, request.taskId, request.completionToken), None)
        if number is not None:
            self._hub.replace(number, self._message(request.instanceId, _RESULT, request))
            self._wake(WORK_ITEMS, self._hub.control_queue_of(request.instanceId))
        return pb.CompleteTaskResponse()


def _holds(events: Iterable[Any], event: Any) -> bool:
    return any(each is event for each in events)
