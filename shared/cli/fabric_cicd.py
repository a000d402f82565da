"""Make a manifest from a configuration of fabric-cicd, so that nothing in a repository has to change."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Generated:
    """The manifest, the folder that its paths are relative to, the folder that contains all its files, and what has no
    effect."""

    manifest: JsonObject
    folder: Path
    root: Path
    warnings: tuple[Problem, ...]


def manifest_of(path: str, environment: str, override: str | None = None) -> Generated:
    """Return the manifest of a configuration for one environment. `override` is a file of values that replace those of
    the configuration, or these values themselves. Raises InvalidInputError with file and line."""
    file = Path(path)
    text = _read(path, "--fabric-cicd")
    problems = Problems()
    found = config.load(text, path, environment or NO_ENVIRONMENT, problems, _override(override))
    if found is None:
        raise InvalidInputError(problems)
    if found.publish_skip:
        what = "publish.skip is true, so nothing is deployed for this environment"
        raise InvalidInputError([Problem(found.repository_place, what)])
    folder = file.resolve().parent
    try:
        repository = (folder / found.repository_directory).resolve()
        parameter = (folder / found.parameter).resolve() if found.parameter is not None else repository
        missing = list(_missing(found, repository, file.resolve()))
    except ValueError:
        what = "names a path with the character U+0000; remove it"
        raise InvalidInputError([Problem(found.repository_place, what)]) from None
    except RefusedError as error:
        raise InvalidInputError([Problem(path, str(error))]) from None
    if missing:
        raise InvalidInputError(missing)
    root = Path(os.path.commonpath([folder, repository, parameter.parent]))
    warnings = list(found.warnings)
    if not found.unpublish.skip:
        what = "items that are no longer in the repository are kept; a manifest with `orphans: delete` deletes them"
        warnings.append(Problem(f"{path}, unpublish", what))
    return Generated(_manifest(found, repository, folder, environment), folder, root, tuple(warnings))


def _override(given: str | None) -> Override | None:
    """Return the values that replace those of the configuration: a text that begins with a brace is not a file."""
    if given is None:
        return None
    return Override(given, OVERRIDE) if given.lstrip().startswith("{") else Override(_read(given, OVERRIDE), given)


def _read(path: str, option: str) -> str:
    try:
        return utf8(files.read_named(Path(path), shown(path), _MAX_BYTES))
    except RefusedError as error:
        raise InvalidInputError([Problem(option, str(error))]) from None
    except InvalidInputError as error:
        raise InvalidInputError([Problem(path, error.problems[0].message)]) from None


def _missing(found: Config, repository: Path, file: Path) -> Iterator[Problem]:
    """Yield what the configuration names and is not there, or is in another Git repository, each with its line. Both
    are relative to its file. Raises RefusedError."""
    folder = file.parent
    if not files.is_folder(repository, shown(found.repository_directory)):
        what = f"{shown(found.repository_directory)} is not a directory; write it relative to the configuration"
        yield Problem(found.repository_place, what)
    else:
        yield from _elsewhere(file, found.repository_directory, found.repository_place, is_directory=True)
    if found.parameter is None:
        return
    if not files.is_file(folder / found.parameter, shown(found.parameter)):
        what = f"{shown(found.parameter)} does not exist; write it relative to the configuration"
        if files.is_file(repository / PARAMETER_FILE, PARAMETER_FILE):
            what += f", as {os.path.relpath(repository / PARAMETER_FILE, folder)}"
        yield Problem(found.parameter_place, what)
    else:
        yield from _elsewhere(file, found.parameter, found.parameter_place, is_directory=False)


def _elsewhere(file: Path, path: str, place: str, *, is_directory: bool) -> Iterator[Problem]:
    """Yield a problem if an absolute path cannot be used."""
    try:
        scan.named_by(file, path, is_directory=is_directory)
    except RefusedError as error:
        yield Problem(place, str(error))


def _manifest(found: Config, repository: Path, folder: Path, environment: str) -> JsonObject:
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
    return {"name": name[:100], "target": found.workspace_id or found.workspace, "steps": steps}


def _parameters(found: Config, repository: Path, folder: Path) -> str:
    """Return the file of parameters relative to the repository. Without one, fabric-cicd replaces nothing."""
    return "none" if found.parameter is None else os.path.relpath((folder / found.parameter).resolve(), repository)
