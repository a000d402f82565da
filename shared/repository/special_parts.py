"""The parts that fabric-cicd changes by rules of their own: reports, Spark settings, KQL sources, dataflows.

Source: microsoft/fabric-cicd 1.4.0, `_items`.
"""

import posixpath
import re
from collections.abc import Callable, Iterable

from shared.domain.fields import GUID
from shared.domain.json import as_list, as_object
from shared.repository.model import (
    ZERO_ID,
    DashboardClusters,
    FindText,
    Item,
    Kind,
    NamedRef,
    Part,
    Plain,
    PoolChoice,
    QuerysetClusters,
    Ref,
    Replacement,
    ReportModel,
    Repository,
    SparkPools,
    item_ref,
)
from shared.repository.parameter_model import Parameters
from shared.repository.parsed import json_value, yaml_value

type Report = Callable[[str], None]
"""Takes a sentence about the part that is wrong."""

_GUIDS = re.compile(r"(?=([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}))")
_DATAFLOW_SOURCE = "PowerPlatform.Dataflows"
_WORKSPACE_KEY, _DATAFLOW_KEY = re.compile(r'workspaceId\s*=\s*"'), re.compile(r'dataflowId\s*=\s*"')


class LogicalIdTable:
    """Finds the logical ids of a repository in texts, in time linear in the text."""

    def __init__(self, repository: Repository) -> None:
        self._refs = {
            item.logical_id: item_ref(item.type, item.display_name)
            for item in repository.items
            if item.logical_id != ZERO_ID
        }
        self._order = {logical_id: n for n, logical_id in enumerate(self._refs)}

    def inside(self, texts: Iterable[str]) -> tuple[NamedRef, ...]:
        """Return the logical ids that stand anywhere in the texts, in the order of the repository."""
        found = {guid for text in texts for guid in _GUIDS.findall(text) if guid in self._refs}
        return tuple(NamedRef(guid, self._refs[guid]) for guid in sorted(found, key=self._order.__getitem__))


def hooks(
    item: Item, part: Part, text: str, parameters: Parameters, repository: Repository, report: Report
) -> list[Replacement]:
    """Return what is replaced in a part because of its item's type; a part that cannot be sent is reported."""
    name = part.path.rpartition("/")[2]
    if item.type == "Report" and name == "definition.pbir":
        return _report(item, text, repository, report)
    is_spark = part.path.split("/")[-2:] == ["Setting", "Sparkcompute.yml"]
    if item.type == "Environment" and is_spark and "instance_pool_id" in text:
        return _spark(item, text, parameters, report)
    if item.type == "KQLQueryset":
        return _queryset(text, repository, report)
    if item.type == "KQLDashboard" and as_list((as_object(json_value(text)) or {}).get("dataSources")) is not None:
        return [DashboardClusters()]
    return []


def _report(item: Item, text: str, repository: Repository, report: Report) -> list[Replacement]:
    body = as_object(json_value(text))
    if body is None:
        report("is not JSON; commit the report again from Fabric or Power BI Desktop")
        return []
    by_path = as_object((as_object(body.get("datasetReference")) or {}).get("byPath"))
    if by_path is None:
        return []
    path = str(by_path.get("path"))
    wanted = posixpath.normpath(posixpath.join(item.directory, path))
    for model in repository.items:
        if model.type == "SemanticModel" and model.directory == wanted:
            return [ReportModel(item_ref(model.type, model.display_name))]
    if wanted in repository.unusable:
        return []
    report(f"names the semantic model {path[:200]!r} (byPath), which is not in the repository; add it, or name its id")
    return []


def _spark(item: Item, text: str, parameters: Parameters, report: Report) -> list[Replacement]:
    body = as_object(yaml_value(text))
    if body is None:
        return []
    choices: list[PoolChoice] = []
    for entry in parameters.pools:
        if entry.names is not None and item.display_name not in entry.names:
            continue
        if entry.pool is not None:
            choices.append(PoolChoice(entry.find, entry.pool))
        elif entry.find == body.get("instance_pool_id") and not any(each.find == entry.find for each in choices):
            what = f"matches the entry of spark_pool in {entry.place}, which has no value for {parameters.environment}"
            report(f"{what}; add one, or _ALL_")
    return [SparkPools(tuple(choices))]


def _queryset(text: str, repository: Repository, report: Report) -> list[Replacement]:
    body = as_object(json_value(text)) or {}
    sources = as_list((as_object(body.get("queryset")) or {}).get("dataSources"))
    if not sources:
        return []
    databases: dict[str, Ref] = {}
    for source in filter(None, map(as_object, sources)):
        if source.get("clusterUri") != "":
            continue
        wanted = str(source.get("databaseItemId"))
        databases_there = (each for each in repository.items if each.type == "KQLDatabase")
        found = next((each for each in databases_there if each.logical_id == wanted), None)
        if found is None and repository.unusable:
            continue  # it may be one of these
        if found is None:
            what = "has an empty clusterUri, and no KQL database of the repository has the logicalId"
            report(f"{what} {wanted[:64]!r}; give the clusterUri, or add the database")
        else:
            databases[wanted] = item_ref(found.type, found.display_name, "queryserviceuri")
    return [QuerysetClusters(tuple(NamedRef(find, ref) for find, ref in databases.items()))]


def source_ids(text: str) -> tuple[str, str] | None:
    """Return the ids of the workspace and the dataflow in the first source of a .pq file that names both; None without
    one. fabric-cicd's regular expression finds the same, in a time that grows with the fourth power of the text."""
    start = text.find(_DATAFLOW_SOURCE)
    workspace = _WORKSPACE_KEY.search(text, start) if start >= 0 else None
    end = text.find('"', workspace.end()) if workspace else -1
    dataflow = _DATAFLOW_KEY.search(text, end + 1) if end >= 0 else None
    last = text.find('"', dataflow.end()) if dataflow else -1
    if workspace is None or dataflow is None or last < 0:
        return None
    return text[workspace.end() : end], text[dataflow.end() : last]


def dataflow_source(
    item: Item, texts: dict[Part, str], parameters: Parameters, repository: Repository
) -> tuple[Replacement, ...]:
    """Return what makes a dataflow read another one of the repository, in each of its .pq files.

    Its id is found in the first source of the last such file that names one. A parameter whose `find_value` is that id
    and whose value is `$items.Dataflow.<name>.$id` says which dataflow it is; its filters do not matter.
    """
    found: tuple[Replacement, ...] = ()
    if item.type != "Dataflow":
        return found
    for part, text in texts.items():
        ids = source_ids(text) if part.path.endswith(".pq") else None
        if ids is None or not all(map(GUID.fullmatch, ids)):
            continue
        workspace_id, dataflow_id = ids
        for entry in parameters.finds:
            source = entry.value
            if entry.find != dataflow_id or not isinstance(source, Ref) or source.kind is not Kind.ITEM:
                continue
            is_dataflow = source.type == "Dataflow" and source.attribute == "id" and not source.workspace
            if is_dataflow and repository.find(source.type, source.name) is not None:
                to_item = FindText(dataflow_id, source, False, entry.place)
                found = (to_item, FindText(workspace_id, Plain(ZERO_ID), False, entry.place))
                break
    return found
