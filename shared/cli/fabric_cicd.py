"""Make a manifest from a configuration of fabric-cicd, so that nothing in a repository has to change."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.cli import pack, repository_read
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.json import JsonObject
from shared.domain.text import utf8
from shared.repository import config, files, scan
from shared.repository.config import Config, Override
from shared.repository.files import RefusedError, shown
from shared.repository.parameter_model import NO_ENVIRONMENT
from shared.repository.parameters import PARAMETER_FILE

OVERRIDE = "--config-override"
_MAX_BYTES = 4 * 1024 * 1024
_SHORTCUTS = "enable_shortcut_publish"
"""The feature without which fabric-cicd makes no shortcuts."""
_WORKSPACE = {"id": "workspace", "kind": "workspace"}
_FIELDS = {
    "path": "core.repository_directory",
    "parameters": "core.parameter",
    "itemTypes": "core.item_types_in_scope",
    "include": "publish.items_to_include",
    "exclude": "publish.exclude_regex",
    "includeFolders": "publish.folder_path_to_include",
    "excludeFolders": "publish.folder_exclude_regex",
    "excludeShortcuts": "publish.shortcut_exclude_regex",
}
"""The field of a configuration that each field of the step `repository` comes from."""


@dataclass(frozen=True)
class Generated:
    """The manifest, the folder that its paths are relative to, the folder that contains all its files, what has no
    effect, and for paths in the manifest the place in the configuration that they come from."""

    manifest: JsonObject
    folder: Path
    root: Path
    warnings: tuple[Problem, ...]
    places: Mapping[str, str] = field(default_factory=dict[str, str])


def manifest_of(path: str, environment: str, override: str | None = None, root: str | None = None) -> Generated:
    """Return the manifest of a configuration for one environment. `override` is a file of values that replace those of
    the configuration, or these values themselves; `root` is the folder that the caller names for all files.

    Raises InvalidInputError with file and line. A problem of the configuration does not hide those of the repository
    and its parameters, unless it leaves open which files these are.
    """
    problems = Problems()
    text, more = _read(path, "--fabric-cicd", problems), _override(override, problems)
    is_override_read = not problems
    found = config.load(text, path, environment or NO_ENVIRONMENT, problems, more) if text is not None else None
    if found is None or not is_override_read:
        raise InvalidInputError(problems)
    if found.publish_skip:
        what = "publish.skip is true, so nothing is deployed for this environment"
        raise InvalidInputError([*problems, Problem(found.repository_place, what)])
    folder = Path(path).resolve().parent
    try:
        repository = (folder / found.repository_directory).resolve()
        missing = dict(_missing(found, repository, Path(path).resolve()))
        parameter = (folder / found.parameter).resolve() if found.parameter is not None else repository
    except ValueError:
        what = "names a path with the character U+0000; remove it"
        raise InvalidInputError([*problems, Problem(found.repository_place, what)]) from None
    except RefusedError as error:
        raise InvalidInputError([*problems, Problem(path, str(error))]) from None
    above = Path(os.path.commonpath([folder, repository, parameter.parent]))
    manifest, prefix = _manifest(found, repository, folder, environment)
    places = _places(found, prefix)
    if problems or missing:
        whole = [*problems, *missing.values()]
        try:
            real = pack.real_root(root, folder) if root else above
        except InvalidInputError as error:
            raise InvalidInputError([*whole, *error.problems]) from None
        spec: JsonObject = manifest["steps"][-1]["with"]
        raise InvalidInputError([*whole, *relocated(_beside(found, spec, folder, real, prefix, missing), places)])
    warnings = list(found.warnings)
    if not found.unpublish.skip:
        what = "items that are no longer in the repository are kept; a manifest with `orphans: delete` deletes them"
        warnings.append(Problem(f"{path}, unpublish", what))
    return Generated(manifest, folder, above, tuple(warnings), places)


def _beside(
    found: Config, spec: JsonObject, folder: Path, root: Path, prefix: str, missing: Collection[str]
) -> Problems:
    """Return what is wrong with the repository of a configuration that has problems itself, and with its parameters.
    The fields that are `missing` are reported already."""
    if "parameters" in missing:
        spec = {**spec, "parameters": repository_read.NO_PARAMETERS}
    if "path" in missing:
        problems = Problems()
        repository_read.parameters_of(spec, folder, root, None, problems)
        return problems
    is_known = found.is_content_known and "parameters" not in missing
    return repository_read.problems_of(spec, folder, root, f"{prefix}.path", is_content_known=is_known)


def relocated(problems: Iterable[Problem], places: Mapping[str, str]) -> Problems:
    """Return the problems with the places in the configuration in place of the paths in its manifest."""
    return Problems(replace(problem, path=places.get(problem.path, problem.path)) for problem in problems)


def _places(found: Config, prefix: str) -> dict[str, str]:
    """Return the place in the configuration for each path in the manifest."""
    places: dict[str, str] = {}
    for name, origin in _FIELDS.items():
        whole, *rows = found.places.get(origin, ("",))
        if whole:
            places |= {f"{prefix}.{name}": whole, **{f"{prefix}.{name}[{i}]": row for i, row in enumerate(rows)}}
    return places


def _override(given: str | None, problems: Problems) -> Override | None:
    """Return the values that replace those of the configuration: a text that begins with a brace is not a file."""
    if given is None:
        return None
    if given.lstrip().startswith("{"):
        return Override(given, OVERRIDE)
    text = _read(given, OVERRIDE, problems)
    return None if text is None else Override(text, given)


def _read(path: str, option: str, problems: Problems) -> str | None:
    """Return the text of a file; None after a problem."""
    try:
        return utf8(files.read_named(Path(path), shown(path), _MAX_BYTES))
    except RefusedError as error:
        problems.append(Problem(option, str(error)))
    except InvalidInputError as error:
        problems.append(Problem(path, error.problems[0].message))
    return None


def _missing(found: Config, repository: Path, file: Path) -> Iterator[tuple[str, Problem]]:
    """Yield the fields of the step whose folder or file is not there, or is in another Git repository, each with the
    problem and its line. Both are relative to the file of the configuration. Raises RefusedError."""
    folder = file.parent
    if not files.is_folder(repository, shown(found.repository_directory)):
        what = f"{shown(found.repository_directory)} is not a directory; write it relative to the configuration"
        yield "path", Problem(found.repository_place, what)
    else:
        for problem in _elsewhere(file, found.repository_directory, found.repository_place, is_directory=True):
            yield "path", problem
    if found.parameter is None:
        return
    if not files.is_file(folder / found.parameter, shown(found.parameter)):
        what = f"{shown(found.parameter)} does not exist; write it relative to the configuration"
        if files.is_file(repository / PARAMETER_FILE, PARAMETER_FILE):
            what += f", as {os.path.relpath(repository / PARAMETER_FILE, folder)}"
        yield "parameters", Problem(found.parameter_place, what)
    else:
        for problem in _elsewhere(file, found.parameter, found.parameter_place, is_directory=False):
            yield "parameters", problem


def _elsewhere(file: Path, path: str, place: str, *, is_directory: bool) -> Iterator[Problem]:
    """Yield a problem if an absolute path cannot be used."""
    try:
        scan.named_by(file, path, is_directory=is_directory)
    except RefusedError as error:
        yield Problem(place, str(error))


def _manifest(found: Config, repository: Path, folder: Path, environment: str) -> tuple[JsonObject, str]:
    """Return the manifest, and the path of the repository's `with` in it."""
    selection = found.selection
    spec: JsonObject = {
        "workspaceId": found.workspace_id or "${{ steps.workspace.outputs.id }}",
        "path": os.path.relpath(repository, folder),
        "parameters": _parameters(found, repository, folder),
    }
    for name, value in (
        ("environment", environment),
        ("environmentVariables", "enable_environment_variable_replacement" in found.features),
        ("itemTypes", selection.types),
        ("include", selection.items),
        ("exclude", selection.exclude_regex),
        ("includeFolders", selection.folders),
        ("excludeFolders", selection.folder_exclude_regex),
        ("excludeShortcuts", selection.shortcut_exclude_regex),
    ):
        if value:
            spec[name] = list(value) if isinstance(value, tuple) else value
    if _SHORTCUTS not in found.features:
        spec["shortcuts"] = False
    steps: list[JsonObject] = [{"id": "content", "kind": "repository", "with": spec}]
    if not found.workspace_id:  # fabric-cicd does not create it; here it is created if it is missing
        steps.insert(0, {**_WORKSPACE, "with": {"displayName": found.workspace}})
    name = f"{repository.name}-{environment}" if environment else repository.name
    made: JsonObject = {"name": name[:100], "target": found.workspace_id or found.workspace, "steps": steps}
    return made, f"$.steps[{len(steps) - 1}].with"


def _parameters(found: Config, repository: Path, folder: Path) -> str:
    """Return the file of parameters relative to the repository. Without one, fabric-cicd replaces nothing."""
    return "none" if found.parameter is None else os.path.relpath((folder / found.parameter).resolve(), repository)
