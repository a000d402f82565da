"""The computed bill: it follows the settings, and each row of docs/cost.md has its cause."""

from dataclasses import replace
from typing import Any

import pytest

from local import cost_page, costs

DATA = costs.price_list()
PRICES: dict[str, Any] = DATA["prices"]
BASE = costs.chosen()


def usd(choice: costs.Choice, what: str) -> float:
    """Return one line of the idle month's bill."""
    (line,) = [line for line in costs.idle(choice, PRICES) if line.what.startswith(what)]
    return line.usd


def test_costs_are_read_from_the_files_that_decide_them() -> None:
    """The amounts follow host.json and infra/ as they are now."""
    assert (BASE.partitionCount, BASE.maxQueuePollingInterval, BASE.maxPollingInterval) == (2, 0.5, 0.25)
    assert (BASE.ALWAYS_READY_DURABLE, BASE.ALWAYS_READY_ACCEPT, BASE.ALWAYS_READY_STEPS) == (1, 0, 0)
    assert (BASE.alerts_5_minutes, BASE.alerts_slower, BASE.web_test_locations) == (8, 4, 3)


def test_costs_of_the_known_lines() -> None:
    """A GB-s for each second of a 2 GB instance; three queues twice a second; three locations each five minutes."""
    assert usd(BASE, "always-ready") == pytest.approx(2 * 2_592_000 * 0.000004)
    assert usd(BASE, "polls of the durable") == pytest.approx(3 * 2 * 2_592_000 * 0.4e-6)
    assert usd(BASE, "web test") == pytest.approx(25_920 * 0.0005)
    assert usd(BASE, "log alerts") == pytest.approx(8 * 1.5 + 4 * 0.5)
    assert usd(BASE, "polls of the app") == 0


def test_costs_follow_each_setting() -> None:
    """A longer interval costs less; an instance more costs its GB-s and its polls."""
    assert usd(replace(BASE, maxQueuePollingInterval=10.0), "polls of the durable") == pytest.approx(
        usd(BASE, "polls of the durable") / 20
    )
    more = replace(BASE, ALWAYS_READY_STEPS=1)
    assert usd(more, "always-ready") == pytest.approx(2 * usd(BASE, "always-ready"))
    assert usd(more, "polls of the app") == pytest.approx(2_592_000 / 0.25 * 0.4e-6)
    for what, choice, _ in costs.changes(BASE):
        assert costs.total(costs.idle(choice, PRICES)) != costs.total(costs.idle(BASE, PRICES)), what


def test_costs_subtract_what_is_free() -> None:
    """Run time on demand below the monthly grant is free, and above it only the rest is paid."""
    assert usd(BASE, "run time") == 0
    often = replace(BASE, sweep_minutes=1, web_test_seconds=60)
    runs = 3 * 2_592_000 / 60 + 43_200
    expected = (runs * costs.RUN_SECONDS * 2 - 100_000) * 0.000026
    assert usd(often, "run time") == pytest.approx(expected)


def test_costs_of_a_deployment_grow_with_its_steps() -> None:
    assert costs.total(costs.deployment(200, PRICES)) == pytest.approx(10 * costs.total(costs.deployment(20, PRICES)))


@pytest.mark.parametrize(
    ("assignment", "says"),
    [("POLLING=1", "is not one of"), ("web_test_seconds=0", "above 0"), ("sweep_minutes=often", "not a number")],
)
def test_costs_refuse_a_choice_that_makes_no_sense(assignment: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        costs.changed(BASE, [assignment])


def test_costs_of_prices_that_name_their_source() -> None:
    """Every price has a page, a date stands for all of them, and the page says that they must be checked."""
    assert all(row["source"].startswith("https://azure.microsoft.com/pricing/") for row in PRICES.values())
    assert DATA["as_of"] in cost_page.document()
    assert "must be checked" in cost_page.document()
