"""`semantic_model_binding` of parameter.yml, in its two forms, and `gateway_binding`, which it replaced."""

from collections import Counter

from shared.domain.errors import Problem, Problems
from shared.domain.fields import GUID
from shared.repository.marked import Marked
from shared.repository.model import Binding
from shared.repository.values import Values

_SECTION, _OLD_SECTION = "semantic_model_binding", "gateway_binding"
_LIST_KEYS, _KEYS = ("connection_id", "semantic_model_name"), ("default", "models")
_OLD_LIST_KEYS = ("gateway_id", "dataset_name")


class BindingRules:
    """Reads the section; what is wrong is appended to the problems."""

    def __init__(self, values: Values, problems: Problems) -> None:
        self._values, self._problems = values, problems
        self._bindings: list[Binding] = []

    def read(self, top: dict[str, Marked]) -> tuple[tuple[Binding, ...], Binding | None]:
        """Return the bindings of named models, and that of all others.

        The last of several bindings of a model applies, as in fabric-cicd.
        """
        section, old = top.get(_SECTION), top.get(_OLD_SECTION)
        default = None
        if section is not None and section.members is not None:
            default = self._mapping(section)
        elif section is not None:
            for entry in section:
                self._list_entry(entry, _LIST_KEYS)
        if old is not None and section is not None and section.members is not None:
            what = f"{_OLD_SECTION} is ignored beside this form of {_SECTION}; move its entries into `models`"
            self._values.warnings.append(Problem(old.place, what))
        elif old is not None:
            for entry in old:
                self._list_entry(entry, _OLD_LIST_KEYS)
        count = Counter(binding.model for binding in self._bindings)
        for binding in self._bindings:
            if count[binding.model] > 1:
                what = f"the semantic model {binding.model!r} is bound more than once; the last binding applies"
                self._values.warnings.append(Problem(binding.place, what))
        return tuple({binding.model: binding for binding in self._bindings}.values()), default

    def _mapping(self, section: Marked) -> Binding | None:
        members = section.members or {}
        for key in members:
            if key not in _KEYS:
                mixes = f"{key} belongs to the list form" if key in _LIST_KEYS else f"{key[:64]!r} is not a key"
                self._bad(section.keys[key], f"{mixes}; the mapping has {' and '.join(_KEYS)}")
        if not any(key in members for key in _KEYS):
            self._bad(section.place, f"{_SECTION} must have {' or '.join(_KEYS)}")
        models = members.get("models")
        if models is not None and not models.rows:
            self._bad(models.place, f"models must be a list with entries, not {models.what}")
        for entry in models.rows or [] if models is not None else []:
            self._model(entry)
        default = members.get("default")
        if default is None:
            return None
        self._note_unknown(default, ("connection_id",), "default")
        ids = self._ids_of(default, "default")
        return Binding("", ids, default.place) if ids else None

    def _model(self, entry: Marked) -> None:
        names = self._names(entry.get("semantic_model_name"), entry.place)
        self._note_unknown(entry, _LIST_KEYS, "an entry of models")
        ids = self._ids_of(entry, "an entry of models")
        self._bindings += [Binding(name, ids, entry.place) for name in names if ids]

    def _note_unknown(self, entry: Marked, known: tuple[str, ...], label: str) -> None:
        """Warn of keys without effect. They are not a problem, because fabric-cicd accepts them."""
        for key in entry.members or {}:
            if key not in known:
                what = (
                    f"{key[:64]!r} is not a key of {label} and has no effect; write {' or '.join(known)}, or remove it"
                )
                self._values.warnings.append(Problem(entry.keys[key], what))

    def _ids_of(self, entry: Marked, label: str) -> tuple[str, ...]:
        """Return the connections of the environment, from `connection_id: {ENV: GUID or list of GUIDs}`."""
        by_environment = entry.get("connection_id")
        if by_environment is None or not by_environment.members:
            place = by_environment.place if by_environment is not None else entry.place
            self._bad(place, f"connection_id of {label} must map environments to connection ids; _ALL_ means each")
            return ()
        found: tuple[str, ...] = ()
        chosen = self._values.chosen(by_environment)
        for name, value in self._values.each(by_environment):
            ids = self._ids(value, f"the connection of {name}")
            found = ids if value is chosen else found
        if chosen is None:
            self._values.skipped(by_environment.place, f"connection_id of {label}")
        return found

    def _ids(self, value: Marked, label: str) -> tuple[str, ...]:
        rows = value.rows if value.rows is not None else [value]
        if not rows:
            self._bad(value.place, f"{label} is an empty list")
        for row in rows:
            if row.text is None or not GUID.fullmatch(row.text):
                self._bad(row.place, f"{label} must be a GUID, or a list of them")
        return tuple(row.text or "" for row in rows)

    def _list_entry(self, entry: Marked, keys: tuple[str, str]) -> None:
        members = entry.members
        if members is None:
            self._bad(entry.place, f"an entry of the list must be a mapping, not {entry.what}")
            return
        if keys == _OLD_LIST_KEYS:
            self._note_unknown(entry, keys, f"an entry of {_OLD_SECTION}")
        for key in members:
            if key not in keys and keys == _LIST_KEYS:
                self._bad(entry.keys[key], f"{key[:64]!r} is not a key here; the keys are {' and '.join(keys)}")
        connection = members.get(keys[0])
        if connection is None or connection.text is None or not GUID.fullmatch(connection.text):
            place = connection.place if connection is not None else entry.place
            what = f"{keys[0]} must be a GUID; for one by environment, use the form with default and models"
            self._bad(place, what)
            return
        for name in self._names(members.get(keys[1]), entry.place):
            self._bindings.append(Binding(name, (connection.text,), entry.place))

    def _names(self, value: Marked | None, place: str) -> tuple[str, ...]:
        rows = [] if value is None else value.rows if value.rows is not None else [value]
        if not rows or any(not row.text for row in rows):
            at = value.place if value is not None else place
            self._bad(at, "the name of the semantic model must be a text, or a list of texts")
            return ()
        return tuple(row.text or "" for row in rows)

    def _bad(self, place: str, message: str) -> None:
        self._problems.append(Problem(place, message))
