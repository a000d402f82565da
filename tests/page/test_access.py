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
    "compare": "#/compare/build-90000/build-89999",
}
READY = {
    view: ".item"
    if view == "list"
    else ".timeline .bars"
    if VIEWS[view].startswith("#/deployments")
    else ".card, tbody"
    for view in VIEWS
}
"""A selector that matches when the view shows its content."""
RULES = {
    "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "dark": ["color-contrast"],
}
"""The rules by theme: the dark theme has other colours, and the same elements."""


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the script of axe-core."""
    try:
        return browsers.ensure_axe().read_text()
    except browsers.BrowserError as error:
        require(False, str(error))
        raise


@pytest.fixture(scope="module")
def api() -> Iterator[FakeApi]:
    """Start a fake with a deployment of each state."""
    running = FakeApi(scenes.world())
    yield running
    running.close()


@pytest.fixture(scope="module", params=list(RULES))
def page(request: pytest.FixtureRequest, chromium: Browser, api: FakeApi) -> Iterator[Page]:
    """Open one tab for all views of a theme, so that axe is loaded once."""
    context = chromium.new_context(
        viewport=SIZE,  # type: ignore[arg-type]
        color_scheme=request.param,
        reduced_motion="reduce",
        bypass_csp=True,
    )
    made = context.new_page()
    made.add_init_script(f"sessionStorage.setItem('fabric-saga-key', '{KEY}')")
    yield made
    context.close()


def findings(page: Page, axe: str, within: str = "html") -> list[str]:
    """Return what axe finds, of any impact: rule, impact and place."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    rules = RULES["dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"]
    found: Any = page.evaluate("([within, rules]) => axe.run(within, { runOnly: rules })", [within, rules])
    assert found["passes"], "axe looked at nothing"
    return [
        f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:200]} {v['nodes'][0]['failureSummary']}"
        for v in found["violations"]
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_access_view_has_no_findings(page: Page, api: FakeApi, axe: str, view: str) -> None:
    """axe reports no finding of any impact, with details, audit and dialog open if the view has them."""
    page.goto(f"{api.url}{VIEWS[view]}")
    expect(page.locator(READY[view]).first).to_be_visible()
    assert findings(page, axe) == []
    if VIEWS[view].startswith("#/deployments"):
        page.locator("button.lane-name").first.click()
        page.get_by_role("tab", name="Audit").click()
        assert findings(page, axe, "main") == []
        if page.locator(".verbs button").count():
            page.locator(".verbs button").first.click()
            assert findings(page, axe, "dialog") == []
            page.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", RULES)
def test_access_form_for_the_key_has_no_findings(chromium: Browser, api: FakeApi, axe: str, scheme: Any) -> None:
    """The form is the first thing that a person sees, also after a wrong key."""
    context = chromium.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(api.url)
    page.get_by_label("Key", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert findings(page, axe) == []
    context.close()


def test_access_planted_fault_is_found(chromium: Browser, api: FakeApi, axe: str) -> None:
    """The check can fail: it reports a button without a name, and grey text on grey."""
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
