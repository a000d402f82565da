"""The checks that use the app itself: its health, one deployment that is rolled back again, and its telemetry."""

import json
import time
from collections.abc import Callable, Collection
from typing import Any

from local.azure_check.arm import AzureApi
from local.azure_check.expected import event_query
from local.azure_check.outcome import CheckError
from shared.bootstrap.command_line import Remote
from shared.domain.errors import NotFoundError
from shared.domain.json import as_list, as_object
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.domain.telemetry import Event

REQUESTER = "azure-check"
EVENTS = frozenset(
    {
        Event.DEPLOYMENT_ACCEPTED,
        Event.DEPLOYMENT_STARTED,
        Event.STEP_FINISHED,
        Event.DEPLOYMENT_FINISHED,
        Event.ROLLBACK_STARTED,
        Event.STEP_COMPENSATED,
        Event.ROLLBACK_FINISHED,
    }
)
"""The events of a deployment that succeeds and is retired."""
EVENTS_OF_FAILED = frozenset({Event.DEPLOYMENT_ACCEPTED})
"""The events of any deployment."""
_POLL_SECONDS = 2.0
_OPEN = frozenset({DeploymentState.ACCEPTED, DeploymentState.RUNNING, DeploymentState.HELD})


def health(app: Remote) -> str:
    """Check that the app can do its work. Raises CheckError, SagaError."""
    found = app.desk.health()
    checks = as_object(found.get("checks")) or {}
    bad = [
        f"{name} {entry.get('componentId', '')}: {entry.get('output', entry.get('status'))}"
        for name, entries in checks.items()
        for entry in (as_object(row) or {} for row in as_list(entries) or [])
        if entry.get("status") != "pass"
    ]
    if found.get("status") == "fail":
        raise CheckError(f"the app cannot work: {'; '.join(bad)}: see docs/health.md")
    return f"{found.get('status')}: {len(checks)} measurements" + (f"; look at {'; '.join(bad)}" if bad else "")


class Trial:
    """One deployment of one empty workspace to the target that a person named. `clean_up` rolls it back, whatever
    happened before."""

    def __init__(
        self,
        app: Remote,
        target: str,
        workspace: str,
        deployment_id: str,
        seconds: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.app, self.deployment_id, self._workspace = app, deployment_id, workspace
        self._seconds, self._pause = seconds, pause
        self._manifest = {
            "name": REQUESTER,
            "target": target,
            "steps": [{"id": "workspace", "kind": "workspace", "with": {"displayName": workspace, "ifExists": "fail"}}],
        }
        self.was_sent = False

    def deploy(self) -> str:
        """Check that the workspace does not exist, deploy it, and check that it does. Raises CheckError, SagaError."""
        self._expect("create")
        self.was_sent = True
        message = {"deployment_id": self.deployment_id, "manifest": self._manifest, "requested_by": REQUESTER}
        self.app.submit(json.dumps(message))
        began = time.monotonic()
        state = self._wait(DEPLOYMENT_ENDED | {DeploymentState.HELD, DeploymentState.STUCK})
        if state is not DeploymentState.SUCCEEDED:
            raise CheckError(
                f"{self.deployment_id} is {state.value}: {self._reason()}: `python -m shared.cli status "
                f"{self.deployment_id}`"
            )
        self._expect("blocked")
        return f"{self.deployment_id} succeeded after {time.monotonic() - began:.0f} s; the workspace exists"

    def clean_up(self) -> str:
        """Roll back what there is, and check that the workspace is gone. Raises CheckError, SagaError."""
        if not self.was_sent:
            return "nothing was deployed"
        try:
            state = self.app.journal.header(self.deployment_id).record.state
        except NotFoundError:
            state = self._wait(_OPEN | DEPLOYMENT_ENDED | {DeploymentState.STUCK})
        verb = "cancel" if state in _OPEN else "retire" if state is DeploymentState.SUCCEEDED else ""
        if verb:
            command = {"command": verb, "deployment_id": self.deployment_id, "requested_by": REQUESTER}
            self.app.submit(json.dumps({**command, "reason": "the check is over"}))
            wanted = DEPLOYMENT_ENDED - {DeploymentState.SUCCEEDED} | {DeploymentState.STUCK}
            state = self._wait(wanted)
        if state in (DeploymentState.STUCK, DeploymentState.FAILED):
            raise CheckError(
                f"{self.deployment_id} is {state.value}: {self._reason()}: delete the workspace "
                f"{self._workspace} by hand, then see docs/runbook.md"
            )
        self._expect("create")
        return f"{self.deployment_id} is {state.value}; the workspace is gone. Its audit stays in the journal"

    def _expect(self, action: str) -> None:
        """Check what a deployment would do now: `create` without the workspace, `blocked` with it."""
        found = self.app.desk.plan(self._manifest)
        steps = [as_object(row) or {} for row in as_list(found.get("steps")) or []]
        seen = [str(step.get("action")) for step in steps]
        if seen != [action]:
            what = "exists already, or cannot be read" if action == "create" else "is not there"
            raise CheckError(f"the workspace {what} (a dry run says {seen}: {_reasons(steps)}); use --workspace NAME")

    def _wait(self, states: Collection[DeploymentState]) -> DeploymentState:
        until = time.monotonic() + self._seconds
        state: DeploymentState | None = None
        while time.monotonic() < until:
            try:
                state = self.app.journal.header(self.deployment_id).record.state
            except NotFoundError:
                state = None  # its message is still in the queue
            if state is not None and state in states:
                return state
            self._pause(_POLL_SECONDS)
        raise CheckError(
            f"{self.deployment_id} is {state.value if state else 'unknown'} after {self._seconds:.0f} s: follow it "
            f"with `python -m shared.cli follow {self.deployment_id}`, and cancel or retire it"
        )

    def _reason(self) -> str:
        errors = [step.record.error for step in self.app.journal.steps(self.deployment_id)]
        return next((error.message for error in errors if error), "no error is recorded")


def telemetry(
    api: AzureApi,
    workspace: str,
    deployment_id: str,
    events: frozenset[str],
    seconds: float,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Check that the deployment's events have arrived, which takes minutes in Azure. Raises CheckError."""
    query = f"{event_query()}\n| where deployment_id == '{deployment_id}'\n| summarize rows = count() by event"
    until, began = time.monotonic() + seconds, time.monotonic()
    while True:
        seen = {str(row.get("event")) for row in api.query(workspace, query, "PT4H")}
        if seen >= events:
            return (
                f"all {len(events)} kinds of events of {deployment_id} arrived within {time.monotonic() - began:.0f} s"
            )
        if time.monotonic() > until:
            missing = ", ".join(sorted(events - seen))
            raise CheckError(
                f"after {seconds:.0f} s Log Analytics has no {missing} of {deployment_id}: is FEATURE_USE_TELEMETRY "
                "on, and has the app's identity Monitoring Metrics Publisher?"
            )
        pause(min(10.0, max(0.5, seconds / 20)))


def _reasons(steps: list[dict[str, Any]]) -> str:
    return "; ".join(str(step.get("reason") or "no reason") for step in steps) or "no step"
