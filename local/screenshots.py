"""`make screenshots`: take pictures of the page on the real app, with Fabric's recorded durations, into docs/images.

The deployments are real: some succeed, one is rolled back, one is held, and one is still running when its picture is
taken. Only the manifests are invented.
"""

import contextlib
import json
import shutil
import sys
import time
import urllib.error
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page

from local import azurite, browser
from local.client import fetch
from local.paths import HOME, ROOT
from local.stack import Stack, StackError
from shared.cli import pack
from shared.domain.text import parse

IMAGES = ROOT / "docs" / "images"
_SECONDS = 120.0
_WORKSPACE = "${{ steps.workspace.outputs.id }}"


def main() -> int:
    stack = Stack(name="screenshots", profile="realistic")
    try:
        found = browser.ensure_installed()
        azurite.ensure_installed(HOME)
        stack.down()
        shutil.rmtree(stack.folder, ignore_errors=True)  # a held deployment of an earlier run would lock the target
        stack.up()
        with browser.launched(found) as chromium:
            take_all(stack, chromium)
    except (StackError, azurite.AzuriteError, browser.BrowserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        stack.down()
    return 0


def take_all(stack: Stack, chromium: Browser) -> None:
    """Start the deployments, and take each picture when its deployment has the state that the picture shows."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    run = f"build-{str(int(time.time()))[-6:]}"
    _submit_ended(stack, run)
    _submit_running(stack, f"{run}-6")
    for scheme in ("light", "dark"):
        take(stack, chromium, f"running-{scheme}", f"#/deployments/{run}-6", scheme)
        take(stack, chromium, f"deployments-{scheme}", "", scheme, 556)
    for scheme in ("light", "dark"):
        take(stack, chromium, f"compensated-{scheme}", f"#/deployments/{run}-2", scheme)


def _submit_ended(stack: Stack, run: str) -> None:
    """Submit the deployments of the list, and wait until each has its final or held state."""
    held = small("people", "contoso-people-test", "CrystalBall", "hold")
    submit(stack, f"{run}-1", example("medallion.yaml"), "release-pipeline")
    submit(stack, f"{run}-2", example("failing.yaml"), "release-pipeline")
    submit(stack, f"{run}-3", small("finance", "contoso-finance-prod"), "nightly")
    submit(stack, f"{run}-4", held, "data-team@contoso.example")
    submit(stack, f"{run}-5", small("marketing", "contoso-marketing-dev"), "nightly")
    with contextlib.suppress(StackError):  # refused, and recorded as rejected
        submit(stack, f"{run}-0", {**small("sales", "contoso-sales-dev"), "concurency": "queue"}, "nightly")
    call_api(stack, f"deployments/{run}-5/cancel", b'{"requested_by": "data-team@contoso.example"}')
    for i, state in enumerate(("succeeded", "compensated", "succeeded", "held", "cancelled"), 1):
        wait(lambda i=i, state=state: call_api(stack, f"deployments/{run}-{i}")["state"] == state)


def _submit_running(stack: Stack, deployment_id: str) -> None:
    """Submit a deployment, and wait until six of its steps have succeeded."""
    manifest: dict[str, Any] = {**example("medallion.yaml"), "name": "sales", "target": "contoso-sales-prod"}
    manifest["steps"][0]["with"]["displayName"] = "contoso-sales-prod"
    submit(stack, deployment_id, manifest, "release-pipeline")
    path = f"deployments/{deployment_id}"
    wait(lambda: sum(step["state"] == "succeeded" for step in call_api(stack, path)["steps"]) >= 6)


def take(stack: Stack, chromium: Browser, name: str, fragment: str, scheme: Any, height: int = 760) -> None:
    context = chromium.new_context(
        viewport={"width": 1280, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    page: Page = context.new_page()
    browser.open_dashboard(page, stack.functions_url, stack.function_key, fragment)
    page.locator(".item, .lane").first.wait_for()
    file = IMAGES / f"{name}.png"
    page.screenshot(path=file)
    context.close()
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")


def example(name: str) -> dict[str, Any]:
    """Return a manifest from the examples, with the files that it names packed into it."""
    file = ROOT / "examples" / name
    return pack.packed(parse(file.read_text()), file.parent)


def small(name: str, target: str, item: str = "Notebook", on_failure: str = "rollback") -> dict[str, Any]:
    """Return a manifest with a workspace, a lakehouse and an item without a definition."""
    steps: list[dict[str, Any]] = [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": target}},
        {"id": "ledger", "kind": "lakehouse", "with": {"workspaceId": _WORKSPACE, "displayName": "ledger"}},
        {"id": "report", "kind": "item", "needs": ["ledger"]}
        | {"with": {"workspaceId": _WORKSPACE, "type": item, "displayName": "report"}},
    ]
    return {"name": name, "target": target, "onFailure": on_failure, "steps": steps}


def submit(stack: Stack, deployment_id: str, manifest: dict[str, Any], requested_by: str) -> None:
    """Submit a manifest over HTTP."""
    body = json.dumps({**manifest, "requestedBy": requested_by}).encode()
    call_api(stack, f"deployments?id={deployment_id}", body)


def call_api(stack: Stack, path: str, body: bytes | None = None) -> Any:
    """Call the app's API and return the JSON body. Raises StackError for an error response."""
    headers = {"x-functions-key": stack.function_key, "content-type": "application/json"}
    try:
        return fetch(f"{stack.functions_url}/api/{path}", body, headers)
    except urllib.error.HTTPError as error:
        raise StackError(f"{path} was answered {error.code}: {error.read().decode()[:500]}") from None


def wait(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true. Raises StackError after two minutes."""
    until = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > until:
            raise StackError("a deployment did not reach the state that its picture shows")
        time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
