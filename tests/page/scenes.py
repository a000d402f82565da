"""Deployments in the states in which the page is tested: running, rolled back, stuck, held, hostile."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.records import AuditEntry, Intent, Operation, RecordedError, Resource
from shared.domain.states import DEPLOYMENT_ENDED, IntentAction, OnFailure, OperationPurpose
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from tests.page.fake_api import Deployment, World, header, step

GUID = "8f2c1f7e-4a51-4a51-9d0b-0d5c2f3a91bc"
SCRIPT = "<img src=x onerror=\"document.body.dataset.owned='1'\"><script>document.body.dataset.owned='1'</script>"
HOSTILE = (
    SCRIPT,
    "sales\u202egnp.exe\u2066 hidden\u200b",
    "control \x1b[31m\x00\x07 characters",
    "'\" onmouseover=alert(1) `${document.cookie}`",
    "x" * 4000,
    "Z\u0351\u0351\u0351\u0351\u0351\u0351\u0351\u0351\u0351\u0351a\u0489l\u0321g\u0354o" * 5,
    "javascript:alert(1)",
    "\u05e9\u05dc\u05d5\u05dd \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
)


def now() -> datetime:
    """Return the time in whole seconds, so that the page shows the same however long the test takes to begin."""
    return datetime.now(UTC).replace(microsecond=0)


def running(number: int = 0) -> Deployment:
    """Return a deployment with two of four steps applied; one waits for Fabric's operation, one is retried after two
    throttled calls."""
    at = now()
    top = header(number, D.RUNNING, at, accepted_at=at - timedelta(seconds=30), started_at=at - timedelta(seconds=26))
    own, t = top.deployment_id, _after(top.started_at)
    made = Intent(IntentAction.CREATE, "[saga:0123456789ab]")
    steps = [
        step(own, 0, "workspace", S.SUCCEEDED, kind="workspace", intent=made, started_at=t(0.5), finished_at=t(8)),
        step(own, 1, "bronze", S.SUCCEEDED, needs=(0,), intent=made, started_at=t(8.4), finished_at=t(13)),
        step(
            own,
            2,
            "gold",
            S.SUBMITTED,
            needs=(0,),
            intent=made,
            started_at=t(8.6),
            deliveries=4,
            wait_until=at + timedelta(seconds=600),
            operation=Operation(GUID, OperationPurpose.APPLY, "create Lakehouse", t(10), polls=3),
        ),
        step(
            own,
            3,
            "team.001",
            S.INTENT,
            kind="role_assignment",
            needs=(0,),
            intent=made,
            attempt=2,
            deliveries=5,
            waits=(_wait(t(11), 4), _wait(t(16), 8)),
            started_at=t(8.7),
            error=RecordedError(
                "the service is not there", "Wait: it is tried again.", "POST /workspaces", 503, None, GUID
            ),
        ),
        step(own, 4, "report", S.PENDING, kind="item", needs=(1, 2, 3)),
    ]
    audit = [
        *_start_compensation(top),
        _move(t(1.2), 0, "pending", "intent", "absent: create it"),
        _move(t(8), 0, "intent", "succeeded", "created"),
        _move(t(9), 1, "pending", "intent", "absent: create it"),
        _move(t(13), 1, "intent", "succeeded", "created"),
        _move(t(9), 2, "pending", "intent", "absent: create it"),
        _move(t(10), 2, "intent", "submitted", ""),
        _move(t(9.5), 3, "pending", "intent", "absent: create it"),
    ]
    return Deployment(top, steps, audit, ("cancel",))


def compensated(number: int = 1) -> Deployment:
    """Return a deployment whose last step was refused, and that was rolled back."""
    at = now()
    accepted = at - timedelta(minutes=12)
    error = RecordedError(
        "The item type CrystalBall is not valid.",
        "Correct what Fabric refused; the request id helps Microsoft's support find the call.",
        f"GET /workspaces/{GUID}/items",
        400,
        "InvalidItemType",
        "932867d7-d6a6-4353-9611-8814ce88f3e7",
    )
    top = header(
        number,
        D.COMPENSATED,
        at,
        accepted_at=accepted,
        started_at=accepted + timedelta(seconds=0.2),
        finished_at=accepted + timedelta(seconds=20),
        error=RecordedError("step forecast: The item type CrystalBall is not valid.", error.remedy),
    )
    own, t = top.deployment_id, _after(accepted)
    made = Intent(IntentAction.CREATE, "[saga:0123456789ab]")

    def rolled_back(ordinal: int, name: str, a: float, b: float, c: float, d: float, **changes: Any) -> Any:
        resource = Resource("Lakehouse", GUID, name, GUID)
        times = {"started_at": t(a), "finished_at": t(b), "compensation_started_at": t(c)}
        end = {"compensation_finished_at": t(d), "intent": made, "resource": resource}
        return step(own, ordinal, name, S.COMPENSATED, **{**times, **end, **changes})

    steps = [
        rolled_back(0, "workspace", 0.6, 8.6, 17.4, 19.8, kind="workspace"),
        rolled_back(1, "bronze", 9.0, 13.2, 15.6, 17.2, needs=(0,)),
        rolled_back(2, "silver", 9.1, 13.4, 15.6, 16.9, needs=(0,)),
        step(
            own,
            3,
            "forecast",
            S.COMPENSATED,
            kind="item",
            needs=(1, 2),
            error=error,
            started_at=t(13.9),
            finished_at=t(14.5),
            compensation_finished_at=t(15),
        ),
    ]
    audit = [
        *_start_compensation(top),
        _move(t(1.4), 0, "pending", "intent", "absent: create it"),
        _move(t(8.6), 0, "intent", "succeeded", "created"),
        _move(t(9.6), 1, "pending", "intent", "absent: create it"),
        _move(t(9.7), 2, "pending", "intent", "absent: create it"),
        _move(t(13.2), 1, "intent", "succeeded", "created"),
        _move(t(13.4), 2, "intent", "succeeded", "created"),
        _move(t(14.5), 3, "pending", "failed", error.message),
        AuditEntry(t(14.6), "deployment", "running", "compensating", "orchestrator", "a step failed", 2),
        _move(t(19.8), 0, "compensating", "compensated", "deleted"),
        AuditEntry(t(20), "deployment", "compensating", "compensated", "orchestrator", "every step is compensated", 3),
    ]
    return Deployment(top, steps, audit, ())


def stuck(number: int = 2) -> Deployment:
    """Return a deployment whose workspace cannot be deleted, because another actor put an item into it."""
    at = now()
    top = header(number, D.STUCK, at, accepted_at=at - timedelta(hours=3), started_at=at - timedelta(hours=3))
    t = _after(top.accepted_at)
    error = RecordedError(
        "workspace 'contoso-sales' holds 2 items that this deployment did not make",
        "Move or delete them; then the sweeper deletes the rest.",
    )
    steps = [
        step(
            top.deployment_id,
            0,
            "workspace",
            S.COMPENSATION_FAILED,
            kind="workspace",
            attempt=10,
            intent=Intent(IntentAction.CREATE, "[saga:0123456789ab]"),
            resource=Resource("Workspace", GUID, "contoso-sales"),
            compensation_error=error,
            started_at=t(1),
            finished_at=t(8),
            compensation_started_at=t(20),
            compensation_finished_at=t(900),
        )
    ]
    audit = [
        *_start_compensation(top),
        _move(t(20), 0, "succeeded", "compensating", "compensate it"),
        _move(t(900), 0, "compensating", "compensation_failed", error.message),
        AuditEntry(t(901), "deployment", "compensating", "stuck", "orchestrator", "a compensation failed", 4),
    ]
    return Deployment(top, steps, audit, ("compensate", "release"))


def held(number: int = 3) -> Deployment:
    """Return a deployment that is held after a failed step."""
    at = now()
    top = header(number, D.HELD, at, on_failure=OnFailure.HOLD)
    error = RecordedError("The capacity is paused.", "Resume the capacity, then resume the deployment.", status=400)
    own, t = top.deployment_id, _after(top.accepted_at)
    steps = [
        step(own, 0, "workspace", S.SUCCEEDED, kind="workspace", started_at=t(1), finished_at=t(4)),
        step(own, 1, "bronze", S.FAILED, needs=(0,), error=error, started_at=t(4.5), finished_at=t(5)),
    ]
    return Deployment(top, steps, _start_compensation(top), ("resume", "compensate", "cancel"))


def hostile(number: int = 4) -> Deployment:
    """Return a deployment in which every text that others choose tries to harm or to mislead."""
    top = header(
        number,
        D.RUNNING,
        now(),
        name=SCRIPT,
        target=HOSTILE[1],
        requested_by=HOSTILE[2],
        error=RecordedError(SCRIPT, HOSTILE[3]),
        problems=({"path": SCRIPT, "message": HOSTILE[1]},),
    )
    steps = [
        step(
            top.deployment_id,
            i,
            text,
            S.FAILED,
            kind="item",
            started_at=top.accepted_at,
            finished_at=now(),
            resource=Resource(text, text, text, text),
            error=RecordedError(text, text, text, 400, text, text),
        )
        for i, text in enumerate(HOSTILE)
    ]
    gate = step(top.deployment_id, len(steps), SCRIPT, S.PENDING, kind="approval", started_at=top.started_at)
    steps.append(gate)
    audit = [AuditEntry(now(), "deployment", "", text, text, text, i) for i, text in enumerate(HOSTILE)]
    return Deployment(top, steps, audit, ("cancel", "approve"))


def world() -> World:
    """Return a world with one deployment of each kind, and a few more."""
    made = World()
    for scene in (running(), compensated(), stuck(), held(), hostile()):
        scene.parts.update({"workspace": "a" * 64, "bronze": hashlib.sha256(scene.header.name.encode()).hexdigest()})
        made.add(scene)
    states = [D.SUCCEEDED, D.REJECTED, D.CANCELLED, D.COMPENSATING, D.ACCEPTED, D.FAILED]
    for number, state in enumerate(states, 5):
        made.add(Deployment(header(number, state, now())))
    made.breakers = [
        {
            "name": "items",
            "state": "open",
            "failures": 5,
            "reason": "HTTP 503",
            "opened_at": now().isoformat(),
            "is_shared": True,
        }
        | {"retry_at": (now() + timedelta(seconds=300)).isoformat()},
        {"name": "workspaces", "state": "closed", "failures": 0, "reason": "", "is_shared": True},
        {"name": "operations", "state": "half_open", "failures": 6, "reason": "no answer", "is_shared": False},
    ]
    made.orphans = [
        {
            "deployment_id": "build-1",
            "step_id": SCRIPT,
            "resource": {"type": "Lakehouse", "id": GUID, "name": HOSTILE[1], "parent_id": GUID},
        }
    ]
    made.health = {
        "status": "warn",
        "checks": {
            "storage:responseTime": [{"status": "pass", "observedValue": 0.012, "observedUnit": "s"}],
            "fabric:credential": [{"status": "pass", "observedValue": 0.2, "observedUnit": "s"}],
            "breakers:state": [
                {"componentId": "items", "status": "warn", "observedValue": "open", "output": "HTTP 503"},
                {"componentId": "operations", "status": "warn", "observedValue": "half_open"},
                {"componentId": "workspaces", "status": "pass", "observedValue": "closed"},
            ],
            "sweep:orphans_left": [{"status": "warn", "observedValue": 1, "observedUnit": "deployments"}],
            "queues:poison": [{"status": "warn", "observedValue": 3, "observedUnit": "messages", "output": SCRIPT}],
        },
    }
    return made


def many(number: int) -> World:
    """Return a world with this many deployments, a few of them open."""
    made, at = World(), now()
    ended = [D.SUCCEEDED, D.SUCCEEDED, D.SUCCEEDED, D.COMPENSATED, D.CANCELLED, D.REJECTED]
    for i in range(number):
        state = D.RUNNING if i in (0, 3) else D.STUCK if i == 777 else ended[i * 7 % 6]
        made.add(Deployment(header(i, state, at)))
    return made


def _after(zero: datetime | None) -> Any:
    assert zero is not None
    return lambda seconds: zero + timedelta(seconds=seconds)


def _wait(since: datetime, seconds: float) -> dict[str, str]:
    return {"since": since.isoformat(), "until": (since + timedelta(seconds=seconds)).isoformat()}


def _start_compensation(top: Any) -> list[AuditEntry]:
    assert (top.state in DEPLOYMENT_ENDED) == (top.finished_at is not None)
    return [
        AuditEntry(top.accepted_at, "deployment", "", "accepted", "accept", "submitted", 0),
        AuditEntry(top.started_at, "deployment", "accepted", "running", "orchestrator", "holds its target", 1),
    ]


def _move(at: datetime, ordinal: int, before: str, after: str, reason: str) -> AuditEntry:
    return AuditEntry(at, f"step_{ordinal:05d}", before, after, "engine", reason, 1)
