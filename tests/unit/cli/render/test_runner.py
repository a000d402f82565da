"""The output for GitHub Actions and Azure Pipelines: it contains the command line's own runner commands, and none from
a name."""

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cli.render.markdown import LIMIT_BYTES, document, escape_markdown, plan
from shared.cli.render.runner import RunnerOutput, escape_runner_commands
from shared.domain.errors import Problem
from shared.domain.states import DeploymentState, StepState
from shared.settings import Runner, runner
from tests.unit.cli.sample_records import FORBIDDEN, HOSTILE, error, failed_steps, header, step

KINDS = pytest.mark.parametrize("kind", ["github", "azure"])
ORDERS = {"github": re.compile(r"^\s*::|##\["), "azure": re.compile(r"##vso\[|##\[")}
"""Lines that a runner executes. GitHub: at a line's beginning, and its older form anywhere; Azure: anywhere."""
OURS = {
    "github": re.compile(r"::(group::|endgroup::|error [^:]*::)"),
    "azure": re.compile(r"##\[(group|endgroup)\]|##vso\[task\.(logissue type=error[^\]]*|uploadsummary)\]"),
}
INJECTIONS = [
    "::set-env name=A::b",
    "  ::add-path::/mine",
    "x\n::stop-commands::me",
    "x\r::error::y",
    "a ##[add-path]/mine",
    "##vso[task.setvariable variable=a]b",
    "###vso[task.complete result=Succeeded;]",
    "]##vso[task.setvariable variable=a]b;%0A,:",
    HOSTILE,
]


def printed(kind: str, folder: Path, name: str = "sales", manifest: str = "m.yaml") -> str:
    """Return all output about a failed deployment, with that name in every place that a name may have."""
    stream = io.StringIO()
    output = RunnerOutput(stream, Runner(kind, str(folder / "summary.md"), str(folder)), manifest)
    bad = type(error())(name, name, name, 403, name, name)
    steps: list[Any] = [step(0, StepState.FAILED, step_id=name, kind=name, error=bad), *failed_steps()]
    stuck = header(DeploymentState.STUCK, name=name, error=bad, problems=({"path": name, "message": name},))
    output.event("submitting", name)
    output.progress(stuck, steps)
    output.problems([Problem(name, name)])
    output.ended(stuck, steps, 3)
    output.event("error", f"error: {name}", error="x", message=name)
    output.close()
    return stream.getvalue()


@KINDS
def test_runner_gets_an_annotation_for_each_failed_step(kind: str, tmp_path: Path) -> None:
    """Progress is folded; the annotation is on the manifest, with message, code, request id and remedy."""
    lines = printed(kind, tmp_path).splitlines()
    begin, end = {"github": ("::group::", "::endgroup::"), "azure": ("##[group]", "##[endgroup]")}[kind]
    opened = next(i for i, line in enumerate(lines) if line.startswith(begin))
    assert lines.count(end) == 1
    assert opened < lines.index(end) < next(i for i, line in enumerate(lines) if "NOT everything" in line)
    start = {
        "github": "::error file=m.yaml,title=step s1 failed::",
        "azure": "##vso[task.logissue type=error;sourcepath=m.yaml]step s1 failed: ",
    }[kind]
    annotation = next(line for line in lines if line.startswith(start))
    expected = ("Fabric said no%0APOST /workspaces, HTTP 403, InsufficientPrivileges, request r-1", "Ask for a role.")
    assert all(text in annotation for text in expected)
    assert any("step s2 is not compensated" in line and line.startswith(start[:7]) for line in lines)


@KINDS
@pytest.mark.parametrize("name", INJECTIONS)
def test_runner_executes_no_command_from_a_name(kind: str, name: str, tmp_path: Path) -> None:
    """Every line that the runner would execute is the command line's own, and contains no second command."""
    for line in re.split(r"\r\n|\r|\n", printed(kind, tmp_path, name, manifest=name)):
        if ORDERS[kind].search(line):
            own = OURS[kind].match(line)
            assert own, line
            assert not re.search(r"##\[|##vso\[", line[own.end() :]), line


@given(st.text(alphabet=st.sampled_from("#: [vso]x\u2003"), max_size=12))
def test_runner_executes_no_escaped_line(text: str) -> None:
    """This holds for any text and both dialects; a harmless text stays unchanged."""
    safe = escape_runner_commands(text)
    assert "##" not in safe
    assert not safe.lstrip().startswith("::")
    if "##" not in text and not text.lstrip().startswith("::"):
        assert safe == text


@KINDS
def test_runner_summary_shows_every_step(kind: str, tmp_path: Path) -> None:
    """A table with a row for each step, the timeline and the verdict; in Azure a runner command uploads the file."""
    text = printed(kind, tmp_path)
    page = tmp_path / ("summary.md" if kind == "github" else "fabric-saga-d.md")
    shown = page.read_text()
    assert "| `s1` | `workspace` | failed |  | 2.00 | `Fabric said no` |" in shown
    assert "| `s2` | `workspace` | compensation_failed |  | 3.00 | `it is locked` |" in shown
    assert "NOT everything is rolled back" in shown
    assert (f"##vso[task.uploadsummary]{page}" in text.splitlines()) == (kind == "azure")


def test_runner_summary_shows_hostile_names_as_text() -> None:
    """Outside of code the summary contains nothing of a name: no markup, link, mention or control character. No cell
    is added."""
    for name in [*INJECTIONS, "`x` | [a](https://b) <img src=x> @octocat", "```\n# x", "|||", "`", " "]:
        page = document(header(DeploymentState.FAILED, name=name), [step(0, StepState.FAILED, step_id=name)])
        assert not any(mark in page for mark in FORBIDDEN)
        row = next(line for line in page.splitlines() if " failed |" in line)
        assert row.count("|") == 7
        outside = re.sub(r"`[^`\n]*`", "", page.split("```text")[0])
        assert not re.search(r"[<@\[`]|https?:|octocat", outside), outside
        assert page.count("```") == 2
    assert escape_markdown("``") == "`''`"


def test_runner_plan_is_a_page_with_coloured_signs() -> None:
    """It has each line and the sum; a name ends neither the block nor the page; the page stays within its limit."""
    lines = [
        "  + ws  workspace '```\n# x': create; absent",
        "  ! nb  item 'n': blocked",
        "\nPlan: 1 to create, 1 blocked.",
    ]
    page = plan("`x` @octocat", lines)
    assert page.startswith("### Plan of `'x' @octocat`\n\n```diff\n+ ws  workspace '")
    assert "\n! nb  item 'n': blocked\n```\n\nPlan: 1 to create, 1 blocked.\n" in page
    assert page.count("```") == 2
    for room in (LIMIT_BYTES, 20_000, 500, 10):
        assert len(plan("x", [lines[0]] * 2_000 + lines[2:], room).encode()) <= room


def test_runner_summary_stays_within_its_limit() -> None:
    """This holds for any number of steps and any length of texts; failed steps are shown before all others."""
    steps = [step(i, StepState.SUCCEEDED, step_id=f"s{i}" + "é" * 60) for i in range(999)]
    steps.append(step(999, StepState.FAILED, error=error("\U0001f600" * 5000)))
    whole = document(header(), steps)
    assert len(whole.encode()) <= LIMIT_BYTES
    assert "more steps" not in whole
    for room in (100_000, 20_000, 5_000, 300, 10):
        page = document(header(), steps, room)
        assert len(page.encode()) <= room
        assert room < 20_000 or "`s999`" in page


@KINDS
def test_runner_gets_an_annotation_after_a_timeout(kind: str, tmp_path: Path) -> None:
    """A pipeline step that fails because its time is over has an annotation, and a summary of the progress so far."""
    stream = io.StringIO()
    output = RunnerOutput(stream, Runner(kind, str(tmp_path / "d.md"), str(tmp_path)), "m.yaml")
    output.left(header(DeploymentState.RUNNING), [step(0, StepState.SUCCEEDED)])
    output.event("timeout", "still going on after 60 s", deployment_id="d")
    [page] = tmp_path.glob("*.md")
    assert "| `s0` | `workspace` | succeeded |" in page.read_text()
    assert "sales (d) is running" in page.read_text()
    begin = {"github": "::error file=m.yaml,", "azure": "##vso[task.logissue type=error;sourcepath=m.yaml]"}[kind]
    assert [line for line in stream.getvalue().splitlines() if line.startswith(begin) and "still going on" in line]


@KINDS
def test_runner_without_a_place_for_the_summary_ends_as_usual(kind: str, tmp_path: Path) -> None:
    """A summary that cannot be written is reported, and is not an error."""
    assert "summary cannot be written" in printed(kind, tmp_path / "none")
    stream = io.StringIO()
    RunnerOutput(stream, Runner(kind)).ended(header(DeploymentState.SUCCEEDED), [], 0)
    assert "succeeded: every step" in stream.getvalue()
    assert "error" not in stream.getvalue()


def test_runner_summary_into_a_pipe_that_nobody_reads_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "summary.md")
    assert "summary cannot be written" in printed("github", tmp_path)


def test_runner_is_recognised_by_its_variables() -> None:
    """An ordinary shell is not a runner."""
    assert runner({}).kind == ""
    assert runner({"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "/s"}) == Runner("github", "/s")
    assert runner({"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": "/t"}) == Runner("azure", temp_folder="/t")
