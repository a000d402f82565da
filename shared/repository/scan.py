"""Read a directory in Fabric's source-control format: which items it has, and of which files each of them consists."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.fields import GUID
from shared.domain.json import JsonObject, as_object
from shared.domain.text import HALF_CHARACTER, utf8
from shared.repository import files
from shared.repository.files import RefusedError, shown
from shared.repository.item_types import ITEM_TYPES, is_ignored, part_order
from shared.repository.measure import Measure
from shared.repository.model import ZERO_ID, Item, Part, Repository
from shared.repository.selection import folders_of

PLATFORM = ".platform"
MAX_FILES = 200_000
"""Files and folders of a repository."""
MAX_PART_BYTES = 128 * 1024 * 1024
"""Bytes of a part. Source: the largest payload that Fabric documents (bulkImportDefinitions)."""
MAX_FOLDER_DEPTH, MAX_FOLDER_NAME = 10, 255
"""Source: Fabric's documentation of workspace folders."""
JUNK = frozenset(
    {
        *(".git", ".gitattributes", ".gitkeep", ".hg", ".svn", ".ds_store", ".fseventsd", ".spotlight-v100"),
        *(".trashes", "$recycle.bin", "desktop.ini", "ehthumbs.db", "system volume information", "thumbs.db"),
        *(".idea", ".ipynb_checkpoints", ".vscode", "__pycache__", ".venv", "node_modules"),
    }
)
"""Names that are left out, in upper or lower case: files of source control, of operating systems and of editors."""
_JUNK_FORMS = re.compile(r"\._.*|~\$.*|.+:zone\.identifier", re.DOTALL)
"""Files beside others: attributes of macOS, locks of Office, and from where Windows has downloaded a file."""
GITIGNORE = ".gitignore"
"""Part of the definition of an SQL database, which Fabric writes itself; elsewhere a file of source control."""
_MAX_PLATFORM_BYTES = 1024 * 1024
_FORBIDDEN_IN_FOLDER = re.compile(r'[~"#.%&*:<>?/\\{|}]')
_OLD_FORMAT = "item.metadata.json"


def scan(root: Path, name: str, problems: Problems) -> Repository:
    """Return the items of a directory; each thing that is wrong is appended to `problems` with its file and line.

    `name` is what the caller calls the directory; the paths in messages begin with it. Links are not followed out of
    the directory, nested items are refused, and files that are left out because of their names are listed. Nothing is
    said about references: an item may name another one that does not exist.
    """
    try:
        real = root.resolve(strict=True)
        listing = files.listed(real, name, is_junk, MAX_FILES)
    except RefusedError as error:
        problems.append(Problem(name, str(error)))
        return Repository((), ())
    except (OSError, RuntimeError) as error:
        problems.append(Problem(name, f"cannot be read: {files.reason(error)}"))
        return Repository((), ())
    problems += [Problem(name, sentence) for sentence in listing.problems]
    return _Scan(real, name, listing, problems).repository()


def is_junk(name: str) -> bool:
    """Return True if a file or folder of this name is never a part of an item."""
    folded = name.casefold()
    return folded in JUNK or _JUNK_FORMS.fullmatch(folded) is not None


def is_part(item_type: str, path: str) -> bool:
    """Return True if a file of an item that is not junk is a part of its definition."""
    return not is_ignored(item_type, path) and (_base(path) != GITIGNORE or item_type == "SQLDatabase")


def reader(root: Path, name: str) -> Callable[[str], bytes]:
    """Return a function that reads a file of the repository by its relative path. The function raises RefusedError."""
    real = root.resolve()

    def read(file: str) -> bytes:
        return files.read(
            files.within(real / file, real, shown(f"{name}/{file}")), real, shown(f"{name}/{file}"), MAX_PART_BYTES
        )

    return read


def opened(root: Path, name: str, part: Part) -> Iterator[bytes]:
    """Yield the bytes of a part in pieces. Raises RefusedError, also if they are no longer those that were scanned."""
    real, label = root.resolve(), shown(f"{name}/{part.file}")
    digest = hashlib.sha256()
    for piece in files.chunks(files.within(real / part.file, real, label), real, label, MAX_PART_BYTES):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != part.sha256:
        raise RefusedError(f"{label} changed after it was checked; try again when no program writes to it")


def named_by(config: Path, path: str, *, is_directory: bool) -> Path:
    """Return the real path that a configuration of fabric-cicd names: relative to it, or absolute in its Git
    repository.

    Raises RefusedError.
    """
    try:
        real = (config.parent / path).resolve(strict=True)
        is_right = real.is_dir() if is_directory else real.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise RefusedError(f"{shown(path)} cannot be read: {files.reason(error)}") from None
    if not is_right:
        raise RefusedError(f"{shown(path)} is not a {'directory' if is_directory else 'file'}")
    if Path(path).is_absolute():
        own, other = _git_root(config.parent.resolve()), _git_root(real if is_directory else real.parent)
        if own is not None and other is not None and own != other:
            raise RefusedError(f"{shown(path)} is in another Git repository than the configuration")
    return real


def _git_root(directory: Path) -> Path | None:
    return next((each for each in (directory, *directory.parents) if (each / ".git").exists()), None)


def _looks_like_item(file: str) -> str | None:
    """Return the directory of a file that is called as Fabric calls the directory of an item; None if none is."""
    directories = file.split("/")[:-1]
    for depth, name in enumerate(directories, start=1):
        if name.rpartition(".")[2] in ITEM_TYPES and "." in name:
            return "/".join(directories[:depth])
    return None


class _Scan:
    """One scan: what has been seen of the listing so far."""

    def __init__(self, root: Path, name: str, listing: files.Listing, problems: Problems) -> None:
        self._root, self._name, self._listing, self._problems = root, name, listing, problems
        self._directories = {file.rpartition("/")[0] for file in listing.files if _base(file) == PLATFORM}
        self._logical_ids: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._left_out: list[str] = []

    def repository(self) -> Repository:
        inside: dict[str, list[str]] = {directory: [] for directory in sorted(self._directories)}
        nameless = set[str]()
        for file in self._listing.files:
            if (owner := self._owner(file)) is not None:
                inside[owner].append(file)
            elif _base(file) == _OLD_FORMAT:
                self._left_out.append(file)
            elif (directory := _looks_like_item(file)) is not None:
                nameless.add(directory)
        self._left_out += [f"{directory}/ (it has no {PLATFORM})" for directory in nameless]
        self._left_out += [path for path in self._listing.left_out if self._owner(path) is not None]
        items = {directory: self._item(directory, own) for directory, own in inside.items()}
        found = [item for item in items.values() if item is not None]
        unusable = tuple(directory for directory, item in items.items() if item is None)
        return Repository(tuple(found), self._folders(found), tuple(sorted(self._left_out)), unusable)

    def _owner(self, file: str) -> str | None:
        """Return the innermost item directory that a file is in."""
        directory = file.rstrip("/").rpartition("/")[0]
        while directory not in self._directories:
            if not directory:
                return None
            directory = directory.rpartition("/")[0]
        return directory

    def _item(self, directory: str, own: list[str]) -> Item | None:
        platform = _joined(directory, PLATFORM)
        text = self._text(platform)
        metadata, logical_id = self._metadata(platform, text) if text is not None else (None, "")
        if metadata is None:
            known = _type_in(text or "")
            for file in own if known else ():
                self._part(known, directory, file)  # what is wrong with the other files is reported too
            return None
        item_type, display_name = metadata["type"], metadata["displayName"]
        self._check_unique(platform, text or "", item_type, display_name, logical_id)
        outer = self._owner(directory) if directory else None
        if outer is not None and ".children" not in directory[len(outer) :].split("/"):
            self._problem(platform, 1, f"is an item inside the item {shown(outer or '.')}; move it out of that folder")
        parts = [part for file in own if (part := self._part(item_type, directory, file)) is not None]
        return Item(
            item_type,
            display_name,
            metadata.get("description") or "",
            logical_id,
            as_object(metadata.get("creationPayload")),
            self._folder(directory),
            directory,
            tuple(sorted(parts, key=lambda part: part_order(part.path))),
        )

    def _text(self, file: str) -> str | None:
        label = shown(f"{self._name}/{file}")
        try:
            return utf8(files.read(self._listing.files[file], self._root, label, _MAX_PLATFORM_BYTES))
        except RefusedError as error:
            self._problem(file, None, str(error).removeprefix(f"{label} "))
        except InvalidInputError as error:
            self._problem(file, None, error.problems[0].message)
        return None

    def _metadata(self, file: str, text: str) -> tuple[JsonObject | None, str]:
        """Return `metadata` and the logical id of a `.platform` file; None if one of the two cannot be used."""
        try:
            top = as_object(json.loads(text))
        except json.JSONDecodeError as error:
            self._problem(file, error.lineno, f"is not JSON: {error.msg} (column {error.colno})")
            return None, ""
        except (ValueError, RecursionError):
            self._problem(file, None, "is not JSON that can be read")
            return None, ""
        metadata, config = as_object((top or {}).get("metadata")), as_object((top or {}).get("config"))
        if metadata is None or config is None:
            what = "metadata" if metadata is None else "config"
            self._problem(file, 1, f"has no object `{what}`; commit the item again from Fabric (format version 2.0)")
            return None, ""
        found = [self._field(file, text, metadata, each) for each in ("type", "displayName")]
        found.append(self._field(file, text, config, "logicalId"))
        self._check_optional(file, text, metadata)
        return (None if None in found else metadata), found[-1] or ""

    def _field(self, file: str, text: str, row: JsonObject, key: str) -> str | None:
        value = row.get(key)
        if not isinstance(value, str) or not value.strip():
            what = "is missing" if value is None else "must be a non-empty text"
            holder = "config" if key == "logicalId" else "metadata"
            remedy = "; add one, as a new GUID, or commit the item again from Fabric" if key == "logicalId" else ""
            self._problem(file, _line(text, key if value is not None else holder), f"{key} {what}{remedy}")
            return None
        if half := HALF_CHARACTER.search(value):
            self._problem(file, _line(text, key), f"{key} contains U+{ord(half[0]):04X}, which is half a character")
            return None
        if key == "displayName" and value != value.strip():
            what = f"displayName {shown(value)} begins or ends with white space, which Fabric may drop; remove it"
            self._problem(file, _line(text, key), what)
            return None
        if key == "logicalId" and not GUID.fullmatch(value):
            self._problem(file, _line(text, key), f"logicalId {shown(value)} is not a GUID")
            return None
        proper = next((each for each in ITEM_TYPES if each.casefold() == value.casefold()), value)
        if key == "type" and value != proper:
            self._problem(file, _line(text, key), f"type '{value}' must be written {proper}")
            return None
        return value

    def _check_optional(self, file: str, text: str, metadata: JsonObject) -> None:
        if not isinstance(metadata.get("description"), str | None):
            self._problem(file, _line(text, "description"), "description must be a text")
        payload = metadata.get("creationPayload")
        if payload is not None and as_object(payload) is None:
            self._problem(file, _line(text, "creationPayload"), "creationPayload must be an object")

    def _check_unique(self, file: str, text: str, item_type: str, name: str, logical_id: str) -> None:
        other = self._names.setdefault((item_type, name.lower()), file)
        if other != file:
            what = f"has the type and display name of {shown(other)} ({item_type} {shown(name)}); rename one of them"
            self._problem(file, _line(text, "displayName"), what)
        if logical_id != ZERO_ID:
            other = self._logical_ids.setdefault(logical_id.casefold(), file)
            if other != file:
                what = f"has the logicalId of {shown(other)}; give one of them a new GUID"
                self._problem(file, _line(text, "logicalId"), what)

    def _part(self, item_type: str, directory: str, file: str) -> Part | None:
        path = file[len(directory) + 1 :] if directory else file
        if not is_part(item_type, path):
            self._left_out.append(file)
            return None
        measure, label = Measure(), shown(f"{self._name}/{file}")
        try:
            for piece in files.chunks(self._listing.files[file], self._root, label, MAX_PART_BYTES):
                measure.add(piece)
        except RefusedError as error:
            self._problem(file, None, str(error).removeprefix(f"{label} "))
            return None
        is_text, problem = measure.verdict()
        if problem:
            self._problem(file, measure.line, problem)
        return Part(path, file, measure.size, measure.sha256, is_text)

    def _folder(self, directory: str) -> str:
        """Return the workspace folder of an item: the directory above it, and above the items that contain it."""
        while (outer := self._owner(directory) if directory else None) is not None:
            directory = outer
        return "".join(f"/{each}" for each in directory.split("/")[:-1])

    def _folders(self, items: list[Item]) -> tuple[str, ...]:
        """Return the workspace folders of the items, parents first; report those that Fabric would refuse."""
        found = folders_of(items)
        for folder in found:
            self._check_folder(folder)
        return found

    def _check_folder(self, folder: str) -> None:
        name = folder.rpartition("/")[2]
        if forbidden := _FORBIDDEN_IN_FOLDER.search(name):
            what = f"becomes a workspace folder, whose name may not contain {forbidden[0]}; rename the directory"
            self._problem(folder[1:], None, what)
        if name != name.strip():
            what = "becomes a workspace folder, whose name may not begin or end with white space; rename the directory"
            self._problem(folder[1:], None, what)
        if folder.count("/") > MAX_FOLDER_DEPTH or len(name) > MAX_FOLDER_NAME:
            limits = f"at most {MAX_FOLDER_DEPTH} levels and {MAX_FOLDER_NAME} characters"
            self._problem(folder[1:], None, f"becomes a workspace folder, which may have {limits}; rename or move it")

    def _problem(self, file: str, line: int | None, message: str) -> None:
        place = f"{self._name}/{file}" + (f":{line}" if line is not None else "")
        self._problems.append(Problem(place, message))


def _type_in(text: str) -> str:
    """Return the type that a `.platform` file names, whatever else is wrong with it; '' if it names none."""
    try:
        found = (as_object((as_object(json.loads(text)) or {}).get("metadata")) or {}).get("type")
    except (ValueError, RecursionError):
        return ""
    return found if isinstance(found, str) and found in ITEM_TYPES else ""


def _base(file: str) -> str:
    return file.rpartition("/")[2]


def _joined(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _line(text: str, key: str) -> int:
    """Return the line in which a key stands first; 1 if it is missing."""
    found = text.find(f'"{key}"')
    return text.count("\n", 0, max(0, found)) + 1
