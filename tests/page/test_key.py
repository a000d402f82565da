"""The key, the connection, the theme, and the views that do not belong to one deployment."""

import re

from playwright.sync_api import Page, expect

from tests.page import scenes
from tests.page.conftest import Serving, pass_time, requests_of
from tests.page.fake_api import KEY, World


def test_key_is_requested_and_a_wrong_one_gets_a_message(tab: Page, serve: Serving) -> None:
    """Without a key there is only the form. A wrong key gets a message; the right one opens the view of the address."""
    serve(scenes.world(), "#/breakers", key=None)
    field = tab.get_by_label("Key", exact=True)
    expect(field).to_be_focused()
    expect(tab.locator("nav")).to_be_hidden()
    for wrong in ("not-the-key", "schl\u00fcssel\u2603"):
        field.fill(wrong)
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("alert")).to_be_visible()
    field.fill(KEY)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Circuit breakers")).to_be_visible()


def test_key_that_is_revoked_brings_the_form_back(tab: Page, serve: Serving) -> None:
    """After a 401 the page forgets the key, says so and asks for it again; no data stay on the page."""
    world = serve(scenes.world()).world
    expect(tab.locator(".item").first).to_be_visible()
    world.key = "another"
    expect(tab.get_by_role("alert")).to_have_text("The app does not accept this key.")
    assert tab.locator(".item").count() == 0
    assert tab.evaluate("sessionStorage.getItem('fabric-saga-key')") is None


def test_key_can_be_forgotten(tab: Page, serve: Serving) -> None:
    """The button removes the key from the tab, and the page sends no further request."""
    tab.clock.install()
    serve(scenes.world())
    expect(tab.locator(".item").first).to_be_visible()
    request = requests_of(tab)
    pass_time(tab, 30)
    assert request != []
    tab.get_by_role("button", name="Forget key").click()
    expect(tab.get_by_label("Key", exact=True)).to_be_focused()
    request.clear()
    pass_time(tab, 30)
    assert request == []


def test_connection_that_fails_is_reported_and_the_list_stays(tab: Page, serve: Serving) -> None:
    """While the app does not answer, the list stays with its time, and the page polls at growing intervals."""
    world = serve(scenes.world()).world
    expect(tab.locator(".item").first).to_be_visible()
    world.broken = True
    expect(tab.locator("#trouble")).to_contain_text("storage is unavailable")
    expect(tab.locator("#trouble")).to_contain_text("The data is from")
    expect(tab.locator("#live")).to_have_text("Not live")
    assert tab.locator(".item").count() == len(world.deployments)
    world.broken = False
    tab.get_by_role("button", name="Try now").click()
    expect(tab.locator("#trouble")).to_be_hidden()
    expect(tab.locator("#live")).to_have_text("Live")


def test_connection_that_is_lost_is_reported_and_restored(tab: Page, serve: Serving) -> None:
    """If nobody answers at all, the page says so, and reconnects by itself."""
    serve(scenes.world())
    expect(tab.locator(".item").first).to_be_visible()
    tab.context.set_offline(True)
    expect(tab.locator("#trouble")).to_contain_text("The app does not respond. The data is from")
    tab.context.set_offline(False)
    expect(tab.locator("#trouble")).to_be_hidden()
    expect(tab.locator("#live")).to_have_text("Live")
    expect(tab.locator("#said")).to_contain_text("The app responds again.")


def test_hidden_page_sends_no_request(tab: Page, serve: Serving) -> None:
    """A tab in the background sends no request, and sends one at once when it is visible again."""
    tab.clock.install()
    serve(scenes.world())
    expect(tab.locator(".item").first).to_be_visible()
    tab.wait_for_load_state("networkidle")
    hide = "v => { Object.defineProperty(document, 'hidden', { value: v, configurable: true }); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    request = requests_of(tab)
    tab.evaluate(hide, True)
    pass_time(tab, 30)
    assert request == []
    with tab.expect_response("**/api/deployments*"):
        tab.evaluate(hide, False)
    expect(tab.locator("#live")).to_have_text("Live")


def test_glance_marks_problems_on_every_view(tab: Page, serve: Serving) -> None:
    """An open breaker, warnings and orphans are shown beside the views' names on every view, and are announced."""
    serve(scenes.world(), "#/deployments/build-90000")
    marks = {"Breakers": "1 open", "Health": "warn", "Orphans": "1"}
    for view, words in marks.items():
        expect(tab.get_by_role("navigation", name="Views").get_by_role("link", name=view)).to_have_text(
            f"{view}{words}"
        )
    expect(tab.locator("#said")).to_contain_text("Breakers: 1 open; Health: warn; Orphans: 1")
    tab.get_by_role("button", name="Forget key").click()
    expect(tab.locator(".mark")).to_have_count(0)


def test_glance_is_empty_for_a_healthy_app(tab: Page, serve: Serving) -> None:
    """An app without a warning has no mark and no announcement."""
    world = serve(World()).world
    expect(tab.get_by_text("No open deployments")).to_be_visible()
    tab.wait_for_load_state("networkidle")
    assert any("health" in call for call, _ in world.calls)
    assert tab.locator(".mark").count() == 0
    assert tab.locator("#said").inner_text() == ""


def test_theme_is_chosen_and_kept(tab: Page, serve: Serving) -> None:
    """The button chooses system, light and dark in turn; a reload keeps the choice."""
    serve(scenes.world())
    button = tab.get_by_role("button", name=re.compile("Theme"))
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    button.click()
    button.click()
    expect(button).to_have_text("Theme: dark")
    assert tab.evaluate(ground) != light
    tab.reload()
    expect(button).to_have_text("Theme: dark")
    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate(ground)
    button.click()
    expect(button).to_have_text("Theme: system")
    assert tab.evaluate(ground) == dark


def test_breaker_is_reset_after_a_confirmation(tab: Page, serve: Serving) -> None:
    """An open breaker shows when it tries again. Reset asks for a confirmation, and is not offered for a closed one."""
    world = serve(scenes.world(), "#/breakers").world
    card = tab.locator(".card").filter(has_text="items")
    expect(card).to_contain_text("open")
    expect(card).to_contain_text("in 4 min")
    expect(tab.locator(".card").filter(has_text="workspaces").get_by_role("button")).to_have_count(0)
    card.get_by_role("button", name="Reset").click()
    assert world.commands == []
    tab.get_by_role("dialog").get_by_role("button", name="Reset").click()
    expect(card).to_contain_text("closed")
    assert world.commands == [("reset", "items", {})]


def test_health_shows_checks_also_when_it_fails(tab: Page, serve: Serving) -> None:
    """A failing app answers 503 with its checks; the page shows them, and does not report a lost connection."""
    world = scenes.world()
    world.health = {"status": "fail", "checks": {"storage": [{"status": "fail", "output": "no answer in 5 s"}]}}
    serve(world, "#/health")
    expect(tab.locator("tbody tr")).to_contain_text("no answer in 5 s")
    expect(tab.locator("tbody .badge")).to_have_text("fail")
    expect(tab.locator("#trouble")).to_be_hidden()


def test_orphans_lead_to_their_deployment(tab: Page, serve: Serving) -> None:
    """Each orphan has its name and its deployment; an empty list is a sentence, not an empty table."""
    tab.clock.install()
    world = serve(scenes.world(), "#/orphans").world
    expect(tab.get_by_role("link", name="build-1")).to_have_attribute("href", "#/deployments/build-1")
    world.orphans.clear()
    tab.reload()
    expect(tab.get_by_text("No orphans.")).to_be_visible()
    request = requests_of(tab)
    pass_time(tab, 30)
    assert not any("orphans" in url for url in request), "each look costs calls to Fabric"
    with tab.expect_response("**/api/orphans"):
        tab.get_by_role("button", name="Search again").click()


def test_page_works_at_an_address_that_ends_with_a_slash(tab: Page, serve: Serving) -> None:
    """`/api/dashboard/` is the same page."""
    api = serve(World())
    tab.goto(f"{api.url}/")
    expect(tab.get_by_text("Nothing has been deployed yet.")).to_be_visible()


def test_page_loads_four_files(tab: Page, serve: Serving) -> None:
    """The page, its style, its icon and one script: each request of a browser may start an instance of the app."""
    api = serve(World())
    requested = requests_of(tab)
    tab.goto(api.url)
    expect(tab.get_by_text("Nothing has been deployed yet.")).to_be_visible()
    files = {url.rpartition("/")[2] for url in requested if "/api/dashboard" in url}
    assert files <= {"dashboard", "style.css", "app.js", "icon.svg"}


def test_browser_signs_in_where_callers_sign_in(tab: Page, serve: Serving) -> None:
    """No key is asked for. Signing in leads back to the same view; when the session ends, no data stay on the page."""
    world = scenes.world()
    world.sign_in = "/.auth/login/aad"
    serve(world, "#/breakers", key=None)
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    assert tab.get_by_label("Key", exact=True).count() == 0
    tab.get_by_role("link", name="Sign in").click()
    expect(tab.get_by_role("heading", name="Circuit breakers")).to_be_visible()
    expect(tab.get_by_role("link", name="Sign out anna")).to_have_attribute("title", "Roles: Reader")
    expect(tab.get_by_role("button", name="Forget key")).to_be_hidden()
    assert tab.get_by_role("button", name="Reset").count() == 0, "only an operator may reset a breaker"
    world.roles = ("Operator",)
    tab.reload()
    expect(tab.get_by_role("button", name="Reset").first).to_be_visible()
    world.has_session = False
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    assert tab.get_by_role("heading", name="Circuit breakers").count() == 0
