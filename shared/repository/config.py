"""Read a configuration of fabric-cicd (`deploy_with_config`) for one environment.

Source: microsoft/fabric-cicd 1.4.0, `ConfigValidator`. Each field is a value, or a mapping of environments to values.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from shared.domain.errors import Problem, Problems, number_of
from shared.domain.fields import GUID
from shared.repository import marked
from shared.repository.config_override import SECTIONS, overridden
from shared.repository.item_types import ITEM_TYPES
from shared.repository.marked import Marked
from shared.repository.parameter_model import NO_ENVIRONMENT
from shared.repository.selection import Selection

_OTHERWISE = {
    "disable_workspace_folder_publish": "items are deployed into the folders of their directories",
    "continue_on_shortcut_failure": "a shortcut that cannot be made fails the deployment, and all is rolled back",
    "enable_hard_delete": "nothing is deleted past the workspace's recycle bin",
}
"""Features of fabric-cicd that change what a deployment leaves behind, and what happens here instead."""


@dataclass(frozen=True)
class Unpublish:
    """Which orphans are deleted: those of these items (`Name.Type`; None: all) whose name the pattern does not match.

    `skip` means none.
    """

    skip: bool = False
    exclude_regex: str = ""
    items: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Config:
    """A configuration for one environment. Paths are as they are written: relative to the configuration, or absolute.

    `workspace_id` has precedence over `workspace` (a name). `parameter` is None if no parameters apply, whatever files
    the repository has. `warnings` name what has no effect here. `places` has, for `section.key` of a field, the place
    of its value and those of the entries if that is a list. `is_content_known` is False if a problem leaves open which
    items are deployed, or with which parameters.
    """

    workspace_id: str
    workspace: str
    repository_directory: str
    repository_place: str
    parameter: str | None
    parameter_place: str
    selection: Selection
    publish_skip: bool
    unpublish: Unpublish
    features: frozenset[str] = frozenset()
    warnings: tuple[Problem, ...] = field(default=())
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    is_content_known: bool = True


@dataclass(frozen=True)
class Override:
    """The text of a `config_override`, and the name that problems give it."""

    text: str
    file: str


def load(text: str, file: str, environment: str, problems: Problems, override: Override | None = None) -> Config | None:
    """Return the configuration with the values of the override. Each problem is appended with its file and line; the
    configuration then has what can be used all the same. None if it does not say which repository is deployed.
    """
    own = Problems()
    root = marked.load(text, file, own, is_lenient=True)
    if root is not None and root.members is None:
        own.append(Problem(root.place, f"must be a mapping with the section core, not {root.what}"))
        root = None
    found = None
    if root is not None:
        is_certain, before = True, number_of(own)
        if override is not None:
            more = marked.load(override.text, override.file, own, is_lenient=True)
            root = overridden(root, more, environment, own) if more is not None else root
            is_certain = number_of(own) == before  # otherwise it may name another repository
        read = _Reader(root, environment, own).config()
        found = read if is_certain and read.repository_directory else None
    problems += own
    return found


class _Reader:
    def __init__(self, root: Marked, environment: str, problems: Problems) -> None:
        self._environment, self._problems = environment, problems
        self._warnings: list[Problem] = []
        self._places: dict[str, tuple[str, ...]] = {}
        self._is_environment_certain = True
        self._root = root
        self._sections = {name: self._section(name) for name in ("core", "publish", "unpublish")}

    def config(self) -> Config:
        for name, section in self._sections.items():
            self._check_keys(section, SECTIONS[name], name)
        self._check_keys(self._root, tuple(SECTIONS), "the configuration")
        core, before = self._sections["core"], number_of(self._problems)
        workspace_id = self._text("core", "workspace_id", self._check_guid)
        workspace = self._text("core", "workspace")
        if not any(key in (core.members or {}) for key in ("workspace_id", "workspace")):
            self._bad(core.place, "core must have workspace_id, or workspace (a name)")
        unpublish = self._unpublish()
        harmless = number_of(self._problems) - before  # whatever is deployed, it is the same
        directory = self._text("core", "repository_directory")
        if core.get("repository_directory") is None:
            self._bad(core.place, "core must have repository_directory")
        parameter = self._text("core", "parameter")
        constants = self._root.get("constants")
        if constants is not None:
            what = "constants belong to fabric-cicd itself and have no effect here; set the address of the app instead"
            self._warnings.append(Problem(constants.place, what))
        found = Config(
            workspace_id or "",
            workspace or "",
            directory or "",
            self._place("core", "repository_directory"),
            parameter,
            self._place("core", "parameter"),
            self._selection(),
            self._skip("publish"),
            unpublish,
            frozenset(self._features()),
            tuple(self._warnings),
            self._places,
        )
        is_content_known = self._is_environment_certain and number_of(self._problems) == harmless
        return replace(found, is_content_known=is_content_known)

    def _unpublish(self) -> Unpublish:
        return Unpublish(
            self._skip("unpublish"),
            self._text("unpublish", "exclude_regex", self._check_regex) or "",
            self._texts("unpublish", "items_to_include"),
        )

    def _selection(self) -> Selection:
        exclude = self._text("publish", "folder_exclude_regex", self._check_regex)
        include = self._texts("publish", "folder_path_to_include", self._check_folder)
        if exclude is not None and include is not None:
            place = self._place("publish", "folder_path_to_include")
            self._bad(place, "cannot be combined with folder_exclude_regex for one environment; keep one of the two")
        return Selection(
            self._texts("core", "item_types_in_scope", self._check_type),
            self._text("publish", "exclude_regex", self._check_regex) or "",
            exclude or "",
            include,
            self._texts("publish", "items_to_include"),
            self._text("publish", "shortcut_exclude_regex", self._check_regex) or "",
        )

    def _section(self, name: str) -> Marked:
        section = self._root.get(name)
        if section is None:
            if name == "core":
                self._bad(self._root.place, "the section core is missing")
            return Marked(None, self._root.place, members={})
        if section.members is None:
            self._bad(section.place, f"{name} must be a mapping, not {section.what}")
            return Marked(None, section.place, members={})
        return section

    def _check_keys(self, section: Marked, known: tuple[str, ...], name: str) -> None:
        for key in section.members or {}:
            if key in known:
                continue
            place = section.keys[key]
            if key in SECTIONS["publish"]:
                self._bad(place, f"{key} belongs to the section publish, not to {name}")
            else:
                what = f"{key[:64]!r} is not a key of {name} and has no effect; the keys are {', '.join(known)}"
                self._warnings.append(Problem(place, what))

    def _place(self, section: str, key: str) -> str:
        return self._sections[section].keys.get(key, self._sections[section].place)

    def _chosen(self, field: Marked | None, label: str, *, is_required: bool = False) -> list[tuple[Marked, bool]]:
        """Return all values of a field, each with whether it is that of the environment."""
        if field is None:
            return []
        if field.members is None:
            return [(field, True)]
        if not field.members:
            self._bad(field.place, f"{label} maps no environment to a value")
        elif self._environment == NO_ENVIRONMENT:
            self._is_environment_certain = False
            self._bad(field.place, f"{label} has a value for each environment, and none was named; give --environment")
        elif self._environment not in field.members:
            known = ", ".join(field.members)
            message = f"{label} has no value for {self._environment}; it has them for {known}"
            if is_required:
                self._is_environment_certain = False
                self._bad(field.place, message)
            else:
                self._warnings.append(Problem(field.place, message))
        return [(value, name == self._environment) for name, value in field.members.items()]

    def _text(self, section: str, key: str, check: Callable[[Marked], None] | None = None) -> str | None:
        is_required = section == "core" and key in ("workspace_id", "workspace", "repository_directory")
        found = None
        for value, is_chosen in self._chosen(self._sections[section].get(key), key, is_required=is_required):
            if value.text is None or not value.text.strip():
                self._bad(value.place, f"{key} must be a non-empty text, not {value.what}")
                continue
            if check is not None:
                check(value)
            if is_chosen:
                found, self._places[f"{section}.{key}"] = value.text, (value.place,)
        return found

    def _texts(self, section: str, key: str, check: Callable[[Marked], None] | None = None) -> tuple[str, ...] | None:
        return self._list(self._sections[section].get(key), key, check, section)

    def _list(
        self, field: Marked | None, key: str, check: Callable[[Marked], None] | None, section: str = ""
    ) -> tuple[str, ...] | None:
        found = None
        for value, is_chosen in self._chosen(field, key):
            if not value.rows:
                self._bad(value.place, f"{key} must be a non-empty list, not {value.what}")
                continue
            for row in value:
                if row.text is None or not row.text.strip():
                    self._bad(row.place, f"{key} has an entry that is {row.what}; each entry must be a text")
                elif check is not None:
                    check(row)
            if is_chosen:
                found = tuple(row.text or "" for row in value)
                self._places[f"{section}.{key}"] = (value.place, *(row.place for row in value))
        return found

    def _features(self) -> tuple[str, ...]:
        features = self._root.get("features")
        found = self._list(features, "features", None) or ()
        for name in found:
            if features is not None and name in _OTHERWISE:
                self._warnings.append(Problem(features.place, f"{name} has no effect: {_OTHERWISE[name]}"))
        return found

    def _skip(self, section: str) -> bool:
        found = False
        for value, is_chosen in self._chosen(self._sections[section].get("skip"), f"{section}.skip"):
            if not isinstance(value.scalar, bool):
                self._bad(value.place, f"{section}.skip must be true or false, not {value.what}")
            elif is_chosen:
                found = value.scalar
        return found

    def _check_guid(self, value: Marked) -> None:
        if not GUID.fullmatch(value.text or ""):
            self._bad(value.place, f"workspace_id {(value.text or '')[:64]!r} is not a GUID; `workspace` takes a name")

    def _check_type(self, value: Marked) -> None:
        if value.text not in ITEM_TYPES:
            known = ", ".join(sorted(ITEM_TYPES))
            self._bad(value.place, f"{(value.text or '')[:64]!r} is not an item type; the types are {known}")

    def _check_regex(self, value: Marked) -> None:
        try:
            re.compile(value.text or "")
        except (re.error, RecursionError, OverflowError) as error:
            self._bad(value.place, f"{(value.text or '')[:64]!r} is not a regular expression: {error}")

    def _check_folder(self, value: Marked) -> None:
        if not (value.text or "").startswith("/"):
            self._bad(value.place, f"the folder {(value.text or '')[:64]!r} must begin with /")

    def _bad(self, place: str, message: str) -> None:
        self._problems.append(Problem(place, message))
