"""Transactions for scripts: all resources that a script creates in Fabric are kept, or none.

    with DeploymentTransaction("nightly", target="contoso-sales-dev") as transaction:
        answer = my_client.create_lakehouse(workspace_id, "bronze")
        transaction.track_resource(ResourceType.LAKEHOUSE, answer["id"], workspace_id=workspace_id)

The block commits at its end, and is rolled back if an exception leaves it. Every tracked resource is in the journal of
the deployments, so the app's sweeper rolls a killed script back. docs/scripting.md has the rest.
"""

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol, Self

from shared import bootstrap
from shared.domain.actors import SCRIPT
from shared.domain.deployment_ids import new_deployment_id
from shared.domain.errors import (
    FabricNotFoundError,
    RolledBackError,
    SagaError,
    TransactionError,
)
from shared.domain.json import JsonObject
from shared.domain.names import normal_target
from shared.domain.ports import Fabric, Locks
from shared.domain.records import Intent, RecordedError, StepRecord
from shared.domain.row_limits import person
from shared.domain.states import DeploymentState, IntentAction
from shared.saga.scripts import lifecycle
from shared.saga.scripts.report import RollbackError, RollbackReport, RollbackResult, report_of
from shared.saga.scripts.rows import ResourceType, TrackedResource
from shared.saga.scripts.script_journal import ScriptJournal, is_forward, rollback_reason
from shared.saga.step.delivery import Services
from shared.saga.waking_locks import by_message
from shared.steps.custom import CUSTOM, ScriptsOwnKind
from shared.steps.marker import marker_of, with_marker

__all__ = [
    "DeploymentTransaction",
    "Pending",
    "ResourceType",
    "RollbackError",
    "RollbackReport",
    "RollbackResult",
    "RolledBackError",
    "TransactionError",
]

log = logging.getLogger(__name__)

_SHOWN_TRIES, _SHOWN_SECONDS = 5, 1.0


class TransactionApp(Protocol):
    """The part of an app that a transaction needs."""

    @property
    def services(self) -> Services:
        """Return the journal, the queue and Fabric."""
        ...

    @property
    def locks(self) -> Locks:
        """Return the target locks."""
        ...

    @property
    def submit(self) -> Callable[[str], object]:
        """Return the function that puts a message on the queue `deployments`."""
        ...


class Pending:
    """A resource that is about to be created and that the journal already has, with the marker of its description."""

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.id = ""

    def description(self, text: str = "") -> str:
        """Return the description for the resource: the text, and the marker by which it is found again."""
        return with_marker(text, self.marker)

    def created(self, resource_id: str) -> None:
        """Record the id of the created resource."""
        self.id = resource_id


class DeploymentTransaction:
    """Tracks the resources that a script creates, and rolls them back unless the script commits. Thread-safe.

    Only one deployment at a time may change `target`; start() waits for it up to `wait_seconds`, in order of arrival.
    `rollback_seconds` limits the rollback in this process; the sweeper does the rest. With `dry_run` nothing is written
    or deleted in storage or Fabric, and the log says what would be; the calls in the block are the script's own.
    """

    def __init__(
        self,
        name: str,
        *,
        target: str = "",
        deployment_id: str = "",
        requested_by: str = "",
        dry_run: bool = False,
        wait_seconds: float = 600.0,
        rollback_seconds: float = 300.0,
        app: TransactionApp | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self.target = name[:100], normal_target(target or name)[:256]
        self.deployment_id = deployment_id or _new_id(name)
        self.is_dry_run = dry_run
        self._requested_by, self._wait, self._budget = person(requested_by) or SCRIPT, wait_seconds, rollback_seconds
        self._app, self._sleep = app, sleep
        self._compensations: dict[str, Callable[[], object]] = {}
        self._dry: list[TrackedResource] = []
        self._journal: ScriptJournal | None = None
        self._lock = threading.RLock()
        self._heartbeat: lifecycle.ScriptHeartbeat | None = None
        self._began, self._is_open = time.monotonic(), False
        self._operation = ExitStack()

    @property
    def fabric(self) -> Fabric:
        """Return the app's client for the script's calls, with its rate limit, circuit breakers and typed errors."""
        return self._services.fabric

    @property
    def app(self) -> TransactionApp:
        """Return this process's app, built from the settings. Raises settings.SettingsError."""
        self._app = self._app or bootstrap.app()
        return self._app

    @property
    def _services(self) -> Services:
        services = self.app.services
        return replace(services, elsewhere={**services.elsewhere, CUSTOM: ScriptsOwnKind(self._compensations)})

    @property
    def _locks(self) -> Locks:
        return by_message(self.app.locks, self.app.services.journal, self.app.submit)

    @property
    def journal(self) -> ScriptJournal:
        """Return the journal. Raises TransactionError before start(), and in a dry run, which has none."""
        if self._journal is None:
            raise TransactionError(f"transaction {self.deployment_id} was not started: use `with`, or start()")
        return self._journal

    def start(self) -> Self:
        """Write the header and acquire the target. Raises TransactionError if the id is taken, or if the target is not
        free within `wait_seconds`."""
        self._began = time.monotonic()
        if not self.is_dry_run:
            services, locks = self._services, self._locks
            self._journal = lifecycle.create(services, self.deployment_id, self.name, self.target, self._requested_by)
            self._heartbeat = lifecycle.ScriptHeartbeat(self._journal, locks)
            self._heartbeat.start()
            try:
                lifecycle.take_target(self._journal, locks, self._wait, self._sleep)
            except BaseException:
                self._close()
                raise
        self._is_open = True
        return self

    def __enter__(self) -> Self:
        """Start; this thread's calls in the block are part of the deployment's trace."""
        self.start()
        if self._journal is not None:
            self._operation.enter_context(lifecycle.operation(self._journal))
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Commit at the end of the block, or roll back after an exception, which is raised again with a note of what
        could not be compensated. Does nothing after commit() or rollback() in the block."""
        try:
            if self._is_open:
                self._end(error)
        finally:
            self._operation.__exit__(kind, error, trace)

    def _end(self, error: BaseException | None) -> None:
        if error is None:
            self._commit_or_roll_back()
            return
        try:
            # Only its type: the text may contain a secret, and the journal must not.
            report = self._roll_back(RecordedError(f"the script raised {type(error).__name__}", "See its own output."))
        except SagaError as failure:
            log.exception("transaction %s could not be rolled back here: left to the sweeper", self.deployment_id)
            error.add_note(f"transaction {self.deployment_id} is left to the sweeper: {failure}")
            return
        if report.left:
            log.error("%s", report)
            error.add_note(str(report))

    def commit(self) -> None:
        """Keep all resources. Raises RolledBackError if the transaction was rolled back before, and
        StorageUnavailableError if the commit could not be written: repeat it, or the transaction is not committed."""
        if not self._is_open:
            raise TransactionError(f"transaction {self.deployment_id} is not open")
        if self.is_dry_run:
            log.info("dry run: transaction %s would keep %d resource(s)", self.deployment_id, len(self._dry))
        else:
            self.journal.end(DeploymentState.SUCCEEDED, "committed by its script")
        self._close()
        if not self.is_dry_run:
            self._locks.release(self.target, self.deployment_id)

    def rollback(self) -> RollbackReport:
        """Compensate all resources, the last one first. Raises RollbackError if some are left, which the sweeper tries
        again. May be called again."""
        report = self._roll_back(None)
        if report.left:
            raise RollbackError(report)
        return report

    def get_stats(self) -> JsonObject:
        """Return the state, the seconds since the start, and the number of resources in each state."""
        if self.is_dry_run:
            state, states = "dry_run", Counter(tracked=len(self._dry))
        else:
            state = self.journal.record.state.value
            states = Counter(row.record.state.value for row in self.journal.rows())
        return {
            "deployment_id": self.deployment_id,
            "name": self.name,
            "state": state,
            "seconds": round(time.monotonic() - self._began, 3),
            "resources": states.total(),
            "states": dict(states),
        }

    def track_resource(
        self,
        resource_type: ResourceType | str,
        resource_id: str,
        *,
        workspace_id: str = "",
        name: str = "",
        role: str = "",
    ) -> None:
        """Track a resource that the script has created: it is compensated unless the script commits.

        Call this right after the call that created the resource: a script that is killed between the two leaves an
        untracked resource; `creating` has no such gap. The id of a role assignment is that of its principal, and `role`
        is required. Raises InvalidInputError for a resource that could not be found again, FabricNotFoundError if
        Fabric does not show it, RolledBackError if the transaction was rolled back before: then this one is too.
        """
        made = TrackedResource(str(resource_type), resource_id, name, workspace_id, role)
        made.check()
        if self.is_dry_run:
            self._would_track(made)
        else:
            self._check_shown(self._track(made))

    def track_custom(self, description: str, compensate: Callable[[], object]) -> None:
        """Track something outside Fabric, with the function that compensates it: called on rollback, and again if it
        raised. A function cannot be journaled: if the script is killed it is lost, and the deployment stays `stuck`."""
        made = TrackedResource(CUSTOM, name=description[:1000] or CUSTOM)
        if self.is_dry_run:
            self._would_track(made)
        else:
            self._track(made, compensate)

    @contextmanager
    def creating(
        self,
        resource_type: ResourceType | str,
        *,
        name: str = "",
        workspace_id: str = "",
        principal_id: str = "",
        role: str = "",
    ) -> Generator[Pending]:
        """Journal a resource before the script creates it.

        Create it with `pending.description(...)`, then call `pending.created(id)`. A script that is killed at any
        instant is rolled back, because its resource is found by the marker. A role assignment has no description: after
        a kill, the same role of that principal counts as created by the script.
        """
        made = TrackedResource(str(resource_type), principal_id, name, workspace_id, role)
        made.check()
        if self.is_dry_run:
            pending = Pending(marker_of(self.deployment_id, str(len(self._dry))))
            yield pending
            self._would_track(replace(made, id=pending.id))
            return
        with self._lock:
            row, _ = self.journal.append(made, is_there=False)
        pending = Pending(marker_of(self.deployment_id, row.step_id))
        yield pending
        if not pending.id:
            raise TransactionError(f"the block for {made.type} '{name}' ended without a call of created(id)")
        there = replace(made, id=pending.id)
        there.check()
        try:
            with self._lock:
                written = self.journal.created(row, there)
        except RolledBackError as error:
            self._roll_back_late(there, None, error)
        self._check_shown(written)

    def _track(self, made: TrackedResource, compensate: Callable[[], object] | None = None) -> StepRecord:
        if self.journal.record.state is DeploymentState.SUCCEEDED:
            raise TransactionError(f"transaction {self.deployment_id} is committed: it cannot track another resource")
        try:
            with self._lock:
                row, record = self.journal.append(made, is_there=True)
                if compensate is not None:
                    self._compensations[row.step_id] = compensate
        except RolledBackError as error:
            self._roll_back_late(made, compensate, error)
        if not is_forward(record):
            raise RolledBackError(rollback_reason(record))
        return row

    def _roll_back_late(
        self, made: TrackedResource, compensate: Callable[[], object] | None, error: RolledBackError
    ) -> NoReturn:
        """Roll back a resource that was created after the end, by a transaction of its own on a target that is free."""
        late = DeploymentTransaction(
            f"{self.name[:80]} (late)", target=f"late {self.deployment_id}", app=self.app, sleep=self._sleep
        )
        with late:
            late._track(made, compensate)
            late.rollback()
        raise RolledBackError(
            f"{error}; {made.type} '{made.name or made.id}' was created after that, and is rolled back"
        ) from None

    def _would_track(self, made: TrackedResource) -> None:
        self._dry.append(made)
        log.info("dry run: would track %s '%s'", made.type, made.name or made.id)

    def _check_shown(self, row: StepRecord) -> None:
        """Check that Fabric shows the resource, with retries for its lag: an invisible one could not be compensated."""
        kind, spec = self.app.services.kinds[row.kind], self.app.services.payloads.load(row.spec)
        assert row.resource is not None  # noqa: S101 - the row of an existing resource has it
        for tries_left in reversed(range(_SHOWN_TRIES)):
            try:
                kind.verify(self.fabric, spec, row.resource, Intent(IntentAction.ADOPT, ""))
                return
            except FabricNotFoundError:
                if not tries_left:
                    raise
                self._sleep(_SHOWN_SECONDS)

    def _commit_or_roll_back(self) -> None:
        try:
            self.commit()
        except RolledBackError:
            self._roll_back(None)
            raise
        finally:
            self._close()

    def _roll_back(self, error: RecordedError | None) -> RollbackReport:
        """Roll back; heartbeats continue in the meantime, so that the sweeper does not interfere."""
        if self.is_dry_run:
            self._close()
            for made in reversed(self._dry):
                log.info("dry run: would compensate %s '%s'", made.type, made.name or made.id)
            return RollbackReport(self.deployment_id, "dry_run")
        journal = self.journal
        try:
            journal.start_rollback(self._requested_by, error)
            record = lifecycle.roll_back(
                journal.services,
                self._locks,
                self.deployment_id,
                budget_seconds=self._budget,
                sleep=self._sleep,
            )
        finally:
            self._close()
        report = report_of(record, [row.record for row in journal.rows()])
        log.info("%s", report)
        return report

    def _close(self) -> None:
        self._is_open = False
        if self._heartbeat is not None:
            self._heartbeat.stop()


def _new_id(name: str) -> str:
    return new_deployment_id(name, datetime.now(UTC), secrets.token_hex(3), default=SCRIPT)
