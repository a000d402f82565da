"""The sweeper: restarts deployments that nothing is moving, and does what is due. Each run is bounded.

A run does this, in this order; an error of one deployment does not stop the others:

- It restarts, from the journal, an open deployment that has no orchestration (task hub lost, host killed, accept
  interrupted). An orchestration that runs without a heartbeat is woken, then ended, then restarted. A stuck deployment
  is restarted too, in growing pauses, and its compensation tried again; first, what its own late creates left in its
  workspace is deleted. A deployment whose script sends no heartbeat is rolled back.
- It rolls back a held deployment whose `keepFor` is over, and a succeeded one whose `expiresAfter` is over or that a
  person retired while its target was not free.
- It deletes what a succeeded deployment has put into quarantine, if its manifest says so and its time has come.
- It checks a deployment that was rolled back, or released when a part of it was, for orphans of late calls: once; or at
  growing intervals during a day, if the answer to a create was lost and its resource has not shown.
- It forgets a deployment past its retention, except for its audit.

Every write is conditional or idempotent, so two runs at once do no harm; `dry_run` writes nothing. Each run starts at a
different place in its lists, so that deployments that never finish cannot starve the others.
"""

import logging
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial

from shared import tracing
from shared.domain.actors import SWEEPER
from shared.domain.errors import ConflictError, FabricError, SagaError
from shared.domain.messages import COMMAND_EVENT
from shared.domain.ports import Change, Locks, Orchestrations
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, IntentAction, Origin, StepState
from shared.domain.telemetry import Event
from shared.domain.trace import of_deployment
from shared.saga.command import commands, handling
from shared.saga.command.verbs import Verb
from shared.saga.orchestration.target import begun
from shared.saga.scripts import lifecycle
from shared.saga.step.delivery import Services
from shared.saga.step.operations import MAX_OPERATION
from shared.saga.sweep.orphans import about, awaits_orphan_check, delete_orphan, find_orphans, prove_companions
from shared.saga.sweep.quarantine import delete_quarantined
from shared.steps.kind import GuardError

log = logging.getLogger(__name__)

MAX_TASKS = 50
"""Deployments of each list that one run handles; the rest waits for the next run."""
BUDGET_SECONDS = 90.0
"""A run starts no further task of a list after this; the host ends a function after functionTimeout."""
_ABANDONED_AT = 1.5
"""An orchestration is ended when its last heartbeat is so many times older than the age at which it is woken. The
sweeps between the two give it time to send the next."""
_MIN_WAIT = timedelta(minutes=1)
_ORPHAN_CHECK_SECONDS = 180.0
"""The lease on the target during an orphan check; the target is released as soon as the check is done."""

_Task = Callable[[DeploymentRecord], None]


@dataclass
class SweepReport:
    """The result of one run, by deployment id; with `dry_run`, what it would have done."""

    seen: int = 0
    restarted: list[str] = field(default_factory=lambda: list[str]())
    expired: list[str] = field(default_factory=lambda: list[str]())
    orphan_checked: list[str] = field(default_factory=lambda: list[str]())
    orphans: list[str] = field(default_factory=lambda: list[str]())
    purged: list[str] = field(default_factory=lambda: list[str]())
    failed: list[str] = field(default_factory=lambda: list[str]())
    stalled: list[str] = field(default_factory=lambda: list[str]())
    stuck: list[str] = field(default_factory=lambda: list[str]())
    held: list[str] = field(default_factory=lambda: list[str]())
    orphans_left: list[str] = field(default_factory=lambda: list[str]())

    def counts(self) -> dict[str, int]:
        """Return the length of each list."""
        return {f.name: v if isinstance(v := getattr(self, f.name), int) else len(v) for f in fields(self)}

    def ids(self, maximum: int | None = None) -> dict[str, list[str]]:
        """Return the ids of each list that is not empty, at most `maximum` of each."""
        return {f.name: v[:maximum] for f in fields(self) if isinstance(v := getattr(self, f.name), list) and v}

    @property
    def tasks(self) -> int:
        """Return how many deployments were handled. Failures do not count: they must not starve the others."""
        return sum(map(len, (self.restarted, self.stalled, self.expired, self.orphan_checked, self.purged)))


def sweep(services: Services, locks: Locks, orchestrations: Orchestrations, *, dry_run: bool = False) -> SweepReport:
    """Run once. Raises StorageUnavailableError if the lists cannot be read."""
    run = _Run(services, locks, orchestrations, dry_run)
    now = services.clock.now()
    turn = zlib.crc32(now.isoformat().encode())
    run.through(services.journal.deployments(open_only=True, turn=turn), lambda _: run.restart)
    run.through(services.journal.due(now, turn), run.task_for)
    return run.report


@dataclass
class _Run:
    services: Services
    locks: Locks
    orchestrations: Orchestrations
    dry_run: bool
    report: SweepReport = field(default_factory=SweepReport)

    def through(self, listed: Iterable[DeploymentRecord], task_for: Callable[[DeploymentRecord], _Task]) -> None:
        """Handle a list until its end or the limits of a run; each deployment is read when its turn comes."""
        until = self.services.clock.now() + timedelta(seconds=BUDGET_SECONDS)
        maximum = self.report.tasks + MAX_TASKS
        for record in listed:
            if self.report.tasks >= maximum or self.services.clock.now() > until:
                return
            self.report.seen += 1
            self.attempt(record, task_for(record))

    def attempt(self, record: DeploymentRecord, task: _Task) -> None:
        try:
            with tracing.use_span(of_deployment(record.deployment_id, record.accepted_at, record.traceparent)):
                task(record)
        except ConflictError as error:
            log.info("deployment %s waits for the next sweep: %s", record.deployment_id, error)
        except SagaError as error:
            self.report.failed.append(record.deployment_id)
            log.warning("deployment %s: the sweeper could not handle it: %s", record.deployment_id, error)
        except Exception:  # a bug that one deployment triggers must not stop the others
            self.report.failed.append(record.deployment_id)
            log.exception("deployment %s: the sweeper could not handle it", record.deployment_id)

    def task_for(self, record: DeploymentRecord) -> _Task:
        if awaits_orphan_check(record):
            return self.check_orphans
        if record.state is DeploymentState.SUCCEEDED and (record.expires_after_seconds or record.retire_requested_by):
            return self.expire
        if record.state is DeploymentState.SUCCEEDED and record.deletes_at is not None:
            return self.delete_quarantined
        return self.purge

    def restart(self, record: DeploymentRecord) -> None:
        """Restart an open deployment unless something is moving it."""
        now = self.services.clock.now()
        if record.state is DeploymentState.STUCK:
            self.report.stuck.append(record.deployment_id)
        if record.state is DeploymentState.HELD:
            self.report.held.append(record.deployment_id)
        if now - record.accepted_at < timedelta(seconds=self.services.policy.restart_grace_seconds):
            return
        if record.origin is Origin.SCRIPT and lifecycle.has_live_script(record, now, self.services.policy):
            return
        if record.state is DeploymentState.HELD:
            self.hold(record, now)
            return
        since = self.orchestrations.running_since(record.deployment_id)
        if since is not None:
            self.judge(record, since, now)
            return
        if record.state is DeploymentState.STUCK and not self.is_due_again(record, now):
            return
        if not self.dry_run:
            if record.state is DeploymentState.STUCK:
                self.free_of_orphans(record)
            lifecycle.fail_stale_script(self.services, record.deployment_id)
            self.orchestrations.start(record.deployment_id)
            log.warning("deployment %s (%s) had no orchestration: restarted", record.deployment_id, record.state)
        self.report.restarted.append(record.deployment_id)

    def free_of_orphans(self, record: DeploymentRecord) -> None:
        """Delete what creates of compensated steps left later, because the workspace that is kept for it may be of the
        same deployment. Only steps whose response was lost, or whose operation did not end, are looked for."""
        if not any(_was_unsure(s.record) for s in self.services.journal.steps(record.deployment_id)):
            return
        try:
            self.delete_orphans(record, record.deployment_id, _was_unsure)
        except SagaError as error:
            log.info("deployment %s: its orphans wait for the next sweep: %s", record.deployment_id, error)

    def is_due_again(self, record: DeploymentRecord, now: datetime) -> bool:
        """Return True if a stuck deployment is tried again now. The longer its compensations have failed, the longer
        are the pauses, because each try costs calls to Fabric, and a person has to remove the obstacle.

        A try that was interrupted, and a release that a person asked for, go on at once.
        """
        if record.finished_at is None or record.may_compensate or record.is_being_released:
            return True
        rows = (row.record for row in self.services.journal.steps(record.deployment_id))
        begun = [row.compensation_started_at for row in rows if row.state is StepState.COMPENSATION_FAILED]
        since = min((at for at in begun if at is not None), default=record.finished_at)
        longest = timedelta(seconds=self.services.policy.stuck_retry_max_seconds)
        return now - record.finished_at >= min(longest, (record.finished_at - since) / 4)

    def judge(self, record: DeploymentRecord, running_since: datetime, now: datetime) -> None:
        """Wake a running orchestration that has sent no heartbeat for too long, or end one that did not wake.

        A healthy one sends heartbeats whatever its steps wait for: a person, an operation of Fabric, a Retry-After, or
        the target. The next sweep starts the successor of an orchestration that is ended here: a termination that the
        engine carries out late would also end a successor that was started at once.
        """
        last = max(running_since, record.heartbeat_at or record.accepted_at)
        age, limit = (now - last).total_seconds(), self.services.policy.heartbeat_late_seconds
        if age < limit:
            return
        self.report.stalled.append(record.deployment_id)
        is_given_up = age >= limit * _ABANDONED_AT
        log.error(
            "deployment %s (%s): its orchestration runs and has sent no heartbeat for %.0f s: it is %s",
            record.deployment_id,
            record.state,
            age,
            "ended, and the next sweep starts another" if is_given_up else "woken",
        )
        if self.dry_run:
            return
        if is_given_up:
            self.orchestrations.abandon(record.deployment_id)
        else:
            self.orchestrations.raise_event(record.deployment_id, COMMAND_EVENT, {"command": "wake"})

    def hold(self, record: DeploymentRecord, now: datetime) -> None:
        """Renew the target lock of a held deployment, and roll it back when its `keepFor` is over."""
        if self.services.journal.header(record.deployment_id).record.state is not DeploymentState.HELD:
            return  # moved since it was listed: an ended deployment must not take the target again
        is_over = record.held_until is not None and record.held_until <= now
        if is_over:
            self.report.expired.append(record.deployment_id)
        if self.dry_run:
            return
        self.locks.acquire(record.target, record.deployment_id, now, self.services.policy.target_lease_seconds)
        if is_over:
            self.ask(Verb.COMPENSATE, record, f"its time is up: keepFor {record.keep_for_seconds:g} s")

    def expire(self, record: DeploymentRecord) -> None:
        """Roll back a succeeded deployment that is expired or retired, when its target is free."""
        if self.dry_run:
            self.report.expired.append(record.deployment_id)
            return
        reason = f"its time is up: expiresAfter {record.expires_after_seconds:g} s"
        if record.retire_requested_by not in (None, SWEEPER):
            reason = f"{record.retire_requested_by} retired it"
        if self.ask(Verb.RETIRE, record, reason).state is DeploymentState.COMPENSATING:
            self.report.expired.append(record.deployment_id)

    def ask(self, verb: Verb, record: DeploymentRecord, reason: str) -> handling.CommandResult:
        """Send a command, as a person would."""
        command = commands.command(verb, record.deployment_id, SWEEPER, reason)
        return handling.handle(self.services, self.locks, self.orchestrations, command)

    def check_orphans(self, record: DeploymentRecord) -> None:
        """Find and delete the orphans of the steps that were compensated, until none is left."""
        if self.dry_run:
            self._check_orphans(record, record.deployment_id)
            return
        holder = self.take_target(record)
        if holder is None:
            return
        try:
            self._check_orphans(record, holder)
        finally:
            if self.services.journal.header(holder).record.state in DEPLOYMENT_ENDED:
                self.locks.release(record.target, holder)

    def take_target(self, record: DeploymentRecord) -> str | None:
        """Acquire the target and return the holder's id; None if the target is not free.

        A stuck deployment's target is acquired in the stuck deployment's name: an orphan of this deployment may be what
        keeps it stuck, and it adopts nothing any more.
        """
        other = begun(self.services, record)
        if other is not None and other.state is not DeploymentState.STUCK:
            return None
        holder = record.deployment_id if other is None else other.deployment_id
        return holder if self.acquire(record.target, holder) == holder else None

    def acquire(self, target: str, deployment_id: str) -> str:
        """Acquire a target or renew its lease, because reads of a slow Fabric may outlast it; return the holder.

        The lease of a deployment that has not ended is never made shorter.
        """
        has_ended = self.services.journal.header(deployment_id).record.state in DEPLOYMENT_ENDED
        seconds = _ORPHAN_CHECK_SECONDS if has_ended else self.services.policy.target_lease_seconds
        return self.locks.acquire(target, deployment_id, self.services.clock.now(), seconds).holder

    def prove_target(self, target: str, deployment_id: str) -> None:
        """Raise ConflictError if another deployment holds the target by now."""
        holder = self.acquire(target, deployment_id)
        if holder != deployment_id:
            raise ConflictError(f"deployment {holder} holds the target '{target}'")

    def delete_orphans(
        self, record: DeploymentRecord, holder: str, concerns: Callable[[StepRecord], bool] = lambda _: True
    ) -> int:
        """Find and delete the orphans of the compensated steps that it concerns, and return their number.

        One that Fabric or its guard refuses stops no other. Raises the first such error at the end, and ConflictError.
        """
        services = self.services
        if not self.dry_run:
            prove_companions(services, record, concerns)
        orphans = find_orphans(services, record, concerns)
        ids = [orphan.found.resource.id for orphan in orphans]
        self.report.orphans += ids
        self.report.orphans_left += ids
        refused: FabricError | GuardError | None = None
        for orphan in orphans:
            services.telemetry.event(Event.ORPHAN_FOUND, about(orphan))
            if self.dry_run:
                continue
            try:
                delete_orphan(services, record, orphan, lambda: self.prove_target(record.target, holder))
            except (FabricError, GuardError) as error:
                step = orphan.step
                log.warning("deployment %s: the orphan of step %s stays: %s", step.deployment_id, step.step_id, error)
                refused = refused or error
            else:
                self.report.orphans_left.remove(orphan.found.resource.id)
        if refused is not None:
            raise refused
        return len(orphans)

    def _check_orphans(self, record: DeploymentRecord, holder: str) -> None:
        services, count = self.services, self.delete_orphans(record, holder)
        self.report.orphan_checked.append(record.deployment_id)
        if self.dry_run:
            return
        header = services.journal.header(record.deployment_id)
        now = services.clock.now()
        age = now - (header.record.finished_at or record.accepted_at)
        if age < MAX_OPERATION and any(_may_still_come(s.record) for s in services.journal.steps(record.deployment_id)):
            after = header.record.replace(due_at=now + max(age, _MIN_WAIT))
        else:
            due = now + timedelta(seconds=services.policy.retention_seconds)
            after = header.record.replace(orphan_checked_at=now, due_at=due)
        reason = f"orphan check: {count} orphan(s) deleted" if count else ""
        services.journal.write_header(Change(header, after, SWEEPER, reason))

    def delete_quarantined(self, record: DeploymentRecord) -> None:
        """Delete what a succeeded deployment has put into quarantine, when its target is free.

        Another one that has begun may take an item out of the quarantine, or need it for its rollback.
        """
        if self.dry_run:
            self.report.orphans.append(record.deployment_id)
            return
        if begun(self.services, record) is not None:
            return
        holder = self.acquire(record.target, record.deployment_id)
        if holder != record.deployment_id:
            return
        try:
            header = self.services.journal.header(record.deployment_id)
            fresh = header.record
            if fresh.state is DeploymentState.SUCCEEDED and fresh.deletes_at and not fresh.retire_requested_by:
                hold = partial(self.prove_target, record.target, record.deployment_id)
                self.report.orphans += delete_quarantined(self.services, header, hold)
        finally:
            if self.services.journal.header(holder).record.state in DEPLOYMENT_ENDED:
                self.locks.release(record.target, holder)

    def purge(self, record: DeploymentRecord) -> None:
        """Forget a deployment past its retention; its audit stays."""
        self.report.purged.append(record.deployment_id)
        if not self.dry_run:
            self.orchestrations.forget(record.deployment_id)
            self.services.journal.purge(record.deployment_id)


def _may_still_come(step: StepRecord) -> bool:
    """Return True if a create was sent whose resource has not been seen, and the step counts as compensated."""
    return step.resource is None and _was_unsure(step)


def _was_unsure(step: StepRecord) -> bool:
    """Return True if a create was sent whose effect was not known, and the step counts as compensated."""
    return (
        step.ambiguous
        and step.state is StepState.COMPENSATED
        and step.intent is not None
        and step.intent.action is IntentAction.CREATE
    )
