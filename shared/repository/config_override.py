"""Merge other values into a configuration of fabric-cicd, as its argument `config_override` does.

Source: microsoft/fabric-cicd 1.4.0, `ConfigValidator`. The merged values keep their own places, so a problem names the
line of the override.
"""

from dataclasses import replace

from shared.domain.errors import Problem, Problems
from shared.repository.marked import Marked

SECTIONS = {
    "core": ("workspace_id", "workspace", "repository_directory", "item_types_in_scope", "parameter"),
    "publish": (
        *("exclude_regex", "folder_exclude_regex", "folder_path_to_include", "items_to_include"),
        *("shortcut_exclude_regex", "skip"),
    ),
    "unpublish": ("exclude_regex", "items_to_include", "skip"),
    "features": (),
    "constants": (),
}
"""The sections of a configuration, with the keys of those that have fixed ones."""
_WHOLE = ("features", "constants")
"""Sections that an override replaces as a whole."""
_WORKSPACES = {"workspace_id": "workspace", "workspace": "workspace_id"}


def overridden(root: Marked, override: Marked, environment: str, problems: Problems) -> Marked:
    """Return the configuration with the values of the override; what cannot be merged is appended to the problems."""
    if override.members is None:
        problems.append(Problem(override.place, f"must be a mapping of sections, not {override.what}"))
        return root
    merge = _Merge(environment, problems)
    for name, section in override.members.items():
        if merge.is_allowed(name, section, override.keys[name]):
            root = merge.section(root, name, section, override.keys[name])
    return root


class _Merge:
    def __init__(self, environment: str, problems: Problems) -> None:
        self._environment, self._problems = environment, problems

    def is_allowed(self, name: str, section: Marked, place: str) -> bool:
        """Return True if an override may have this section, and each key of it."""
        if name not in SECTIONS:
            return self._bad(place, f"{name[:64]!r} is not a section; the sections are {', '.join(SECTIONS)}")
        is_list = name == "features" and section.rows is not None
        if section.members is None and not is_list:
            expected = "a list or a mapping" if name == "features" else "a mapping"
            return self._bad(section.place, f"{name} must be {expected}, not {section.what}")
        known = SECTIONS[name]
        unknown = [key for key in section.members or {} if known and key not in known]
        for key in unknown:
            self._bad(section.keys[key], f"{key[:64]!r} is not a key of {name}; the keys are {', '.join(known)}")
        return not unknown

    def section(self, root: Marked, name: str, section: Marked, place: str) -> Marked:
        """Return the configuration with one section of the override."""
        present = root.get(name)
        if name in _WHOLE:
            return _with(root, name, section, place)
        if present is None and name == "core":
            self._bad(place, "the configuration has no section core, and an override cannot add it")
            return root
        if present is None:
            present = Marked(None, place, members={})
        if present.members is None:
            return root  # what the section must be is reported with the configuration
        for key, value in (section.members or {}).items():
            if self._may_set(name, key, present, section.keys[key]):
                present = _with(present, key, self._merged(present.get(key), value), section.keys[key])
        return _with(root, name, present, root.keys.get(name, place))

    def _may_set(self, name: str, key: str, present: Marked, place: str) -> bool:
        """Return True unless the key is required, and so must be in the configuration itself."""
        if name != "core" or present.get(key) is not None:
            return True
        if key == "repository_directory":
            return self._bad(place, f"core of the configuration has no {key}, and an override cannot add it")
        other = _WORKSPACES.get(key)
        if other is not None and present.get(other) is None:
            what = f"core of the configuration has neither {key} nor {other}, and an override cannot add one"
            return self._bad(place, what)
        return True

    def _merged(self, present: Marked | None, value: Marked) -> Marked:
        """Return the value of a key: of a mapping with the environment, only the environment's value is taken."""
        own = value.get(self._environment)
        if own is None:
            return value
        others = present if present is not None and present.members is not None else Marked(None, value.place, None, {})
        return _with(others, self._environment, own, value.keys[self._environment])

    def _bad(self, place: str, message: str) -> bool:
        self._problems.append(Problem(place, message))
        return False


def _with(mapping: Marked, key: str, value: Marked, place: str) -> Marked:
    """Return a mapping with one other member."""
    return replace(mapping, members={**(mapping.members or {}), key: value}, keys={**mapping.keys, key: place})
