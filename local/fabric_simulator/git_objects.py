"""A git repository in memory, with git's own object ids, as a git provider would hold it.

The ids of blobs, trees and commits are those that git computes (SHA-1 of the object's type, size and content), so a
repository that was written here has the same commit ids as a clone of it would.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_AUTHOR = "Fabric <fabric@simulated.example>"


def object_id(kind: str, content: bytes) -> str:
    """Return git's id of an object."""
    return hashlib.sha1(f"{kind} {len(content)}".encode() + b"\0" + content, usedforsecurity=False).hexdigest()


def tree_id(files: Mapping[str, bytes]) -> str:
    """Return git's id of the tree with these files by path."""
    here: dict[str, tuple[str, str]] = {}
    below: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        name, _, rest = path.partition("/")
        if rest:
            below.setdefault(name, {})[rest] = data
        else:
            here[name] = "100644", object_id("blob", data)
    for name, inner in below.items():
        here[name] = "40000", tree_id(inner)
    ordered = sorted(here.items(), key=lambda row: row[0] + ("/" if row[1][0] == "40000" else ""))
    return object_id("tree", b"".join(f"{m} {n}".encode() + b"\0" + bytes.fromhex(i) for n, (m, i) in ordered))


@dataclass(frozen=True)
class Commit:
    """A commit: its id, all files by path, its parent (empty for the first), its message."""

    id: str
    files: Mapping[str, bytes]
    parent: str
    message: str


@dataclass
class Branch:
    """A branch of a repository, from its first commit to its head."""

    commits: list[Commit] = field(default_factory=lambda: list[Commit]())

    @property
    def head(self) -> Commit:
        """Return the last commit."""
        return self.commits[-1]

    def commit(self, files: Mapping[str, bytes], message: str, at: float) -> Commit:
        """Add a commit with these files and no others; return it."""
        parent = self.commits[-1].id if self.commits else ""
        lines = [f"tree {tree_id(files)}", *([f"parent {parent}"] if parent else [])]
        lines += [f"{word} {_AUTHOR} {int(at)} +0000" for word in ("author", "committer")]
        made = Commit(object_id("commit", "\n".join([*lines, "", message]).encode()), dict(files), parent, message)
        self.commits.append(made)
        return made


@dataclass
class Provider:
    """The branches of all repositories that the tenant can reach, by owner, repository and branch name."""

    branches: dict[tuple[str, ...], Branch] = field(default_factory=lambda: dict[tuple[str, ...], Branch]())


def key_of(details: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the key of the branch that `gitProviderDetails` names; the case of names does not matter."""
    names = ("gitProviderType", "organizationName", "projectName", "ownerName", "repositoryName", "branchName")
    return tuple(str(details.get(name) or "").lower() for name in names)
