"""Commands of the Fabric CLI, each with what it must leave behind in the simulator."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.peers.stage import REPOSITORY, Done, Outcome, Stage

GUEST = "5a6a0000-1111-4000-8000-0000000000aa"


@dataclass(frozen=True)
class Command:
    """A command line; `refused` is a code that the CLI must report, `holds` what must be true of the state after it."""

    line: str
    holds: Callable[[dict[str, Any]], bool] = lambda state: True
    refused: str = ""


def _items(state: dict[str, Any], workspace: str = "fab") -> dict[str, dict[str, Any]]:
    found = [w for w in state["workspaces"] if w["displayName"] == workspace]
    return {f"{i['displayName']}.{i['type']}": i for i in (found[0]["items"] if found else [])}


def _roles(state: dict[str, Any]) -> set[str]:
    return {r["id"] for w in state["workspaces"] if w["displayName"] == "fab" for r in w["roleAssignments"]}


def _workspace(state: dict[str, Any]) -> dict[str, Any]:
    return next(w for w in state["workspaces"] if w["displayName"] == "fab")


SMALL = (
    Command("mkdir fab.Workspace -P capacityname=capacity", lambda s: bool(_workspace(s)["capacityId"])),
    Command("mkdir fab.Workspace/one.Folder", lambda s: _workspace(s)["folders"][0]["displayName"] == "one"),
    Command("mkdir fab.Workspace/one.Folder/lake.Lakehouse", lambda s: "folderId" in _items(s)["lake.Lakehouse"]),
    Command("mkdir fab.Workspace/load.DataPipeline", lambda s: "load.DataPipeline" in _items(s)),
    Command("import fab.Workspace/shown.KQLDashboard -i {dashboard} -f", lambda s: "shown.KQLDashboard" in _items(s)),
    Command(f"acl set fab.Workspace -I {GUEST} -R viewer -f", lambda s: GUEST in _roles(s)),
    Command("job start fab.Workspace/load.DataPipeline", lambda s: len(_items(s)["load.DataPipeline"]["jobs"]) == 1),
)
"""The commands of the gate. None of them waits for an operation, because the CLI polls every 20 seconds."""
MORE = (
    Command(
        "import fab.Workspace/clean.Notebook -i {notebook} --format .py -f", lambda s: "clean.Notebook" in _items(s)
    ),
    Command("ls fab.Workspace/one.Folder"),
    Command("exists fab.Workspace/clean.Notebook"),
    Command("get fab.Workspace/clean.Notebook -q id"),
    Command("export fab.Workspace/clean.Notebook -o {folder} --format .py -f"),
    Command(
        "cp fab.Workspace/clean.Notebook fab.Workspace/copied.Notebook -f",
        lambda s: _items(s)["copied.Notebook"]["definition"] is not None,
    ),
    Command("mkdir other.Workspace -P capacityname=capacity"),
    Command(
        "mv fab.Workspace/copied.Notebook other.Workspace/moved.Notebook -f",
        lambda s: "copied.Notebook" not in _items(s) and "moved.Notebook" in _items(s, "other"),
    ),
    Command("set fab.Workspace/clean.Notebook -q displayName -i tidy -f", lambda s: "tidy.Notebook" in _items(s)),
    Command("acl ls fab.Workspace"),
    Command(f"acl rm fab.Workspace -I {GUEST} -f", lambda s: GUEST not in _roles(s)),
    Command("job run-list fab.Workspace/tidy.Notebook"),
    Command(
        "job run-sch fab.Workspace/tidy.Notebook --type cron --interval 10"
        " --start 2026-01-01T00:00:00 --end 2027-01-01T00:00:00 --enable",
        lambda s: len(_items(s)["tidy.Notebook"]["schedules"]) == 1,
    ),
    Command("job run-list fab.Workspace/tidy.Notebook --schedule"),
    Command("job run fab.Workspace/tidy.Notebook --polling_interval 1"),
    Command(
        "unassign .capacities/capacity.Capacity -W fab.Workspace -f", lambda s: _workspace(s)["capacityId"] is None
    ),
    Command("assign .capacities/capacity.Capacity -W fab.Workspace -f", lambda s: bool(_workspace(s)["capacityId"])),
    Command("mkdir .domains/sales.Domain"),
    Command("assign .domains/sales.Domain -W fab.Workspace -f", lambda s: "domainId" in _workspace(s)),
    Command("rm fab.Workspace/one.Folder -f", lambda s: "folders" in _workspace(s), refused="FolderNotEmpty"),
    Command("rm fab.Workspace/one.Folder/lake.Lakehouse -f", lambda s: "lake.Lakehouse" not in _items(s)),
    Command("rm fab.Workspace/one.Folder -f", lambda s: "folders" not in _workspace(s)),
    Command("rm fab.Workspace -f", lambda s: _items(s) == {}),
)


def _words(stage: Stage, command: Command) -> list[str]:
    places = {
        "folder": stage.folder,
        "notebook": REPOSITORY / "Code" / "clean_orders.Notebook",
        "dashboard": REPOSITORY / "Reports" / "devices.KQLDashboard",
    }
    return command.line.format(**places).split()


def _prepare(stage: Stage) -> None:
    """Let the CLI keep its tokens in a file, once for each simulator, because there may be no keyring here."""
    if not (stage.home / ".config" / "fab").exists():
        stage.peer("fab", "config", "set", "encryption_fallback_enabled", "true")


def run(stage: Stage, commands: tuple[Command, ...] = (*SMALL, *MORE)) -> Iterator[Outcome]:
    """Run each command in a process of its own, as a person would."""
    _prepare(stage)
    for command in commands:
        done = stage.peer("fab", *_words(stage, command))
        yield _judged(command, done, stage.call("GET", "/_sim/state"))


def run_together(stage: Stage, commands: tuple[Command, ...]) -> Iterator[Outcome]:
    """Run the commands in one process, and look at the state afterwards."""
    _prepare(stage)
    lines = [" ".join(_words(stage, command)) for command in commands]
    done = stage.peer("fab", *(word for line in lines for word in ("-c", line)))
    state = stage.call("GET", "/_sim/state")
    for command in commands:
        yield _judged(command, done, state)


def _judged(command: Command, done: Done, state: dict[str, Any]) -> Outcome:
    lines = [line for line in done.text.strip().splitlines() if line.strip()]
    if command.refused:
        problem = "" if done.code and command.refused in done.text else f"not refused: {lines[-1:]}"
    else:
        problem = "" if done.code == 0 else f"exit code {done.code}: {' '.join(lines[-2:])}"
    try:
        is_done = command.holds(state)
    except (KeyError, IndexError, StopIteration):
        is_done = False
    if not problem and not is_done:
        problem = "it left no trace in the simulator"
    return Outcome(f"fab {command.line}", problem, command.refused and f"refused: {command.refused}")
