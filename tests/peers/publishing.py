"""fabric-cicd publishes the repository twice, unpublishes it, publishes it again; the state is compared each time."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.peers.stage import REPOSITORY, Outcome, Stage, last_line

RESERVATION_SECONDS = 30
"""Longer than fabric-cicd takes to start."""


def expected() -> dict[tuple[str, str], str]:
    """Return the folder of each item of the repository by type and name."""
    found: dict[tuple[str, str], str] = {}
    for file in sorted(REPOSITORY.rglob(".platform")):
        metadata = json.loads(file.read_text())["metadata"]
        found[(metadata["type"], metadata["displayName"])] = file.relative_to(REPOSITORY).parts[0]
    return found


class Workspace:
    """A workspace into which fabric-cicd publishes."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.id = stage.workspace(name)
        self.folder = stage.repository(name)

    def run(self, action: str, folder: Path | None = None) -> str:
        """Let fabric-cicd publish or unpublish; return its error, or an empty string."""
        done = self.stage.peer("publish", action, self.id, str(folder or self.folder))
        return str(last_line(done).get("error") or "")

    def items(self) -> list[dict[str, Any]]:
        return self.stage.call("GET", f"/v1/workspaces/{self.id}/items")["value"]

    def creations(self, action: str) -> tuple[str, int]:
        """Run an action; return its error and the number of items that it created."""
        before = len(self.stage.call("GET", "/_sim/calls"))
        problem = self.run(action)
        calls = self.stage.call("GET", f"/_sim/calls?after={before}")
        path = f"/v1/workspaces/{self.id}/items"
        return problem, sum(c["method"] == "POST" and c["path"] == path and c["status"] < 300 for c in calls)

    def missing(self) -> str:
        """Return what the workspace lacks, or has twice, or has in another folder; an empty string if all is there."""
        rows = self.stage.call("GET", f"/v1/workspaces/{self.id}/folders")["value"]
        folders = {row["id"]: row["displayName"] for row in rows}
        there = {(i["type"], i["displayName"]): folders.get(i.get("folderId", ""), "") for i in self.items()}
        wrong = [f"{kind} {name}" for (kind, name), at in expected().items() if there.get((kind, name)) != at]
        twice = [
            key for key, count in Counter((i["type"], i["displayName"]) for i in self.items()).items() if count > 1
        ]
        return ", ".join([*wrong, *(f"{kind} {name} twice" for kind, name in twice), *self.unfinished()])

    def unfinished(self) -> Iterator[str]:
        """Yield each action after a create that has not taken effect."""
        state = self.stage.call("GET", "/_sim/state")
        rows = next(w for w in state["workspaces"] if w["id"] == self.id)["items"]
        by_name = {(i["type"], i["displayName"]): i for i in rows}
        for key, done in (
            (
                ("Environment", "runtime"),
                lambda i: i["publishDetails"]["state"] == "Success" and not i["unpublishedChanges"],
            ),
            (("VariableLibrary", "regions"), lambda i: i["activeValueSetName"] == "TEST"),
            (("SemanticModel", "sales"), lambda i: len(i.get("bindings", [])) == 1),
            (("Lakehouse", "orders"), lambda i: [s["name"] for s in i.get("shortcuts", [])] == ["archive"]),
            (("DataPipeline", "load_orders"), lambda i: len(i.get("schedules", [])) == 1),
        ):
            if key in by_name and not done(by_name[key]):
                yield f"{key[0]} {key[1]} is not finished"


def _outcome(command: str, problem: str, note: str = "") -> Outcome:
    return Outcome(f"fabric-cicd {command}", problem, note)


def first_and_second(workspace: Workspace) -> Iterator[Outcome]:
    """Publish everything, and again, which creates nothing."""
    problem, created = workspace.creations("publish")
    kinds = len({kind for kind, _ in expected()})
    note = f"{created} items created, {kinds} types"
    yield _outcome("publish", problem or workspace.missing() or ("" if created == len(expected()) else note), note)
    problem, created = workspace.creations("publish")
    yield _outcome("publish again", problem or workspace.missing() or (f"{created} created" if created else ""))


def all_of_it(stage: Stage, conflict_status: int) -> Iterator[Outcome]:
    """Publish, publish again, unpublish all but one item, publish again while names are reserved."""
    stage.update_settings(conflict_status=conflict_status, name_reservation_seconds=0.0)
    workspace = Workspace(stage, f"status-{conflict_status}")
    yield from first_and_second(workspace)
    kept = stage.folder / f"kept-{conflict_status}"
    shutil.copytree(REPOSITORY / "Settings" / "regions.VariableLibrary", kept / "Settings" / "regions.VariableLibrary")
    stage.update_settings(name_reservation_seconds=float(RESERVATION_SECONDS))
    problem = workspace.run("unpublish", kept)
    left = [f"{i['type']} {i['displayName']}" for i in workspace.items()]
    yield _outcome("unpublish", problem or ("" if left == ["VariableLibrary regions"] else f"left: {', '.join(left)}"))
    problem = workspace.run("publish")
    if conflict_status == 409:
        # fabric-cicd waits for a reserved name only if the status is 400.
        stage.update_settings(name_reservation_seconds=0.0)
        is_refused = "PublishError" in problem
        yield _outcome(
            "publish (names reserved, 409)", "" if is_refused else f"not refused: {problem}", "refused, as expected"
        )
        time.sleep(RESERVATION_SECONDS)
        problem = workspace.run("publish")
    yield _outcome(f"publish after unpublish ({conflict_status})", problem or workspace.missing())
