"""The list of deployments: shown, found, filtered, kept live, and usable with thousands."""

import re

import pytest
from playwright.sync_api import Page, expect

from shared.domain.states import DeploymentState as D
from tests.page import scenes
from tests.page.conftest import Serving
from tests.page.fake_api import Deployment, header
from tests.waiting import eventually

ROWS = ".grid .item"


def names(tab: Page) -> list[str]:
    """Return the ids of the rows on the page, from top to bottom."""
    ids = tab.locator(ROWS).evaluate_all(
        "rows => rows.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)"
        ".map(r => r.dataset.key)"
    )
    return [str(i) for i in ids]


def test_list_shows_state_age_target_and_requester_newest_first(tab: Page, serve: Serving) -> None:
    """Every deployment is a row with all that an operator looks for first."""
    world = serve(scenes.world()).world
    expect(tab.locator(ROWS)).to_have_count(len(world.deployments))
    newest = sorted(world.deployments.values(), key=lambda d: d.header.accepted_at, reverse=True)
    assert names(tab) == [d.header.deployment_id for d in newest]
    row = tab.locator(ROWS).filter(has_text="build-89998")
    for text in ("stuck", "supply-chain", "contoso-prod-2", "data-team@contoso.example", "3 h ago"):
        expect(row).to_contain_text(text)
    expect(tab.locator("#target")).to_have_value("")
    assert "UTC" in (row.locator("time").get_attribute("title") or "")


def test_list_state_has_a_shape_and_a_word_too(tab: Page, serve: Serving) -> None:
    """States differ without their colour: each has a word, and success, failure and rollback have different shapes."""
    serve(scenes.world())
    expect(tab.locator(ROWS).first).to_be_visible()
    badges = tab.locator(".grid .badge").evaluate_all(
        "all => all.map(b => [b.textContent, b.querySelector('svg').innerHTML])"
    )
    by_word = dict(badges)
    assert {"running", "stuck", "succeeded", "compensated", "held"} <= set(by_word)
    shapes = [by_word[word] for word in ("running", "stuck", "succeeded", "compensated", "held", "rejected")]
    assert len(set(shapes)) == len(shapes)


@pytest.mark.parametrize("number", [500, 5000])
def test_list_of_thousands_draws_only_the_visible_rows(tab: Page, serve: Serving, number: int) -> None:
    """However many deployments there are, few rows exist at a time, and the last can be reached with the keyboard
    alone."""
    world = scenes.many(number)
    serve(world)
    expect(tab.locator(ROWS).first).to_be_visible()
    tab.keyboard.press("Tab")
    tab.locator(ROWS).first.focus()
    oldest = min(world.deployments.values(), key=lambda d: d.header.accepted_at).header.deployment_id

    def is_at_the_end() -> bool:
        """Press End, which goes to the last row of those that are loaded, and loads more."""
        tab.keyboard.press("End")
        assert 10 < tab.locator(ROWS).count() < 100
        tab.wait_for_timeout(50)
        return tab.locator(":focus").get_attribute("data-key") == oldest

    eventually(is_at_the_end)
    expect(tab.locator("#found")).to_have_text(f"{number:,} deployments")
    expect(tab.locator(":focus")).to_be_in_viewport()


def test_list_live_update_keeps_focus_and_scroll(tab: Page, serve: Serving) -> None:
    """A new deployment, and one that moves, are shown without moving the reader's place."""
    world = serve(scenes.many(300)).world
    expect(tab.locator(ROWS).first).to_be_visible()
    tab.locator(ROWS).first.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowDown")
    focused = tab.locator(":focus").get_attribute("data-key")
    assert focused == "build-89997"
    world.move("build-89997", D.SUCCEEDED, finished_at=scenes.now())
    world.add(Deployment(header(0, D.RUNNING, scenes.now(), deployment_id="brand-new")))
    expect(tab.locator(ROWS).filter(has_text="brand-new")).to_be_visible()
    expect(tab.locator(ROWS).filter(has_text="build-89997").locator(".badge")).to_have_text("succeeded")
    expect(tab.locator("#said")).to_have_text("people is succeeded")
    assert tab.locator(":focus").get_attribute("data-key") == focused


def test_list_open_deployment_beyond_the_first_page_stays_live(tab: Page, serve: Serving) -> None:
    """A deployment that was scrolled past and is still open is polled too, until it has ended."""
    world = serve(scenes.many(1000)).world
    expect(tab.locator(ROWS).first).to_be_visible()
    tab.locator("#q").fill("stuck")
    badge = tab.locator(ROWS).filter(has_text="build-89223").locator(".badge")
    expect(badge).to_have_text("stuck")
    tab.locator("#q").fill("build-89223")
    world.move("build-89223", D.COMPENSATING)
    expect(badge).to_have_text("compensating")
    world.move("build-89223", D.COMPENSATED, finished_at=scenes.now())
    expect(badge).to_have_text("compensated")


def test_list_row_shows_why_a_deployment_failed(tab: Page, serve: Serving) -> None:
    """The row has what failed and why: the step's error, or the first problem of the manifest."""
    world = serve(scenes.world()).world
    problems = ({"path": "$.steps[2].kind", "message": "unknown kind 'lakehous'"},)
    world.add(Deployment(header(0, D.REJECTED, scenes.now(), deployment_id="refused", problems=problems)))
    row = tab.locator(ROWS).filter(has_text="refused")
    expect(row.locator(".cause")).to_have_text("$.steps[2].kind unknown kind 'lakehous'")
    row = tab.locator(ROWS).filter(has_text="build-89999")
    expect(row.locator(".cause")).to_have_text("step forecast: The item type CrystalBall is not valid.")
    tab.locator("#q").fill("crystalball")
    expect(tab.locator(ROWS)).to_have_count(1)


def test_list_glance_counts_open_deployments_of_all_pages(tab: Page, serve: Serving) -> None:
    """A stuck deployment far below the first page is seen at once, and a click shows it."""
    serve(scenes.many(1000))
    chips = tab.get_by_role("group", name="Open now").get_by_role("button")
    expect(chips).to_have_text(["2 running", "1 stuck"])
    chips.last.press("Enter")
    expect(tab.locator(ROWS)).to_have_count(1)
    expect(tab.locator(ROWS)).to_contain_text("build-89223")
    expect(chips.last).to_have_attribute("aria-pressed", "true")
    expect(tab.locator("#state")).to_have_value("stuck")
    chips.last.press("Enter")
    expect(tab.locator("#found")).to_have_text(re.compile("so far"))


def test_list_row_opens_in_another_tab(tab: Page, serve: Serving) -> None:
    """A row is a link as well: with Ctrl it opens in another tab, and this tab stays."""
    serve(scenes.world())

    def is_open() -> bool:
        # The browser drops a click if the row is drawn again between the press and the release.
        tab.get_by_role("link", name="supply-chain").first.click(modifiers=["Control"])
        tab.wait_for_timeout(500)
        return any("/dashboard#/deployments/" in other.url for other in tab.context.pages[1:])

    eventually(is_open)
    assert tab.url.endswith("/dashboard")


def test_list_changes_of_one_poll_are_all_announced(tab: Page, serve: Serving) -> None:
    """Two deployments that end between two polls are both announced."""
    world = serve(scenes.many(10)).world
    expect(tab.locator(ROWS).first).to_be_visible()
    ended = {"finished_at": scenes.now()}
    for deployment_id in ("build-90000", "build-89997"):
        world.move(deployment_id, D.SUCCEEDED, **ended)
    expect(tab.locator("#said")).to_have_text("sales is succeeded; people is succeeded")


def test_list_search_finds_rows_that_were_never_scrolled_to(tab: Page, serve: Serving) -> None:
    """A search reads on to the end, so that not found means that it does not exist."""
    serve(scenes.many(1500))
    expect(tab.locator(ROWS).first).to_be_visible()
    tab.locator("#q").fill("build-88501")
    expect(tab.locator(ROWS)).to_have_count(1)
    expect(tab.locator("#found")).to_have_text("1 deployment")
    tab.locator("#q").fill("no such thing")
    expect(tab.get_by_text("No deployment matches the filter.")).to_be_visible()


def test_list_of_one_label_is_a_link_away(tab: Page, serve: Serving) -> None:
    """A row shows its labels; a deployment's labels lead to all that have them, and the API does the filtering."""
    world = scenes.many(300)
    for number, labels in ((3, {"pr": "123", "team": "sales"}), (250, {"pr": "123"}), (4, {"pr": "124"})):
        stored = world.deployments[f"build-{90_000 - number}"]
        stored.header = stored.header.replace(labels=labels)
    api = serve(world)
    row = tab.locator(ROWS).filter(has_text="build-89997")
    expect(row.locator(".label")).to_have_text(["pr=123", "team=sales"])
    row.get_by_role("link").click()
    tab.get_by_role("link", name="pr=123").click()
    expect(tab.locator(ROWS)).to_have_count(2)
    assert names(tab) == ["build-89997", "build-89750"]
    assert any("label=pr%3D123" in call for call, _ in api.world.calls)
    expect(tab.locator("#label")).to_have_value("pr=123")
    tab.locator("#label").fill("pr=124")
    tab.keyboard.press("Enter")
    expect(tab.locator(ROWS)).to_have_count(1)
    assert tab.url.endswith("#/?label=pr%3D124")


def test_list_filters_are_applied_by_the_api_and_stay_in_the_address(tab: Page, serve: Serving) -> None:
    """The API filters by state, target and open-only; the address leads to the same list again, without the key."""
    api = serve(scenes.many(1000))
    expect(tab.locator(ROWS).first).to_be_visible()
    tab.locator("#state").select_option("stuck")
    expect(tab.locator(ROWS)).to_have_count(1)
    assert any("state=stuck" in call for call, _ in api.world.calls)
    tab.locator("#state").select_option("")
    tab.locator("#open").check()
    expect(tab.locator(ROWS)).to_have_count(3)
    assert tab.url.endswith("#/?open=true")
    tab.reload()
    expect(tab.locator(ROWS)).to_have_count(3)
    expect(tab.locator("#open")).to_be_checked()
    tab.locator("#open").uncheck()
    expect(tab.locator("#found")).to_have_text(re.compile("so far"))
    tab.locator("#target").select_option("contoso-dev-0")
    expect(tab.locator(ROWS).filter(has_not_text="contoso-dev-0")).to_have_count(0)
    expect(tab.locator(ROWS).first).to_contain_text("contoso-dev-0")


def test_list_that_is_empty_explains_how_to_begin(tab: Page, serve: Serving) -> None:
    """An empty journal does not give an empty page."""
    serve(scenes.World())
    expect(tab.get_by_text("Nothing has been deployed yet.")).to_be_visible()


def test_list_is_usable_without_a_mouse(tab: Page, serve: Serving) -> None:
    """Tab reaches the list, arrows move in it, Enter opens, the way back is a link, and every stop is visible."""
    serve(scenes.world())
    expect(tab.locator(ROWS).first).to_be_visible()
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.locator(":focus").get_attribute("role") == "row":
            break
    assert tab.locator(".item[tabindex='0']").count() == 1
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    chosen = tab.locator(":focus").get_attribute("data-key")
    tab.keyboard.press("Enter")
    expect(tab.locator("h1")).to_have_text("sales")
    assert tab.url.endswith(f"#/deployments/{chosen}")
    tab.keyboard.press("Tab")
    expect(tab.locator(":focus")).to_have_text("Deployments")
    tab.keyboard.press("Enter")
    expect(tab.locator(ROWS).first).to_be_visible()
