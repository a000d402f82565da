"""A real Chromium for the tests of the page, one for each module."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from local import browser as browsers
from tests.conftest import require
from tests.page.fake_api import KEY, FakeApi, World
from tests.waiting import PATIENCE_SECONDS

SIZE = {"width": 1360, "height": 820}
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start a browser for a module, not for the session: while Playwright runs, its thread counts as inside an event
    loop, and other tests of the same worker could not start one."""
    found = browsers.find()
    require(found is not None, "no Chromium is here; `python -m local.browser install` fetches one")
    assert found is not None
    with browsers.launched(found) as launched:
        yield launched


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Open a fresh profile."""
    made = chromium.new_context(viewport=SIZE, reduced_motion="reduce", locale="en-GB", timezone_id="UTC")  # type: ignore[arg-type]
    made.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[Page]:
    """Open a tab in which no error goes unnoticed: an error of the page or a breach of its policy fails the test."""
    made, wrong = context.new_page(), list[str]()
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
    yield made
    assert wrong == []


def _is_wrong(message: ConsoleMessage) -> bool:
    return message.type in ("error", "warning") and "Failed to load resource" not in message.text


class Serving:
    """Starts fakes of the API, and opens the page on them."""

    def __init__(self, tab: Page) -> None:
        self.tab = tab
        self.running: list[FakeApi] = []

    def __call__(self, world: World, hash: str = "", *, key: str | None = KEY) -> FakeApi:
        """Open the page with the key stored, as in a tab where it was entered before."""
        api = FakeApi(world)
        self.running.append(api)
        if key is not None:
            self.tab.add_init_script(f"sessionStorage.setItem('fabric-saga-key', '{key}')")
        self.tab.goto(f"{api.url}{hash}")
        return api


@pytest.fixture
def serve(tab: Page) -> Iterator[Serving]:
    """Return a function that opens the page on a fake of the API."""
    made = Serving(tab)
    yield made
    for api in made.running:
        api.close()


def requests_of(tab: Page) -> list[str]:
    """Return a list to which every later request of the page is added."""
    requested = list[str]()
    tab.on("request", lambda request: requested.append(request.url))
    return requested


def pass_time(tab: Page, seconds: float) -> None:
    """Let the page's own clock advance by these seconds at once. The clock must be installed (`tab.clock`)."""
    tab.clock.run_for(int(seconds * 1000))
    tab.evaluate("0")  # Requests of that time are recorded before this returns.
