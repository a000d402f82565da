"""Texts that others choose are shown as texts, whatever they contain."""

import pytest
from playwright.sync_api import Page, expect

from tests.page import scenes
from tests.page.conftest import Serving
from tests.page.fake_api import KEY

VIEWS = ("", "#/deployments/build-89996", "#/breakers", "#/health", "#/orphans")


@pytest.mark.parametrize("view", VIEWS)
def test_hostile_names_are_text(tab: Page, serve: Serving, view: str) -> None:
    """No name becomes an element, runs, or is fetched; the script can be read, letter by letter."""
    requested = list[str]()
    tab.on("request", lambda request: requested.append(request.url))
    api = serve(scenes.world(), view)
    expect(tab.locator("main h1")).to_have_count(1)
    tab.wait_for_load_state("networkidle")
    if view.startswith("#/deployments"):
        for step in tab.locator("button.lane-name").all():
            step.click()
        tab.get_by_role("tab", name="Audit").click()
        tab.get_by_role("button", name="Approve").click()
    if view != "#/breakers":
        expect(tab.locator("body")).to_contain_text("<script>document.body.dataset.owned")
    assert tab.evaluate("document.body.dataset.owned ?? null") is None
    assert tab.locator("main img, main script, dialog img, dialog script").count() == 0
    assert all(url.startswith(api.base) for url in requested)


def test_hostile_directions_and_controls_are_named(tab: Page, serve: Serving) -> None:
    """A character that would reverse a line, hide in it or move a cursor is shown as its code point."""
    serve(scenes.world(), "#/deployments/build-89996")
    expect(tab.locator("h1")).to_be_visible()
    text = tab.locator("body").inner_text()
    assert "[U+202E]" in text
    assert "[U+001B]" in text
    assert not any(c in text for c in "\u202e\u2066\u200b\x1b\x07\x00")


@pytest.mark.parametrize("width", [360, 1360])
def test_hostile_lengths_do_not_break_the_page(tab: Page, serve: Serving, width: int) -> None:
    """A name of 4,000 letters does not make the page scroll sideways, on a phone either."""
    tab.set_viewport_size({"width": width, "height": 800})
    serve(scenes.world(), "#/deployments/build-89996")
    expect(tab.locator("h1")).to_be_visible()
    tab.get_by_role("tab", name="Audit").click()
    tab.get_by_role("button", name="Cancel").click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_key_is_kept_out_of_address_and_storage(tab: Page, serve: Serving) -> None:
    """The key travels in a header: no address, no lasting storage and no cookie ever contains it."""
    requested = list[str]()
    tab.on("request", lambda request: requested.append(request.url))
    serve(scenes.world(), key=None)
    tab.get_by_label("Key").fill(KEY)
    tab.keyboard.press("Enter")
    expect(tab.locator(".item").first).to_be_visible()
    assert not any(KEY in url for url in [*requested, tab.url])
    assert KEY not in tab.evaluate("JSON.stringify({...localStorage}) + document.cookie + document.body.innerHTML")
    assert tab.evaluate("Object.values({...sessionStorage})") == [KEY]
