"""Reading a manifest on the caller's side: the file itself, and the local files that it names, packed into it."""

import base64
import json
import sys
from pathlib import Path
from typing import Any, BinaryIO

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.json import JsonObject, as_list, as_object, canonical
from shared.domain.manifest import DEPLOYMENT_ID
from shared.domain.text import MAX_BYTES, parse

PLATFORM = ".platform"
"""Fabric's source-control format: beside an item's parts, with its type and display name."""


def read_text(path: str) -> tuple[str, Path]:
    """The text of a file, or of standard input for `-`, and the folder that its paths are relative to."""
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - closed by the caller
                raise _problem("$", "standard input is closed")
            return _text(sys.stdin.buffer, name), Path.cwd()
        file = Path(path)
        with file.open("rb") as stream:
            return _text(stream, name), file.resolve().parent
    except UnicodeDecodeError as error:
        raise _problem("$", f"{name} is not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        raise _problem("$", f"{name} cannot be read: {_reason(error)}") from None


def _text(stream: BinaryIO, name: str) -> str:
    """At most as much as a manifest may hold: what is endless is not read to its end."""
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _problem("$", f"{name} has more than {MAX_BYTES} bytes")
    return content.decode("utf-8-sig")


def body(manifest: Any, wanted: str | None) -> tuple[Any, str | None]:
    """The manifest without its own `id`, and the id to use: the caller's, or the manifest's."""
    top = as_object(manifest)
    if top is None or "id" not in top:
        return manifest, wanted
    declared = top["id"]
    if wanted is None and not (isinstance(declared, str) and DEPLOYMENT_ID.fullmatch(declared)):
        raise _problem("$.id", "is not a deployment id: letters, digits, '.', '_', '-' (100 at most)")
    return {k: v for k, v in top.items() if k != "id"}, wanted or declared


def packed(manifest: Any, folder: Path) -> Any:
    """The manifest with every `with.file` and `with.folder` replaced by what it names. Raises InvalidInputError.

    What cannot be packed stays as it is, so that the manifest can still be sent and recorded.
    """
    steps = as_list((as_object(manifest) or {}).get("steps")) or []
    problems: list[Problem] = []
    for i, row in enumerate(steps):
        step = as_object(row) or {}
        spec = as_object(step.get("with")) or {}
        name = {"principals": "file", "item": "folder"}.get(str(step.get("kind")), "")
        if not isinstance(spec.get(name), str):
            continue
        path = f"$.steps[{i}].with.{name}"
        try:
            found = _principals(spec, folder, path) if name == "file" else _item(spec, folder, path)
        except InvalidInputError as error:
            problems += error.problems
            continue
        if found:
            spec.update(found)
            del spec[name]
    if problems:
        raise InvalidInputError(problems)
    # What came from files is checked as the app will check it: its size, its depth, and characters no text may have.
    return parse(canonical(manifest)) if as_object(manifest) else manifest


def _principals(spec: JsonObject, folder: Path, path: str) -> JsonObject:
    if spec.get("csv") is not None or spec.get("principals") is not None:
        return {}  # the check says that there may be only one
    name = spec["file"]
    try:
        with (folder / name).open("rb") as stream:
            text = _text(stream, f"'{name}'")
    except UnicodeDecodeError as error:
        raise _problem(path, f"'{name}' is not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        raise _problem(path, f"'{name}' cannot be read: {_reason(error)}") from None
    return {"csv": text, "source": name}


def _item(spec: JsonObject, folder: Path, path: str) -> JsonObject:
    """A folder in Fabric's source-control format: all of its files are parts; `.platform` gives type and name."""
    name = spec["folder"]
    root = folder / name
    if spec.get("definition") is not None:
        raise _problem(path, "cannot stand beside a definition: the folder is the definition")
    try:
        if not root.is_dir():
            raise _problem(path, f"'{name}' is not a folder")
        platform = root / PLATFORM
        if not platform.is_file():
            raise _problem(path, f"'{name}' has no {PLATFORM} file: it is not in Fabric's source-control format")
        metadata = _metadata(platform.read_bytes(), name, path)
        files = sorted(f for f in root.rglob("*") if f.is_file() and not _is_hidden(f.relative_to(root)))
        size = sum(f.stat().st_size for f in files)
        if size > MAX_BYTES:
            raise _problem(path, f"'{name}' holds {size} bytes; a manifest with all that it names may have {MAX_BYTES}")
        parts = [_part(file, root) for file in [*files, platform]]
    except (OSError, ValueError) as error:
        raise _problem(path, f"'{name}' cannot be read: {_reason(error)}") from None
    if spec.get("type") not in (None, metadata["type"]):
        raise _problem(path, f"'{name}' holds a {metadata['type']}, and `type` says {spec['type']}")
    said = {key: value for key, value in spec.items() if value is not None}
    return {**metadata, **said, "definition": {"parts": parts}}


def _metadata(content: bytes, name: str, path: str) -> JsonObject:
    """Type, display name and, where there is one, description, as `.platform` has them."""
    try:
        top = as_object(json.loads(content.decode("utf-8-sig"))) or {}
    except (ValueError, RecursionError):
        raise _problem(path, f"'{name}/{PLATFORM}' is not what Fabric writes there: it is no JSON") from None
    metadata = as_object(top.get("metadata")) or {}
    for key in ("type", "displayName"):
        if not isinstance(metadata.get(key), str):
            raise _problem(path, f"'{name}/{PLATFORM}' is not what Fabric writes there: metadata.{key} is no string")
    description = metadata.get("description")
    found: JsonObject = {"type": metadata["type"], "displayName": metadata["displayName"]}
    return {**found, "description": description} if isinstance(description, str) and description else found


def _part(file: Path, root: Path) -> JsonObject:
    payload = base64.b64encode(file.read_bytes()).decode()
    return {"path": file.relative_to(root).as_posix(), "payload": payload, "payloadType": "InlineBase64"}


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _problem(path: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem(path, message)])
