"""A worker of a sweep: it runs deployments in turn on its own stack, kills the host, and checks the results."""

# The vendor annotates **kwargs as unknown.
# pyright: reportUnknownMemberType=false

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

from local.client import fetch
from local.crash_sweep import expect
from local.crash_sweep.crash_plan import PLAN_VARIABLE, Boundary, CrashPlan, crashed_file, recorded
from local.crash_sweep.manifests import TENANT, Manifest, new_id
from local.crash_sweep.names import ids_in
from local.crash_sweep.prefork import PreforkStack
from local.stack import StackError
from shared import settings
from shared.bootstrap import command_line
from shared.domain.errors import NotFoundError
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.saga.audit import verify

QUICK = {
    "STEP_LEASE_SECONDS": "2",
    "WATCHDOG_SECONDS": "2",
    "LATE_CALL_SECONDS": "1",
    "RESTART_GRACE_SECONDS": "1",
    "TARGET_RETRY_SECONDS": "1",
    "SWEEP_SCHEDULE": "* * * * * *",
    "RETRY_BASE_SECONDS": "0.5",
    "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:01",
    "AzureFunctionsJobHost__extensions__durableTask__storageProvider__controlQueueVisibilityTimeout": "00:00:02",
    "AzureFunctionsJobHost__extensions__durableTask__storageProvider__workItemQueueVisibilityTimeout": "00:00:02",
}
"""Leases and watchdogs in seconds instead of minutes, so that the same code recovers within seconds."""
QUEUE_LEASE_SECONDS = "2"
HUB_LEASE_SECONDS = "2"
END_SECONDS = 60.0
"""A deployment that has not ended by then is a violation; the time is longer if Fabric is slow."""
QUIET_SECONDS = 30.0
RUNS_OF_A_STACK = 50
"""A stack keeps all that its runs left. After 200 runs of `restoring`, the two reads of what Fabric contains take a
third of a second of the processor for each run, and lists and searches grow too. A new stack costs as much as a run."""
_LOOK_SECONDS = 0.1
"""How often to look whether the host was killed."""
_LOOKS_FOR_A_READ = 4
"""At each fourth look the journal is read: a look costs nothing, a read as much as one of the host's own."""
_QUEUES = ("deployments", "deployment-steps")
_POISON = tuple(f"{queue}-poison" for queue in _QUEUES)
_ENDED = DEPLOYMENT_ENDED | {DeploymentState.STUCK}
_FOREIGN = {
    "displayName": "contoso-foreign",
    "description": "Nobody's business",
    "items": [{"type": "Lakehouse", "displayName": "bronze"}, {"type": "Notebook", "displayName": "forecast"}],
    "roleAssignments": [{"id": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01", "type": "Group", "role": "Admin"}],
}
"""A workspace that exists before the first deployment, with items of the same names; nothing may change it."""


@dataclass(frozen=True)
class Speed:
    """The seconds that each call to Fabric takes.

    With slow calls, the watchdog, the sweeper and the renewal of messages run too. Uneven calls change the order of
    the steps that run in parallel.
    """

    seconds: float = 0.0
    is_uneven: bool = False

    def rules(self) -> list[dict[str, Any]]:
        """Return the fault rules for the simulator."""
        if not self.seconds:
            return []
        rules: list[dict[str, Any]] = [{"action": {"delay_seconds": self.seconds}}]
        if self.is_uneven:
            shares = (("probability", 0.25, 0.0), ("probability", 0.33, 0.3), ("probability", 0.5, 2.0))
            rules[:0] = [{"when": {w: p}, "action": {"delay_seconds": share * self.seconds}} for w, p, share in shares]
        return rules


FAST = Speed()


@dataclass(frozen=True)
class Result:
    """The result of one deployment.

    `was_killed` is True if the host was killed; `boundaries` are those that the host reached, if they were recorded.
    """

    deployment_id: str
    was_killed: bool
    violations: tuple[str, ...]
    seconds: float
    boundaries: tuple[Boundary, ...] = ()


class Worker:
    """A stack for the time of a `with` block, in which deployments are run and checked.

    The stack's folder is deleted at the end; evidence of violations is kept in another folder.
    """

    def __init__(self, name: str, evidence: Path, topology: str = "single") -> None:
        environment = {**os.environ, **QUICK}
        environment.pop("FABRIC_API_BASE_URL", None)
        self.stack = PreforkStack(
            name=name,
            environment=environment,
            queue_lease_seconds=QUEUE_LEASE_SECONDS,
            hub_lease_seconds=HUB_LEASE_SECONDS,
            topology=topology,
            keeps_storage=False,
        )
        self._runs = 0
        self._plan = self.stack.folder / "crash-plan.json"
        environment[PLAN_VARIABLE] = str(self._plan)
        self._evidence = evidence

    def __enter__(self) -> Self:
        self.stack.folder.mkdir(parents=True)
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.down()
        shutil.rmtree(self.stack.folder, ignore_errors=True)

    @property
    def is_new(self) -> bool:
        """True before the first deployment: the storage is empty then."""
        return not self.stack.ports

    @property
    def is_worn(self) -> bool:
        """True after so many deployments that a new stack is cheaper."""
        return self._runs >= RUNS_OF_A_STACK

    def run(self, manifest: Manifest, boundary: Boundary | None = None, phase: str = "", speed: Speed = FAST) -> Result:
        """Run a deployment to its end and check it: kill the host at `boundary`, or record all if it is None.

        For the first deployment, the plan is written before the host starts, and the storage is empty.
        """
        began = time.monotonic()
        self._runs += 1
        plan = CrashPlan(new_id(), ids_in(json.dumps(manifest.content)), record=boundary is None)
        if boundary is not None:
            plan = replace(plan, name=boundary.name, nth=boundary.nth, phase=phase)
        plan.write(self._plan)
        self._up()
        manifest.files.send(self._storage.blobs)
        made = self.fabric("seed", {"workspaces": manifest.seed(plan.deployment_id)})
        for number, commit in enumerate(manifest.commits(plan.deployment_id)):
            joined = {"workspaceId": made["workspaces"][0]["id"]} if manifest.is_connected and not number else {}
            self.fabric("git", {**commit, **joined})
        self._before, last = self.fabric("state"), self.fabric("calls?after=-1")
        self._calls = last[0]["n"] if last else 0
        self.fabric("faults", speed.rules())
        self._storage.submit(manifest.submission(plan.deployment_id))
        violations = self._follow(manifest, plan.deployment_id, END_SECONDS * (1 + speed.seconds))
        was_killed = crashed_file(self._plan).exists()
        if violations:
            self._keep(plan, violations)
        found = tuple(recorded(self._plan)) if plan.record else ()
        return Result(plan.deployment_id, was_killed, tuple(violations), time.monotonic() - began, found)

    def _up(self) -> None:
        if not self.is_new:
            return
        self.stack.up(host=False)
        self._restart_host()  # not by `up`, because the plan may kill the host before it answers
        connection = self.stack.connection_string
        self._storage = command_line.storage(settings.load({"AzureWebJobsStorage": connection}))
        self._tables = TableServiceClient.from_connection_string(connection)
        self._queues = QueueServiceClient.from_connection_string(connection)
        self.fabric("seed", {**TENANT, "workspaces": [_FOREIGN]})
        self.fabric("settings", {"job_retry_seconds": 1.0})

    def _restart_host(self) -> None:
        """Start each dead host again; try again if the plan killed a host during its start."""
        while dead := [part for part in self.stack.hosts if not self.stack.runs(part)]:
            try:
                self.stack.start_host(*dead)
            except StackError:
                if not crashed_file(self._plan).exists() or all(map(self.stack.runs, self.stack.hosts)):
                    raise

    def _follow(self, manifest: Manifest, deployment_id: str, seconds: float) -> list[str]:
        """Keep the host running until the deployment has ended and nothing is in progress; return the violations."""
        state = self._wait_for_end(deployment_id, seconds)
        if state not in _ENDED:
            return [f"not ended after {seconds:g} s: {state or 'not accepted'}"]
        remains = self._wait_for_quiet(deployment_id)
        last = self._storage.journal.header(deployment_id).record
        steps = [s.record for s in self._storage.journal.steps(deployment_id)]
        contents, calls = self.fabric("state"), self.fabric(f"calls?after={self._calls}")
        return [
            *remains,
            *expect.journal(manifest, last, steps),
            *expect.fabric(manifest, deployment_id, self._before, contents, calls, steps),
            *expect.audit(self._storage.journal.audit(deployment_id), last, steps),
            *map(str, verify.verify(verify.read(self._storage.journal, deployment_id)).differences),
        ]

    def _wait_for_end(self, deployment_id: str, seconds: float) -> DeploymentState | None:
        """Return the last state that was read, which is None if the deployment was not accepted."""
        state: DeploymentState | None = None
        for look, _ in enumerate(self._polls(seconds)):
            if look % _LOOKS_FOR_A_READ:
                continue
            with contextlib.suppress(NotFoundError):
                state = self._storage.journal.header(deployment_id).record.state
            if state in _ENDED:
                break
        return state

    def _wait_for_quiet(self, deployment_id: str) -> list[str]:
        """Return what is still unfinished or left over at the end."""
        remains: list[str] = []
        for _ in self._polls(QUIET_SECONDS):
            remains = self._remains(deployment_id)
            if not remains:
                break
        return remains

    def _polls(self, seconds: float) -> Iterator[None]:
        """Yield at each time to look, with the host running, until `seconds` are over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._restart_host()
            yield
            time.sleep(_LOOK_SECONDS)

    def _remains(self, deployment_id: str) -> list[str]:
        """Return what is unfinished or left over: messages, the lock, the list, the orchestration."""
        left = [f"messages are left in {queue}" for queue in (*_QUEUES, *_POISON) if self._messages(queue)]
        with contextlib.suppress(ResourceNotFoundError):
            lock: Any = self._tables.get_table_client("locks").get_entity("lock", deployment_id)
            if not str(lock["expires_at"]).startswith("1970"):
                left.append("the target is still locked")
        if any(record.state not in _ENDED for record in self._storage.journal.deployments(deployment_id)):
            left.append("the list still shows it as open")
        status = self._instance(deployment_id)
        if status != "Completed":
            left.append(f"the orchestration is {status}")
        return left

    def _messages(self, queue: str) -> int:
        try:
            properties: Any = self._queues.get_queue_client(queue).get_queue_properties()
            return int(properties.approximate_message_count or 0)
        except ResourceNotFoundError:
            return 0

    def _instance(self, deployment_id: str) -> str:
        path = f"/runtime/webhooks/durabletask/instances/{deployment_id}?code={self.stack.master_key}"
        try:
            return str(fetch(self.stack.functions_url + path).get("runtimeStatus", "unknown"))
        except OSError as error:
            return f"unknown: the host does not answer ({error})"

    def fabric(self, path: str, body: Any = None) -> Any:
        """Call the simulator's control API."""
        data = None if body is None else json.dumps(body).encode()
        return fetch(f"{self.stack.fabric_url}/_sim/{path}", data)

    def _keep(self, plan: CrashPlan, violations: list[str]) -> None:
        """Save what a person needs to find the cause, in a folder that is not deleted."""
        folder = self._evidence / plan.deployment_id
        folder.mkdir(parents=True, exist_ok=True)
        journal = self._storage.journal
        with contextlib.suppress(NotFoundError):
            steps = [s.record.to_json() for s in journal.steps(plan.deployment_id)]
            shown: dict[str, Any] = {
                "plan": vars(plan),
                "violations": violations,
                "header": journal.header(plan.deployment_id).record.to_json(),
                "steps": steps,
                "audit": [e.to_json() for e in journal.audit(plan.deployment_id)],
                "calls": self.fabric(f"calls?after={self._calls}"),
            }
            (folder / "case.json").write_text(json.dumps(shown, indent=1))
        for log in self.stack.folder.glob("functions*.log"):
            shutil.copy(log, folder / log.name)
