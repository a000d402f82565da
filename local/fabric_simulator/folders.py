"""The folders of a workspace: a tree of names. Which item is in which folder is part of the item."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from local.fabric_simulator.catalogue import ignoring_case
from local.fabric_simulator.http import ApiError
from local.fabric_simulator.store import Workspace
from local.fabric_simulator.world import Body

MAX_DEPTH = 10
_FORBIDDEN = re.compile(r"[~\"#.&*:<>?/\\{|}\x00-\x1f\x7f-\x9f]")
_RESERVED = frozenset({"$recycle.bin", "recycled", "recycler"})
_EMPTY_ID = "00000000-0000-0000-0000-000000000000"


@dataclass
class Folder:
    """A folder; `parent_id` is None at the top of the workspace."""

    id: str
    name: str
    parent_id: str | None = None


@dataclass
class Folders:
    """The folders of one workspace, by id."""

    by_id: dict[str, Folder] = field(default_factory=lambda: dict[str, Folder]())

    def children(self, folder_id: str | None) -> list[Folder]:
        """Return the folders directly below a folder, or at the top."""
        return [folder for folder in self.by_id.values() if folder.parent_id == folder_id]

    def above(self, folder_id: str | None) -> Iterator[Folder]:
        """Yield a folder and all folders above it."""
        while folder_id is not None:
            yield self.by_id[folder_id]
            folder_id = self.by_id[folder_id].parent_id

    def below(self, folder_id: str | None) -> Iterator[Folder]:
        """Yield all folders below a folder, parents first."""
        for child in self.children(folder_id):
            yield child
            yield from self.below(child.id)

    def height(self, folder_id: str) -> int:
        """Return the number of levels from a folder down to the deepest folder below it."""
        return 1 + max((self.height(child.id) for child in self.children(folder_id)), default=0)


def shown(folder: Folder, workspace: Workspace) -> Body:
    """Return a folder as answers show it."""
    body: Body = {"id": folder.id, "displayName": folder.name, "workspaceId": workspace.id}
    if folder.parent_id:
        body["parentFolderId"] = folder.parent_id
    return body


def find(workspace: Workspace, folder_id: str) -> Folder:
    """Return a folder of the workspace. Raises ApiError 404."""
    folder = workspace.part(Folders).by_id.get(folder_id.lower())
    if folder is None:
        raise ApiError(404, "FolderNotFound", "The requested folder was not found.")
    return folder


def parent(workspace: Workspace, folder_id: object) -> str | None:
    """Return the id of the folder that a request names; None, an empty string and an empty id mean the top.

    Raises ApiError 404 for a folder that does not exist, and ApiError 400 for a value that is not a string.
    """
    if folder_id in (None, "", _EMPTY_ID):
        return None
    if not isinstance(folder_id, str):
        raise ApiError(400, "InvalidInput", "The folder's id must be a JSON string.")
    return find(workspace, folder_id).id


def check_name(workspace: Workspace, parent_id: str | None, name: str, own: str | None = None) -> None:
    """Raise ApiError if the name is not valid, or if another folder with the same parent has it.

    Source of the rules: Fabric's documentation of folders in workspaces. The conflict's status is an assumption.
    """
    is_valid = bool(name) and name == name.strip() and len(name) <= 255 and not _FORBIDDEN.search(name)
    if not is_valid or name.lower() in _RESERVED:
        raise ApiError(400, "InvalidFolderDisplayName", f"The folder name '{name[:255]}' is not valid.")
    for folder in workspace.part(Folders).children(parent_id):
        if ignoring_case(folder.name) == ignoring_case(name) and folder.id != own:
            message = f"The folder name '{name}' is already in use."
            raise ApiError(409, "FolderDisplayNameAlreadyInUse", message, synthetic=True)


def check_depth(workspace: Workspace, parent_id: str | None, height: int) -> None:
    """Raise ApiError 400 if folders of this height are too many levels below the top."""
    if len(list(workspace.part(Folders).above(parent_id))) + height > MAX_DEPTH:
        raise ApiError(400, "FolderDepthOutOfRange", f"Folders may have at most {MAX_DEPTH} levels.")


def listed(workspace: Workspace, root: str | None, *, recursive: bool) -> list[Folder]:
    """Return the folders below a folder, all of them or only those directly below it."""
    folders = workspace.part(Folders)
    return list(folders.below(root)) if recursive else folders.children(root)


def wanted(workspace: Workspace, query: dict[str, str]) -> tuple[str | None, bool]:
    """Return the root folder and whether to list recursively, from a query (source: the published OpenAPI)."""
    root = parent(workspace, query.get("rootFolderId"))
    return root, query.get("recursive", "true").lower() != "false"


def covers(workspace: Workspace, query: dict[str, str], folder_id: str | None) -> bool:
    """Return True if a list with this query shows the items of a folder (None: of the top of the workspace)."""
    root, recursive = wanted(workspace, query)
    if root is None and recursive:
        return True
    return folder_id == root or (recursive and any(f.id == folder_id for f in workspace.part(Folders).below(root)))
