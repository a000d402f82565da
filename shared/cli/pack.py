"""Read a manifest on the caller's machine and pack the local files that it names into it."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.cli.item_folder import LeftOut as LeftOut
from shared.cli.item_folder import packed_item
from shared.cli.repository_pack import packed_repository
from shared.cli.stored import StoredFiles
from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.inputs import filled, rendered
from shared.domain.json import JsonObject, as_list, as_object, canonical
from shared.domain.manifest import compile_manifest
from shared.domain.principals import NOT_A_LIST, parse_principals
from shared.domain.text import parse, utf8
from shared.domain.text_limits import MAX_BYTES
from shared.repository import files
from shared.repository.files import RefusedError, shown
from shared.steps import KINDS

PACKED_FIELDS = ("file", "folder", "path")
"""The fields that this module reads and replaces. Each kind says which one it has (`KindRules.packs`)."""


def read_text(path: str) -> tuple[str, Path]:
    """Return the text of a file (standard input for `-`) and the folder that its paths are relative to.

    Raises InvalidInputError.
    """
    name = "standard input" if path == "-" else path
    file = Path(path)
    try:
        if path == "-":
            return _decoded(_standard_input(), name), Path.cwd()
        return _decoded(files.read_named(file, name, MAX_BYTES), name), file.resolve().parent
    except RefusedError as error:
        is_pipe = path != "-" and files.is_pipe(file)
        hint = "; to read the output of another program, give - and send it to standard input" if is_pipe else ""
        raise _problem("$", f"{error}{hint}") from None


def real_root(root: str | None, folder: Path) -> Path:
    """Return the folder that packing stays in: the named one, or the manifest's. Raises InvalidInputError."""
    if root is None:
        return folder.resolve()
    if not root:  # more likely an unset variable than the current folder
        raise _problem("--root", "is empty: give a folder, or omit the option")
    try:
        real = Path(root).resolve(strict=True)
        if real.is_dir():  # it exists, and its name was read
            return real
        why = "is not a folder"
    except (OSError, ValueError, RuntimeError) as error:
        why = f"cannot be read: {files.reason(error)}"
    raise _problem("--root", f"{shown(root)} {why}")


def _standard_input() -> bytes:
    """Read at most as much as a manifest may have, because the input may be endless."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - the caller may have closed it
        raise RefusedError("standard input is closed; give a file, or send the manifest to standard input")
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
    """Return the manifest without its own `id`, and the id to use: the caller's, or the manifest's.

    Raises InvalidInputError.
    """
    found, declared = without_id(manifest)
    if wanted is None and found is not manifest and not is_deployment_id(declared):
        raise _problem("$.id", ID_RULE)
    return found, wanted or declared


def without_id(manifest: Any) -> tuple[Any, Any]:
    """Return the manifest without its own `id`, and that id, whatever it is."""
    top = as_object(manifest)
    if top is None or "id" not in top:
        return manifest, None
    return {k: v for k, v in top.items() if k != "id"}, top["id"]


def packed(
    manifest: Any,
    folder: Path,
    root: Path | None = None,
    on_left_out: Callable[[LeftOut], None] | None = None,
    stored: StoredFiles | None = None,
    on_warning: Callable[[Problem], None] | None = None,
) -> Any:
    """Return the manifest with each `with.file`, `with.folder` and `with.path` replaced by its content.

    The files of a repository are added to `stored`, because they are sent beside the manifest. Raises
    InvalidInputError.

    Names are relative to `folder` and must not lead out of `root` (by default `folder`). Files that are left out are
    reported to `on_left_out`. A step that cannot be packed stays unchanged, so that the manifest can still be sent and
    recorded.
    """
    packing = _Packing(folder, root or folder.resolve(), stored or StoredFiles(), on_left_out, on_warning)
    _, inputs = rendered(manifest)
    problems, failed, size = Problems(), list[str](), 0
    for i, row in enumerate(as_list((as_object(manifest) or {}).get("steps")) or []):
        step, place = as_object(row) or {}, f"$.steps[{i}].with"
        spec, kind = as_object(step.get("with")) or {}, KINDS.get(str(step.get("kind")))
        name = kind.packs if kind is not None else ""
        if not isinstance(spec.get(name), str):
            continue
        path = f"{place}.{name}"
        try:
            named = filled(spec, inputs, place)
            found = packing.content(named, name, path)
        except InvalidInputError as error:
            problems += error.problems
            failed.append(place)
            continue
        if found:
            size += _size(found)
            if size > MAX_BYTES:  # checked before the next file is read: together they may not fit in memory
                what = f"makes the manifest with its files larger than {size} bytes; at most {MAX_BYTES} are accepted"
                raise InvalidInputError([*problems, Problem(path, what)])
            # A field that packing did not change keeps its inputs, so that the step is the same in every stage.
            kept = {key: spec[key] for key, value in found.items() if key in spec and value == named[key]}
            spec.clear()
            spec.update(found | kept)
    if problems:
        raise InvalidInputError([*problems, *_elsewhere(manifest, failed)])
    # The app will check the same: size, depth, and characters that no text may contain.
    return parse(canonical(manifest)) if as_object(manifest) else manifest


@dataclass(frozen=True)
class _Packing:
    """Where files are read, where those of repositories are added, and to whom is reported what is left out."""

    folder: Path
    root: Path
    stored: StoredFiles
    on_left_out: Callable[[LeftOut], None] | None
    on_warning: Callable[[Problem], None] | None

    def content(self, named: JsonObject, name: str, path: str) -> JsonObject | None:
        """Return the `with` that has the content of the field `name` in its place; None if it stays as it is.

        Raises InvalidInputError.
        """
        if not str(named[name] or "").strip():  # more likely an unset variable than the manifest's own folder
            raise _problem(path, f"is empty: give the {name}, relative to the manifest")
        if name == "file":
            return _principals(named, self.folder, self.root, path)
        if name == "path":
            return self._repository(named, path)
        found, left_out = packed_item(named, self.folder, self.root, path)
        self._report(left_out)
        return found

    def _repository(self, named: JsonObject, path: str) -> JsonObject | None:
        result = packed_repository(named, self.folder, self.root, path, self.stored)
        if self.on_warning is not None:
            for warning in result.warnings:
                self.on_warning(warning)
        if result.left_out:
            self._report(LeftOut(path, str(named["path"]), result.left_out, "not parts of an item"))
        return result.spec

    def _report(self, left_out: LeftOut | None) -> None:
        if left_out and self.on_left_out:
            self.on_left_out(left_out)


def _elsewhere(manifest: Any, failed: Iterable[str]) -> list[Problem]:
    """Return the problems of the manifest beside those of the steps that could not be packed, whose paths begin with
    one of `failed`."""
    try:
        compile_manifest(manifest, KINDS)
    except InvalidInputError as error:
        return [problem for problem in error.problems if not problem.path.startswith(tuple(failed))]
    return []


def _principals(spec: JsonObject, folder: Path, root: Path, path: str) -> JsonObject | None:
    if spec.get("csv") is not None or spec.get("principals") is not None:
        return None  # the manifest's check reports that only one is allowed
    name = str(spec["file"])
    try:
        real = files.within(folder / name, root, shown(name), "; name a folder above both with --root")
        text = _decoded(files.read(real, root, shown(name), MAX_BYTES), shown(name))
    except RefusedError as error:
        raise _problem(path, str(error)) from None
    problems: list[Problem] = []
    parse_principals(text, f"{path} ({name})", problems)
    if any(problem.message == NOT_A_LIST for problem in problems):
        raise InvalidInputError(problems)  # a wrong file, given by mistake: it must not leave this machine
    return {**{key: value for key, value in spec.items() if key != "file"}, "csv": text, "source": name}


def _size(spec: JsonObject) -> int:
    """Return a lower bound of the characters that were packed into a step."""
    parts = as_list((as_object(spec.get("definition")) or {}).get("parts")) or []
    return len(spec.get("csv") or "") + sum(len(part["payload"]) for part in parts)


def _problem(path: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem(path, message)])
