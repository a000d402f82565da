"""Companions in the simulator: the same as recorded."""

import json
import lzma
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from local.fabric_simulator.companions import COMPANIONS
from tests.conftest import reference
from tests.simulator.tenant import Tenant, definition_of
from tests.simulator.test_model import items_of

Row = tuple[str, str]
SECONDS = 120.0
"""After these seconds all companions are visible."""


def masked(name: str) -> str:
    """Return the name without the time in it."""
    return re.sub("[0-9]{14}", "<stamp>", name)


def conversations() -> list[list[dict[str, Any]]]:
    """Return all recorded conversations."""
    path = reference("fabric_traffic") / "all_conversations.jsonl.xz"
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["exchanges"] for line in lines]


def recorded() -> dict[str, tuple[set[Row], set[Row]]]:
    """Return by type, for items that are the only ones that their recording creates, the companions that were beside
    the item, and those that the first list after its deletion still showed; `n` is the item's name."""
    found: dict[str, tuple[set[Row], set[Row]]] = {}
    for exchanges in conversations():
        creates = [i for i, e in enumerate(exchanges) if _creates(e)]
        item_type = exchanges[creates[0]]["request"].get("type", "") if len(creates) == 1 else ""
        if item_type in COMPANIONS:
            _follow(exchanges, creates[0], found.setdefault(item_type, (set(), set())))
    return found


def _creates(exchange: dict[str, Any]) -> bool:
    path = exchange["path"].partition("?")[0]
    is_collection = re.fullmatch("/v1/workspaces/[^/]+/[A-Za-z]+", path) is not None
    is_create = exchange["method"] == "POST" and exchange["status"] in (201, 202) and is_collection
    return is_create and isinstance(exchange["request"], dict)


def _follow(exchanges: list[dict[str, Any]], at: int, found: tuple[set[Row], set[Row]]) -> None:
    """Add the companions in the lists until the item is deleted, and those in the first list after that."""
    workspace, body = exchanges[at]["path"].split("/")[3], exchanges[at]["request"]
    old = {row["id"] for e in exchanges[:at] for row in _rows(e, workspace)}
    own, is_gone = "", False
    for later in exchanges[at + 1 :]:
        is_gone = is_gone or (later["method"] == "DELETE" and bool(own) and own in later["path"])
        rows = [row for row in _rows(later, workspace) if row["id"] not in old]
        same = [r["id"] for r in rows if (r["type"], r["displayName"]) == (body.get("type"), body["displayName"])]
        own = same[0] if same else own
        for row in rows:
            name = masked(row["displayName"]).replace(body["displayName"], "n")
            is_others = (
                "<stamp>" in name and body["type"] != "Dataflow"
            )  # Shown late: it belongs to an earlier recording's dataflow.
            if row["id"] != own and not is_others:
                found[is_gone].add((row["type"], name))
        if rows and is_gone:
            return


def _rows(exchange: dict[str, Any], workspace: str) -> list[dict[str, Any]]:
    path, body = exchange["path"].partition("?")[0], exchange["response"]
    is_list = exchange["method"] == "GET" and path == f"/v1/workspaces/{workspace}/items"
    return body["value"] if is_list and exchange["status"] == 200 else []


def simulated(item_type: str, name: str = "n") -> tuple[set[Row], set[Row]]:
    """Return the same as `recorded`, of one item of the simulator."""
    t = Tenant(profile="realistic")
    t.now = datetime(2026, 1, 29, 9, 39, tzinfo=UTC).timestamp()
    workspace = t.workspace()
    needs = {"definition": definition_of(item_type)} if item_type == "MirroredDatabase" else {}
    own = t.item(workspace, item_type, name, **needs)
    t.now += SECONDS
    there = {(kind, masked(n)) for kind, n in items_of(t, workspace)} - {(item_type, name)}
    assert t.call("DELETE", f"/v1/workspaces/{workspace}/items/{own}").status == 200
    return there, {(kind, masked(n)) for kind, n in items_of(t, workspace)}


def test_companions_are_those_that_were_recorded() -> None:
    """Each type that was recorded with companions has the same ones here, and the same of them outlive it."""
    found = recorded()
    assert found.keys() == COMPANIONS.keys()
    for item_type, (there, after) in found.items():
        own, ours_after = simulated(item_type)
        assert there | after <= own, item_type
        assert after <= ours_after, item_type
        assert ours_after.isdisjoint(there - after), item_type


@pytest.mark.parametrize("item_type", COMPANIONS)
def test_companion_is_an_item_like_any_other(item_type: str) -> None:
    """Every list and read has it with the id under which it was listed first. Only a database has a description."""
    t = Tenant()
    workspace = t.workspace()
    needs = {"definition": definition_of(item_type)} if item_type == "MirroredDatabase" else {}
    own = t.item(workspace, item_type, "n", **needs)
    rows = [row for row in t.get(f"/v1/workspaces/{workspace}/items")["value"] if row["id"] != own]
    assert rows
    for row in rows:
        assert row["description"] == ("n" if row["type"] == "KQLDatabase" else "")
        assert t.get(f"/v1/workspaces/{workspace}/items/{row['id']}") == row
        assert row in t.get(f"/v1/workspaces/{workspace}/items?type={row['type']}")["value"]
    databases = [row["id"] for row in rows if row["type"] == "KQLDatabase"]
    for database in databases:
        parent = t.get(f"/v1/workspaces/{workspace}/kqlDatabases/{database}")["properties"]["parentEventhouseItemId"]
        assert parent == own
        assert t.get(f"/v1/workspaces/{workspace}/eventhouses/{own}")["properties"]["databasesItemIds"] == databases


def test_companion_of_an_eventhouse_with_a_definition_is_not_created() -> None:
    """A definition itself says which databases exist."""
    t = Tenant()
    workspace = t.workspace()
    t.item(workspace, "Eventhouse", "n", definition=definition_of("Eventhouse"))
    assert items_of(t, workspace) == [("Eventhouse", "n")]


def test_companions_of_a_dataflow_are_shown_after_it_was_deleted() -> None:
    """Deleted two seconds after it was created, as in the recording, it still gets its staging items."""
    t = Tenant(profile="realistic")
    workspace = t.workspace()
    own = t.item(workspace, "Dataflow", "n")
    assert items_of(t, workspace) == [("Dataflow", "n")]
    t.call("DELETE", f"/v1/workspaces/{workspace}/items/{own}")
    assert items_of(t, workspace) == []
    t.now += SECONDS
    assert sorted(kind for kind, _ in items_of(t, workspace)) == ["Lakehouse", "SQLEndpoint", "Warehouse"]
