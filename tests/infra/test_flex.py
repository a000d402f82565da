"""The defaults of Flex Consumption that Bicep must replace (docs/host.md, infra/README.md)."""

from local.stack.stack import HTTP_CONCURRENCY
from tests.infra.bicep import at, infra, properties, sources, text_of

APP = sources(infra())["modules/app.bicep"]
SCALE = "properties.functionAppConfig.scaleAndConcurrency"


def test_flex_instance_serves_several_requests_at_once() -> None:
    """The default for Python is one: each parallel request of the page could start an instance. The flex topology of
    the local stack has the same limit."""
    found = at(APP.of("resource")["app"].body, f"{SCALE}.triggers.http.perInstanceConcurrency")
    assert text_of(found) == HTTP_CONCURRENCY
    assert int(HTTP_CONCURRENCY) > 1


def test_flex_address_shows_no_welcome_page() -> None:
    """Without the setting, `/` answers anyone with Azure's page."""
    assert text_of(properties(APP.of("var")["appSettings"].value)["AzureWebJobsDisableHomepage"]) == "true"
