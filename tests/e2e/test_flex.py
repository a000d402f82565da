"""The topology of production: a host for each group of functions, all on one storage and one task hub."""

import random
import time
from collections.abc import Iterator

import pytest

from local.functions_host import groups
from local.functions_host.worker import Function
from local.stack.description import FLEX, hosts_of
from shared.domain.variables import WORKER_THREADS
from tests import registered
from tests.conftest import seed_of
from tests.e2e.conftest import Running, finish, make_stack

pytestmark = [pytest.mark.e2e, pytest.mark.law(1, 3)]
PROVIDER = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__"
SECONDS = {f"{PROVIDER}{queue}QueueVisibilityTimeout": "00:00:02" for queue in ("control", "workItem")}
"""In place of the real minute: what a dead host had taken comes again within a test."""


@pytest.fixture
def apart() -> Iterator[Running]:
    """Start a stack with a host for each group, for a test that ends them."""
    stack = make_stack(
        topology=FLEX, profile="realistic", time_scale="4", hub_lease_seconds="2", environment=dict(SECONDS)
    )
    try:
        yield Running(stack.up())
    finally:
        finish(stack)


def test_flex_deployments_end_while_hosts_come_and_go(apart: Running) -> None:
    """Each host is killed once and ended in order once, at random instants; one deployment succeeds, one is rolled
    back, and Fabric has the resources of the first one only."""
    chance = random.Random(seed_of("CRASH_SEED", 7))
    apart.cli("submit", "examples/medallion.yaml", "--id", "m", check=0)
    apart.cli("submit", "examples/failing.yaml", "--id", "f", check=0)
    ends = [(part, is_crash) for part in apart.stack.hosts for is_crash in (True, False)]
    chance.shuffle(ends)
    for part, is_crash in ends:
        time.sleep(chance.uniform(0.0, 0.5))
        apart.stack.kill_host(part) if is_crash else apart.stack.stop_host(part)
        apart.stack.start_host(part)
    ended = [apart.ended(deployment_id) for deployment_id in ("m", "f")]
    assert [each.get("exit_code") for each in ended] == [0, 1], ended
    assert apart.names() == {"contoso-sales-dev": ["bronze", "gold", "silver"]}
    known = {s["resource"]["id"] for s in ended[0]["steps"] if s.get("resource")}
    workspaces = apart.fabric("state")["workspaces"]
    assert {w["id"] for w in workspaces} | {i["id"] for w in workspaces for i in w["items"]} <= known


def test_flex_has_a_host_for_each_group_of_the_app() -> None:
    """A function without a host would never run."""
    functions: list[Function] = []
    for each in registered.functions():
        trigger = each.get_trigger()
        assert trigger is not None
        bindings = [{"type": trigger.type, "name": "x", "direction": "IN"}]
        functions.append(Function(each.get_function_name() or "", "", bindings))
    assert set(hosts_of(FLEX).values()) == {groups.group_of(each) for each in functions}


def test_flex_host_has_the_threads_that_the_settings_name(apart: Running) -> None:
    """Each host came up as a placeholder; without the call in function_app.py it would have fewer threads."""
    _, body = apart.http("/api/health", key=apart.stack.function_key)
    assert f'"thread_pool:size": [{{"status": "pass", "observedValue": {WORKER_THREADS}' in body
