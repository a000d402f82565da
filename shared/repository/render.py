"""Replace what changes in a part from one environment to the next. Pure: the values come from a `Resolver`.

The result has the bytes that microsoft/fabric-cicd 1.4.0 would send, except for the rules that docs/adr names; a
differential test compares the two. Sources: `FabricWorkspace._publish_item` and the modules of its items.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import regex
import yaml

from shared.domain.errors import SagaError
from shared.domain.json import JsonObject, as_list, as_object
from shared.repository import json_paths
from shared.repository.model import (
    TARGET_WORKSPACE,
    ZERO_ID,
    DashboardClusters,
    FindRegex,
    FindText,
    KeyValue,
    LogicalIds,
    OwnLakehouse,
    Plain,
    QuerysetClusters,
    Ref,
    Replacement,
    ReportModel,
    Resolver,
    SparkPools,
    WorkspaceIds,
    item_ref,
)
from shared.repository.parsed import NOT_YAML
from shared.repository.patterns import for_regex

MAX_REGEX_SECONDS = 10.0
"""Seconds that one regular expression may take on one part. A person wrote it, and some patterns never end."""
MAX_YAML_VALUES = 1_000_000
"""Values of a YAML part, each alias counted as its full content: a search of the part visits all of them."""
_WORKSPACE_ID = re.compile(r"\"?(default_lakehouse_workspace_id|workspaceId|workspace)\"?\s*[:=]\s*\"(.*?)\"")
_REFLEX_WORKSPACE_ID = re.compile(
    rf'(\\"name\\":\\"workspaceId\\",\\"type\\":\\"string\\",\\"value\\":\\"){ZERO_ID}(\\")'
)
_PBIR_SCHEMA = "https://developer.microsoft.com/json-schemas/fabric/item/report/definitionProperties/1.0.0/schema.json"


class RenderError(SagaError):
    """A part cannot be rendered. The message names the entry of parameter.yml, if one is the reason."""


def render(content: bytes, is_text: bool, replacements: Sequence[Replacement], resolve: Resolver) -> bytes:
    """Return the bytes of a part as they are sent.

    A part that is not text stays as it is. Text gets LF as its line end, as fabric-cicd reads it; a byte order mark
    stays. Raises RenderError, and whatever `resolve` raises for a value that it does not have.
    """
    if not is_text:
        return content
    text = text_of(content)
    for each in replacements:
        text = _RULES[type(each)](text, each, resolve)
    return text.encode()


def text_of(content: bytes) -> str:
    """Return the text of a part, with LF as its line end. Raises RenderError if it is not UTF-8."""
    try:
        return content.decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise RenderError(f"is not UTF-8 (byte {error.start})") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _report_model(text: str, rule: ReportModel, resolve: Resolver) -> str:
    body = as_object(_json(text))
    if body is None:
        return text
    body["$schema"] = _PBIR_SCHEMA
    body["datasetReference"] = {
        "byConnection": {
            "connectionString": None,
            "pbiServiceModelId": None,
            "pbiModelVirtualServerName": "sobe_wowvirtualserver",
            "pbiModelDatabaseName": resolve(rule.model),
            "name": "EntityDataSource",
            "connectionType": "pbiServiceXmlaStyleLive",
        }
    }
    return json.dumps(body, indent=4)


def _spark_pools(text: str, rule: SparkPools, resolve: Resolver) -> str:
    body = as_object(_yaml(text))
    if body is None:
        return text
    chosen = next((each for each in rule.choices if each.find == body.get("instance_pool_id")), None)
    if chosen is not None:
        body["instance_pool_id"] = resolve(chosen.pool)
    return _dumped(body, sort_keys=False)


def _queryset_clusters(text: str, rule: QuerysetClusters, resolve: Resolver) -> str:
    body = as_object(_json(text))
    sources = as_list((as_object((body or {}).get("queryset")) or {}).get("dataSources"))
    if not sources:
        return text
    databases = {each.find: each.ref for each in rule.databases}
    for source in _without_cluster(sources):
        database = databases.get(str(source.get("databaseItemId")))
        if database is not None:
            source["clusterUri"] = resolve(database)
    return json.dumps(body, indent=2)


def _dashboard_clusters(text: str, _rule: DashboardClusters, resolve: Resolver) -> str:
    body = as_object(_json(text))
    sources = as_list((body or {}).get("dataSources"))
    if sources is None:
        return text
    for source in _without_cluster(sources):
        source["clusterUri"] = resolve(item_ref("KQLDatabase", str(source.get("name")), "queryserviceuri"))
    return json.dumps(body, indent=2)


def _without_cluster(sources: list[Any]) -> list[JsonObject]:
    return [row for each in sources if (row := as_object(each)) is not None and row.get("clusterUri") == ""]


def _logical_ids(text: str, rule: LogicalIds, resolve: Resolver) -> str:
    for each in rule.items:
        if each.find in text:
            text = text.replace(each.find, resolve(each.ref))
    return text


def _key_value(text: str, rule: KeyValue, resolve: Resolver) -> str:
    """Set the value in JSON, or in a mapping or list of YAML, if the path matches.

    JSON is written again even if nothing is replaced. fabric-cicd does the same with YAML, which then loses its
    comments; here YAML in which nothing is replaced is left alone, for example a notebook that happens to be YAML.
    """
    value = rule.value
    found: Callable[[], Any] = lambda: resolve(value) if isinstance(value, Ref) else cast(Plain, value).value  # noqa: E731
    try:
        data = json.loads(text.removeprefix("\ufeff"))  # with the mark, fabric-cicd takes it for YAML and writes YAML
    except ValueError:
        data = _yaml(text)
        if not isinstance(data, dict | list) or value is None:
            return text
        return _dumped(data, allow_unicode=True) if _replaced(rule, data, found) else text
    except RecursionError:
        raise RenderError(f"{rule.place}: the JSON is nested too deeply") from None
    if value is not None:
        _replaced(rule, data, found)
    return json.dumps(data)


def _replaced(rule: KeyValue, data: Any, value: Callable[[], Any]) -> bool:
    try:
        return json_paths.replaced(rule.path, data, value)
    except ValueError as error:
        raise RenderError(f"{rule.place}: {error}") from None


def _find_text(text: str, rule: FindText, resolve: Resolver) -> str:
    find = resolve(rule.find) if isinstance(rule.find, Ref) else rule.find
    if not find or not _is_in(find, text, rule.ignore_case):
        return text
    value = _value(rule.value, resolve)
    if not value:
        return text
    if rule.ignore_case:
        return re.sub(re.escape(find), lambda _: value, text, flags=re.IGNORECASE)
    return text.replace(find, value)


def _is_in(find: str, text: str, ignore_case: bool) -> bool:
    return find.lower() in text.lower() if ignore_case else find in text


def _find_regex(text: str, rule: FindRegex, resolve: Resolver) -> str:
    try:
        pattern = regex.compile(for_regex(rule.pattern), regex.IGNORECASE if rule.ignore_case else 0)
        matches = list(pattern.finditer(text, timeout=MAX_REGEX_SECONDS))
    except regex.error as error:
        raise RenderError(f"{rule.place}: the regular expression is not valid: {error}") from None
    except TimeoutError:
        limit = f"takes more than {MAX_REGEX_SECONDS:.0f} s on this file; make it simpler, or add a filter"
        raise RenderError(f"{rule.place}: the regular expression {limit}") from None
    if not matches:
        return text
    if not matches[0][1]:
        raise RenderError(f"{rule.place}: the group of the regular expression is empty in its first match")
    value = _value(rule.value, resolve)
    if not value:
        return text
    pieces, at = list[str](), 0
    for match in matches:
        start, end = match.span(1)
        if start < 0:  # the group took no part: fabric-cicd writes the value between all but one character and the last
            raise RenderError(f"{rule.place}: the group of the regular expression takes no part in a match")
        pieces += [text[at:start], value]
        at = end
    return "".join((*pieces, text[at:]))


def _value(value: Plain | Ref, resolve: Resolver) -> str:
    return resolve(value) if isinstance(value, Ref) else str(value.value)


def _workspace_ids(text: str, rule: WorkspaceIds, resolve: Resolver) -> str:
    if ZERO_ID not in text:
        return text
    workspace = resolve(TARGET_WORKSPACE)
    text = _WORKSPACE_ID.sub(
        lambda match: match[0].replace(ZERO_ID, workspace) if match[2] == ZERO_ID else match[0], text
    )
    return _REFLEX_WORKSPACE_ID.sub(rf"\g<1>{workspace}\g<2>", text) if rule.is_reflex else text


def _own_lakehouse(text: str, rule: OwnLakehouse, resolve: Resolver) -> str:
    rows = as_list(_json(text)) or []
    targets = [as_object((as_object((as_object(row) or {}).get("target")) or {}).get("oneLake")) for row in rows]
    own = [target for target in targets if target is not None and target.get("itemId") == ZERO_ID]
    for target in own:
        target["itemId"] = resolve(rule.lakehouse)
    return json.dumps(rows) if own else text


def _yaml(text: str) -> Any:
    """Return the value of a YAML text; None if it is not valid, or if its aliases multiply to too many values."""
    try:
        value: Any = yaml.safe_load(text)
        return value if _expanded(value, {}) <= MAX_YAML_VALUES else None
    except NOT_YAML:
        return None


def _expanded(value: Any, known: dict[int, int]) -> int:
    """Return the number of values, each alias counted as its full content."""
    if id(value) not in known:
        known[id(value)] = 1  # in case it contains itself
        row = as_object(value)
        inside = list(row.values()) if row is not None else as_list(value) or []
        known[id(value)] = 1 + sum(_expanded(each, known) for each in inside)
    return known[id(value)]


def _dumped(data: Any, *, sort_keys: bool = True, allow_unicode: bool = False) -> str:
    options: JsonObject = {"sort_keys": sort_keys, "allow_unicode": allow_unicode or None}
    return cast(str, yaml.dump(data, default_flow_style=False, **options))


type _Rule = Callable[[str, Any, Resolver], str]
_RULES: dict[type[Replacement], _Rule] = {
    ReportModel: _report_model,
    SparkPools: _spark_pools,
    QuerysetClusters: _queryset_clusters,
    DashboardClusters: _dashboard_clusters,
    LogicalIds: _logical_ids,
    KeyValue: _key_value,
    FindText: _find_text,
    FindRegex: _find_regex,
    WorkspaceIds: _workspace_ids,
    OwnLakehouse: _own_lakehouse,
}
