"""Recorded proof that one item belongs to another, for each companion that is named after its maker."""

import json
import lzma
from collections.abc import Iterator
from typing import Any

from shared.steps.companion_types import COMPANIONS, Companion, named_in
from tests.conftest import reference


def conversations() -> Iterator[list[dict[str, Any]]]:
    """Yield the exchanges of each recording."""
    with lzma.open(reference("fabric_traffic") / "all_conversations.jsonl.xz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["exchanges"]


def listed(exchanges: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return type and name of each item that a recording lists, by its id."""
    found: dict[str, tuple[str, str]] = {}
    for exchange in exchanges:
        body = exchange["response"]
        for row in body.get("value") or [] if isinstance(body, dict) else []:
            if isinstance(row, dict) and {"id", "type", "displayName"} <= row.keys():
                found[row["id"]] = (row["type"], row["displayName"])
    return found


def _companion(maker_type: str, item_type: str) -> Companion:
    return next(each for each in COMPANIONS[maker_type] if each.type == item_type)


def test_recorded_definition_of_a_twin_builder_names_its_own_lakehouse() -> None:
    """Every definition that was recorded names a lakehouse of the name that Fabric gives to the builder's own."""
    lakehouse = _companion("DigitalTwinBuilder", "Lakehouse")
    found: list[tuple[str, str] | None] = []
    for exchanges in conversations():
        items = listed(exchanges)
        for exchange in exchanges:
            body = exchange["response"] if isinstance(exchange["response"], dict) else {}
            if item_id := named_in(body, lakehouse):
                found.append(items.get(item_id))
    makers = [name.removesuffix("dtdm") for _, name in (each for each in found if each)]
    assert found == [("Lakehouse", lakehouse.name.format(name=name)) for name in makers]
    assert len(found) == 5


def test_recorded_database_and_flow_name_the_item_that_they_belong_to() -> None:
    """Their own properties have the id of their eventhouse or digital twin builder, where `Companion.owner` says."""
    for maker_type, item_type in (("Eventhouse", "KQLDatabase"), ("DigitalTwinBuilder", "DigitalTwinBuilderFlow")):
        collection, *members = _companion(maker_type, item_type).owner
        owners: list[Any] = []
        for exchanges in conversations():
            for exchange in exchanges:
                is_read = exchange["method"] == "GET" and f"/{collection}/" in exchange["path"]
                if is_read and exchange["status"] == 200:
                    value: Any = exchange["response"]["properties"]
                    for member in members:
                        value = value[member]
                    owners.append(value)
        assert owners
        assert all(isinstance(owner, str) and len(owner) == 36 for owner in owners)
