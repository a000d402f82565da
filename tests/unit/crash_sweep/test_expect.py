"""The expectations of the crash sweep: a correct run has no violation, and each possible deviation is one."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from local.crash_sweep import expect
from local.crash_sweep.manifests import NAMES, Manifest
from shared.domain.approval import APPROVAL
from shared.domain.records import AuditEntry, DeploymentRecord, Resource, StepRecord
from shared.domain.states import DeploymentState, StepState
from shared.steps import KINDS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = "sweep-0123abcd"
MEDALLION, FAILING = Manifest.load("medallion"), Manifest.load("failing")
ROLES = [{"id": i, "type": "Group", "role": "Viewer"} for i in [*MEDALLION.roles, "maker"]]
NOBODY: dict[str, Any] = {"workspaces": [{"id": "f", "displayName": "foreign", "items": []}], "deleted": []}
CALLS = [
    {"method": "POST", "path": path, "effect": True}
    for path in ["/v1/workspaces", *["/v1/workspaces/w/lakehouses"] * 3, *["/v1/workspaces/w/roleAssignments"] * 3]
]


def whole() -> dict[str, Any]:
    """Return Fabric as the medallion leaves it."""
    items = [{"id": f"i-{name}", "displayName": name, "definition": None} for name in MEDALLION.items]
    own = {"id": "w", "displayName": ID, "items": items, "roleAssignments": ROLES}
    return {"workspaces": [*NOBODY["workspaces"], own], "deleted": []}


def steps(state: StepState = StepState.SUCCEEDED) -> list[StepRecord]:
    """Return the journal's rows, each with a resource."""
    ids = ["w", *(f"i-{name}" for name in MEDALLION.items), *MEDALLION.roles]
    return [
        StepRecord(ID, n, f"s{n}", "item", {}, (), {}, 60.0, state=state, resource=Resource("T", i, i))
        for n, i in enumerate(ids)
    ]


def header(state: DeploymentState = DeploymentState.SUCCEEDED, count: int = 7) -> DeploymentRecord:
    """Return the header at the end."""
    return DeploymentRecord(ID, "medallion", ID, state, "hash", NOW, step_count=count)


def fabric(state: dict[str, Any], calls: list[dict[str, Any]] = CALLS, manifest: Manifest = MEDALLION) -> str:
    """Return all violations in one text."""
    return "\n".join(expect.fabric(manifest, ID, NOBODY, state, calls, steps()))


def move(subject: str, before: str, after: str, sequence: int) -> AuditEntry:
    return AuditEntry(NOW, subject, before, after, "engine", "", sequence)


def test_fabric_after_a_correct_run_has_no_violation() -> None:
    """A success leaves everything, a rollback nothing."""
    assert fabric(whole()) == ""
    assert fabric(NOBODY, manifest=FAILING) == ""


def test_fabric_with_a_missing_doubled_or_foreign_resource_is_a_violation() -> None:
    less = whole()
    less["workspaces"][1]["items"].pop()
    assert "instead of" in fabric(less)
    assert "are 2 workspaces instead" in fabric(
        {**whole(), "workspaces": [*whole()["workspaces"], whole()["workspaces"][1]]}
    )
    assert "does not belong to the deployment" in fabric({**whole(), "workspaces": whole()["workspaces"][1:]})
    assert "not as it was" in fabric(whole(), manifest=FAILING)
    assert "created" in fabric(whole(), [*CALLS, CALLS[1]])
    strange = {"id": "x", "type": "Lakehouse", "displayName": "gold"}
    assert "is not in the journal" in fabric({**NOBODY, "deleted": [strange]}, manifest=FAILING)
    delete = {"method": "DELETE", "path": "/v1/workspaces/w", "effect": True}
    assert "took effect 2 times" in fabric(NOBODY, [*CALLS, delete, delete], FAILING)


def test_journal_that_is_not_finished_is_a_violation() -> None:
    """The header's state, every step's state and the number of steps are compared."""
    assert list(expect.journal(MEDALLION, header(), steps())) == []
    assert "is running" in "".join(expect.journal(MEDALLION, header(DeploymentState.RUNNING), steps()))
    assert "is intent" in "".join(expect.journal(MEDALLION, header(), steps(StepState.INTENT)))
    assert "7 steps of 8" in "".join(expect.journal(MEDALLION, header(count=8), steps()))
    rolled_back, rows = header(DeploymentState.COMPENSATED), steps(StepState.SKIPPED)
    rows[3] = rows[3].replace(is_always=True)
    assert list(expect.journal(FAILING, rolled_back, rows)) == ["step s3 runs always, and did not begin"]


def test_audit_must_replay_to_the_journal_by_legal_moves() -> None:
    """Gaps, illegal moves, repetitions and another end are each named."""
    row = steps()[:1]
    deployment = [
        move("deployment", "", "accepted", 0),
        move("deployment", "accepted", "running", 1),
        move("deployment", "running", "succeeded", 2),
    ]
    good = [*deployment, move("step_00000", "pending", "intent", 1), move("step_00000", "intent", "succeeded", 2)]
    assert list(expect.audit(good, header(), row)) == []

    def wrong(entries: list[AuditEntry]) -> str:
        return "\n".join(expect.audit(entries, header(), row))

    assert "starts in the state pending" in wrong([*deployment, good[-1]])
    assert "is not legal" in wrong([*deployment, move("step_00000", "pending", "submitted", 1)])
    assert "in the audit twice" in wrong([*good, move("deployment", "succeeded", "succeeded", 2)])
    assert "the journal at succeeded" in wrong(good[:-1])
    assert "not in the journal" in wrong([*good, move("step_00009", "pending", "intent", 1)])


def test_manifests_have_an_eventhouse_a_dataflow_an_environment_and_a_cleanup() -> None:
    """They are created beside items that Fabric adds, and an environment is restored; no other item is expected. A job
    runs after the failure."""
    companions, restoring = Manifest.load("companions"), Manifest.load("restoring")
    assert companions.items == ["compute", "prices", "tables_of", "telemetry", "tidy"]
    assert companions.creations == Counter({"workspaces": 1, "items": 4, "lakehouses": 1})
    assert (restoring.items, restoring.creations) == (["fresh"], Counter({"items": 1}))
    types = {
        s["with"]["type"] for s in [*companions.content["steps"], *restoring.content["steps"]] if "type" in s["with"]
    }
    assert types >= {"Eventhouse", "Dataflow", "Environment"}
    assert Manifest.load("settings").creations == Counter({"warehouses": 1, "shortcuts": 1, "folders": 1})
    assert MEDALLION.creations == Counter({"workspaces": 1, "lakehouses": 3, "roleAssignments": 3})
    assert [s["id"] for s in companions.content["steps"] if s["with"].get("when") == "always"] == ["cleanup"]


def test_manifests_have_every_kind_whose_steps_call_fabric() -> None:
    """A new kind belongs into one of the manifests of the sweep. An approval calls nothing."""
    steps = [step for name in NAMES for step in Manifest.load(name).content["steps"]]
    assert KINDS.keys() - {step["kind"] for step in steps} == {APPROVAL}
