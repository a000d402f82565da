"""The page on the real app: a deployment submitted, watched to its end, cancelled, and with a script in a
workspace's name."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Running, finish, make_stack
from tests.page.scenes import SCRIPT

pytestmark = pytest.mark.e2e
WORKSPACE = "${{ steps.workspace.outputs.id }}"


@pytest.fixture(scope="module")
def app() -> Iterator[Running]:
    """Start the whole app with a Fabric of realistic durations, four times as fast as the real one."""
    stack = make_stack(profile="realistic", time_scale="4")
    try:
        yield Running(stack.up())
    finally:
        finish(stack)


def submit(app: Running, name: str, workspace: str, *more: dict[str, Any]) -> None:
    """Submit a workspace, a lakehouse, and more steps."""
    steps: list[dict[str, Any]] = [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": workspace}},
        {"id": "bronze", "kind": "lakehouse", "with": {"workspaceId": WORKSPACE, "displayName": "bronze"}},
        *more,
    ]
    manifest = json.dumps({"name": name, "target": workspace, "steps": steps}).encode()
    status, body = app.http(f"/api/deployments?id={name}", app.stack.function_key, "POST", manifest)
    assert status == 202, body


def enter(app: Running, tab: Page, hash: str = "") -> None:
    """Open the page as a person does: the address, then the key."""
    tab.goto(f"{app.stack.functions_url}/api/dashboard{hash}")
    tab.get_by_label("Key", exact=True).fill(app.stack.function_key)
    tab.keyboard.press("Enter")


def test_live_deployment_is_watched_to_its_end(app: Running, tab: Page) -> None:
    """A row appears by itself, its timeline grows, and the end is shown without a reload."""
    enter(app, tab)
    expect(tab.get_by_text("Nothing has been deployed yet.")).to_be_visible()
    submit(app, "watched", "watched")
    tab.locator(".item").filter(has_text="watched").click()
    expect(tab.locator(".head .badge")).to_have_text("running")
    expect(tab.locator(".head .badge")).to_have_text("succeeded")
    expect(tab.locator("#said")).to_have_text("The deployment is succeeded.")
    for lane in (0, 1):
        expect(tab.locator(f"[data-key='lane-{lane}'] .badge")).to_have_text("succeeded")
        expect(tab.locator(f"[data-key='lane-{lane}'] .span.work").first).to_be_visible()
    tab.get_by_role("tab", name="Audit").click()
    expect(tab.get_by_role("tabpanel")).to_contain_text("absent: create it")
    expect(tab.get_by_role("button", name="Retire")).to_be_visible()


def test_live_deployment_is_cancelled_from_the_page(app: Running, tab: Page) -> None:
    """Cancel with a name and a reason rolls everything back, and the audit has both."""
    gate = {"id": "go-live", "kind": "approval", "needs": ["bronze"], "with": {"message": "Go live?"}}
    submit(app, "stopped", "stopped", gate)
    enter(app, tab, "#/deployments/stopped")
    expect(tab.locator(".waiting")).to_contain_text("go-live")
    tab.get_by_role("button", name="Cancel").click()
    tab.get_by_label("Your name").fill("operator on duty")
    tab.get_by_label("Reason").fill("wrong branch")
    tab.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(tab.get_by_role("dialog")).to_have_count(0)
    expect(tab.locator(".head .badge")).to_have_text("cancelled")
    expect(tab.locator("[data-key='lane-1'] .span.undo").first).to_be_visible()
    tab.get_by_role("tab", name="Audit").click()
    expect(tab.get_by_role("tabpanel")).to_contain_text("wrong branch")
    assert "stopped" not in app.names()


def test_live_step_is_approved_from_the_page(app: Running, tab: Page) -> None:
    """A deployment that waits for a person continues when the person approves it here."""
    gate = {"id": "go-live", "kind": "approval", "with": {"message": "Go live?"}}
    submit(app, "approved", "approved", gate)
    enter(app, tab, "#/deployments/approved")
    tab.get_by_role("button", name="Approve").click()
    tab.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(tab.locator(".head .badge")).to_have_text("succeeded")


def test_live_script_in_a_workspace_name_is_text(app: Running, tab: Page) -> None:
    """The name goes through manifest, journal, Fabric and API, and is only text on the page."""
    submit(app, "script", SCRIPT.replace("data", "d"))
    enter(app, tab, "#/deployments/script")
    expect(tab.locator(".head .badge")).to_have_text("succeeded")
    expect(tab.locator(".facts").first).to_contain_text("<script>")
    tab.locator("button.lane-name").first.click()
    expect(tab.locator(".detail")).to_contain_text("<img src=x onerror=")
    assert tab.evaluate("document.body.dataset.owned ?? null") is None
    assert tab.locator("main img, main script").count() == 0
