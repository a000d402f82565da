"""Git of one workspace, as a person or a script uses it outside a deployment: its status, a commit, and the connection.

A commit is irreversible: the branch has it from then on, and no rollback takes it back. Disconnecting reverses a
connection exactly, because connecting changes no item.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import (
    FabricAmbiguousError,
    FabricConflictError,
    FabricError,
    FabricRefusedError,
    FabricTransientError,
    InvalidInputError,
    Problem,
)
from shared.domain.fields import GUID, Fields
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Clock, Fabric, OperationStarted
from shared.domain.records import Intent
from shared.domain.states import IntentAction, OperationState
from shared.saga.dry_run.changes import DRY_RUN_RETRY
from shared.saga.dry_run.read_only import ReadOnlyFabric
from shared.steps import git_changes
from shared.steps.git_connection import (
    INITIALISED,
    NOT_CONNECTED,
    GitConnectionKind,
    GitInitialisationKind,
    GitLinkKind,
    connection,
    git_path,
)

COMMENT_LIMIT = 300
"""Characters of the comment of a commit. Source: published OpenAPI, CommitToGitRequest."""
_READ_SECONDS = 120.0
_LATE_SECONDS = 20.0
"""How long the effect of a call whose response was lost is looked for."""


@dataclass(frozen=True)
class GitChange:
    """The change of an item since the last sync, on either side: `Added`, `Modified`, `Deleted`, or empty."""

    name: str
    type: str
    logical_id: str
    id: str
    in_workspace: str
    in_branch: str
    is_conflict: bool

    @property
    def key(self) -> str:
        """Return the item as commands name it: name and type."""
        return f"{self.name}.{self.type}"

    def to_json(self) -> JsonObject:
        return {**vars(self)}


@dataclass(frozen=True)
class GitStatus:
    """The commit that the workspace is at, the head of its branch, and the items that have changed since."""

    workspace_head: str
    branch_head: str
    changes: tuple[GitChange, ...]

    def to_json(self) -> JsonObject:
        rows = [change.to_json() for change in self.changes]
        return {"workspace_head": self.workspace_head, "branch_head": self.branch_head, "changes": rows}


class GitWorkspace:
    """Git of one connected workspace. Each call waits until Fabric has done it, for `wait_seconds` at most."""

    def __init__(
        self,
        fabric: Fabric,
        workspace_id: str,
        *,
        clock: Clock,
        wait_seconds: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises InvalidInputError if the id of the workspace is not a GUID."""
        if not GUID.fullmatch(workspace_id):
            raise InvalidInputError([Problem("workspace", "must be the id (GUID) of a workspace")])
        self.workspace_id = workspace_id
        self._fabric, self._clock, self._sleep, self._wait = fabric, clock, sleep, wait_seconds

    def _reading(self) -> ReadOnlyFabric:
        return ReadOnlyFabric(self._fabric, self._clock, DRY_RUN_RETRY, budget_seconds=_READ_SECONDS, sleep=self._sleep)

    def status(self) -> GitStatus:
        """Return what has changed on both sides. Raises FabricError; FabricRefusedError if it is not connected."""
        reading = self._reading()
        reply = reading.send("GET", f"{git_path(self.workspace_id)}/status")
        shown = reply.body or {}
        if reply.operation is not None:
            self._finish(reading, reply.operation, "git status")
            shown = reading.result(reply.operation.id, reply.operation.location) or {}
        rows = tuple(_change(row) for row in git_changes.changes(shown))
        return GitStatus(str(shown.get("workspaceHead") or ""), str(shown.get("remoteCommitHash") or ""), rows)

    def commit(self, comment: str, items: Collection[str] = (), *, status: GitStatus | None = None) -> str:
        """Commit the changes of the workspace, or of the named items (`name.type`), and return the new commit's hash;
        empty if there is nothing to commit. It is irreversible.

        `status` is the one that a person has seen: Fabric refuses the commit if the workspace's head has moved since.
        Raises InvalidInputError for an unknown item or a comment that is too long, FabricConflictError if the branch
        has changes that the workspace lacks, FabricAmbiguousError if it is not known whether it was made.
        """
        if len(comment) > COMMENT_LIMIT:
            problem = f"has {len(comment)} characters; at most {COMMENT_LIMIT} are allowed"
            raise InvalidInputError([Problem("comment", problem)])
        seen = status if status is not None else self.status()
        chosen = _chosen(seen, items)
        if behind := [change.key for change in seen.changes if change.in_branch]:
            raise FabricConflictError(
                f"the branch has changes that the workspace lacks ({git_changes.listed(behind)}): update the workspace "
                "from Git first",
                call="POST git/commitToGit",
            )
        if not chosen:
            return ""
        body: JsonObject = {"mode": "Selective" if items else "All", "comment": comment}
        if seen.workspace_head:
            body["workspaceHead"] = seen.workspace_head
        if items:
            body["items"] = [_identifier(change) for change in chosen]
        self._send(body, seen.workspace_head)
        return self._head()

    def _send(self, body: JsonObject, head: str) -> None:
        """Send the commit, and wait for its end. After a lost response, the head shows whether it was made."""
        self._post("commitToGit", body, lambda: self._head() != head)

    def connect(self, fields: Mapping[str, str]) -> bool:
        """Connect the workspace with a branch and initialise the connection, which changes no item. Return False if it
        was connected with that branch before.

        `fields` are those of a step of kind `git_connection`, without the workspace. If the initialisation fails, a new
        connection is disconnected. Raises InvalidInputError, FabricConflictError if the workspace is connected with
        another branch, FabricAmbiguousError if it is not known whether a call took effect, FabricError.
        """
        spec: JsonObject = {**fields, "workspaceId": self.workspace_id}
        _check(spec)
        link = GitLinkKind()
        is_new = self._state() == NOT_CONNECTED
        if is_new:
            [call] = link.apply(spec, Intent(IntentAction.CREATE, ""))
            self._post("connect", call.body or {}, lambda: self._state() != NOT_CONNECTED)
        found = link.find(self._reading(), spec)
        if found is None:
            raise FabricConflictError("somebody has disconnected the workspace meanwhile", call="POST git/connect")
        if wrong := link.changes(spec, found):
            message = f"the workspace is connected with another {' and '.join(wrong)}: disconnect it first"
            raise FabricConflictError(message, call="POST git/connect")
        try:
            self._initialise(spec)
        except FabricError:
            if is_new:
                with suppress(FabricError):
                    self.disconnect()
            raise
        return is_new

    def _initialise(self, spec: JsonObject) -> None:
        if self._state() != INITIALISED:
            [call] = GitInitialisationKind().set(spec, {})
            self._post("initializeConnection", call.body or {}, lambda: self._state() == INITIALISED)

    def disconnect(self) -> bool:
        """Disconnect the workspace; its items and the branch stay as they are. Return False if it was not connected.
        Raises FabricAmbiguousError if it is not known whether the call took effect, FabricError."""
        if self._state() == NOT_CONNECTED:
            return False
        self._post("disconnect", None, lambda: self._state() == NOT_CONNECTED)
        return True

    def _post(self, name: str, body: JsonObject | None, took_effect: Callable[[], bool]) -> None:
        """Send a call once, and wait for its end. After a lost response, look for its effect for some seconds."""
        try:
            reply = self._fabric.send("POST", f"{git_path(self.workspace_id)}/{name}", body)
        except FabricAmbiguousError as error:
            until = self._clock.now() + timedelta(seconds=_LATE_SECONDS)
            while not took_effect():
                if self._clock.now() >= until:
                    raise error
                self._sleep(2.0)
            return
        if reply.operation is not None:
            self._finish(self._reading(), reply.operation, name)

    def _state(self) -> str:
        return str(connection(self._reading(), self.workspace_id)["gitConnectionState"])

    def _head(self) -> str:
        details = as_object(connection(self._reading(), self.workspace_id).get("gitSyncDetails")) or {}
        return str(details.get("head") or "")

    def _finish(self, reading: ReadOnlyFabric, operation: OperationStarted, kind: str) -> None:
        """Wait until an operation has succeeded. Raises FabricTransientError if it takes too long, FabricError."""
        status = reading.wait_for(operation, kind, self._wait)
        call = f"operation {operation.id} ({kind})"
        if status is None:
            raise FabricTransientError(f"it still runs after {self._wait:g} s", call=call)
        if status.state is not OperationState.SUCCEEDED:
            raise FabricRefusedError(
                status.message or "it failed", call=call, error_code=status.error_code, is_outcome=True
            )


def _check(spec: JsonObject) -> None:
    """Raise InvalidInputError if the fields of a connection are not valid."""
    problems = list[Problem]()
    fields = Fields(spec, "connection", problems)
    GitConnectionKind().check(fields)
    fields.finish()
    if problems:
        raise InvalidInputError(problems)


def _chosen(status: GitStatus, items: Collection[str]) -> list[GitChange]:
    """Return the changes of the workspace that are committed: of an item that was deleted and created again, both.
    Raises InvalidInputError for an item without one."""
    own = [change for change in status.changes if change.in_workspace]
    if not items:
        return own
    wanted, known_keys = {item.casefold() for item in items}, {change.key.casefold() for change in own}
    unknown = [item for item in items if item.casefold() not in known_keys]
    if unknown:
        known = git_changes.listed([change.key for change in own]) or "nothing"
        raise InvalidInputError(
            [Problem("item", f"'{item[:200]}' has not changed in the workspace; changed: {known}") for item in unknown]
        )
    return [change for change in own if change.key.casefold() in wanted]


def _identifier(change: GitChange) -> JsonObject:
    found = {"logicalId": change.logical_id, "objectId": change.id}
    return {name: value for name, value in found.items() if value}


def _change(row: JsonObject) -> GitChange:
    metadata = as_object(row.get("itemMetadata")) or {}
    logical_id, item_id = git_changes.identifier(row)
    return GitChange(
        str(metadata.get("displayName") or ""),
        str(metadata.get("itemType") or ""),
        logical_id,
        item_id,
        _word(row.get("workspaceChange")),
        _word(row.get("remoteChange")),
        row.get("conflictType") == "Conflict",
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) and value != "None" else ""
