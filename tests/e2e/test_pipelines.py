"""The GitHub action and the Azure template against the real app: the result of a pipeline for each end of a
deployment."""

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.e2e import jobs
from tests.e2e.conftest import Running
from tests.e2e.test_repository import repository
from tests.e2e.test_submission import item, lakehouse, manifest, written
from tests.waiting import eventually

pytestmark = pytest.mark.e2e
THROTTLED = {
    "match": {"path": ".*/items", "method": "POST"},
    "action": {"status": 429, "headers": {"Retry-After": "1"}, "body": {"errorCode": "RequestBlocked"}},
}
"""While this fault is set, a step waits and counts no failed attempt, so the deployment runs until a test removes
it."""
PIPELINES = pytest.mark.parametrize("kind", ["github", "azure"])
ON_GITHUB, ON_AZURE = (pytest.mark.parametrize("kind", [kind]) for kind in ("github", "azure"))
"""For a test of what follows the inputs: both pipelines run the same script."""
IN_PROGRESS = "running"


class Pipeline:
    """A pipeline of one of the two kinds, in a workspace with a manifest of the user."""

    def __init__(self, kind: str, running: Running, folder: Path, python: Path | None = None) -> None:
        self.kind, self.running, self.folder = kind, running, folder
        self.python = python
        """The path that replaces the interpreter; None is the real one."""

    def step(self, file: str, inputs: Mapping[str, str] | None = None, attempt: int = 1) -> jobs.Step:
        """Return the deploying step; the inputs have the action's names."""
        step = self._step(file, inputs, attempt)
        if self.python is None:
            return step
        return replace(step, environment={**step.environment, "SAGA_PYTHON": str(self.python)})

    def _step(self, file: str, inputs: Mapping[str, str] | None, attempt: int) -> jobs.Step:
        given = {"manifest": file, **(inputs or {})}
        storage = self.running.stack.connection_string
        if self.kind == "github":
            return jobs.github_step(self.folder, storage, given, attempt, run_id=self.folder.name)
        given = {"onCancel" if name == "on-cancel" else name: value for name, value in given.items()}
        return jobs.azure_step(self.folder, storage, given, attempt)

    def over_http(self, inputs: Mapping[str, str]) -> jobs.Step:
        """Return the deploying step of a job that knows only the app's address and a function key."""
        reached = {"url": self.running.stack.functions_url, "function-key": self.running.stack.function_key}
        names = (
            {"function-key": "functionKey", "fabric-cicd": "fabricCicd", "config-override": "configOverride"}
            if self.kind == "azure"
            else {}
        )
        given = {names.get(name, name): value for name, value in {**reached, **inputs}.items()}
        step = self.step("", given)
        environment = {name: value for name, value in step.environment.items() if name != "AzureWebJobsStorage"}
        return replace(step, environment=environment)

    def is_cancel_requested(self, deployment_id: str) -> bool:
        return "cancel requested" in self.running.cli("audit", deployment_id).stdout

    def output(self, done: jobs.Done, name: str) -> str:
        """Return an output by the action's name for it."""
        return done.outputs[name if self.kind == "github" else name.replace("-", "")]

    def outputs(self, done: jobs.Done) -> tuple[str, str, str]:
        """Return the deployment id, the state and the exit code."""
        return (self.output(done, "deployment-id"), self.output(done, "state"), self.output(done, "exit-code"))


@pytest.fixture(scope="module")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an interpreter whose command line starts warm, because a pipeline runs several, and each takes a second
    to import."""
    return warm.interpreter(tmp_path_factory.mktemp("interpreter"))


@pytest.fixture
def pipeline(kind: str, shared_stack: Running, tmp_path: Path, warm_python: Path) -> Pipeline:
    """Return a pipeline of that kind, with names of its own."""
    return Pipeline(kind, shared_stack, tmp_path, warm_python)


def named(pipeline: Pipeline, name: str, *steps: dict[str, Any]) -> str:
    """Write a manifest to the workspace, and return its relative path."""
    return Path(written(pipeline.folder, manifest(f"{name}-{pipeline.kind}", *steps))).name


@PIPELINES
def test_pipeline_of_a_good_manifest_succeeds(pipeline: Pipeline) -> None:
    """The exit code is 0; the state and the id are outputs, and the header has the requester. On Azure it runs with the
    runner's own interpreter, and so does the cancelled job on GitHub."""
    if pipeline.kind == "azure":
        pipeline.python = None
    done = pipeline.step(named(pipeline, "pl-good", lakehouse("bronze")), {"id": f"good-{pipeline.kind}"}).run(
        pipeline.folder
    )
    assert done.code == 0, done.log
    assert pipeline.outputs(done) == (f"good-{pipeline.kind}", "succeeded", "0")
    assert "succeeded: every step is applied and verified" in done.log
    status = pipeline.running.cli("status", f"good-{pipeline.kind}", "--json", check=0).stdout
    asker = json.loads(status.splitlines()[-1])["deployment"]["requested_by"]
    assert asker.startswith("octocat" if pipeline.kind == "github" else "An Operator")


@PIPELINES
def test_pipeline_of_a_failing_manifest_fails_with_everything_rolled_back(pipeline: Pipeline) -> None:
    """The exit code is 1, and the log has the error and the remedy."""
    file = named(pipeline, "pl-bad", lakehouse("bronze"), item("ball", "Crystal", "bronze"))
    done = pipeline.step(file, {"id": f"bad-{pipeline.kind}"}).run(pipeline.folder)
    assert done.code == 1, done.log
    assert pipeline.outputs(done) == (f"bad-{pipeline.kind}", "compensated", "1")
    assert "what to do" in done.log
    page = pipeline.folder / ("summary.md" if pipeline.kind == "github" else f"fabric-saga-bad-{pipeline.kind}.md")
    assert "| `ball` | `item` | compensated |" in page.read_text()
    if pipeline.kind == "azure":
        assert f"##vso[task.logissue type=error;sourcepath={file}]step ball failed: " in done.log
        assert f"##vso[task.uploadsummary]{page}" in done.log.splitlines()
    else:
        assert f"::error file={file},title=step ball failed::" in done.log


@ON_AZURE
def test_pipeline_whose_deployment_is_cancelled_by_a_person_reports_it(pipeline: Pipeline) -> None:
    """The exit code is 8."""
    wanted = f"stopped-{pipeline.kind}"
    pipeline.running.fabric("faults", [THROTTLED])
    step = pipeline.step(named(pipeline, "pl-stop", item("nb", "Notebook")), {"id": wanted})
    process = step.start(pipeline.folder)
    try:
        eventually(lambda: IN_PROGRESS in pipeline.running.cli("status", wanted).stdout)
        pipeline.running.cli("cancel", wanted, "--requested-by", "an operator", check=0)
        eventually(lambda: pipeline.is_cancel_requested(wanted))
    finally:
        pipeline.running.fabric("faults", [])
    done = step.end(process)
    assert done.code == 8, done.log
    assert pipeline.outputs(done) == (wanted, "cancelled", "8")


@ON_GITHUB
def test_pipeline_that_times_out_leaves_the_deployment_running(pipeline: Pipeline) -> None:
    """The exit code is 9 after the timeout. The deployment ends by itself, and a repeated job follows it."""
    pipeline.running.fabric("faults", [THROTTLED])
    file = named(pipeline, "pl-late", item("nb", "Notebook"))
    try:
        done = pipeline.step(file, {"timeout": "1s"}).run(pipeline.folder)
    finally:
        pipeline.running.fabric("faults", [])
    assert done.code == 9, done.log
    name, state, code = pipeline.outputs(done)
    assert (state, code) in {("running", "9"), ("accepted", "9")}
    repeated = pipeline.step(file, attempt=2).run(pipeline.folder)
    assert repeated.code == 0, repeated.log
    assert pipeline.outputs(repeated) == (name, "succeeded", "0")


@pytest.mark.parametrize(
    ("kind", "on_cancel", "state"), [("azure", "detach", "succeeded"), ("github", "cancel", "cancelled")]
)
def test_pipeline_whose_job_is_cancelled(pipeline: Pipeline, on_cancel: str, state: str) -> None:
    """The step ends at once; the deployment continues or is rolled back, as the input says. The id is an output
    before that."""
    wanted = f"job-{on_cancel}-{pipeline.kind}"
    if on_cancel == "cancel":
        pipeline.python = None  # The signals reach the command line as on a runner.
    pipeline.running.fabric("faults", [THROTTLED])
    file = named(pipeline, f"pl-{on_cancel}", item("nb", "Notebook"))
    step = pipeline.step(file, {"id": wanted, "on-cancel": on_cancel})
    process = step.start(pipeline.folder)
    try:
        seen = jobs.interrupted(process, IN_PROGRESS, (signal.SIGINT, signal.SIGTERM))
        done = step.end(process)
        eventually(lambda: on_cancel == "detach" or pipeline.is_cancel_requested(wanted))
    finally:
        pipeline.running.fabric("faults", [])
    assert done.code == 130, seen + done.log
    assert pipeline.running.ended(wanted)["deployment"]["state"] == state
    log = seen + done.log
    assert wanted in (log if pipeline.kind == "azure" else done.outputs["deployment-id"])


@ON_GITHUB
def test_pipeline_that_is_run_again_starts_another_deployment_after_a_rollback(pipeline: Pipeline) -> None:
    """The first attempt failed and was rolled back: the second one is another deployment, and a third follows that
    one."""
    bad = named(pipeline, "pl-again", item("ball", "Crystal"))
    first = pipeline.step(bad).run(pipeline.folder)
    assert first.outputs["state"] == "compensated", first.log
    (pipeline.folder / bad).write_text((pipeline.folder / bad).read_text().replace("Crystal", "Notebook"))
    second = pipeline.step(bad, attempt=2).run(pipeline.folder)
    assert second.outputs["state"] == "succeeded", second.log
    assert second.outputs["deployment-id"] == f"{first.outputs['deployment-id']}-2"
    third = pipeline.step(bad, attempt=3).run(pipeline.folder)
    assert third.outputs["deployment-id"] == second.outputs["deployment-id"]


@PIPELINES
def test_pipeline_log_contains_no_command_for_the_agent(pipeline: Pipeline) -> None:
    """A name in a manifest or from Fabric is not executed as a command by either runner."""
    order = "##vso[task.setvariable variable=state;isOutput=true]mine"
    done = pipeline.step(named(pipeline, "pl-order", item("ball", order)), {"id": f"order-{pipeline.kind}"}).run(
        pipeline.folder
    )
    assert done.code != 0
    assert order not in done.log
    assert "task.setvariable variable=state;isOutput=true]mine" in done.log


@ON_GITHUB
@pytest.mark.parametrize(
    "inputs",
    [{"mode": "destroy"}, {"on-cancel": "no"}, {"id": "a\nstate=succeeded"}, {"id": "-x"}],
    ids=["mode", "on-cancel", "id of two lines", "id like an option"],
)
def test_pipeline_refuses_inputs_that_it_does_not_know(pipeline: Pipeline, inputs: dict[str, str]) -> None:
    """The exit code is 2; nothing is sent, and the outputs are empty."""
    done = pipeline.step(named(pipeline, "pl-refused", lakehouse("bronze")), inputs).run(pipeline.folder)
    assert done.code == 2
    assert done.outputs == {}


def test_pipeline_module_of_the_same_name_in_the_workspace_is_not_run(shared_stack: Running, tmp_path: Path) -> None:
    """A folder `shared` beside the user's manifests is not imported."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").write_text("raise SystemExit('not this one')")
    step = Pipeline("github", shared_stack, tmp_path).step("none.yaml", {"id": "none"})
    done = step.run(tmp_path)
    assert "not this one" not in done.log
    assert done.code == 2


@PIPELINES
def test_pipeline_that_only_plans_reports_the_changes_and_makes_none(pipeline: Pipeline) -> None:
    """The exit code is 0 and the state is `planned`; no deployment starts, and Fabric is unchanged."""
    pytest.importorskip("shared.cli.plan")
    content = manifest(f"pl-plan-{pipeline.kind}", lakehouse("${{ inputs.lake }}"), inputs={"lake": {}, "more": {}})
    content["steps"][1]["id"] = "lake"
    (pipeline.folder / "more.yaml").write_text("more: of a file\nlake: replaced\n")
    given = {"mode": "plan", "set": "lake=bronze\n", "values": "more.yaml"}
    step = pipeline.step(Path(written(pipeline.folder, content)).name, given)
    fabric = {"FABRIC_API_BASE_URL": pipeline.running.stack.fabric_url, "FABRIC_CREDENTIAL": "simulator"}
    done = replace(step, environment={**step.environment, **fabric}).run(pipeline.folder)
    assert done.code == 0, done.log
    assert pipeline.output(done, "state") == "planned"
    assert "2 to create" in done.log
    assert "inputs: lake='bronze', more='of a file'" in done.log
    assert "'bronze'" in done.log
    assert f"pl-plan-{pipeline.kind}" not in pipeline.running.names()


@PIPELINES
def test_pipeline_deploys_a_configuration_of_fabric_cicd_over_http(pipeline: Pipeline) -> None:
    """The app's address and a function key are enough. The log contains no key, and a manifest beside it is refused."""
    workspace = f"pl-cicd-{pipeline.kind}"
    repository(pipeline.folder / "items")
    config = {
        "core": {"workspace": {"PROD": "replaced"}, "repository_directory": "items", "parameter": "items/parameter.yml"}
    }
    (pipeline.folder / "config.yml").write_text(json.dumps(config))
    override = json.dumps({"core": {"workspace": {"PROD": workspace}}})
    inputs = {"fabric-cicd": "config.yml", "environment": "PROD", "config-override": override, "id": workspace}
    done = pipeline.over_http(inputs).run(pipeline.folder)
    assert done.code == 0, done.log
    assert pipeline.outputs(done) == (workspace, "succeeded", "0")
    assert sorted(pipeline.running.names()[workspace]) == ["Load", "lake", "run all"]
    assert pipeline.running.stack.function_key not in done.log
    assert pipeline.over_http({**inputs, "manifest": "m.yaml"}).run(pipeline.folder).code == 2
    wrong = json.dumps({"core": {**config["core"], "parameter": "nowhere.yml"}})
    (pipeline.folder / "config.yml").write_text(wrong)
    refused = pipeline.over_http({**inputs, "id": f"{workspace}-wrong"}).run(pipeline.folder)
    assert refused.code == 2
    assert "nowhere.yml" in refused.log, "the cause, not what the app saw of it"
