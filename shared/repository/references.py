"""The edges between items: what one of them needs of another before it can be sent, and which file says so.

Source of the references that Fabric writes into Git: its documentation of dependency binding across workspaces.
"""

import re
from collections.abc import Iterator, Sequence

from shared.repository.item_types import SHORTCUTS
from shared.repository.model import (
    DashboardClusters,
    Edge,
    FindRegex,
    FindText,
    Item,
    KeyValue,
    LogicalIds,
    Needs,
    Part,
    QuerysetClusters,
    Ref,
    Replacement,
    ReportModel,
    Repository,
    SparkPools,
)

_READ_CONTENT = frozenset({"GraphQLApi", "GraphModel", "Ontology"})
"""Types whose definition is checked against the content of their sources."""
_LIBRARY = re.compile(r'\\?"libraryName\\?"\s*:\s*\\?"([^"\\]+)')
_RUN = re.compile(r"%run\s+\\?[\"']?([^\s\"'\\]+)")
_RUN_CALL = re.compile(r"(?:notebookutils|mssparkutils)\.notebook\.run\(\s*\\?[\"']([^\"'\\]+)")
_CURRENT_WORKSPACE = "!(Current Workspace)"
_SOURCE_NAME = re.compile(r'(lakehouse|warehouse)(?:Name|Id)\s*=\s*"([^"]+)"', re.IGNORECASE)


def edge(item: Item, ref: Ref, part: Part, rules: Sequence[Replacement], repository: Repository) -> Edge | None:
    """Return the edge for a reference that rendering a part needs; None if no item of the repository is meant."""
    target = repository.find(ref.type, ref.name) if ref.key else None
    is_shortcut = item.type == "Lakehouse" and part.path == SHORTCUTS
    if target is None or (target is item and is_shortcut):
        return None
    if ref.attribute != "id":
        needs = Needs.READY
    elif is_shortcut or item.type in _READ_CONTENT:
        needs = Needs.CONTENT
    else:
        needs = Needs.ID
    return Edge(item.key, target.key, needs, part.file, _reason(item, target, ref, rules, is_shortcut))


def _reason(item: Item, target: Item, ref: Ref, rules: Sequence[Replacement], is_shortcut: bool) -> str:
    for rule in rules:
        if isinstance(rule, ReportModel) and rule.model == ref:
            return "names its semantic model by path (byPath)"
        if isinstance(rule, QuerysetClusters | DashboardClusters) and ref.attribute == "queryserviceuri":
            return "has an empty clusterUri for this database"
        if isinstance(rule, LogicalIds) and any(each.ref == ref for each in rule.items):
            if is_shortcut:
                return "has a shortcut to it"
            is_parent = (item.type, target.type) == ("KQLDatabase", "Eventhouse")
            return "is a database of this eventhouse" if is_parent else "contains its logicalId"
        if isinstance(rule, KeyValue | FindText | FindRegex) and rule.value == ref:
            return f"gets {ref} from {rule.place}"
        if isinstance(rule, SparkPools):
            continue
    return f"needs {ref}"


def named(item: Item, part: Part, text: str, repository: Repository) -> Iterator[Edge]:
    """Yield the edges to items that a part finds by name at run time: libraries, notebooks, sources of a dataflow."""
    for item_type, name, reason in _names(item, text):
        target = repository.find(item_type, name)
        if target is not None and target is not item:
            yield Edge(item.key, target.key, Needs.NAME, part.file, reason)


def _names(item: Item, text: str) -> Iterator[tuple[str, str, str]]:
    if item.type == "DataPipeline":
        for name in _LIBRARY.findall(text):
            yield "VariableLibrary", name, "reads its variables by name"
    elif item.type == "Notebook":
        for name in (*_RUN.findall(text), *_RUN_CALL.findall(text)):
            yield "Notebook", name, "runs it by name"
    elif item.type == "Dataflow" and _CURRENT_WORKSPACE in text:
        for kind, name in _SOURCE_NAME.findall(text):
            yield kind.capitalize(), name, "reads it by name in its own workspace"
