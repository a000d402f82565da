"""Promotion: only what the stage before deployed, and only if that succeeded."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local.paths import ROOT
from shared.cli import pack
from shared.cli.stored import StoredFiles
from shared.domain.inputs import with_values
from shared.domain.json import canonical
from shared.domain.manifest import compile_manifest
from shared.domain.ports import Change
from shared.domain.states import DeploymentState as D
from shared.saga.payloads import Payloads
from shared.saga.submission.acceptance import Acceptance, Submission
from shared.saga.submission.promotion import parts_of
from shared.steps import KINDS
from tests.fake_journal import MemoryJournal
from tests.fakes import FakeClock, MemoryBlobs

MANIFEST: dict[str, Any] = {
    "name": "sales",
    "target": "sales-${{ inputs.stage }}",
    "inputs": {"stage": {"value": "test"}},
    "steps": [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": "sales-${{ inputs.stage }}"}},
        {"id": "go", "kind": "approval", "with": {"message": "Go?"}},
        {
            "id": "bronze",
            "kind": "lakehouse",
            "with": {"workspaceId": "${{ steps.workspace.outputs.id }}", "displayName": "bronze"},
        },
    ],
}


class App:
    """An app that accepts, with a deployment `test` in the stage before."""

    def __init__(self, state: D = D.SUCCEEDED) -> None:
        self.clock, self.blobs = FakeClock(), MemoryBlobs()
        self.journal = MemoryJournal(self.clock)
        payloads = Payloads(self.blobs)
        self.acceptance = Acceptance(self.journal, self.blobs, payloads, self.clock, KINDS)
        self.submit("test", MANIFEST)
        self.acceptance.keep(MANIFEST)
        for step in (D.RUNNING, state):
            self.move(step)

    def move(self, state: D) -> None:
        """Move the deployment of the stage before."""
        before = self.journal.header("test")
        if before.record.state is not state:
            self.journal.write_header(Change(before, before.record.replace(state=state), "test", ""))

    def submit(self, deployment_id: str, manifest: dict[str, Any]) -> Any:
        """Submit a manifest, and return its header."""
        return self.acceptance.submit(Submission(deployment_id, manifest)).header


def promotion(**changes: Any) -> dict[str, Any]:
    """Return the manifest for the next stage."""
    return {**copy.deepcopy(MANIFEST), "inputs": {"stage": {"value": "prod"}}, "promotes": "test", **changes}


def test_promotion_has_the_parts_of_its_source() -> None:
    """Values, labels and approvals may differ between stages. Repeated, it is the same deployment."""
    app = App()
    manifest = promotion(labels={"stage": "prod"})
    manifest["steps"][1]["with"]["message"] = "Figures checked?"
    header = app.submit("prod", manifest)
    assert (header.state, header.target, header.promotes) == (D.ACCEPTED, "sales-prod", "test")
    app.move(D.COMPENSATING)
    assert app.submit("prod", manifest).state is D.ACCEPTED, "what is accepted stays accepted"


@pytest.mark.parametrize("state", [D.RUNNING, D.HELD, D.FAILED, D.COMPENSATING])
def test_promotion_of_what_did_not_succeed_is_rejected(state: D) -> None:
    header = App(state).submit("prod", promotion())
    assert header.state is D.REJECTED
    [problem] = header.problems
    assert problem["path"] == "$.promotes"
    assert f"test is {state.value}: only a deployment that succeeded" in problem["message"]


def test_promotion_of_something_else_names_what_differs() -> None:
    """A changed step, one that is new and one that is missing."""
    manifest = promotion()
    manifest["steps"][0]["with"]["description"] = "by hand"
    manifest["steps"][2]["id"] = "silver"
    header = App().submit("prod", manifest)
    assert header.state is D.REJECTED
    text = header.problems[0]["message"]
    assert "bronze is missing, silver is not in the source, workspace differs; submit the same files" in text


def test_promotion_of_nothing_is_rejected() -> None:
    """An unknown deployment, and one whose manifest is no longer stored."""
    app = App()
    assert "there is no deployment 'nobody'" in app.submit("p1", promotion(promotes="nobody")).problems[0]["message"]
    app.acceptance = Acceptance(app.journal, MemoryBlobs(), app.acceptance.payloads, app.clock, KINDS)
    assert "is no longer stored" in app.submit("p2", promotion()).problems[0]["message"]


def item(template: str, **changes: Any) -> dict[str, Any]:
    """Return a manifest with one item of a repository."""
    row = {"type": "Notebook", "displayName": "n", "folder": "/a", "template": template, **changes}
    return {"name": "m", "steps": [{"id": "content", "kind": "repository", "with": {"items": [row]}}]}


def test_parts_of_a_repository_are_its_files_before_their_parameters() -> None:
    """Another environment replaces other texts in the same files, so the parts are the same; other files are not."""
    blobs = MemoryBlobs()

    def template(digest: str, value: str) -> str:
        rows = [{"path": "a.py", "sha256": digest, "size": 1, "is_text": True, "replacements": [value]}]
        return blobs.put(canonical({"format": None, "parts": rows}).encode())

    test, prod = template("1" * 64, "test"), template("1" * 64, "prod")
    assert test != prod
    assert parts_of(item(test), blobs) == parts_of(item(prod, refs=[{"kind": "workspace"}]), blobs)
    assert list(parts_of(item(test), blobs)) == ["content/Notebook/n"]
    assert parts_of(item(test), blobs) != parts_of(item(template("2" * 64, "test")), blobs)
    assert parts_of(item(test), blobs) != parts_of(item(test, folder="/b"), blobs)


def repository(environment: str, blobs: MemoryBlobs, folder: Path = ROOT / "examples" / "repository") -> Any:
    """Return the manifest of the example, or of another folder, as the command line packs and stores it."""
    stored = StoredFiles()
    spec = {"workspaceId": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01", "path": "workspace", "environment": environment}
    data = {"name": "m", "steps": [{"id": "content", "kind": "repository", "with": spec}]}
    whole = pack.packed(data, folder, stored=stored)
    stored.send(blobs)
    return whole


def test_parts_of_a_packed_repository_are_the_same_in_each_environment() -> None:
    """The command line stores small templates together, and those of two environments differ."""
    blobs = MemoryBlobs()
    test, prod = repository("TEST", blobs), repository("PROD", blobs)
    assert test != prod
    assert "content/Notebook/Join" in parts_of(test, blobs)
    assert parts_of(test, blobs) == parts_of(prod, blobs)


def test_values_of_an_environment_are_no_difference(tmp_path: Path) -> None:
    """An entry without a filter applies to every file, also to schedules and shortcuts; the connection of a semantic
    model is that of the environment. A changed file of either is a difference."""
    shutil.copytree(ROOT / "examples" / "repository" / "workspace", tmp_path / "workspace")
    notebook = next((tmp_path / "workspace").rglob("Join*.Notebook"))
    ids = ("0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01", "1f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01")
    (tmp_path / "workspace/parameter.yml").write_text(
        "find_replace:\n- find_value: dev\n  replace_value: {TEST: test, PROD: prod}\n"
        f"semantic_model_binding: {{default: {{connection_id: {{TEST: {ids[0]}, PROD: {ids[1]}}}}}}}\n"
    )
    plan = {"type": "Cron", "interval": 60, "localTimeZoneId": "UTC"}
    plan |= {"startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2027-01-01T00:00:00Z"}
    schedules = notebook / ".schedules"
    schedules.write_text(json.dumps({"schedules": [{"enabled": True, "configuration": plan}]}))
    links = tmp_path / "workspace/Storage/sales.Lakehouse/shortcuts.metadata.json"
    target = {"adlsGen2": {"connectionId": ids[0], "location": "https://dev.dfs.core.windows.net", "subpath": "/a"}}
    links.write_text(json.dumps([{"name": "a", "path": "Tables", "target": target}]))
    blobs = MemoryBlobs()

    def parts(environment: str) -> dict[str, str]:
        return parts_of(repository(environment, blobs, tmp_path), blobs)

    test = parts("TEST")
    assert test == parts("PROD")
    schedules.write_text(json.dumps({"schedules": [{"enabled": False, "configuration": plan}]}))
    links.write_text("[]")
    now = parts("PROD")
    changed = {name for name in test if test[name] != now[name]}
    assert changed == {"content/Notebook/Join", "content/Lakehouse/sales"}


def test_parts_of_packed_files_are_the_same_with_other_inputs(tmp_path: Path) -> None:
    """An item's folder and a file of principals are packed, and the fields beside them keep their inputs."""
    guids = ("0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01", "1f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01")
    (tmp_path / "a.Notebook").mkdir()
    (tmp_path / "a.Notebook" / "notebook-content.py").write_text("x")
    (tmp_path / "a.Notebook" / ".platform").write_text('{"metadata": {"type": "Notebook", "displayName": "a"}}')
    (tmp_path / "team.csv").write_text(f"principal_id,type,role,description\n{guids[0]},Group,Viewer,\n")
    place = {"workspaceId": "${{ inputs.workspace }}"}
    steps = [
        {"id": "a", "kind": "item", "with": {**place, "folder": "a.Notebook", "displayName": "a ${{ inputs.stage }}"}},
        {"id": "team", "kind": "principals", "with": {**place, "file": "team.csv"}},
    ]
    data = {"name": "m", "inputs": {"workspace": {}, "stage": {}}, "steps": steps}
    values = [{"workspace": guid, "stage": stage} for guid, stage in zip(guids, ("test", "prod"), strict=True)]
    test, prod = (pack.packed(with_values(copy.deepcopy(data), each), tmp_path) for each in values)
    graph = compile_manifest(prod, KINDS)
    assert {step.spec["workspaceId"] for step in graph.steps} == {guids[1]}
    assert graph.steps[0].spec["displayName"] == "a prod"
    assert parts_of(test, MemoryBlobs()) == parts_of(prod, MemoryBlobs())


@pytest.mark.parametrize(
    "content", [b"hello", b"[1]", b"{}", b'{"parts": [{}]}', b'{"parts": [{"path": "a"}]}', b"\xff"]
)
def test_promotion_whose_template_is_something_else_is_rejected(content: bytes) -> None:
    """A caller who may submit may store any content under its hash."""
    app = App()
    manifest: dict[str, Any] = {**repository("PROD", app.blobs), "promotes": "test"}
    rows: list[dict[str, Any]] = manifest["steps"][0]["with"]["items"]
    row = next(each for each in rows if each["displayName"] == "Join")
    row.update(template=app.blobs.put(content), bundle=None)
    header = app.submit("prod", manifest)
    assert header.state is D.REJECTED
    assert "the list of the files of content/Notebook/Join is not stored" in header.problems[0]["message"]
