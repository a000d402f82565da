"""Reading a manifest on the caller's side: the file itself, and the local files that it names, packed into it."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.text import MAX_BYTES, parse

PLATFORM = ".platform"
"""Fabric's source-control format: beside an item's parts, with its type and display name."""


def read_text(path: str) -> tuple[str, Path]:
    """The text of a file, or of standard input for `-`, and the folder that its paths are relative to."""
    try:
        if path == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1).decode("utf-8-sig"), Path.cwd()
        file = Path(path)
        return file.read_bytes().decode("utf-8-sig"), file.resolve().parent
    except UnicodeDecodeError as error:
        raise _problem("$", f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise _problem("$", f"{path} cannot be read: {error.strerror or error}") from None


def packed(text: str, folder: Path) -> Any:
    """The manifest with every `with.file` and `with.folder` replaced by what it names. Raises InvalidInputError."""
    manifest = parse(text)
    steps = as_list((as_object(manifest) or {}).get("steps")) or []
    problems: list[Problem] = []
    for i, row in enumerate(steps):
        step = as_object(row) or {}
        spec = as_object(step.get("with"))
        if spec is None:
            continue
        try:
            if step.get("kind") == "principals" and isinstance(spec.get("file"), str):
                _pack_principals(spec, folder, f"$.steps[{i}].with.file")
            elif step.get("kind") == "item" and isinstance(spec.get("folder"), str):
                _pack_item(spec, folder, f"$.steps[{i}].with.folder")
        except InvalidInputError as error:
            problems += error.problems
    if problems:
        raise InvalidInputError(problems)
    return manifest


def _pack_principals(spec: JsonObject, folder: Path, path: str) -> None:
    name = spec.pop("file")
    try:
        spec["csv"] = (folder / name).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _problem(path, f"'{name}' is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise _problem(path, f"'{name}' cannot be read: {error.strerror or error}") from None
    spec["source"] = name


def _pack_item(spec: JsonObject, folder: Path, path: str) -> None:
    """A folder in Fabric's source-control format: all of its files are parts; `.platform` gives type and name."""
    name = spec.pop("folder")
    root = folder / name
    if "definition" in spec:
        raise _problem(path, "cannot stand beside a definition: the folder is the definition")
    if not root.is_dir():
        raise _problem(path, f"'{name}' is not a folder")
    files = sorted(f for f in root.rglob("*") if f.is_file() and not _is_hidden(f.relative_to(root)))
    platform = root / PLATFORM
    if not platform.is_file():
        raise _problem(path, f"'{name}' has no {PLATFORM} file: it is not in Fabric's source-control format")
    try:
        metadata = as_object(as_object(json.loads(platform.read_text("utf-8-sig")))["metadata"]) or {}  # type: ignore[index]
        spec.setdefault("type", metadata["type"])
        spec.setdefault("displayName", metadata["displayName"])
        if metadata.get("description"):
            spec.setdefault("description", metadata["description"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _problem(path, f"'{name}/{PLATFORM}' is not what Fabric writes there: {error}") from None
    if spec["type"] != metadata["type"]:
        raise _problem(path, f"'{name}' holds a {metadata['type']}, and `type` says {spec['type']}")
    parts: list[JsonObject] = []
    for file in [*files, platform]:
        payload = base64.b64encode(file.read_bytes()).decode()
        part = {"path": file.relative_to(root).as_posix(), "payload": payload, "payloadType": "InlineBase64"}
        parts.append(part)
    spec["definition"] = {"parts": parts}


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _problem(path: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem(path, message)])
