"""The commands `git status` and `git commit` of a connected workspace, with the caller's own identity.

Exit codes: 0 done, also if there was nothing to commit; 1 Fabric refused the commit, or a person said no; 2 bad
request; 4 not authorised; 5 Fabric does not respond.
"""

import argparse
import sys

from shared import bootstrap, settings
from shared.bootstrap import command_line
from shared.cli.common import Add
from shared.cli.follow import ROLLED_BACK, SUCCEEDED
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.errors import FabricConflictError, FabricRefusedError, InvalidInputError, Problem
from shared.domain.fields import GUID, suggestion
from shared.domain.names import same_name
from shared.domain.ports import Fabric
from shared.domain.remedies import remedy
from shared.saga.dry_run.changes import BUDGET_SECONDS, DRY_RUN_RETRY
from shared.saga.dry_run.read_only import ReadOnlyFabric
from shared.saga.git_workspace import GitChange, GitStatus, GitWorkspace

NOT_DONE = ROLLED_BACK
"""Nothing was committed."""
_IRREVERSIBLE = "A commit is irreversible: the branch keeps it, and no rollback takes it back."


def add_commands(add: Add) -> None:
    command = add("git", _run, "show what has changed in a connected workspace and in its branch, or commit it")
    command.add_argument(
        "action",
        choices=("status", "commit"),
        help=f"show the changes, or commit them. {_IRREVERSIBLE} Exit code 1: nothing was committed.",
    )
    command.add_argument("workspace", help="the name or the id of the workspace")
    command.add_argument(
        "-m", "--comment", default="", metavar="TEXT", help="the comment of the commit, at most 300 characters"
    )
    command.add_argument(
        "--item", metavar="NAME.TYPE", action="append", default=[], help="commit this item only (repeatable)"
    )
    command.add_argument("--yes", action="store_true", help="commit without a question")


def _run(options: argparse.Namespace, output: Output) -> int:
    return _ACTIONS[options.action](options, output)


def _workspace(options: argparse.Namespace) -> GitWorkspace:
    """Return Git of the workspace with that id or name. Raises InvalidInputError, FabricError."""
    fabric = command_line.fabric(settings.load())
    wanted = options.workspace.strip()
    workspace_id = wanted if GUID.fullmatch(wanted) else _named(fabric, wanted)
    return GitWorkspace(fabric, workspace_id, clock=bootstrap.SystemClock())


def _named(fabric: Fabric, name: str) -> str:
    """Return the id of the workspace with that name. Raises InvalidInputError if this identity sees none."""
    reading = ReadOnlyFabric(fabric, bootstrap.SystemClock(), DRY_RUN_RETRY, budget_seconds=BUDGET_SECONDS)
    rows = [row for row in reading.list("/workspaces") if row.get("id") and row.get("displayName")]
    found = next((row for row in rows if same_name(row["displayName"], name)), None)
    if found is None:
        near = suggestion(name, [row["displayName"] for row in rows])
        what = f"is '{clean(name, 200)}', and this identity has no role in a workspace of that name.{near}"
        raise InvalidInputError([Problem("workspace", f"{what} Give its name or its id")])
    return str(found["id"])


def _status(options: argparse.Namespace, output: Output) -> int:
    _show(_workspace(options).status(), output)
    return SUCCEEDED


def _show(status: GitStatus, output: Output) -> None:
    heads = f"workspace at {status.workspace_head or 'no commit'}, branch at {status.branch_head or 'no commit'}"
    output.event("git_status", heads, **status.to_json())
    for change in status.changes:
        output.event("git_change", _line(change), **change.to_json())
    if not status.changes:
        output.event("git_status", "No changes.", **status.to_json())


def _line(change: GitChange) -> str:
    sides = [f"workspace {change.in_workspace.lower()}" if change.in_workspace else ""]
    sides.append(f"branch {change.in_branch.lower()}" if change.in_branch else "")
    text = ", ".join(side for side in sides if side)
    return f"  {clean(change.key, 200)}: {clean(text, 100)}{' (conflict)' if change.is_conflict else ''}"


def _commit(options: argparse.Namespace, output: Output) -> int:
    if not options.comment.strip():
        raise InvalidInputError([Problem("--comment", "is required to commit")])
    if not options.yes and not sys.stdin.isatty():
        raise InvalidInputError([Problem("--yes", f"is required without a terminal. {_IRREVERSIBLE}")])
    workspace = _workspace(options)
    status = workspace.status()
    if not options.yes:
        _show(status, output)
        if not _is_confirmed():
            output.event("git_refused", "nothing was committed")
            return NOT_DONE
    try:
        made = workspace.commit(options.comment, options.item, status=status)
    except (FabricRefusedError, FabricConflictError) as error:
        text = f"error: nothing was committed: {error}"
        output.event("error", f"{text}\n  what to do: {remedy(error)}", error=type(error).__name__, message=str(error))
        return NOT_DONE
    output.event("git_commit", f"committed as {made}" if made else "There is nothing to commit.", commit=made)
    return SUCCEEDED


def _is_confirmed() -> bool:
    """Ask on the terminal."""
    print(f"{_IRREVERSIBLE} Commit? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


_ACTIONS = {"status": _status, "commit": _commit}
