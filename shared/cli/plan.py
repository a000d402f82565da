"""The command `plan`: what a deployment of a manifest would change in the live workspace, found by reading only.

It uses the identity of the person who runs it or, with --url, the app's.
Exit codes: 0 done, 1 a step is blocked, 2 bad request, 4 not authorised, 5 Fabric does not respond. With
--detailed-exitcode, as in terraform plan: 0 no changes, 1 blocked or a bad request, 2 changes.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared import bootstrap, settings
from shared.bootstrap import command_line
from shared.cli import pack
from shared.cli.common import Add, add_manifest, add_url, packed, read_manifest, remote
from shared.cli.follow import SUCCEEDED
from shared.cli.render import markdown
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.cli.stored import StoredFiles
from shared.cli.values import add_values, with_inputs
from shared.domain.errors import InvalidInputError, Problems, StorageAuthError, StorageUnavailableError
from shared.domain.json import JsonObject
from shared.domain.manifest import compile_manifest
from shared.domain.names import normal_target
from shared.domain.step_graph import StepGraph
from shared.domain.text import parse
from shared.saga import deployed
from shared.saga.dry_run.changes import DRY_RUN_RETRY, NOTHING_RECALLED, dry_run
from shared.saga.dry_run.result import Action, DryRun, StepChange
from shared.steps import KINDS, STEPS
from shared.steps.recall import Recall

BLOCKED, CHANGES = 1, 2
_NAMED = 5
"""Files of a step that a line names; the others it counts."""
WRONG = 1
"""A bad request with --detailed-exitcode, because 2 then means that there are changes."""
_SIGNS = {
    Action.CREATE: "+",
    Action.RUN: "*",
    Action.UPDATE: "~",
    Action.RENAME: "~",
    Action.MOVE: "~",
    Action.DRIFT: "~",
    Action.UNCHANGED: "=",
    Action.ADOPT: ">",
    Action.BLOCKED: "!",
}
_WORDS = {
    Action.CREATE: "to create",
    Action.RUN: "to run",
    Action.UPDATE: "to update",
    Action.RENAME: "to rename",
    Action.MOVE: "to move",
    Action.DRIFT: "drifted",
    Action.UNCHANGED: "unchanged",
    Action.ADOPT: "to adopt",
    Action.BLOCKED: "blocked",
}
_ONLY_IF_ANY = (Action.RUN, Action.RENAME, Action.MOVE, Action.DRIFT)
"""Most manifests run no job, and only items of a repository are renamed, moved or drift, so the sum names these only if
there are any."""


def add_commands(add: Add) -> None:
    parser = add("plan", run, "show what a deployment would change in the live workspace, and change nothing")
    add_manifest(parser)
    add_values(parser)
    add_url(parser)
    parser.add_argument("--diff", action="store_true", help="show the lines that differ in the files of a repository")
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="exit code 0: no changes; 1: blocked, or a bad request; 2: there are changes",
    )


def checked(options: argparse.Namespace, output: Output, stored: StoredFiles | None = None) -> tuple[Any, StepGraph]:
    """Return the manifest with the files that it names packed in, and its step graph. Raises InvalidInputError with all
    problems."""
    text, folder = read_manifest(options, output)
    manifest = parse(text)
    problems = Problems()
    try:
        pack.body(manifest, None)
    except InvalidInputError as error:
        problems += error.problems
    try:
        body, _ = pack.without_id(manifest)
        whole = packed(options, output, with_inputs(options, body), folder, stored)
        graph = compile_manifest(whole, KINDS)
    except InvalidInputError as error:
        raise InvalidInputError([*problems, *error.problems]) from None
    if problems:
        raise InvalidInputError(problems)
    return whole, graph


def run(options: argparse.Namespace, output: Output) -> int:
    """Run the command and return its exit code."""
    stored = StoredFiles()
    manifest, plan = checked(options, output, stored)
    loaded = settings.load()
    if api := remote(options):
        stored.send(api.blobs)
        found = DryRun.from_json(api.desk.plan(manifest))
    else:
        policy = DRY_RUN_RETRY if loaded.flags.retry_logic else DRY_RUN_RETRY.once()
        found = dry_run(
            command_line.fabric(loaded),
            STEPS,
            plan,
            clock=bootstrap.SystemClock(),
            policy=policy,
            recall=_recall(loaded, plan.target, output) if stored.files else NOTHING_RECALLED,
            read=stored.read,
        )
    if options.json:
        output.event("plan", "", **found.to_json(), inputs=plan.inputs)
    else:
        given = [f"  inputs: {clean(plan.inputs, 4_000)}"] if plan.inputs else []
        lines = [*given, *shown(found, is_with_lines=options.diff)]
        for line in lines:
            output.event("change", line)
        stem = re.sub(r"[^A-Za-z0-9._-]", "-", Path(options.manifest).stem)[:100]
        output.page(f"plan-{stem}", lambda room: markdown.plan(found.name, lines, room))
    if found.counts[Action.BLOCKED]:
        return BLOCKED
    return CHANGES if options.detailed_exitcode and found.changes else SUCCEEDED


def _recall(loaded: settings.Settings, target: str, output: Output) -> Recall:
    """Return what earlier deployments noted, as far as the command line has access to the app's storage."""
    if not (loaded.storage.connection_string or loaded.storage.table_uri):
        return NOTHING_RECALLED
    found = deployed.noted(command_line.deployed_items(loaded), normal_target(target), bootstrap.SystemClock())
    return _Recall(found, output)


class _Recall:
    """The notes of earlier deployments; none, after a warning, if storage does not answer."""

    def __init__(self, recalled: deployed.Recalled, output: Output) -> None:
        self._recalled, self._output = recalled, output
        self._has_failed = False

    def of_item(self, workspace_id: str, logical_id: str, key: str) -> JsonObject | None:
        return self._tried(lambda: self._recalled.of_item(workspace_id, logical_id, key), None)

    def named(self, workspace_id: str, key: str) -> list[JsonObject]:
        return self._tried(lambda: self._recalled.named(workspace_id, key), [])

    def of_part(self, workspace_id: str, part: str, item_id: str, name: str = "") -> JsonObject | None:
        return self._tried(lambda: self._recalled.of_part(workspace_id, part, item_id, name), None)

    def of_step(self, workspace_id: str, step_id: str) -> list[JsonObject]:
        return self._tried(lambda: self._recalled.of_step(workspace_id, step_id), [])

    def payload(self, digest: str) -> bytes:
        return self._recalled.payload(digest)

    def _tried[T](self, read: Callable[[], T], otherwise: T) -> T:
        if self._has_failed:
            return otherwise
        try:
            return read()
        except (StorageUnavailableError, StorageAuthError) as error:
            self._has_failed = True
            text = "warning: without the app's storage, renamed, unchanged and removed items are not recognised"
            todo = "To see them, sign in to that storage (docs/settings.md), or use --url"
            self._output.event("warning", f"{text}: {error}. {todo}", message=str(error))
            return otherwise


def shown(found: DryRun, *, is_with_lines: bool = False) -> list[str]:
    """Return a line for each step, aligned, and the totals; with the differences of each file on request."""
    width = max((len(step.id) for step in found.steps), default=0)
    lines: list[str] = []
    for step in found.steps:
        lines.append(f"  {_SIGNS[step.action]} {step.id:{width}}  {_line(step)}")
        if is_with_lines:
            lines += [f"      {clean(line, 300)}" for line in step.lines]
    shown = {action: n for action, n in found.counts.items() if n or action not in _ONLY_IF_ANY}
    counts = ", ".join(f"{count} {_WORDS[action]}" for action, count in shown.items())
    is_done = not found.changes and not found.counts[Action.BLOCKED]
    return [*lines, f"\n{'No changes' if is_done else 'Plan'}: {counts}."]


def _line(step: StepChange) -> str:
    name = f" '{clean(step.name, 123)}'" if step.name else ""
    files = f": {', '.join(clean(each, 200) for each in step.files[:_NAMED])}" if step.files else ""
    files += f" and {len(step.files) - _NAMED} more" if len(step.files) > _NAMED else ""
    fields = f" ({', '.join(step.fields)}{files})" if step.fields else ""
    fields += f", restorable: {step.restorable}" if step.restorable else ""
    return f"{step.kind}{name}: {step.action.value}{fields}; {clean(step.reason, 1500)}"
