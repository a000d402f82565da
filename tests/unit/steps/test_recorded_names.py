"""Names that Fabric accepted in recorded traffic are accepted by the product and by the simulator, for every type."""

from typing import Any

import pytest

from local.fabric_simulator.catalogue import TYPED_ROUTES, is_valid_name
from shared.steps.item import ItemKind
from shared.steps.items import NAME_LIMIT, WORD_NAME, WORD_NAMED
from tests.conftest import reference
from tests.simulator.recordings import conversations
from tests.unit.steps.tenant import PERSON, problems


@pytest.fixture(scope="module")
def accepted() -> set[tuple[str, str]]:
    """Return the type and name of every recorded item that was created or renamed."""
    found: set[tuple[str, str]] = set()
    for conversation in conversations(reference("fabric_traffic") / "all_conversations.jsonl.xz"):
        for exchange in conversation["exchanges"]:
            parts, body = exchange["path"].split("/"), exchange["request"]
            is_item = len(parts) > 4 and parts[2] == "workspaces" and exchange["method"] in ("POST", "PATCH")
            if not is_item or exchange["status"] >= 300 or not isinstance(body, dict) or len(parts) > 6:
                continue
            sent: dict[str, Any] = body
            item_type = TYPED_ROUTES.get(parts[4].lower()) or sent.get("type")
            if item_type in TYPED_ROUTES.values() and sent.get("displayName"):
                found.add((str(item_type), sent["displayName"]))
    return found


def test_recorded_names_are_accepted(accepted: set[tuple[str, str]]) -> None:
    """Among them are names with spaces, of ten types."""
    assert len({item_type for item_type, name in accepted if " " in name}) >= 9
    assert [each for each in sorted(accepted) if not is_valid_name(*each)] == []
    for item_type, name in sorted(accepted):
        spec = {"workspaceId": PERSON, "type": item_type, "displayName": name}
        assert "$.displayName" not in problems(ItemKind(), spec), (item_type, name)


@pytest.mark.parametrize("item_type", sorted(WORD_NAMED))
def test_types_with_narrow_names_are_the_simulators(item_type: str, accepted: set[tuple[str, str]]) -> None:
    """The product refuses what the simulator refuses, before a call; no recorded name is against the rule."""
    assert not is_valid_name(item_type, "two words")
    spec = {"workspaceId": PERSON, "type": item_type, "displayName": "two words"}
    assert "$.displayName" in problems(ItemKind(), spec)
    assert all(WORD_NAME.fullmatch(name) for kind, name in accepted if kind == item_type)
    assert max(len(name) for _, name in accepted) <= NAME_LIMIT
