"""Pack an item's folder in Fabric's source-control format: which of its files are parts of the definition."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from shared.cli import part_checks
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.json import JsonObject, as_object
from shared.domain.references import template_of
from shared.domain.text import utf8
from shared.domain.text_limits import MAX_BYTES
from shared.repository import files
from shared.repository.files import RefusedError, shown
from shared.repository.scan import GITIGNORE, is_junk, is_part
from shared.steps import definitions

PLATFORM = ".platform"
"""The file beside an item's parts that has its type and display name (Fabric's source-control format)."""
LEFTOVERS = frozenset({".children", ".pbi"})
"""Names of Fabric's own that are left out, in upper or lower case, beside the junk of every repository: the items below
an eventhouse, and the files that Power BI Desktop stores for one user. All others are parts."""
_OLD_FORMAT = "item.metadata.json"


@dataclass(frozen=True)
class LeftOut:
    """Files of a folder that are not packed, the place in the manifest that names the folder, and the reason."""

    path: str
    folder: str
    files: tuple[str, ...]
    reason: str


def packed_item(spec: JsonObject, folder: Path, root: Path, path: str) -> tuple[JsonObject, LeftOut | None]:
    """Return the `with` of an item with its `folder` packed, and what was left out. Raises InvalidInputError.

    `.platform` has the type, name and description; all other files are parts of the definition. For a type without a
    definition, and for a folder with nothing but `.platform`, the item has no definition.
    """
    name = str(spec["folder"])
    if spec.get("definition") is not None:
        raise _problem(
            path,
            "cannot be combined with a definition, because the folder is the definition; give only `format` with it",
        )
    try:
        real = files.within(folder / name, root, shown(name), "; name a folder above both with --root")
        if not real.is_dir():
            raise RefusedError(f"{shown(name)} is not a folder")
        listing = files.listed(real, name, _is_leftover)
        _check_files(listing, name, path)
        contents = _contents(listing, real, name)
    except (OSError, ValueError) as error:
        raise _problem(path, f"{shown(name)} cannot be read: {files.reason(error)}") from None
    except RefusedError as error:
        raise _problem(path, str(error)) from None
    # The file is not a template: text in it that looks like a reference is not one.
    metadata = template_of(_metadata(contents[PLATFORM], name, path))
    item_type = metadata["type"]
    outside = [each for each in contents if each.rpartition("/")[2] == GITIGNORE and not is_part(item_type, each)]
    contents = {each: content for each, content in contents.items() if each not in outside}
    problems = Problems()
    if spec.get("type") not in (None, item_type):
        problems.append(Problem(path, f"{shown(name)} contains a {item_type}, but `type` is {spec['type']}"))
    _check_parts(contents, item_type, name, problems)
    text = {key: value for key, value in spec.items() if value is not None and key not in ("folder", "format")}
    left_out, reason = sorted([*listing.left_out, *outside]), "not parts of an item"
    parts = [_part(each, content) for each, content in contents.items() if each != PLATFORM]
    if parts and item_type in definitions.NO_DEFINITION:
        left_out, reason = [*left_out, *(part["path"] for part in parts)], f"a {item_type} has no definition in Fabric"
        parts = []
    packed = {key: metadata[key] for key in ("type", "displayName", "description") if metadata.get(key)} | text
    if parts:
        packed["definition"] = _definition(item_type, [*parts, _part(PLATFORM, contents[PLATFORM])], spec.get("format"))
    elif spec.get("format") is not None:
        what = f"{shown(name)} contains a {item_type} without a definition; remove `format`"
        problems.append(Problem(path, what))
    elif metadata.get("creationPayload") is not None:
        packed.setdefault("creationPayload", metadata["creationPayload"])
    if problems:
        raise InvalidInputError(problems)
    return packed, LeftOut(path, name, tuple(left_out), reason) if left_out else None


def _check_parts(contents: dict[str, bytes], item_type: str, name: str, problems: Problems) -> None:
    """Note what Fabric would refuse in the parts whose rules are known."""
    for path, content in contents.items():
        if part_checks.is_checked(item_type, path):
            part_checks.check(item_type, path, content, f"{name}/{path}", problems)


def _is_leftover(name: str) -> bool:
    return name.casefold() in LEFTOVERS or is_junk(name)


def _check_files(listing: files.Listing, name: str, path: str) -> None:
    """Raise InvalidInputError with every reason why these files cannot be packed."""
    problems = [Problem(path, sentence) for sentence in listing.problems]
    if PLATFORM not in listing.files and not problems:
        is_old = _OLD_FORMAT in listing.files
        more = f"; {_OLD_FORMAT} belongs to an older format: commit the item again from Fabric" if is_old else ""
        what = f"has no {PLATFORM} file, so it is not in Fabric's source-control format{more}"
        problems.append(Problem(path, f"{shown(name)} {what}"))
    for inner in (each for each in listing.files if each.endswith(f"/{PLATFORM}")):
        what = "is another item inside this one; move it out and give it its own step"
        problems.append(Problem(path, f"{shown(f'{name}/{inner.removesuffix(f"/{PLATFORM}")}')} {what}"))
    if problems:
        raise InvalidInputError(problems)


def _contents(listing: files.Listing, folder: Path, name: str) -> dict[str, bytes]:
    size = sum(real.stat().st_size for real in listing.files.values())
    if size > MAX_BYTES:
        limit = f"a manifest with all files that it names may have at most {MAX_BYTES}"
        raise RefusedError(f"{shown(name)} has {size} bytes; {limit}")
    return {each: files.read(real, folder, shown(f"{name}/{each}"), MAX_BYTES) for each, real in listing.files.items()}


def _metadata(content: bytes, name: str, path: str) -> JsonObject:
    """Return `metadata` of a `.platform` file: type, displayName and, if present, description and creationPayload."""
    place = f"{shown(f'{name}/{PLATFORM}')} is not a {PLATFORM} file as Fabric writes it:"
    try:
        top = json.loads(utf8(content))
    except InvalidInputError as error:
        raise _problem(path, f"{place} it {error.problems[0].message}") from None
    except json.JSONDecodeError as error:
        raise _problem(path, f"{place} it is not JSON ({error.msg}, line {error.lineno})") from None
    except (ValueError, RecursionError):
        raise _problem(path, f"{place} it is not JSON") from None
    metadata = as_object((as_object(top) or {}).get("metadata")) or {}
    problems = Problems()
    for key in ("type", "displayName"):
        if not isinstance(metadata.get(key), str) or not metadata[key].strip():
            what = "is missing" if metadata.get(key) is None else "is not a string with text"
            problems.append(Problem(path, f"{place} metadata.{key} {what}"))
    if not isinstance(metadata.get("description"), str | None):
        problems.append(Problem(path, f"{place} metadata.description is not a string"))
    if problems:
        raise InvalidInputError(problems)
    return metadata


def _definition(item_type: str, parts: list[JsonObject], chosen: object) -> JsonObject:
    definition: JsonObject = {"parts": parts, **({"format": chosen} if chosen is not None else {})}
    inferred = definitions.format_of(item_type, definition)
    return {**definition, "format": inferred} if chosen is None and inferred else definition


def _part(path: str, content: bytes) -> JsonObject:
    return {"path": path, "payload": base64.b64encode(content).decode(), "payloadType": "InlineBase64"}


def _problem(path: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem(path, message)])
