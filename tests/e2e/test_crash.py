"""`kill -9` of the host in the middle of a run: the deployment ends as it must, and Fabric has exactly what it must
have."""

import random
import time

import pytest

from tests.conftest import seed_of
from tests.e2e.conftest import Running

pytestmark = [pytest.mark.e2e, pytest.mark.law(1, 3)]
WHOLE = {"contoso-sales-dev": ["bronze", "gold", "silver"]}


@pytest.mark.parametrize(
    ("manifest", "expected"), [("failing", 1), pytest.param("medallion", 0, marks=pytest.mark.hunt)]
)
def test_crash_of_the_host_at_random_instants_changes_nothing(own_stack: Running, manifest: str, expected: int) -> None:
    """The host is killed five times at random instants of a deployment; each time it restarts and continues."""
    chance = random.Random(seed_of("CRASH_SEED", 1))
    own_stack.cli("submit", f"examples/{manifest}.yaml", "--id", "c", check=0)
    for _ in range(5):
        time.sleep(chance.uniform(0.05, 1.6))
        own_stack.stack.kill_host()
        own_stack.stack.start_host()
    ended = own_stack.ended("c")
    assert ended.get("exit_code") == expected, ended
    assert own_stack.names() == (WHOLE if expected == 0 else {})
    state = own_stack.fabric("state")
    created = [c for c in own_stack.fabric("calls") if c["method"] == "POST" and c["effect"] and c["status"] == 201]
    resources = {s["resource"]["id"] for s in ended["steps"] if s.get("resource")}
    stored = {w["id"] for w in state["workspaces"]} | {i["id"] for w in state["workspaces"] for i in w["items"]}
    assert stored <= resources, "something stands in Fabric that the journal does not know"
    assert created
