"""Git of a workspace for scripts: its connection, its status, and a commit.

    git = FabricGit(workspace_id)
    if any(change.in_workspace for change in git.status().changes):
        print("committed as", git.commit("Nightly clean-up", items=["Clean.Notebook"]))

An update from Git needs before-images and somebody who restores them: it is a step of kind `git_update`
(docs/manifest.md).
"""

import time
from collections.abc import Callable, Collection, Mapping

from shared import bootstrap
from shared.domain.ports import Fabric
from shared.saga.git_workspace import GitChange, GitStatus, GitWorkspace

__all__ = ["FabricGit", "GitChange", "GitStatus"]


class FabricGit:
    """Git of one workspace. Its calls use the app's client, with its rate limit and circuit breakers, unless a script
    gives another one. Each call waits until Fabric has done it, for `wait_seconds` at most."""

    def __init__(
        self,
        workspace_id: str,
        *,
        fabric: Fabric | None = None,
        wait_seconds: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises InvalidInputError if the id is not a GUID, settings.SettingsError without the app's settings."""
        client = fabric if fabric is not None else bootstrap.app().services.fabric
        clock = bootstrap.SystemClock()
        self._git = GitWorkspace(client, workspace_id, clock=clock, wait_seconds=wait_seconds, sleep=sleep)

    def status(self) -> GitStatus:
        """Return what has changed in the workspace and in the branch since the last sync. Raises FabricError."""
        return self._git.status()

    def commit(self, comment: str, *, items: Collection[str] = ()) -> str:
        """Commit all changes of the workspace, or those of the named items (`name.type`), and return the commit's hash;
        empty if there is nothing to commit.

        A commit is irreversible: no rollback takes it back, not even that of a transaction around it. Raises
        InvalidInputError, FabricConflictError if the branch has changes that the workspace lacks, FabricError.
        """
        return self._git.commit(comment, items)

    def connect(self, fields: Mapping[str, str]) -> bool:
        """Connect the workspace with a branch and initialise the connection; return False if it was connected with that
        branch before. No item changes.

        `fields` are those of a step of kind `git_connection` (docs/manifest.md), without the workspace. Raises
        InvalidInputError, FabricConflictError if the workspace is connected with another branch, FabricError.
        """
        return self._git.connect(fields)

    def disconnect(self) -> bool:
        """Disconnect the workspace; its items and the branch stay as they are. Return False if it was not connected.
        Raises FabricError."""
        return self._git.disconnect()
