"""Choose what is replaced in each part of a repository, and find what each item needs for that.

Each text part is read once. The replacements are tried on it with made-up values, so that exactly those references are
found whose text or key the part contains, also where one entry of parameter.yml works on the result of another.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from shared.domain.errors import Problem, Problems
from shared.domain.json import canonical
from shared.repository import references, special_parts
from shared.repository.filters import Filters, brace_problem, is_wildcard, matching, pattern_problem
from shared.repository.item_types import SHORTCUTS, attributes_of, is_shell
from shared.repository.model import (
    Compiled,
    Edge,
    FindRegex,
    FindText,
    Item,
    KeyValue,
    Kind,
    LogicalIds,
    OwnLakehouse,
    Part,
    Plain,
    Ref,
    Replacement,
    Repository,
    WorkspaceIds,
    item_ref,
)
from shared.repository.model_json import to_json
from shared.repository.parameter_model import FindEntry, KeyEntry, Parameters, Where
from shared.repository.render import RenderError, render, text_of

_JSON = (".json", ".ipynb", ".pbism")
"""How the names of parts end that Fabric writes as JSON. Files of people, in `.resources/`, may be anything."""


@dataclass(frozen=True)
class Use:
    """An item needs the value of a reference to render a file."""

    item: str
    ref: Ref
    file: str


@dataclass
class Analysis:
    """The parts of a repository as one environment gets them.

    `uses` are the references whose values are needed, those to items of the repository included; `edges` are what the
    order follows from; `warnings` name parameters that do nothing.
    """

    compiled: Compiled
    uses: tuple[Use, ...] = ()
    edges: tuple[Edge, ...] = ()
    warnings: list[Problem] = field(default_factory=list[Problem])


def analysed(
    repository: Repository,
    parameters: Parameters,
    read: Callable[[str], bytes],
    problems: Problems,
    *,
    name: str = "",
    chosen: Collection[str] | None = None,
) -> Analysis:
    """Return what is replaced in the parts of the chosen items (all, by default), and what they need.

    `read` returns the bytes of a file (`scan.reader`). `name` is what the caller calls the repository's directory;
    problems begin with it. The logical ids of items that are not chosen are resolved too: those items may exist.
    """
    return _Compiler(repository, parameters, read, problems, name).analysis(chosen)


def sent_parts(item: Item) -> tuple[Part, ...]:
    """Return the parts of an item that are sent after rendering: its definition, or the shortcuts of a lakehouse."""
    if item.type == "Lakehouse":
        return tuple(part for part in item.parts if part.path == SHORTCUTS)
    return () if is_shell(item.type) else item.parts


class _Compiler:
    def __init__(
        self,
        repository: Repository,
        parameters: Parameters,
        read: Callable[[str], bytes],
        problems: Problems,
        name: str,
    ) -> None:
        self._repository, self._parameters, self._read = repository, parameters, read
        self._problems, self._name = problems, name
        self._warnings = list(parameters.warnings)
        self._table: dict[str, int] = {}
        self._rows: list[Replacement] = []
        self._files = [part.file for item in repository.items for part in item.parts]
        self._ids = special_parts.LogicalIdTable(repository)
        self._entries = self._rules_of_entries()
        self._uses: dict[Use, None] = {}
        self._edges: dict[Edge, None] = {}

    def _rules_of_entries(self) -> list[tuple[KeyValue | FindText | FindRegex, Filters]]:
        """Return the entries of parameter.yml in the order in which they apply: all keys before all texts."""
        keys = [(_key_rule(entry), self._filters(entry.where)) for entry in self._parameters.keys]
        finds = [(_find_rule(entry), self._filters(entry.where)) for entry in self._parameters.finds]
        return [*keys, *finds]

    def analysis(self, chosen: Collection[str] | None) -> Analysis:
        parts: dict[str, tuple[int, ...]] = {}
        for item in self._repository.items:
            if chosen is not None and item.key not in chosen:
                continue
            texts = self._texts(item)
            flow = special_parts.dataflow_source(item, texts, self._parameters, self._repository)
            for part, text in texts.items():
                rules = self._rules(item, part, text, flow)
                if rules:
                    parts[part.file] = tuple(map(self._index, rules))
                self._try(item, part, rules)
                self._edges |= dict.fromkeys(references.named(item, part, text, self._repository))
        return Analysis(Compiled(tuple(self._rows), parts), tuple(self._uses), tuple(self._edges), self._warnings)

    def _index(self, rule: Replacement) -> int:
        index = self._table.setdefault(canonical(to_json(rule)), len(self._rows))
        if index == len(self._rows):
            self._rows.append(rule)
        return index

    def _texts(self, item: Item) -> dict[Part, str]:
        """Return the texts of the parts that are rendered. `.platform` is sent, and never changed."""
        found: dict[Part, str] = {}
        for part in sent_parts(item):
            if part.is_text and part.path != ".platform":
                try:
                    found[part] = text_of(self._read(part.file))
                except RenderError as error:
                    self._problem(part, str(error))
        return found

    def _rules(self, item: Item, part: Part, text: str, flow: tuple[Replacement, ...]) -> list[Replacement]:
        """Return the replacements of a part, in the order of fabric-cicd."""
        parameters = [rule for rule, filters in self._entries if filters.match(item.type, item.display_name, part.file)]
        if item.type == "VariableLibrary":
            return list[Replacement](parameters)
        workspace = WorkspaceIds(item.type == "Reflex")
        if item.type == "Lakehouse":
            own = OwnLakehouse(item_ref(item.type, item.display_name))
            literals = [str(rule.value.value) for rule in parameters if isinstance(rule.value, Plain)]
            return [*parameters, *self._logical_ids(text, *literals), workspace, own]
        hooks = special_parts.hooks(
            item, part, text, self._parameters, self._repository, lambda what: self._problem(part, what)
        )
        flow = flow if part.path.endswith(".pq") else ()
        return [*hooks, *flow, *self._logical_ids(text), *parameters, workspace]

    def _logical_ids(self, *texts: str) -> list[Replacement]:
        found = self._ids.inside(texts)
        return [LogicalIds(found)] if found else []

    def _try(self, item: Item, part: Part, rules: list[Replacement]) -> None:
        """Render the part with made-up values, and note which references it asks for."""
        asked: dict[Ref, None] = {}

        def value_of(ref: Ref) -> str:
            asked[ref] = None
            return made_up(ref)

        try:
            self._warn_of_json(part, render(self._read(part.file), True, rules, value_of).decode())
        except RenderError as error:
            self._problem(part, str(error))
        for rule in rules:
            if isinstance(rule, FindText) and isinstance(rule.find, Ref) and isinstance(rule.value, Ref):
                asked[rule.value] = None  # whether the text is found is known only with the real value
        for ref in asked:
            self._check_attribute(part, ref, rules)
            self._uses[Use(item.key, ref, part.file)] = None
            edge = references.edge(item, ref, part, rules, self._repository)
            if edge is not None:
                self._edges[edge] = None

    def _check_attribute(self, part: Part, ref: Ref, rules: list[Replacement]) -> None:
        """Report an attribute that no item of its type has: fabric-cicd fails with it when it publishes."""
        if ref.kind is not Kind.ITEM or ref.attribute in (known := attributes_of(ref.type)):
            return
        places = (
            each.place for each in rules if isinstance(each, KeyValue | FindText | FindRegex) and each.value == ref
        )
        has = ", ".join(f"${each}" for each in known)
        what = f"{ref} has no value, because items of type {ref.type} have only {has}"
        self._problems.append(Problem(next(places, self._place(part)), what))

    def _warn_of_json(self, part: Part, text: str) -> None:
        """Warn of a part that should be JSON and, with its replacements, is not.

        A warning only: Fabric may read some types more leniently (comments, an empty file), and does not publish which.
        """
        inside = f"/{part.path}"
        if not inside.endswith(_JSON) or "/.resources/" in inside or part.path == SHORTCUTS:
            return
        try:
            json.loads(text.removeprefix("\ufeff"))
        except ValueError as error:
            what = f"is not JSON after its replacements: {error}; Fabric is likely to refuse the item"
            self._warnings.append(Problem(self._place(part), what))
        except RecursionError:
            return  # valid so far, and too deep to say more

    def _filters(self, where: Where) -> Filters:
        """Return the filters with their patterns as the files that match; warn of what matches nothing."""
        known_types = {item.type for item in self._repository.items}
        known_names = {item.display_name for item in self._repository.items}
        for label, wanted, known in (("item_type", where.types, known_types), ("item_name", where.names, known_names)):
            for each in wanted or ():
                if each not in known:
                    what = f"{label} {each[:64]!r} is not in the repository, so nothing is replaced there"
                    self._warnings.append(Problem(where.place, what))
        if where.paths is None:
            return Filters(where.types, where.names)
        found: set[str] = set()
        for path in where.paths:
            found |= self._matching(path, where)
        return Filters(where.types, where.names, frozenset(found))

    def _matching(self, path: str, where: Where) -> set[str]:
        if is_wildcard(path):
            if problem := pattern_problem(path):
                self._warnings.append(Problem(where.place, f"file_path {path[:200]!r} {problem}; it matches nothing"))
                return set()
            if problem := brace_problem(path):
                self._problems.append(Problem(where.place, f"file_path {path[:200]!r} {problem}"))
        elif "\\" in path.lstrip("/\\"):
            what = f"file_path {path[:200]!r} has backslashes, which are letters of a name on Linux; write /"
            self._problems.append(Problem(where.place, what))
        found = matching(path, self._files)
        if not found:
            self._warnings.append(Problem(where.place, f"file_path {path[:200]!r} matches no file of an item"))
        return found

    def _problem(self, part: Part, message: str) -> None:
        self._problems.append(Problem(self._place(part), message))

    def _place(self, part: Part) -> str:
        return f"{self._name}/{part.file}" if self._name else part.file


def _key_rule(entry: KeyEntry) -> KeyValue:
    return KeyValue(entry.path, entry.value, entry.place)


def _find_rule(entry: FindEntry) -> FindText | FindRegex:
    if entry.is_regex:
        return FindRegex(str(entry.find), entry.value, entry.ignore_case, entry.place)
    return FindText(entry.find, entry.value, entry.ignore_case, entry.place)


def made_up(ref: Ref, salt: str = "") -> str:
    """Return a value that looks like the real one and is different for each reference, and with another salt."""
    digest = hashlib.sha256((canonical(to_json(ref)) + salt).encode()).hexdigest()
    if ref.attribute == "sqlendpoint":
        return f"{digest[:26]}.datawarehouse.fabric.microsoft.com"
    if ref.attribute == "queryserviceuri":
        return f"https://{digest[:20]}.kusto.fabric.microsoft.com"
    if ref.kind is Kind.WORKSPACE and ref.attribute != "id":
        return f"workspace {digest[:8]}"
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
