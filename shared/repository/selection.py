"""Which items of a repository are deployed.

Source of the rules: microsoft/fabric-cicd 1.4.0, `_apply_publish_filters` and `get_items_to_publish`.
"""

import re
from dataclasses import dataclass

from shared.repository.item_types import ITEM_TYPES
from shared.repository.model import Item, Repository


@dataclass(frozen=True)
class Selection:
    """The rules that restrict the items. An empty pattern and None restrict nothing.

    `exclude_regex` is matched from the start of the display name; `folder_exclude_regex` is searched in the path of the
    folder and of those above it; `folders` are exact paths; `items` are `Name.Type` in upper or lower case. Items in
    the root of the workspace are not subject to the rules for folders.
    """

    types: tuple[str, ...] | None = None
    exclude_regex: str = ""
    folder_exclude_regex: str = ""
    folders: tuple[str, ...] | None = None
    items: tuple[str, ...] | None = None
    shortcut_exclude_regex: str = ""


def selected(repository: Repository, selection: Selection) -> tuple[dict[str, Item], dict[str, str]]:
    """Return the items to deploy by key, and the others by key with the reason; both in the repository's order."""
    chosen: dict[str, Item] = {}
    left: dict[str, str] = {}
    for item in repository.items:
        if reason := _reason(item, selection):
            left[item.key] = reason
        else:
            chosen[item.key] = item
    return chosen, left


def folders_of(items: list[Item]) -> tuple[str, ...]:
    """Return the workspace folders that the items need, parents first."""
    found: set[str] = set()
    for item in items:
        names = item.folder.split("/")[1:]
        found |= {"/" + "/".join(names[: n + 1]) for n in range(len(names))}
    return tuple(sorted(found, key=lambda folder: (folder.count("/"), folder)))


def _reason(item: Item, selection: Selection) -> str:
    if item.type not in ITEM_TYPES:
        return "is of a type that cannot be deployed"
    if selection.types is not None and item.type not in selection.types:
        return "is of a type that was not chosen"
    if selection.items is not None:
        wanted = {each.lower() for each in selection.items}
        if f"{item.display_name}.{item.type}".lower() not in wanted:
            return "is not among the chosen items"
    if selection.exclude_regex and re.match(selection.exclude_regex, item.display_name):
        return "is excluded by its name"
    if item.folder and selection.folder_exclude_regex:
        names = item.folder.split("/")
        above = ["/".join(names[: n + 1]) for n in range(1, len(names))]
        if any(re.search(selection.folder_exclude_regex, folder) for folder in above):
            return "is in an excluded folder"
    if item.folder and selection.folders and item.folder not in selection.folders:
        return "is not in a chosen folder"
    return ""
