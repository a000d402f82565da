"""The output on GitHub Actions and Azure Pipelines: folded progress, annotations, a summary.

Both runners execute commands embedded in the output of a step, and the output contains text from manifests and from
Fabric. So every line that is not our own command is escaped, and so is every value inside our commands.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TextIO

from shared.cli.render.markdown import LIMIT_BYTES, document
from shared.cli.render.output import LineOutput, facts, failures, sanitize, summary, verdict
from shared.cli.render.timeline import clean
from shared.domain.errors import Problem
from shared.domain.records import DeploymentRecord, StepRecord
from shared.settings import Runner

MAX_ANNOTATIONS = 20
"""Further errors are plain lines: GitHub shows ten annotations for a step, and no runner handles thousands."""


class Dialect(Protocol):
    """The commands of one runner; each method returns a line."""

    end: str

    def group(self, title: str) -> str:
        """Return the command that folds the following lines under a title."""
        ...

    def error(self, title: str, message: str, file: str) -> str:
        """Return an annotation; `message` may have several lines, `file` may be empty."""
        ...


class GitHub:
    """https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""

    end = "::endgroup::"

    def group(self, title: str) -> str:
        return f"::group::{_github(title)}"

    def error(self, title: str, message: str, file: str) -> str:
        properties = [
            f"{name}={_github_property(value)}" for name, value in (("file", file), ("title", title)) if value
        ]
        return f"::error {','.join(properties)}::{_github(message)}"


class Azure:
    """https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands"""

    end = "##[endgroup]"

    def group(self, title: str) -> str:
        return f"##[group]{_azure(title)}"

    def error(self, title: str, message: str, file: str) -> str:
        """Return an annotation with the title in its message, because an issue there has no title."""
        source = f";sourcepath={_azure_property(file)}" if file else ""
        return f"##vso[task.logissue type=error{source}]{_azure(f'{title}: {message}')}"


class RunnerOutput(LineOutput):
    """Prints lines, with commands to the runner between them."""

    def __init__(self, stream: TextIO, runner: Runner, file: str = "") -> None:
        """`file` is the manifest that the annotations name, or empty."""
        super().__init__(stream)
        self._runner, self._file = runner, "" if file == "-" else escape_runner_commands(file)
        self._dialect: Dialect = GitHub() if runner.kind == "github" else Azure()
        self._is_folded = False

    def event(self, kind: str, text: str, **fields: object) -> None:
        """Print an escaped line; an error that ends the command is an annotation."""
        if kind in ("error", "timeout"):
            self._error("fabric-saga", text.removeprefix("error: "))
        else:
            self._command("\n".join(escape_runner_commands(line) for line in sanitize(text).split("\n")))

    def problems(self, problems: Sequence[Problem]) -> None:
        """Print annotations on the manifest."""
        for problem in problems[:MAX_ANNOTATIONS]:
            self._error(clean(problem.path), clean(problem.message))
        super().problems(problems[MAX_ANNOTATIONS:])

    def progress(self, header: DeploymentRecord, steps: Sequence[StepRecord]) -> None:
        """Print lines, folded."""
        if not self._is_folded:
            self._command(
                self._dialect.group(
                    escape_runner_commands(f"deployment {header.deployment_id}: {clean(header.name, 100)}")
                )
            )
            self._is_folded = True
        super().progress(header, steps)

    def ended(self, header: DeploymentRecord, steps: Sequence[StepRecord], exit_code: int) -> None:
        """Print the timeline, the verdict and an annotation for each failed step; store the page."""
        self.progress(header, steps)
        self.close()
        for line in summary(header, steps):
            self.event("summary", line)
        failed = failures(steps) if exit_code else []
        for step, title, error in failed[:MAX_ANNOTATIONS]:
            text = "\n".join([clean(error.message, 1000), *(line.strip() for line in facts(error))])
            self._error(title, text, step.step_id)
        for problem in header.problems[:MAX_ANNOTATIONS] if exit_code else ():
            self._error(clean(str(problem["path"])), clean(str(problem["message"])))
        if exit_code and not failed and not header.problems:
            self._error(f"deployment {header.deployment_id}", verdict(header))
        self.left(header, steps)

    def left(self, header: DeploymentRecord, steps: Sequence[StepRecord]) -> None:
        """Store the page of the present state."""
        self.page(header.deployment_id, lambda room: document(header, steps, room))

    def close(self) -> None:
        """End the folding."""
        if self._is_folded:
            self._command(self._dialect.end)
            self._is_folded = False

    def _error(self, title: str, text: str, step_id: str = "") -> None:
        """Print an annotation; its title already names the step."""
        safe = "\n".join(escape_runner_commands(line) for line in sanitize(text).split("\n"))
        self._command(self._dialect.error(escape_runner_commands(clean(title)), safe, self._file))

    def page(self, name: str, document: Callable[[int], str]) -> None:
        """Write the summary; if that fails, the exit code stays the same."""
        is_ours = self._runner.kind == "azure" and bool(self._runner.temp_folder)
        path = str(Path(self._runner.temp_folder) / f"fabric-saga-{name}.md") if is_ours else self._runner.summary_file
        if not path:
            return
        file = Path(path)
        try:
            if is_ours:
                file.unlink(missing_ok=True)
            room = LIMIT_BYTES - (file.stat().st_size if file.exists() else 0)
            with open(file, "a", encoding="utf-8", errors="backslashreplace", newline="\n", opener=_opened) as stream:
                stream.write(document(room))
        except OSError as error:
            self.event("summary", f"the summary cannot be written: {error.strerror}")
            return
        if self._runner.kind == "azure":
            self._command(f"##vso[task.uploadsummary]{_azure(path)}")

    def _command(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def _opened(path: str, flags: int) -> int:
    """Open a file without waiting: opening a pipe without a reader would block."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def escape_runner_commands(line: str) -> str:
    """Return the line so that neither runner executes it.

    Both execute `##[...]`, and Azure `##vso[...]`, anywhere in a line; GitHub executes `::...` at the start of a line,
    also after spaces.
    """
    line = re.sub("#(?=#)", "# ", line)
    body = line.lstrip()
    return f"{line[: len(line) - len(body)]}: {body[1:]}" if body.startswith("::") else line


def _github(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github(text).replace(":", "%3A").replace(",", "%2C")


def _azure(text: str) -> str:
    return text.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")


def _azure_property(text: str) -> str:
    return _azure(text).replace(";", "%3B").replace("]", "%5D")
