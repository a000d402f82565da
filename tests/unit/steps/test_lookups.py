"""The values of references to what is not in a repository, from lists with odd rows."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from shared.adapters.fabric.responses import normal, rows_of
from shared.domain.errors import FabricTransientError, InvalidInputError
from shared.domain.ports import Fabric
from shared.repository.model import Kind, Ref
from shared.steps import lookups

WORKSPACE, ITEM = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


class Tenant:
    """The port Fabric: each list has the same rows, and each resource is the same."""

    def __init__(self, rows: list[Any], shown: dict[str, Any] | None = None) -> None:
        self._rows, self._shown = rows_of({"value": rows}, "GET"), normal(shown or {})

    def list(self, path: str, query: dict[str, str] | None = None) -> Iterator[Any]:
        """Yield the rows, as the adapter does."""
        return iter(self._rows)

    def get(self, path: str, query: dict[str, str] | None = None) -> Any:
        """Return the resource."""
        return self._shown


def value(tenant: Tenant, **ref: Any) -> str:
    return lookups.value_of(cast(Fabric, tenant), WORKSPACE, Ref(**ref))


@pytest.mark.parametrize("odd", [None, {}, {"id": None}, {"id": 7}, {"id": ""}])
def test_odd_row_hides_no_item_pool_or_workspace(odd: Any) -> None:
    """A row without an id is nothing that a reference could stand for, although it has the name."""
    item = {"type": "Lakehouse", "displayName": "lake", "name": "lake"}
    rows = [None if odd is None else {**item, **odd}, {**item, "id": ITEM}]
    assert value(Tenant(rows), kind=Kind.ITEM, type="Lakehouse", name="lake", attribute="id") == ITEM
    assert value(Tenant(rows), kind=Kind.POOL, type="Lakehouse", name="lake", attribute="id") == ITEM
    assert value(Tenant(rows), kind=Kind.WORKSPACE, workspace="lake", attribute="id") == ITEM
    with pytest.raises(InvalidInputError, match="has no value"):
        value(Tenant(rows[:1]), kind=Kind.WORKSPACE, workspace="lake", attribute="id")


@pytest.mark.parametrize("shown", [{}, {"displayName": None}, {"displayName": 7}])
def test_workspace_without_a_name_never_gives_an_empty_one(shown: dict[str, Any]) -> None:
    """An empty text would be deployed in place of the name."""
    with pytest.raises(FabricTransientError, match="displayName"):
        value(Tenant([], shown), kind=Kind.WORKSPACE, attribute="name")
    assert value(Tenant([], {"displayName": "a b"}), kind=Kind.WORKSPACE, attribute="name_encoded") == "a%20b"
