"""Run the deploying step of the GitHub action and of the Azure template as their runners would: the step's own
variables and script, read from the YAML, with inputs and contexts filled in."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.paths import ROOT
from tests.waiting import PATIENCE_SECONDS

ACTION = ROOT / ".github" / "actions" / "deploy" / "action.yml"
TEMPLATE = ROOT / "pipelines" / "azure" / "deploy.yml"
ADDRESSES = {"blob-uri": "", "queue-uri": "", "table-uri": ""}
"""Addresses that are empty, because the tests' storage is named by a connection string."""


@dataclass(frozen=True)
class Done:
    """The result of a step."""

    code: int
    log: str
    outputs: dict[str, str]


@dataclass(frozen=True)
class Step:
    """A step that is ready to run."""

    script: str
    environment: dict[str, str]
    outputs_file: Path

    def start(self, folder: Path) -> subprocess.Popen[str]:
        """Start the step as the runner does: a shell, in the workspace."""
        return subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", self.script],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str], seconds: float = PATIENCE_SECONDS) -> Done:
        """Wait for the step, and return its log and its outputs."""
        try:
            log, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Done(process.returncode, log, self._outputs(log))

    def run(self, folder: Path) -> Done:
        return self.end(self.start(folder))

    def _outputs(self, log: str) -> dict[str, str]:
        if self.outputs_file.exists():
            return dict(re.findall(r"^([\w-]+)=(.*)$", self.outputs_file.read_text(), re.MULTILINE))
        return dict(re.findall(r"^##vso\[task\.setvariable variable=(\w+);isOutput=true\](.*)$", log, re.MULTILINE))


def github_step(folder: Path, storage: str, inputs: Mapping[str, str], attempt: int = 1, run_id: str = "1") -> Step:
    """Return the action's step `deploy`."""
    action: dict[str, Any] = yaml.safe_load(ACTION.read_text())
    step = next(s for s in action["runs"]["steps"] if s.get("id") == "deploy")
    given = {**{name: spec.get("default", "") for name, spec in action["inputs"].items()}, **ADDRESSES, **inputs}
    required = {name for name, spec in action["inputs"].items() if spec.get("required")}
    assert required <= set(given)
    context = {f"inputs.{name}": value for name, value in given.items()} | {
        "github.action_path": str(ACTION.parent),
        "github.run_id": run_id,
        "github.run_attempt": str(attempt),
        "github.actor": "octocat",
        "github.server_url": "https://github.example",
        "github.repository": "contoso/fabric",
        "runner.temp": str(folder),
    }
    file = folder / "github_output"
    file.unlink(missing_ok=True)
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(file), "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    return Step(step["run"], _environment(step["env"], context, r"\$\{\{ ([\w.-]+) \}\}", storage, runner), file)


def azure_step(folder: Path, storage: str, parameters: Mapping[str, str], attempt: int = 1) -> Step:
    """Return the template's task `saga`."""
    template: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    task = next(s for s in template["steps"] if s.get("name") == "saga")
    addresses = {"blobUri": "", "queueUri": "", "tableUri": "", "serviceConnection": "fabric"}
    given = {p["name"]: p.get("default") for p in template["parameters"]} | addresses | dict(parameters)
    assert None not in given.values()
    context = {f"parameters.{name}": value for name, value in given.items()} | {"parameters.sagaFolder": str(ROOT)}
    compiled = {name: _put(value, context, r"\$\{\{ ([\w.]+) \}\}") for name, value in task["env"].items()}
    predefined = {
        "Build.BuildId": "7",
        "Build.BuildNumber": "20260101.1",
        "Build.DefinitionName": "fabric",
        "Build.RequestedFor": "An Operator",
        "System.JobAttempt": str(attempt),
        "Agent.TempDirectory": str(folder),
    }
    runner = {"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(folder)}
    environment = _environment(compiled, predefined, r"\$\(([\w.]+)\)", storage, runner)
    return Step(task["inputs"]["inlineScript"], environment, folder / "none")


def interrupted(process: subprocess.Popen[str], log_shows: str, signals: tuple[signal.Signals, ...]) -> str:
    """Read the log until it contains that text, then signal the step's shell as a runner does to a cancelled job."""
    assert process.stdout is not None
    seen = ""
    while log_shows not in seen:
        line = process.stdout.readline()
        assert line, f"it ended before it said {log_shows!r}:\n{seen}"
        seen += line
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    return seen


def _environment(
    variables: Mapping[str, str], context: Mapping[str, str], pattern: str, storage: str, runner: Mapping[str, str]
) -> dict[str, str]:
    own = {name: _put(value, context, pattern) for name, value in variables.items()}
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    # The tests' interpreter takes the place of the one that an earlier step would have set up.
    return {**inherited, **runner, **own, "SAGA_PYTHON": sys.executable, "AzureWebJobsStorage": storage}


def _put(text: str, context: Mapping[str, str], pattern: str) -> str:
    """Fill in the references in the text. A reference to something that does not exist is an error."""
    return re.sub(pattern, lambda found: context[found[1]], str(text))
