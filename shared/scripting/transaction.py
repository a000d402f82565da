"""For scripts: all that a script makes in Fabric, or nothing.

    with DeploymentTransaction("nightly", target="contoso-sales-dev") as transaction:
        answer = my_client.create_lakehouse(workspace_id, "bronze")
        transaction.track_resource(ResourceType.LAKEHOUSE, answer["id"], workspace_id=workspace_id)

The block commits where it ends, and puts everything back where an exception leaves it. Everything tracked stands in
the journal of the deployments, so a script that is killed is put back by the app's sweeper. docs/scripting.md.
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
from shared.domain.ports import Fabric, Locks
from shared.domain.records import Intent, RecordedError, StepRecord
from shared.domain.row_limits import person
from shared.domain.states import DeploymentState, IntentAction
from shared.saga.scripts import lifecycle
from shared.saga.scripts.report import RollbackError, RollbackReport, RollbackResult, report_of
from shared.saga.scripts.rows import ResourceType, TrackedResource
from shared.saga.scripts.script_journal import ScriptJournal, is_forward, rollback_reason
from shared.saga.step.delivery import Services
from shared.saga.submission.acceptance import normal_target
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
        """Journal, queue and Fabric."""
        ...

    @property
    def locks(self) -> Locks:
        """Of the targets."""
        ...


class Pending:
    """Something that is about to be made: the journal knows of it already, by the marker in its description."""

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.id = ""

    def description(self, text: str = "") -> str:
        """The description to give it: the text, and the marker by which it is found again."""
        return with_marker(text, self.marker)

    def created(self, resource_id: str) -> None:
        """It is there, under this id."""
        self.id = resource_id


class DeploymentTransaction:
    """Tracks what a script makes, and puts it back unless the script commits. Tracking is thread-safe.

    `target` is what one deployment at a time may change; it is waited for, up to `wait_seconds`, in order of arrival.
    `rollback_seconds` bounds the rollback here; what is left then is the sweeper's. With `dry_run` nothing is written
    or deleted, in storage or in Fabric: the log says what would be. The calls between are the script's own.
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
        """The app's own client, for the script's calls too: with its rate, its breakers and its typed errors."""
        return self._services.fabric

    @property
    def app(self) -> TransactionApp:
        """What it works with: this process's app, built from the settings. Raises settings.SettingsError."""
        self._app = self._app or bootstrap.app()
        return self._app

    @property
    def _services(self) -> Services:
        services = self.app.services
        return replace(services, elsewhere={**services.elsewhere, CUSTOM: ScriptsOwnKind(self._compensations)})

    @property
    def journal(self) -> ScriptJournal:
        """Raises TransactionError before it was begun, and in a dry run, which has none."""
        if self._journal is None:
            raise TransactionError(f"transaction {self.deployment_id} was not begun: use `with`, or start()")
        return self._journal

    def start(self) -> Self:
        """Begin: write the header, take the target. Raises TransactionError where the id is taken, or the target is
        not free within `wait_seconds`."""
        self._began = time.monotonic()
        if not self.is_dry_run:
            services, locks = self._services, self.app.locks
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
        """Begin; and what this thread calls in the block is part of the deployment's trace."""
        self.start()
        if self._journal is not None:
            self._operation.enter_context(lifecycle.operation(self._journal))
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Commit where the block ended, put back where an exception left it; that goes on, with a note of whatever
        could not be put back. Does nothing after commit() or rollback() in the block."""
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
            # Only its type: the text may hold anything, and the journal holds no secrets.
            report = self._roll_back(RecordedError(f"the script raised {type(error).__name__}", "See its own output."))
        except SagaError as failure:
            log.exception("transaction %s could not be put back here: left to the sweeper", self.deployment_id)
            error.add_note(f"transaction {self.deployment_id} is left to the sweeper: {failure}")
            return
        if report.left:
            log.error("%s", report)
            error.add_note(str(report))

    def commit(self) -> None:
        """Keep everything. Raises RolledBackError where somebody had it put back before, and StorageUnavailableError
        where it could not be written: then it is not committed, unless you repeat it."""
        if not self._is_open:
            raise TransactionError(f"transaction {self.deployment_id} is not open")
        if self.is_dry_run:
            log.info("dry run: transaction %s would keep %d resource(s)", self.deployment_id, len(self._dry))
        else:
            self.journal.end(DeploymentState.SUCCEEDED, "committed by its script")
        self._close()
        if not self.is_dry_run:
            self.app.locks.release(self.target, self.deployment_id)

    def rollback(self) -> RollbackReport:
        """Put everything back, the last thing first. Raises RollbackError where not all is put back: the sweeper goes
        on with that. May be called again."""
        report = self._roll_back(None)
        if report.left:
            raise RollbackError(report)
        return report

    def get_stats(self) -> JsonObject:
        """State, seconds since it began, and how many resources are in which state."""
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
        """It is there, and this script made it: put it back unless the script commits. To be called right after the
        call that made it: a script killed between the two leaves what nobody knows of; `creating` has no such gap.

        A role assignment's id is its principal's, and it needs `role`. Raises InvalidInputError for what could not be
        found again, FabricNotFoundError where Fabric does not show it, RolledBackError where the transaction was put
        back meanwhile: then this is put back too.
        """
        made = TrackedResource(str(resource_type), resource_id, name, workspace_id, role)
        made.check()
        if self.is_dry_run:
            self._would_track(made)
        else:
            self._check_shown(self._track(made))

    def track_custom(self, description: str, compensate: Callable[[], object]) -> None:
        """Something that Fabric knows nothing of, and how to undo it: called on rollback, and again where it raised. A
        function cannot be journaled: where the script is killed it is lost, and the deployment stays `stuck`."""
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
        """Journal that something is about to be made, before it is. Make it with `pending.description(...)`, then say
        `pending.created(id)`. A script killed at any instant is put back: what it made is found by its marker.

        A role assignment has no description: after a kill the same role of that principal is taken for the script's.
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
            raise TransactionError(f"{made.type} '{name}' was to be made: say what became of it, by created(id)")
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
            raise TransactionError(f"transaction {self.deployment_id} is committed: it tracks nothing more")
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
        """It was made although the transaction is over: one of its own puts it back, on a target that nobody holds."""
        late = DeploymentTransaction(
            f"{self.name[:80]} (late)", target=f"late {self.deployment_id}", app=self.app, sleep=self._sleep
        )
        with late:
            late._track(made, compensate)
            late.rollback()
        raise RolledBackError(
            f"{error}; {made.type} '{made.name or made.id}' came after that, and is put back"
        ) from None

    def _would_track(self, made: TrackedResource) -> None:
        self._dry.append(made)
        log.info("dry run: would track %s '%s'", made.type, made.name or made.id)

    def _check_shown(self, row: StepRecord) -> None:
        """What Fabric does not show could not be put back, and nobody would notice. It may lag a little behind."""
        kind, spec = self.app.services.kinds[row.kind], self.app.services.payloads.load(row.spec)
        assert row.resource is not None  # noqa: S101 - it is the row of what is there
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
        """Turn the header back and undo; signs of life are given meanwhile, so that the sweeper keeps out of it."""
        if self.is_dry_run:
            self._close()
            for made in reversed(self._dry):
                log.info("dry run: would put back %s '%s'", made.type, made.name or made.id)
            return RollbackReport(self.deployment_id, "dry_run")
        journal = self.journal
        try:
            journal.start_rollback(self._requested_by, error)
            record = lifecycle.roll_back(
                journal.services,
                self.app.locks,
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
