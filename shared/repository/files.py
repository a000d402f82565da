"""Open the files that a person or a manifest names: only regular files, and those of a manifest only below a root.

A name is first resolved and compared with the root. Then the file is opened folder by folder from the root, and no link
is followed on the way: a name that is changed in the meantime cannot open another file.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shared.domain.errors import SagaError
from shared.domain.printable import escaped

MAX_FILES = 10_000
"""The maximum number of files and folders in one folder."""

_SHOWN = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_KINDS: dict[int, str] = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}
_FLAGS = sum(
    getattr(os, name, 0) for name in ("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)
"""Some systems lack some of the flags. Without O_NONBLOCK, opening a pipe waits for a writer."""
_FOLDER = _FLAGS | getattr(os, "O_DIRECTORY", 0)


class RefusedError(SagaError):
    """A name does not lead to a file that may be read. The message begins with the caller's label of the name."""


def shown(name: str) -> str:
    """Return the name in quotation marks for a message; a long name is cut."""
    return f"'{name[:_SHOWN]}{'...' if len(name) > _SHOWN else ''}'"


def within(path: Path, root: Path, label: str, hint: str = "") -> Path:
    """Return the real path behind `path`, with links resolved.

    Raises RefusedError if the path is not below `root`, which must be a real path.
    """
    try:
        real = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a cycle of links
        raise RefusedError(f"{label} cannot be read: {reason(error)}") from None
    if not real.is_relative_to(root):
        raise RefusedError(f"{label} leads out of the folder {shown(str(root))}{hint}")
    return real


def is_folder(path: Path, label: str) -> bool:
    """Return True if a path leads to a folder. Raises RefusedError if the system cannot say what is there."""
    return stat.S_ISDIR(_mode(path, label))


def is_file(path: Path, label: str) -> bool:
    """Return True if a path leads to a regular file. Raises as `is_folder`."""
    return stat.S_ISREG(_mode(path, label))


def exists(path: Path, label: str) -> bool:
    """Return True if a path leads to anything. Raises as `is_folder`."""
    return _mode(path, label) != 0


def is_pipe(path: Path) -> bool:
    """Return True if a path leads to a pipe, as far as the system says."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _mode(path: Path, label: str) -> int:
    """Return the mode of what a path leads to; 0 if nothing is there. The methods of Path raise an error for a name
    that is too long, and for one in a folder that is closed to this user."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except (OSError, ValueError) as error:
        raise RefusedError(f"{label} cannot be read: {reason(error)}") from None


def read(real: Path, root: Path, label: str, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; `real` comes from `within`. Raises RefusedError."""
    try:
        with os.fdopen(_opened(real, root, label), "rb") as stream:
            before = os.fstat(stream.fileno())
            _check_regular(before, label)
            if before.st_size > limit:
                raise RefusedError(f"{label} has {before.st_size} bytes; at most {limit} are read")
            content = stream.read(before.st_size + 1)
            after = os.fstat(stream.fileno())
    except (OSError, ValueError) as error:
        raise RefusedError(f"{label} cannot be read: {reason(error)}") from None
    if len(content) != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise RefusedError(f"{label} changed while it was read; try again when no program writes to it")
    return content


def chunks(real: Path, root: Path, label: str, limit: int, size: int = 1 << 20) -> Iterator[bytes]:
    """Yield the content of a file in pieces of at most `size` bytes, so that a large file is never in memory at once.

    Raises RefusedError, also at the end if the file changed while it was read.
    """
    read_bytes = 0
    try:
        with os.fdopen(_opened(real, root, label), "rb") as stream:
            before = os.fstat(stream.fileno())
            _check_regular(before, label)
            if before.st_size > limit:
                raise RefusedError(f"{label} has {before.st_size} bytes; at most {limit} are read")
            while piece := stream.read(size):
                read_bytes += len(piece)
                yield piece
                if read_bytes > before.st_size:
                    break
            after = os.fstat(stream.fileno())
    except (OSError, ValueError) as error:
        raise RefusedError(f"{label} cannot be read: {reason(error)}") from None
    if read_bytes != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise RefusedError(f"{label} changed while it was read; try again when no program writes to it")


def read_named(path: Path, label: str, limit: int) -> bytes:
    """Return the content of a file named on the command line; it may be in any folder. Raises RefusedError."""
    try:
        _check_regular(path.stat(), label)
        real = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise RefusedError(f"{label} cannot be read: {reason(error)}") from None
    return read(real, real.parent, label, limit)


def reason(error: Exception) -> str:
    """Return the system's description of the error, without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _opened(real: Path, root: Path, label: str) -> int:
    if os.open not in os.supports_dir_fd:
        return _opened_at_once(real, label)
    at = os.open(root, _FOLDER)
    try:
        for part in real.relative_to(root).parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        last = real.name if real != root else "."
        # Check before opening: a device may react to an open, and a socket refuses it without a reason.
        _check_regular(os.stat(last, dir_fd=at, follow_symlinks=False), label)
        return os.open(last, _FLAGS, dir_fd=at)
    finally:
        os.close(at)


def _opened_at_once(real: Path, label: str) -> int:
    """Open the file on a system without relative opening, and compare the opened file with its name afterwards."""
    _check_regular(real.lstat(), label)
    opened = os.open(real, _FLAGS)
    if real.resolve() == real and os.path.samestat(os.fstat(opened), real.lstat()):
        return opened
    os.close(opened)
    raise RefusedError(f"{label} changed while it was opened; try again when no program writes to it")


def _check_regular(found: os.stat_result, label: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise RefusedError(f"{label} is {kind}, not a file")


@dataclass
class Listing:
    """The content of a folder. Paths are relative to it, with `/`; the path of a left-out folder ends with `/`."""

    files: dict[str, Path] = field(default_factory=dict[str, Path])
    """The real path of each file, by its relative path."""
    left_out: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])
    """One sentence for each entry that can neither be read nor left out."""


def listed(folder: Path, name: str, is_left_out: Callable[[str], bool], limit: int = 0) -> Listing:
    """List everything below a folder (a real path) in the order of paths; `is_left_out` decides by the name alone.

    A link to a file inside the folder counts as that file; any other link is a problem. Raises RefusedError.
    """
    limit = limit or MAX_FILES
    found = Listing()
    folders, count = [folder], 0
    while folders:
        inside = folders.pop()
        try:
            with os.scandir(inside) as rows:
                entries = sorted(rows, key=lambda entry: entry.name)
        except OSError as error:
            found.problems.append(f"{shown(_path(inside, folder, name))} cannot be read: {reason(error)}")
            continue
        count += len(entries)
        if count > limit:
            raise RefusedError(f"{shown(name)} contains more than {limit} files and folders")
        for entry in entries:
            path = Path(entry.path)
            relative = path.relative_to(folder).as_posix()
            is_inner = entry.is_dir(follow_symlinks=False)
            if is_left_out(entry.name):
                found.left_out.append(relative + "/" * is_inner)
            elif problem := _name_problem(entry.name):
                found.problems.append(f"{shown(escaped(f'{name}/{relative}'))} {problem}")
            elif is_inner:
                folders.append(path)
            else:
                _note_file(found, path, folder, shown(f"{name}/{relative}"), is_left_out)
    found.files = dict(sorted(found.files.items()))
    found.left_out.sort()
    return found


def _name_problem(name: str) -> str:
    """Return why no part of an item and no folder of a workspace can have the name; empty if one can."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8 text; rename it"
    return "has a control character in its name; rename it" if _CONTROL.search(name) else ""


def _note_file(found: Listing, path: Path, folder: Path, label: str, is_left_out: Callable[[str], bool]) -> None:
    try:
        real = _target(path, folder, label, is_left_out) if path.is_symlink() else path
        _check_regular(real.lstat(), label)
        found.files[path.relative_to(folder).as_posix()] = real
    except RefusedError as error:
        found.problems.append(str(error))
    except OSError as error:
        found.problems.append(f"{label} cannot be read: {reason(error)}")


def _target(link: Path, folder: Path, label: str, is_left_out: Callable[[str], bool]) -> Path:
    real = within(link, folder, label, "; replace the link by a copy of the file")
    if not real.exists():
        raise RefusedError(f"{label} is a link to a file that does not exist")
    if real.is_dir():
        raise RefusedError(f"{label} is a link to a folder; replace the link by a copy of the folder")
    if any(is_left_out(part) for part in real.relative_to(folder).parts):
        raise RefusedError(f"{label} is a link to a file that is left out; remove the link")
    return real


def _path(inside: Path, folder: Path, name: str) -> str:
    return name if inside == folder else f"{name}/{inside.relative_to(folder).as_posix()}"
