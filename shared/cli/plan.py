"""`plan`: what a deployment of a manifest would do to the live workspace, asked by looking only; as whoever
runs it, or, over the API, as the app.

Exit codes: 0 done, 1 a step is blocked, 2 bad request, 4 not authorised, 5 Fabric does not answer. With
--detailed-exitcode, as of terraform plan: 0 nothing to do, 1 blocked or a bad request, 2 there are changes.
"""

import argparse
import re
from pathlib import Path
from typing import Any

from shared import bootstrap, settings
from shared.bootstrap import command_line
from shared.cli import pack
from shared.cli.common import Add, add_manifest, add_url, packed, remote
from shared.cli.follow import SUCCEEDED
from shared.cli.render import markdown
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.manifest import compile_manifest
from shared.domain.step_graph import StepGraph
from shared.domain.text import parse
from shared.saga.dry_run.changes import DRY_RUN_RETRY, Action, DryRun, StepChange, dry_run
from shared.steps import KINDS, STEPS

BLOCKED, CHANGES = 1, 2
WRONG = 1
"""A bad request, where --detailed-exitcode has taken 2 to say that there are changes."""
_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.UNCHANGED: "=", Action.ADOPT: ">", Action.BLOCKED: "!"}
_WORDS = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.UNCHANGED: "unchanged",
    Action.ADOPT: "to adopt",
    Action.BLOCKED: "blocked",
}


def add_commands(add: Add) -> None:
    """By the parser's own helper."""
    parser = add("plan", run, "say what a deployment would do to the live workspace, changing nothing")
    add_manifest(parser)
    add_url(parser)
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="exit code 0: nothing to do; 1: blocked, or a bad request; 2: there are changes",
    )


def whole(options: argparse.Namespace, output: Output) -> Any:
    """A manifest's file, with the files that it names. Raises InvalidInputError."""
    text, folder = pack.read_text(options.manifest)
    body, _ = pack.body(parse(text), None)
    return packed(options, output, body, folder)


def compiled(options: argparse.Namespace, output: Output) -> StepGraph:
    """Its plan. Raises InvalidInputError."""
    return compile_manifest(whole(options, output), KINDS)


def run(options: argparse.Namespace, output: Output) -> int:
    """The command."""
    manifest = whole(options, output)
    plan = compile_manifest(manifest, KINDS)
    loaded = settings.load()
    if api := remote(options):
        found = DryRun.from_json(api.desk.plan(manifest))
    else:
        policy = DRY_RUN_RETRY if loaded.flags.retry_logic else DRY_RUN_RETRY.once()
        found = dry_run(command_line.fabric(loaded), STEPS, plan, clock=bootstrap.SystemClock(), policy=policy)
    if options.json:
        output.event("plan", "", **found.to_json())
    else:
        lines = shown(found)
        for line in lines:
            output.event("change", line)
        stem = re.sub(r"[^A-Za-z0-9._-]", "-", Path(options.manifest).stem)[:100]
        output.page(f"plan-{stem}", lambda room: markdown.plan(found.name, lines, room))
    if found.counts[Action.BLOCKED]:
        return BLOCKED
    return CHANGES if options.detailed_exitcode and found.changes else SUCCEEDED


def shown(found: DryRun) -> list[str]:
    """A line a step, aligned, and the sum."""
    width = max((len(step.id) for step in found.steps), default=0)
    lines = [f"  {_SIGNS[step.action]} {step.id:{width}}  {_line(step)}" for step in found.steps]
    counts = ", ".join(f"{count} {_WORDS[action]}" for action, count in found.counts.items())
    is_done = not found.changes and not found.counts[Action.BLOCKED]
    return [*lines, f"\n{'No changes' if is_done else 'Plan'}: {counts}."]


def _line(step: StepChange) -> str:
    name = f" '{clean(step.name, 123)}'" if step.name else ""
    fields = f" ({', '.join(step.fields)})" if step.fields else ""
    return f"{step.kind}{name}: {step.action.value}{fields}; {clean(step.reason, 1500)}"
