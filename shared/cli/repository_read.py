"""Read a repository that is packed, and check it: its files, the parameters of one environment, what is deployed."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.cli import repository_checks, repository_shortcuts
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.json import JsonObject, as_list
from shared.domain.text import utf8
from shared.repository import compile, files, order, parameters, scan
from shared.repository.compile import Analysis
from shared.repository.files import RefusedError, shown
from shared.repository.item_types import ITEM_TYPES
from shared.repository.model import Item, Repository
from shared.repository.parameter_model import NO_ENVIRONMENT, Parameters
from shared.repository.selection import Selection, selected
from shared.settings import caller_variables
from shared.steps.item_actions import ValueSetKind

NO_PARAMETERS = "none"
_MAX_PARAMETERS = 4 * 1024 * 1024
_SIMILAR = frozenset({"parameter.yml", "parameter.yaml", "parameters.yml", "parameters.yaml"})
"""Names in lower case that people give to the file of parameters."""


@dataclass(frozen=True)
class Read:
    """The files of a repository, whose real folder is `real`, and the parameters of the environment."""

    real: Path
    repository: Repository
    loaded: Parameters


@dataclass(frozen=True)
class Checked:
    """The items that are deployed, their order and shortcuts, and the doubts about them."""

    chosen: dict[str, Item]
    analysis: Analysis
    ordered: order.Order
    shortcuts: Mapping[str, JsonObject]
    doubtful: tuple[Problem, ...]


def problems_of(spec: JsonObject, folder: Path, root: Path, path: str, *, is_content_known: bool) -> Problems:
    """Return what is wrong with a repository that is not packed, because something else is wrong too.

    Unless `is_content_known`, it is open which items are deployed and with which parameters, so only files that are
    wrong in any case are reported.
    """
    problems = Problems()
    found = read(spec, folder, root, path, problems)
    if found is not None and is_content_known:
        checked(found, spec, path, problems)
    return once(problems)


def once(problems: Iterable[Problem]) -> Problems:
    """Return each problem once: two checks may report that a part cannot be rendered."""
    return Problems(dict.fromkeys(problems))


def read(spec: JsonObject, folder: Path, root: Path, path: str, problems: Problems) -> Read | None:
    """Return the repository and its parameters; None if the folder is missing. Problems of both are appended: a wrong
    folder does not hide the problems of a file of parameters elsewhere."""
    name = str(spec["path"])
    try:
        real = files.within(folder / name, root, shown(name), "; name a folder above both with --root")
        if not files.is_folder(real, shown(name)):
            raise RefusedError(f"{shown(name)} is not a folder")
    except RefusedError as error:
        problems.append(Problem(path, str(error)))
        if spec.get("parameters"):
            parameters_of(spec, folder, root, None, problems)
        return None
    repository = scan.scan(real, name, problems)
    return Read(real, repository, parameters_of(spec, folder, root, repository, problems))


def checked(found: Read, spec: JsonObject, path: str, problems: Problems) -> Checked | None:
    """Return what is deployed; None if that is nothing. Each check works with what the one before could use, so that
    all problems are reported at once."""
    name = str(spec["path"])
    chosen = _chosen(found.repository, spec, path, problems)
    if not chosen:
        return None
    reader = scan.reader(found.real, name)
    analysis = compile.analysed(found.repository, found.loaded, reader, problems, name=name, chosen=chosen.keys())
    ordered = order.ordered(chosen.values(), analysis.edges, problems)
    exclude = _pattern(spec, "excludeShortcuts", path.rpartition(".")[0], problems)
    linked = repository_shortcuts.Packing(analysis, reader, name, exclude)
    doubtful = tuple(repository_checks.warnings(chosen.values(), analysis, reader, name, problems))
    listed = linked.packed(chosen.values(), ordered, problems) if spec.get("shortcuts") is not False else {}
    return Checked(chosen, analysis, ordered, listed, doubtful)


def parameters_of(
    spec: JsonObject, folder: Path, root: Path, repository: Repository | None, problems: Problems
) -> Parameters:
    """Return the parameters of the environment; those of an empty file if the file is missing. That is a problem if the
    step names the file, unless the repository is missing too (None), which the file is named relative to.

    The file is named relative to the repository, and may be anywhere below `root`, as beside a configuration of
    fabric-cicd. Messages name it relative to the manifest.
    """
    wanted = spec.get("parameters") or parameters.PARAMETER_FILE
    if wanted == NO_PARAMETERS:
        return Parameters()
    file = posixpath.normpath(posixpath.join(str(spec["path"]), str(wanted)))

    own = Problems()

    def content(name: str) -> str | None:
        try:
            if not files.exists(folder / name, shown(name)):
                return None
            at = files.within(folder / name, root, shown(name), "; name a folder above both with --root")
            return utf8(files.read(at, root, shown(name), _MAX_PARAMETERS))
        except RefusedError as error:
            own.append(Problem(name, f"cannot be read: {error}"))
        except InvalidInputError as error:
            own.append(Problem(name, error.problems[0].message))
        return None

    environment = str(spec.get("environment") or NO_ENVIRONMENT)
    variables = caller_variables() if spec.get("environmentVariables") is True else None
    loaded = parameters.load(content, file, environment, variables, own)
    if loaded is None and not own and repository is not None and spec.get("parameters"):
        own.append(Problem(file, "does not exist; correct `parameters`, or write `none`"))
    problems += own
    if loaded is not None or own or repository is None:
        return loaded or Parameters()
    has_value_sets = any(item.type == ValueSetKind.type for item in repository.items)
    used = environment == NO_ENVIRONMENT or has_value_sets
    return Parameters(warnings=tuple(_without_parameters(file, folder, "" if used else environment)))


def _without_parameters(file: str, folder: Path, environment: str) -> Iterator[Problem]:
    """Warn of a missing file of parameters if there is one with a similar name, or an environment that is named in
    vain."""
    at = folder / posixpath.dirname(file)
    try:
        similar = [each.name for each in at.iterdir() if each.name.casefold() in _SIMILAR]
    except OSError:
        similar = []
    if similar:
        what = f"does not exist, and {shown(min(similar))} is not read; rename that, or name it with `parameters`"
        yield Problem(file, what)
    elif environment:
        yield Problem(file, f"does not exist, so nothing is replaced for {environment}")


def _chosen(repository: Repository, spec: JsonObject, path: str, problems: Problems) -> dict[str, Item]:
    """Return the items to deploy by key: all of known types, or those that the filters leave."""
    place = path.rpartition(".")[0]
    types, include = _texts(spec, "itemTypes"), _texts(spec, "include")
    for i, each in enumerate(types or ()):
        if each not in ITEM_TYPES:
            problems.append(Problem(f"{place}.itemTypes[{i}]", f"'{each[:64]}' is not a type that is deployed"))
    keys = {f"{item.display_name}.{item.type}".casefold() for item in repository.items}
    for i, each in enumerate(include or ()):
        if each.casefold() not in keys and not repository.unusable:
            problems.append(Problem(f"{place}.include[{i}]", f"names '{each[:100]}', and the folder has no such item"))
    patterns = {name: _pattern(spec, name, place, problems) for name in ("exclude", "excludeFolders")}
    selection = Selection(
        types, patterns["exclude"], patterns["excludeFolders"], _texts(spec, "includeFolders"), include
    )
    found, _ = selected(repository, selection)
    if not found and not problems:
        problems.append(Problem(path, "has no item that is deployed; is it the folder that contains the items?"))
    return found


def _texts(spec: JsonObject, name: str) -> tuple[str, ...] | None:
    """Return the texts of a list, or None; the manifest's check reports anything else."""
    found = as_list(spec.get(name))
    return None if found is None else tuple(each for each in found if isinstance(each, str))


def _pattern(spec: JsonObject, name: str, place: str, problems: Problems) -> str:
    pattern = spec.get(name)
    if not isinstance(pattern, str) or not pattern:
        return ""
    try:
        re.compile(pattern)
    except re.error as error:
        problems.append(Problem(f"{place}.{name}", f"is not a regular expression: {error}"))
        return ""
    return pattern
