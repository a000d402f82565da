"""Pack a repository: scan it, resolve the parameters of one environment, and make the entries of the packed step."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from shared.cli import repository_read
from shared.cli.stored import StoredFiles
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.json import JsonObject, canonical
from shared.domain.ports.deployed import identity_of
from shared.domain.references import template_of
from shared.repository import order, scan
from shared.repository.compile import Analysis
from shared.repository.item_types import SHORTCUTS, definition_format, is_shell
from shared.repository.model import Item, Part, Repository
from shared.repository.model_json import to_json
from shared.repository.parameter_model import Parameters
from shared.repository.schedules import PART as SCHEDULES
from shared.repository.selection import folders_of
from shared.steps.item_actions import DEFAULT_VALUE_SET, ValueSetKind
from shared.steps.schedules import JOBS

_PACKED = frozenset({"path", "folders", "identities", "items", "order", "source", "others"})
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
    problems = Problems()
    found = repository_read.read(spec, folder, root, path, problems)
    checked = repository_read.checked(found, spec, path, problems) if found is not None else None
    if found is None or checked is None or problems:
        raise InvalidInputError(repository_read.once(problems))
    repository, loaded, chosen = found.repository, found.loaded, checked.chosen
    name, environment = str(spec["path"]), str(spec.get("environment") or "")
    entries = _Entries(found.real, name, checked.analysis, stored, environment, checked.shortcuts, loaded)
    folders = list(folders_of(list(chosen.values())))
    steps = [
        {
            "item": step.node.item,
            "phase": step.node.phase.value,
            "needs": [f"{need.node.item}#{need.node.phase.value}" for need in step.needs],
        }
        for step in checked.ordered.steps
        if step.node.phase is not order.Phase.SHORTCUTS
    ]
    packed: JsonObject = {
        "source": name,
        "folders": folders,
        "items": template_of(entries.all(chosen.values())),
        "order": template_of(steps),
    }
    identities = {item.key: identity_of(item.logical_id, item.type, item.display_name) for item in repository.items}
    deployed = {identity: key for key, identity in identities.items() if key in chosen}
    others = {identity: key for key, identity in identities.items() if key not in chosen}
    names = canonical({"deployed": deployed, "others": others})
    packed["identities"] = stored.add_content(names.encode("utf-8", "surrogatepass"))
    if others:
        packed["others"] = list(others)
    return Packed(
        packed,
        repository.left_out,
        (
            *checked.analysis.warnings,
            *_unbound(loaded, repository),
            *checked.doubtful,
            *_stored_variables(loaded, path),
        ),
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
