"""The wait for a SQL endpoint: what it makes of the item that Fabric shows."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.domain.errors import FabricTransientError, InvalidInputError
from shared.steps.sql_endpoint_refresh import SqlEndpointKind

SPEC = {"workspaceId": "w", "itemId": "i"}


def showing(**shown: Any) -> Any:
    """Return a Fabric that shows this item."""
    return SimpleNamespace(get=lambda path: shown)


@pytest.mark.parametrize("shown", [{}, {"type": None, "displayName": "lake"}])
def test_response_without_a_type_proves_nothing(shown: dict[str, Any]) -> None:
    """The look is repeated; the item may have an endpoint."""
    with pytest.raises(FabricTransientError, match="names no type"):
        SqlEndpointKind().find(showing(**shown), SPEC)


def test_item_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'book' is a Notebook"):
        SqlEndpointKind().find(showing(type="Notebook", displayName="book"), SPEC)
