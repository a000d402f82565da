"""The rules of each section of parameter.yml (`parameters`), checked for all environments, read for one."""

import re

from shared.domain.errors import Problem, Problems
from shared.repository import json_paths, variables
from shared.repository.bindings import BindingRules
from shared.repository.marked import Marked
from shared.repository.model import Kind, Plain, Ref
from shared.repository.parameter_model import FindEntry, KeyEntry, Parameters, PoolEntry, Where
from shared.repository.values import Values
from shared.repository.variables import ENV, VariableError

_FILTERS = ("item_type", "item_name", "file_path")
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "find_replace": (("find_value", "replace_value"), ("is_regex", "ignore_case", *_FILTERS)),
    "key_value_replace": (("find_key", "replace_value"), _FILTERS),
    "spark_pool": (("instance_pool_id", "replace_value"), ("item_name",)),
}
"""By section: the required keys of an entry, and the optional ones."""
_POOL_TYPES = ("Capacity", "Workspace")


class Rules:
    """Reads the sections. `env_values` are the values of environment variables that stand in the file.

    `has_env` says whether `$ENV:` is replaced at all.
    """

    def __init__(self, environment: str, env_values: tuple[str, ...], has_env: bool, problems: Problems) -> None:
        self._problems = problems
        self._values = Values(environment, problems)
        self._env_values = tuple(value for value in env_values if value)
        self._has_env = has_env

    def parameters(self, top: dict[str, Marked]) -> Parameters:
        """Return all sections; what is wrong is appended to the problems."""
        finds = [self._find(entry) for entry in self._entries(top, "find_replace")]
        keys = [self._key(entry) for entry in self._entries(top, "key_value_replace")]
        pools = [self._pool(entry) for entry in self._entries(top, "spark_pool")]
        bindings, default = BindingRules(self._values, self._problems).read(top)
        for section in list(top.values())[:1]:
            self._values.warn_of_unknown(section.place.rpartition(":")[0])
        return Parameters(
            self._values.environment,
            tuple(each for each in finds if each is not None),
            tuple(each for each in keys if each is not None),
            tuple(each for each in pools if each is not None),
            bindings,
            default,
            tuple(self._values.warnings),
        )

    def _entries(self, top: dict[str, Marked], section: str) -> list[Marked]:
        """Return the entries whose keys are complete and known."""
        rows = (top[section].rows or []) if section in top else []
        return [row for row in rows if self._has_keys(row, section)]

    def _has_keys(self, entry: Marked, section: str) -> bool:
        required, optional = _KEYS[section]
        if entry.members is None:
            return self._bad(entry.place, f"an entry of {section} must be a mapping, not {entry.what}")
        missing = [key for key in required if not entry.members.get(key) or not entry.members[key].value]
        for key in missing:
            self._bad(entry.place, f"{key} is missing or empty in an entry of {section}")
        unknown = [key for key in entry.members if key not in (*required, *optional)]
        for key in unknown:
            known = ", ".join((*required, *optional))
            self._bad(entry.keys[key], f"{key[:64]!r} is not a key of {section}; the keys are {known}")
        row = entry.members
        texts = [key for key in (required[0],) if key in row and row[key].value and row[key].text is None]
        for key in texts:
            self._bad(row[key].place, f"{key} must be a text, not {row[key].what}; quote it")
        values = row.get("replace_value")
        is_mapping = values is None or not values.value or values.members is not None
        if not is_mapping and values is not None:
            self._bad(values.place, f"replace_value must map environments to values, not {values.what}")
        return not missing and not unknown and not texts and is_mapping

    def _find(self, entry: Marked) -> FindEntry | None:
        row = entry.members or {}
        wanted = row["find_value"]
        is_regex, ignore_case = self._switch(row, "is_regex"), self._switch(row, "ignore_case")
        find = self._regex(wanted) if is_regex else self._found(wanted)
        for name, each in self._values.each(row["replace_value"]):
            if not each.text:
                self._bad(each.place, f"the value for {name} must be a non-empty text, not {each.what}")
        where = self._where(row, entry.place)
        chosen, chosen_value = self._chosen(entry)
        if chosen is None:
            self._values.skipped(entry.place, f"find_value {str(wanted.value)[:64]!r}")
        if find is None or chosen is None or chosen_value is None:
            return None
        return FindEntry(find, is_regex, ignore_case, chosen_value, where, entry.place)

    def _switch(self, row: dict[str, Marked], key: str) -> bool:
        """Return True for the text "true"; a boolean of YAML is refused, as in fabric-cicd."""
        value = row.get(key)
        if value is None or (value.scalar is None and value.rows is None and value.members is None):
            return False
        if value.text is None:
            self._bad(value.place, f'{key} must be a text, not {value.what}; write {key}: "true"')
            return False
        return value.text.lower() == "true"

    def _regex(self, wanted: Marked) -> str | None:
        pattern = wanted.text or ""
        if pattern.startswith("$"):
            # fabric-cicd takes it for a variable when it publishes.
            self._bad(wanted.place, "a regular expression may not begin with $; write (?:$) or leave it out")
            return None
        try:
            groups = re.compile(pattern).groups
        except (re.error, RecursionError, OverflowError) as error:
            self._bad(wanted.place, f"find_value is not a regular expression: {error}")
            return None
        if groups != 1:
            what = f"must have exactly one group, the text to replace; it has {groups}"
            self._bad(wanted.place, f"the regular expression {what}")
            return None
        return pattern

    def _found(self, wanted: Marked) -> str | Ref | None:
        text = wanted.text or ""
        if not text.startswith("$") or text.startswith(ENV):
            return text
        if text.startswith("$items."):
            what = "an item of the target workspace cannot stand in the repository; find its id, or $workspace"
            self._bad(wanted.place, f"find_value may not be a variable of an item: {what}")
            return None
        return self._variable(wanted)

    def _key(self, entry: Marked) -> KeyEntry | None:
        row = entry.members or {}
        path = row["find_key"].text or ""
        if not path.strip().startswith("$"):
            self._bad(row["find_key"].place, "find_key must be a JSONPath that begins with $")
        elif problem := json_paths.problem(path):
            self._bad(row["find_key"].place, f"find_key is not a JSONPath: {problem}")
        self._check_one_type(row["replace_value"])
        where = self._where(row, entry.place)
        chosen, value = self._chosen(entry)
        if chosen is None:
            self._values.skipped(entry.place, f"find_key {path[:64]!r}")
        return KeyEntry(path, value, where, entry.place)

    def _check_one_type(self, values: Marked) -> None:
        """Report values that are null or not all of one type, for example 1 and 1.5."""
        first: tuple[str, type[object]] | None = None
        for name, each in self._values.each(values):
            value: object = each.value
            kind: type[object] = type(value)
            if value is None:
                self._bad(each.place, f"the value for {name} is empty; give one, or remove the environment")
                continue
            first = first or (name, kind)
            if kind is not first[1]:
                types = f"{kind.__name__}, and that for {first[0]} is {first[1].__name__}"
                self._bad(each.place, f"the value for {name} is {types}; all must be of one type")

    def _chosen(self, entry: Marked) -> tuple[Marked | None, Plain | Ref | None]:
        """Return the value of the environment as it is written, and what it means.

        The variables of all environments are checked.
        """
        values = (entry.members or {})["replace_value"]
        chosen, found = self._values.chosen(values), None
        for _, each in self._values.each(values):
            meaning = self._meaning(each, is_chosen=each is chosen)
            if each is chosen:
                found = meaning
        return chosen, found

    def _meaning(self, value: Marked, *, is_chosen: bool) -> Plain | Ref | None:
        text = value.text or ""
        if text.startswith(ENV):
            if not self._has_env:
                hint = "set `environmentVariables: true`"
                self._bad(value.place, f"{text[:64]!r} is an environment variable, which are not replaced; {hint}")
            elif is_chosen:
                self._bad(value.place, f"the environment variable {text.removeprefix(ENV)[:64]!r} is not set")
            return None
        if text.startswith("$"):
            return self._variable(value)
        return Plain(value.value, any(each in str(value.value) for each in self._env_values))

    def _variable(self, value: Marked) -> Ref | None:
        try:
            return variables.parse(value.text or "")
        except VariableError as error:
            self._bad(value.place, f"{(value.text or '')[:200]!r} {error}")
            return None

    def _pool(self, entry: Marked) -> PoolEntry | None:
        row = entry.members or {}
        values = row["replace_value"]
        for name, each in self._values.each(values):
            self._check_pool(name, each)
        chosen = self._values.chosen(values)
        if chosen is None:
            self._values.skipped(entry.place, f"instance_pool_id {str(row['instance_pool_id'].value)[:64]!r}")
        names = self._texts_or_none(row, "item_name")
        members = (chosen.members if chosen is not None else None) or {}
        texts = {key: each.text or "" for key, each in members.items()}
        pool = Ref(Kind.POOL, type=texts.get("type", ""), name=texts.get("name", "")) if texts else None
        return PoolEntry(row["instance_pool_id"].text or "", pool, names, entry.place)

    def _check_pool(self, name: str, value: Marked) -> None:
        members = value.members
        if members is None or set(members) != {"type", "name"}:
            self._bad(value.place, f"the value for {name} must have exactly the keys type and name")
            return
        for key, each in members.items():
            if not each.text:
                self._bad(each.place, f"{key} for {name} must be a non-empty text, not {each.what}")
        if members["type"].text and members["type"].text not in _POOL_TYPES:
            self._bad(members["type"].place, f"type for {name} must be {' or '.join(_POOL_TYPES)}")

    def _where(self, row: dict[str, Marked], place: str) -> Where:
        paths = self._texts_or_none(row, "file_path")
        path = row.get("file_path")
        at = path.place if path is not None else place
        return Where(self._texts(row, "item_type"), self._texts(row, "item_name"), paths, at)

    def _texts_or_none(self, row: dict[str, Marked], key: str) -> tuple[str, ...] | None:
        """Return a filter that an empty text and an empty list switch off."""
        value = row.get(key)
        return None if value is not None and value.text == "" else self._texts(row, key) or None

    def _texts(self, row: dict[str, Marked], key: str) -> tuple[str, ...] | None:
        """Return a filter as a tuple. An empty list of types or names matches nothing, as in fabric-cicd."""
        value = row.get(key)
        if value is None or (value.scalar is None and value.rows is None and value.members is None):
            return None
        rows = value.rows if value.rows is not None else [value]
        if any(each.text is None for each in rows):
            self._bad(value.place, f"{key} must be a text or a list of texts")
            return None
        return tuple(each.text or "" for each in rows)

    def _bad(self, place: str, message: str) -> bool:
        self._problems.append(Problem(place, message))
        return False
