"""The engine with persistence: every instance that a call changed is in SQLite before the call is answered.

The file contains each history and the events that are not yet in it. The rest follows from them at the start: scheduled
activities without a result run again, timers are armed again, and events that were being handled are pending again.
Histories are short because orchestrations continue as new, so an instance is always written as a whole.

SQLite runs in WAL mode with synchronous=NORMAL: a killed process loses nothing; a power cut may lose the last moments.

A damaged file is set aside, and the engine starts empty. An app whose truth is elsewhere, as this repository's app has
it in its journal, then starts its orchestrations again. While the file cannot be written (for example, the disk is
full), calls are refused; their changes are written with the next call that succeeds.
"""

# Hooks private methods of a library that is pinned exactly, and whose protobuf classes have no types.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportIncompatibleMethodOverride=false

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing.in_memory_backend import ActivityWorkItem, OrchestrationInstance
from google.protobuf.message import DecodeError

from local import files
from local.functions_host.engine import Engine
from local.functions_host.instances import COLUMNS, closed_ids, instance_of, row_of

log = logging.getLogger("host.durable")


class StoredEngine(Engine):
    """The engine with its state in a SQLite file."""

    def __init__(self, path: Path) -> None:
        """Read the state of the last process. Raises RuntimeError if the file can be neither used nor set aside."""
        super().__init__()
        self._changed: set[str] = set()
        self._is_failing = False
        try:
            self._database, self._left = _opened(path)
        except _Damaged as error:
            kept = files.set_aside(path, "-wal", "-shm")
            log.error(
                "the engine's state in %s is damaged (%s): it is kept as %s, and the engine starts empty; "
                "this app's deployments continue from their journal",
                path,
                error,
                kept.name,
            )
            self._database, self._left = _opened(path)

    def start(self) -> str:
        """Continue the instances of the last process, then listen."""
        with self._lock:
            for instance in self._left:
                instance.completion_token = self._next_completion_token
                self._next_completion_token += 1
                self._instances[instance.instance_id] = instance
            for instance in list(self._instances.values()):
                if not self._is_terminal_status(instance.status):
                    self._resume(instance)
            self._changed.clear()
            self._work_available.set()
        return super().start()

    def _resume(self, instance: OrchestrationInstance) -> None:
        """Start again what the instance waits for, and run it if it has events to handle."""
        events = [*instance.history, *instance.pending_events]
        closed = closed_ids(events)
        for event in events:
            if event.eventId not in closed:
                self._resume_task(instance, event)
        wakes = any(
            e.HasField("executionResumed") or e.HasField("executionTerminated") for e in instance.pending_events
        )
        if instance.pending_events and (instance.status != pb.ORCHESTRATION_STATUS_SUSPENDED or wakes):
            self._enqueue_orchestration(instance.instance_id)

    def _resume_task(self, instance: OrchestrationInstance, event: Any) -> None:
        """Run an activity, arm a timer or watch a sub-orchestration again."""
        if event.HasField("taskScheduled"):
            task = event.taskScheduled
            given = task.input.value if task.HasField("input") else None
            item = ActivityWorkItem(instance.instance_id, task.name, event.eventId, given, instance.completion_token)
            self._activity_queue.append(item)
            self._expect(instance, event.eventId)
        elif event.HasField("timerCreated"):
            fire_at = event.timerCreated.fireAt.ToDatetime(tzinfo=UTC)
            self._arm(instance.instance_id, event.eventId, fire_at)
        elif event.HasField("subOrchestrationInstanceCreated"):
            child = event.subOrchestrationInstanceCreated.instanceId
            self._watch_sub_orchestration(instance.instance_id, child, event.eventId)

    # Every change of an instance passes one of these two methods, or one of the calls below.
    def _enqueue_orchestration(self, instance_id: str) -> None:
        self._changed.add(instance_id)
        super()._enqueue_orchestration(instance_id)

    def _notify_waiters(self, instance_id: str) -> None:
        self._changed.add(instance_id)
        super()._notify_waiters(instance_id)

    def _save(self) -> None:
        """Write the changed instances. The caller holds the lock. Raises sqlite3.Error."""
        if not self._changed:
            return
        marks = ", ".join("?" * len(COLUMNS.split(",")))
        try:
            self._database.execute("begin")
            for instance_id in self._changed:
                instance = self._instances.get(instance_id)
                if instance is None:
                    self._database.execute("delete from instances where id = ?", (instance_id,))
                else:
                    self._database.execute(f"insert or replace into instances values ({marks})", row_of(instance))  # noqa: S608
            self._database.execute("commit")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("rollback")
            if not self._is_failing:
                log.error("the engine's state cannot be written (%s): its calls are refused until it can", error)
            self._is_failing = True
            raise
        if self._is_failing:
            log.warning("the engine's state can be written again")
        self._is_failing = False
        self._changed.clear()

    def _fire(self, instance_id: str, timer_id: int, fire_at: datetime) -> None:
        with self._lock, suppress(sqlite3.Error):  # the timers' thread must continue; the next call writes the change
            super()._fire(instance_id, timer_id, fire_at)
            self._save()

    def _report(self, parent_id: str, task_id: int, child: OrchestrationInstance) -> None:
        with self._lock, suppress(sqlite3.Error):
            super()._report(parent_id, task_id, child)
            self._save()

    def _call(self, method: Callable[[Any, Any], Any], request: Any, context: Any) -> Any:
        with self._lock:
            before = set(self._instances)
            try:
                answer = method(request, context)
            finally:
                self._changed |= before - set(self._instances)
                changed = getattr(request, "instanceId", "")
                if changed:
                    self._changed.add(changed)
                self._save()
            return answer

    def StartInstance(self, request: Any, context: Any) -> Any:
        return self._call(super().StartInstance, request, context)

    def RaiseEvent(self, request: Any, context: Any) -> Any:
        return self._call(super().RaiseEvent, request, context)

    def TerminateInstance(self, request: Any, context: Any) -> Any:
        return self._call(super().TerminateInstance, request, context)

    def SuspendInstance(self, request: Any, context: Any) -> Any:
        return self._call(super().SuspendInstance, request, context)

    def ResumeInstance(self, request: Any, context: Any) -> Any:
        return self._call(super().ResumeInstance, request, context)

    def PurgeInstances(self, request: Any, context: Any) -> Any:
        return self._call(super().PurgeInstances, request, context)

    def CompleteOrchestratorTask(self, request: Any, context: Any) -> Any:
        return self._call(super().CompleteOrchestratorTask, request, context)

    def CompleteActivityTask(self, request: Any, context: Any) -> Any:
        return self._call(super().CompleteActivityTask, request, context)


class _Damaged(Exception):
    """The file is damaged, or not a state of this engine."""


def _opened(path: Path) -> tuple[sqlite3.Connection, list[OrchestrationInstance]]:
    """Open or create the database; return it and its instances.

    Raises _Damaged, and RuntimeError if the file cannot be used (no permission, no space, in use).
    """
    database: sqlite3.Connection | None = None
    try:
        database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=normal")
        columns = COLUMNS.removeprefix("id, ")
        database.execute(f"create table if not exists instances (id text primary key, {columns})")
        (found,) = database.execute("pragma quick_check(1)").fetchone()
        if found != "ok":
            raise _Damaged(str(found).splitlines()[0])
        found = database.execute(f"select {COLUMNS} from instances").fetchall()  # noqa: S608 - constant
        return database, [instance_of(row) for row in found]
    except (sqlite3.Error, DecodeError, TypeError, ValueError, _Damaged) as error:
        if database is not None:
            database.close()
        if isinstance(error, sqlite3.OperationalError) and "no such column" not in str(error):
            raise RuntimeError(
                f"the engine's state {path} cannot be used ({error}): free space, or end what uses it; then start again"
            ) from None
        raise _Damaged(str(error)) from None
