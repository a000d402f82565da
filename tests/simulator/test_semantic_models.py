"""A semantic model in both of its formats: what is sent in one is read in the other."""

import base64
import json
from typing import Any

import pytest

from local.fabric_simulator.bare import part
from local.fabric_simulator.tmdl import to_tmsl
from local.fabric_simulator.tmdl_text import to_tmdl
from tests.conftest import reference
from tests.peers.stage import REPOSITORY
from tests.simulator.recordings import conversations
from tests.simulator.tenant import Tenant

PBISM = part("definition.pbism", '{"version": "4.0", "settings": {}}')
MODEL: dict[str, Any] = {
    "compatibilityLevel": 1601,
    "model": {
        "annotations": [{"name": "Made", "value": "by hand"}],
        "culture": "en-GB",
        "dataAccessOptions": {"legacyRedirects": True, "returnErrorValuesAsNull": True},
        "relationships": [{"name": "r1", "fromColumn": "Orders.Day", "toColumn": "Days.Day"}],
        "roles": [{"name": "reader", "modelPermission": "read"}],
        "tables": [
            {
                "name": "It's orders",
                "columns": [{"name": "Net amount", "dataType": "decimal", "isHidden": True}],
                "measures": [
                    {"name": "Total", "expression": "SUM(Orders[Net amount])"},
                    {"name": "Long", "expression": ["VAR x = 1", "RETURN x"], "formatString": "0.00"},
                ],
                "partitions": [
                    {"name": "p", "mode": "import", "source": {"expression": ["let a = 1 in a"], "type": "m"}}
                ],
            }
        ],
    },
}


def recorded() -> list[str]:
    """Return the recorded models in TMSL."""
    found: list[str] = []
    for conversation in conversations(reference("fabric_traffic") / "all_conversations.jsonl.xz"):
        for exchange in conversation["exchanges"]:
            body = exchange["response"] if isinstance(exchange["response"], dict) else {}
            rows: list[Any] = (body.get("definition") or {}).get("parts", [])
            found += [base64.b64decode(r["payload"]).decode("utf-8-sig") for r in rows if r["path"] == "model.bim"]
    return found


def test_tmdl_of_a_model_says_what_its_tmsl_says() -> None:
    """Names with spaces and quotes, expressions of one and of several lines, nested properties, lists of objects."""
    files = to_tmdl(json.dumps(MODEL))
    assert set(files) == {
        f"definition/{n}.tmdl" for n in ("database", "model", "relationships", "roles/reader", "tables/It's orders")
    }
    assert "table 'It''s orders'" in files["definition/tables/It's orders.tmdl"]
    assert json.loads(to_tmsl(files)) == MODEL


def test_tmdl_of_recorded_models_says_what_their_tmsl_says() -> None:
    """So does that of the peers' repository."""
    root = REPOSITORY / "Reports" / "sales.SemanticModel"
    texts = [to_tmsl({str(f.relative_to(root)): f.read_text() for f in root.rglob("*.tmdl")}), *recorded()]
    assert len(texts) >= 4
    assert [json.loads(to_tmsl(to_tmdl(text))) for text in texts] == [json.loads(text) for text in texts]


@pytest.mark.parametrize(
    ("sent", "asked", "shown"),
    [
        ("TMSL", "", "TMDL"),
        ("TMSL", "TMDL", "TMDL"),
        ("TMSL", "TMSL", "TMSL"),
        ("TMDL", "", "TMDL"),
        ("TMDL", "TMSL", "TMSL"),
    ],
)
def test_semantic_model_is_read_in_the_format_that_is_asked_for(sent: str, asked: str, shown: str) -> None:
    """Without a format it is TMDL, whatever was sent."""
    t = Tenant()
    workspace = t.workspace()
    text = json.dumps(MODEL)
    parts = [part("model.bim", text)] if sent == "TMSL" else [part(path, each) for path, each in to_tmdl(text).items()]
    item = t.item(workspace, "SemanticModel", "m", definition={"format": sent, "parts": [PBISM, *parts]})
    url = f"/v1/workspaces/{workspace}/items/{item}/getDefinition"
    read = t.follow(t.call("POST", f"{url}?format={asked}" if asked else url))["definition"]
    texts = {row["path"]: base64.b64decode(row["payload"]).decode() for row in read["parts"]}
    assert read["format"] == shown
    assert ("model.bim" in texts) == (shown == "TMSL")
    assert (
        json.loads(
            texts["model.bim"] if shown == "TMSL" else to_tmsl({p: x for p, x in texts.items() if p.endswith("tmdl")})
        )
        == MODEL
    )
