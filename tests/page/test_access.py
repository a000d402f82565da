"""Accessibility, by axe-core's rules for WCAG 2.2 AA, on every view, in both themes."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from local import browser as browsers
from tests.conftest import require
from tests.page import scenes
from tests.page.conftest import SIZE
from tests.page.fake_api import KEY, FakeApi

VIEWS = {
    "list": "",
    "running": "#/deployments/build-90000",
    "compensated": "#/deployments/build-89999",
    "stuck": "#/deployments/build-89998",
    "hostile": "#/deployments/build-89996",
    "breakers": "#/breakers",
    "health": "#/health",
    "orphans": "#/orphans",
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core."""
    try:
        return browsers.ensure_axe().read_text()
    except browsers.BrowserError as error:
        require(False, str(error))
        raise


@pytest.fixture(scope="module")
def api() -> Iterator[FakeApi]:
    """One of each state."""
    running = FakeApi(scenes.world())
    yield running
    running.close()


def findings(page: Page, axe: str) -> list[str]:
    """What axe finds, all impacts: rule, impact, and where."""
    page.evaluate(axe)
    found: Any = page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
    assert found["passes"], "axe looked at nothing"
    return [
        f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:200]} {v['nodes'][0]['failureSummary']}"
        for v in found["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_access_view_has_no_findings(chromium: Browser, api: FakeApi, axe: str, view: str, scheme: Any) -> None:
    """No finding of any weight, with details, audit and dialog opened where there are some."""
    context = chromium.new_context(viewport=SIZE, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.add_init_script(f"sessionStorage.setItem('fabric-saga-key', '{KEY}')")
    page.goto(f"{api.url}{VIEWS[view]}")
    expect(page.locator("main h1")).to_have_count(1)
    page.wait_for_load_state("networkidle")
    assert findings(page, axe) == []
    if VIEWS[view].startswith("#/deployments"):
        page.locator("button.lane-name").first.click()
        page.get_by_role("tab", name="Audit").click()
        assert findings(page, axe) == []
        if page.locator(".verbs button").count():
            page.locator(".verbs button").first.click()
            assert findings(page, axe) == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_access_form_for_the_key_has_no_findings(chromium: Browser, api: FakeApi, axe: str, scheme: Any) -> None:
    """The first thing that anybody meets, also after a wrong key."""
    context = chromium.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(api.url)
    page.get_by_label("Key", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert findings(page, axe) == []
    context.close()


def test_access_planted_fault_is_found(chromium: Browser, api: FakeApi, axe: str) -> None:
    """The check can fail: a button without a name and a grey on grey are both reported."""
    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(api.url)
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', "
        "'<button></button><p style=\"color:#999;background:#aaa\">grey</p>')"
    )
    found = " ".join(findings(page, axe))
    assert "button-name" in found
    assert "color-contrast" in found
    context.close()
