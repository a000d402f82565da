"""Reading a manifest on the caller's side: the file itself, and the local files that it names, packed into it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.cli import files
from shared.cli.files import RefusedError, shown
from shared.cli.item_folder import LeftOut as LeftOut
from shared.cli.item_folder import packed_item
from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.json import JsonObject, as_list, as_object, canonical
from shared.domain.principals import NOT_A_LIST, parse_principals
from shared.domain.text import MAX_BYTES, parse, utf8
from shared.steps import KINDS

PACKED_FIELDS = ("file", "folder")
"""The fields that this module reads and replaces. Each kind says which one it has (`KindRules.packs`)."""


def read_text(path: str) -> tuple[str, Path]:
    """The text of a file, or of standard input for `-`, and the folder that its paths are relative to."""
    name = "standard input" if path == "-" else path
    file = Path(path)
    try:
        if path == "-":
            return _decoded(_standard_input(), name), Path.cwd()
        return _decoded(files.read_named(file, name, MAX_BYTES), name), file.resolve().parent
    except RefusedError as error:
        is_pipe = path != "-" and file.is_fifo()
        hint = "; what another program writes is read from standard input: give -" if is_pipe else ""
        raise _problem("$", f"{error}{hint}") from None


def real_root(root: str | None, folder: Path) -> Path:
    """The folder that packing stays in: the one that was named, or the manifest's. Raises InvalidInputError."""
    if root is None:
        return folder.resolve()
    if not root:  # a variable that is not set, more likely than the current folder
        raise _problem("--root", "is empty: give a folder, or leave the option out")
    try:
        real = Path(root).resolve(strict=True)
        if real.is_dir():
            return real
        why = "is not a folder"
    except (OSError, ValueError, RuntimeError) as error:
        why = f"cannot be read: {files.reason(error)}"
    raise _problem("--root", f"{shown(root)} {why}")


def _standard_input() -> bytes:
    """At most as much as a manifest may hold: what is endless is not read to its end."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - closed by whoever started this
        raise RefusedError("standard input is closed; give a file, or send the manifest to it")
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise RefusedError(f"standard input cannot be read: {files.reason(error)}") from None
    if len(content) > MAX_BYTES:
        raise RefusedError(f"standard input has more than {MAX_BYTES} bytes")
    return content


def _decoded(content: bytes, label: str) -> str:
    try:
        return utf8(content)
    except InvalidInputError as error:
        raise RefusedError(f"{label} {error.problems[0].message}") from None


def body(manifest: Any, wanted: str | None) -> tuple[Any, str | None]:
    """The manifest without its own `id`, and the id to use: the caller's, or the manifest's."""
    top = as_object(manifest)
    if top is None or "id" not in top:
        return manifest, wanted
    declared = top["id"]
    if wanted is None and not is_deployment_id(declared):
        raise _problem("$.id", ID_RULE)
    return {k: v for k, v in top.items() if k != "id"}, wanted or declared


def packed(
    manifest: Any, folder: Path, root: Path | None = None, on_left_out: Callable[[LeftOut], None] | None = None
) -> Any:
    """The manifest with every `with.file` and `with.folder` replaced by what it names. Raises InvalidInputError.

    Names are relative to `folder`, and lead nowhere out of `root`, by default `folder`. Files that do not travel are
    reported to `on_left_out`. A step that cannot be packed stays as it is, so that the manifest can still be sent
    and recorded.
    """
    root = root or folder.resolve()
    steps = as_list((as_object(manifest) or {}).get("steps")) or []
    problems = Problems()
    size = 0
    for i, row in enumerate(steps):
        step = as_object(row) or {}
        spec = as_object(step.get("with")) or {}
        kind = KINDS.get(str(step.get("kind")))
        name = kind.packs if kind is not None else ""
        if not isinstance(spec.get(name), str):
            continue
        path = f"$.steps[{i}].with.{name}"
        if not spec[name].strip():  # a variable that is not set, more likely than the manifest's own folder
            problems.append(Problem(path, f"is empty: give the {name}, relative to the manifest"))
            continue
        try:
            if name == "file":
                found = _principals(spec, folder, root, path)
            else:
                found, left_out = packed_item(spec, folder, root, path)
                if left_out and on_left_out:
                    on_left_out(left_out)
        except InvalidInputError as error:
            problems += error.problems
            continue
        if found:
            size += _size(found)
            if size > MAX_BYTES:  # before the next one is read: together they may be more than memory holds
                what = f"makes the manifest more than {size} bytes with what it names; at most {MAX_BYTES} are accepted"
                raise InvalidInputError([*problems, Problem(path, what)])
            spec.clear()
            spec.update(found)
    if problems:
        raise InvalidInputError(problems)
    # What came from files is checked as the app will check it: its size, its depth, and characters no text may have.
    return parse(canonical(manifest)) if as_object(manifest) else manifest


def _principals(spec: JsonObject, folder: Path, root: Path, path: str) -> JsonObject | None:
    if spec.get("csv") is not None or spec.get("principals") is not None:
        return None  # the check says that there may be only one
    name = str(spec["file"])
    try:
        real = files.within(folder / name, root, shown(name), "; name a folder above both with --root")
        text = _decoded(files.read(real, root, shown(name), MAX_BYTES), shown(name))
    except RefusedError as error:
        raise _problem(path, str(error)) from None
    problems: list[Problem] = []
    parse_principals(text, f"{path} ({name})", problems)
    if any(problem.message == NOT_A_LIST for problem in problems):
        raise InvalidInputError(problems)  # another file, given by mistake: it does not leave this machine
    return {**{key: value for key, value in spec.items() if key != "file"}, "csv": text, "source": name}


def _size(spec: JsonObject) -> int:
    """Characters of what was packed into a step, at least."""
    parts = as_list((as_object(spec.get("definition")) or {}).get("parts")) or []
    return len(spec.get("csv") or "") + sum(len(part["payload"]) for part in parts)


def _problem(path: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem(path, message)])
