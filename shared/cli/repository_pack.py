"""Pack a repository: scan it, resolve the parameters of one environment, and make the entries of the packed step."""

import base64
import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from shared.cli import repository_checks, repository_shortcuts
from shared.cli.stored import StoredFiles
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.json import JsonObject, as_list, canonical
from shared.domain.ports.deployed import identity_of
from shared.domain.references import template_of
from shared.domain.text import utf8
from shared.repository import compile, files, order, parameters, scan
from shared.repository.compile import Analysis
from shared.repository.files import RefusedError, shown
from shared.repository.item_types import ITEM_TYPES, SHORTCUTS, definition_format, is_shell
from shared.repository.model import Item, Part, Repository
from shared.repository.model_json import to_json
from shared.repository.parameter_model import NO_ENVIRONMENT, Parameters
from shared.repository.schedules import PART as SCHEDULES
from shared.repository.selection import Selection, folders_of, selected
from shared.settings import caller_variables
from shared.steps.item_actions import DEFAULT_VALUE_SET, ValueSetKind
from shared.steps.schedules import JOBS

NO_PARAMETERS = "none"
_PACKED = frozenset({"path", "folders", "items", "order", "source", "others"})
"""The fields that packing sets."""
_READ = (
    *("path", "parameters", "environment", "environmentVariables", "itemTypes", "include", "exclude"),
    *("includeFolders", "excludeFolders", "shortcuts", "excludeShortcuts"),
)
"""The fields that packing reads; all others stay as they are."""
_INLINE_BYTES = 8 * 1024
"""Bytes of an item's files that its template contains, together."""
_BUNDLE_BYTES = 64 * 1024
"""Bytes of the templates that are stored together: the app parses all of them for each item that it sends."""
_MAX_PARAMETERS = 4 * 1024 * 1024
_SIMILAR = frozenset({"parameter.yml", "parameter.yaml", "parameters.yml", "parameters.yaml"})
"""Names in lower case that people give to the file of parameters."""


@dataclass(frozen=True)
class Packed:
    """The `with` of a packed repository, what was left out of it, and what its parameters do in vain."""

    spec: JsonObject
    left_out: tuple[str, ...]
    warnings: tuple[Problem, ...]


def packed_repository(spec: JsonObject, folder: Path, root: Path, path: str, stored: StoredFiles) -> Packed:
    """Return the packed `with`; its files are added to `stored`. Raises InvalidInputError with all problems.

    A manifest is packed for each row of a matrix, so the result for the same files and choices is used again.
    """
    key = canonical([path, str(folder), str(root), {name: spec.get(name) for name in _READ}])
    found = stored.made.get(key)
    if not isinstance(found, Packed):
        found = stored.made[key] = _packed(spec, folder, root, path, stored)
    own = {name: value for name, value in spec.items() if name not in _PACKED}
    made = {name: value for name, value in found.spec.items() if name in _PACKED}
    return replace(found, spec=own | made)


def _packed(spec: JsonObject, folder: Path, root: Path, path: str, stored: StoredFiles) -> Packed:
    name = str(spec["path"])
    try:
        real = files.within(folder / name, root, shown(name), "; name a folder above both with --root")
        if not files.is_folder(real, shown(name)):
            raise RefusedError(f"{shown(name)} is not a folder")
    except RefusedError as error:
        raise InvalidInputError([Problem(path, str(error))]) from None
    problems = Problems()
    repository = scan.scan(real, name, problems)
    loaded = _parameters(spec, folder, root, repository, problems)
    chosen = _chosen(repository, spec, path, problems)
    if not chosen:
        raise InvalidInputError(problems)
    # Each check works with what the one before could use, so that all problems are reported at once.
    read = scan.reader(real, name)
    analysis = compile.analysed(repository, loaded, read, problems, name=name, chosen=chosen.keys())
    ordered = order.ordered(chosen.values(), analysis.edges, problems)
    exclude = _pattern(spec, "excludeShortcuts", path.rpartition(".")[0], problems)
    linked = repository_shortcuts.Packing(analysis, read, name, exclude)
    doubtful = tuple(repository_checks.warnings(chosen.values(), analysis, read, name, problems))
    listed = linked.packed(chosen.values(), ordered, problems) if spec.get("shortcuts") is not False else {}
    if problems:
        raise InvalidInputError(dict.fromkeys(problems))  # two checks may report that a part cannot be rendered
    entries = _Entries(real, name, analysis, stored, str(spec.get("environment") or ""), listed, loaded)
    folders = list(folders_of(list(chosen.values())))
    steps = [
        {
            "item": step.node.item,
            "phase": step.node.phase.value,
            "needs": [f"{need.node.item}#{need.node.phase.value}" for need in step.needs],
        }
        for step in ordered.steps
        if step.node.phase is not order.Phase.SHORTCUTS
    ]
    packed: JsonObject = {
        "source": name,
        "folders": folders,
        "items": template_of(entries.all(chosen.values())),
        "order": template_of(steps),
    }
    others = [
        identity_of(item.logical_id, item.type, item.display_name)
        for item in repository.items
        if item.key not in chosen
    ]
    if others:
        packed["others"] = others
    return Packed(
        packed,
        repository.left_out,
        (*analysis.warnings, *_unbound(loaded, repository), *doubtful, *_stored_variables(loaded, path)),
    )


def _unbound(loaded: Parameters, repository: Repository) -> list[Problem]:
    """Warn of bindings of semantic models that the repository does not have."""
    models = [each for each in loaded.bindings if repository.find("SemanticModel", each.model) is None]
    return [
        Problem(each.place, f"there is no semantic model {each.model[:100]!r}, so none is bound") for each in models
    ]


def _stored_variables(loaded: Parameters, path: str) -> list[Problem]:
    """Warn of environment variables whose values become part of the deployment."""
    names = ", ".join(loaded.environment_variables)
    what = "are replaced in parameter.yml and stored with the deployment; a secret does not belong there"
    return [Problem(path, f"the values of the environment variables {names} {what}")] if names else []


def _parameters(spec: JsonObject, folder: Path, root: Path, repository: Repository, problems: Problems) -> Parameters:
    """Return the parameters of the environment; those of an empty file if the file is missing.

    The file is named relative to the repository, and may be anywhere below `root`, as beside a configuration of
    fabric-cicd. Messages name it relative to the manifest.
    """
    wanted = spec.get("parameters") or parameters.PARAMETER_FILE
    if wanted == NO_PARAMETERS:
        return Parameters()
    file = posixpath.normpath(posixpath.join(str(spec["path"]), str(wanted)))

    def read(name: str) -> str | None:
        try:
            if not files.exists(folder / name, shown(name)):
                return None
            at = files.within(folder / name, root, shown(name), "; name a folder above both with --root")
            return utf8(files.read(at, root, shown(name), _MAX_PARAMETERS))
        except RefusedError as error:
            problems.append(Problem(name, f"cannot be read: {error}"))
        except InvalidInputError as error:
            problems.append(Problem(name, error.problems[0].message))
        return None

    environment = str(spec.get("environment") or NO_ENVIRONMENT)
    variables = caller_variables() if spec.get("environmentVariables") is True else None
    loaded = parameters.load(read, file, environment, variables, problems)
    if loaded is not None or problems:
        return loaded or Parameters()
    if spec.get("parameters"):
        problems.append(Problem(file, "does not exist; correct `parameters`, or write `none`"))
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
            problems.append(Problem(f"{place}.include[{i}]", f"there is no item '{each[:100]}' in the folder"))
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


class _Entries:
    """Makes the entries of the items, and stores their files and templates."""

    def __init__(
        self,
        real: Path,
        name: str,
        analysis: Analysis,
        stored: StoredFiles,
        environment: str,
        shortcuts: Mapping[str, JsonObject],
        loaded: Parameters,
    ) -> None:
        self._connections = {each.model: each.connection_ids for each in loaded.bindings}
        self._default = loaded.default_connections.connection_ids if loaded.default_connections else ()
        self._real, self._name, self._analysis, self._stored = real, name, analysis, stored
        self._environment, self._shortcuts = environment, shortcuts
        self._bundled: dict[str, bytes] = {}
        self._refs: dict[str, JsonObject] = {}
        self._ready: dict[str, dict[str, None]] = {}
        for use in analysis.uses:
            row = to_json(use.ref)
            owner = use.file if use.file.rpartition("/")[2] == SCHEDULES else use.item
            self._refs.setdefault(owner, {})[canonical(row)] = row
            if use.ref.key and use.ref.attribute != "id":
                self._ready.setdefault(use.ref.key, {})[use.ref.attribute] = None

    def all(self, items: Iterable[Item]) -> list[JsonObject]:
        """Return the entries. Small templates are stored together in bundles: to store and to read one takes a request,
        and a repository has many."""
        entries = [self._of(item) for item in items]
        bundle: dict[str, bytes] = {}
        members: list[JsonObject] = []

        def store() -> None:
            content = b",".join(b'"%s":%s' % (digest.encode(), template) for digest, template in bundle.items())
            name = self._stored.add_content(b"{%s}" % content)
            for member in members:
                member["bundle"] = name
            bundle.clear()
            members.clear()

        for entry in entries:
            template = self._bundled.get(entry.get("template") or "")
            if template is None:
                continue
            if bundle and sum(map(len, bundle.values())) + len(template) > _BUNDLE_BYTES:
                store()
            bundle[entry["template"]] = template
            members.append(entry)
        if bundle:
            store()
        return entries

    def _of(self, item: Item) -> JsonObject:
        entry: JsonObject = {"type": item.type, "displayName": item.display_name}
        for name, value in (
            ("description", item.description),
            ("logicalId", item.logical_id),
            ("folder", item.folder),
            ("creationPayload", item.creation_payload),
            ("ready", list(self._ready.get(item.key, {}))),
            ("valueSet", self._value_set(item)),
            ("connections", self._bound(item)),
        ):
            if value:
                entry[name] = value
        if not is_shell(item.type) and len(item.parts) > 1:
            own = item.part(SCHEDULES) if item.type in JOBS else None
            template = self._template(item, [part for part in item.parts if part is not own])
            entry["template"] = self._in_bundle(template)
            if own is not None:
                at = self._stored.add_content(self._template(item, (own,)))
                entry["schedules"] = {"template": at, "refs": list(self._refs.get(own.file, {}).values())}
            if refs := list(self._refs.get(item.key, {}).values()):
                entry["refs"] = refs
        if (shortcuts := self._shortcuts.get(item.key)) and (part := item.part(SHORTCUTS)) is not None:
            refs = list(self._refs.get(item.key, {}).values())
            stored = self._stored.add_content(self._template(item, (part,)))
            entry["shortcuts"] = {**shortcuts, "template": stored, "refs": refs}
        return entry

    def _bound(self, item: Item) -> list[str]:
        """Return the connections that a semantic model is bound to: its own or, if no binding names it, the default."""
        is_model = item.type == "SemanticModel"
        return list(self._connections.get(item.display_name, self._default)) if is_model else []

    def _value_set(self, item: Item) -> str:
        """Return the value set to make active: that of the environment or, if the library has none, the default."""
        if item.type != ValueSetKind.type or not self._environment:
            return ""
        has_own = item.part(f"valueSets/{self._environment}.json") is not None
        return self._environment if has_own else DEFAULT_VALUE_SET

    def _template(self, item: Item, parts: Iterable[Part]) -> bytes:
        """Store the files and return the list of them with what is replaced in each.

        The list contains small files itself, so that most items are one payload.
        """
        rows: list[JsonObject] = []
        room = _INLINE_BYTES
        for part in parts:
            row: JsonObject = {
                "path": part.path,
                "sha256": part.sha256,
                "size": part.size,
                "is_text": part.is_text,
                "replacements": to_json(self._analysis.compiled.of(part.file)),
            }
            rows.append(row)
            if part.size <= room:
                room -= part.size
                content = b"".join(scan.opened(self._real, self._name, part))
                row["content"] = base64.b64encode(content).decode()
            else:
                self._stored.add(part.sha256, part.size, lambda part=part: scan.opened(self._real, self._name, part))
        chosen = definition_format(item.type, [part.path for part in item.parts])
        return canonical({"format": chosen, "parts": rows}).encode("utf-8", "surrogatepass")

    def _in_bundle(self, template: bytes) -> str:
        """Note a template for a bundle, or store it if it is large; return its digest."""
        if len(template) > _BUNDLE_BYTES:
            return self._stored.add_content(template)
        digest = hashlib.sha256(template).hexdigest()
        self._bundled[digest] = template
        return digest
