"""The refreshes of SQL endpoints in a packed repository: after the shortcuts of a lakehouse, and before the items that
use its endpoint."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from shared.domain.json import JsonObject
from shared.domain.ports import Expanded
from shared.steps.repository_item import RepositoryItemKind
from shared.steps.repository_shortcut_steps import Steps
from shared.steps.repository_shortcuts import RepositoryShortcutKind
from shared.steps.sql_endpoint_refresh import refreshing

_HOLDER = "Lakehouse"
_END = "/sql-endpoint"
"""The end of the suffix of the step that refreshes the endpoint of a lakehouse."""
_OUTPUTS = ("sqlEndpointId", "sqlEndpointConnectionString")


def with_refreshes(step_id: str, spec: JsonObject, found: Iterable[Expanded], steps: Steps) -> Iterator[Expanded]:
    """Yield the steps of a repository and, if it asks for them, those that refresh the endpoints of its lakehouses.

    An item that refers to an endpoint comes after its refresh, unless a shortcut of that lakehouse needs the item.
    """
    given = list(found)
    holders = [f"{_HOLDER}/{row['displayName']}" for row in spec["items"] if row["type"] == _HOLDER]
    if spec.get("refreshSqlEndpoints") is not True or not holders:
        yield from given
        return
    needs = {step.suffix: set(step.needs) for step in given}
    before: dict[str, list[str]] = {}
    for key in holders:
        item = steps.output(steps.ids[key])
        links = [s for s in given if s.kind == RepositoryShortcutKind.name and s.spec["itemId"] == item]
        before[key] = [steps.ids[key], *(link.suffix for link in links)]
        needs[steps.ids[key] + _END] = set(before[key])
    for i, step in enumerate(given):
        for key in _used(step, holders, steps):
            refresh = steps.ids[key] + _END
            if step.suffix not in _all_before(refresh, needs):
                needs[step.suffix].add(refresh)
                given[i] = replace(given[i], needs=(*given[i].needs, refresh))
    yield from given
    for key in holders:
        yield from refreshing(
            step_id, steps.ids[key] + _END, spec["workspaceId"], steps.output(steps.ids[key]), before[key], {}
        )


def _used(step: Expanded, holders: Iterable[str], steps: Steps) -> Iterator[str]:
    """Yield the lakehouses whose endpoints an item refers to."""
    if step.kind != RepositoryItemKind.name:
        return
    values = {str(ref.get("value")) for ref in step.spec.get("refs") or ()}
    for key in holders:
        if values & {steps.output(steps.ids[key], name) for name in _OUTPUTS}:
            yield key


def _all_before(suffix: str, needs: dict[str, set[str]]) -> set[str]:
    """Return a step and all that it needs, directly or not."""
    seen, todo = {suffix}, [suffix]
    while todo:
        new = needs.get(todo.pop(), set()) - seen
        seen |= new
        todo += new
    return seen
