"""`make screenshots`: the page on the real app, with Fabric's recorded durations, as pictures in docs/images.

The deployments are real ones: some that succeed, one that is put back, one that is held, one that is still running when
its picture is taken. Nothing is made up but the manifests.
"""

import contextlib
import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page

from local import azurite, browser
from local.stack import HOME, ROOT, Stack, StackError
from shared.cli import pack
from shared.domain.text import parse

IMAGES = ROOT / "docs" / "images"
_KEY = "sessionStorage.setItem('fabric-saga-key', {})"
_SECONDS = 120.0
_WORKSPACE = "${{ steps.workspace.outputs.id }}"


def main() -> int:
    """Start, deploy, take the pictures, stop."""
    stack = Stack(name="screenshots", profile="realistic")
    try:
        found = browser.ensure_installed()
        azurite.ensure_installed(HOME)
        stack.down()
        shutil.rmtree(stack.folder, ignore_errors=True)  # what an earlier run holds would hold its target
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
    """All pictures, in the order in which the deployments come to look as they should."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    run = str(int(time.time()))[-6:]
    ids = {
        name: f"build-{run}-{i}"
        for i, name in enumerate(("dev", "failing", "finance", "held", "marketing", "running"), 1)
    }
    submit(stack, ids["dev"], example("medallion.yaml"), "release-pipeline")
    submit(stack, ids["failing"], example("failing.yaml"), "release-pipeline")
    submit(stack, ids["finance"], small("finance", "contoso-finance-prod"), "nightly")
    submit(
        stack, ids["held"], small("people", "contoso-people-test", "CrystalBall", "hold"), "data-team@contoso.example"
    )
    submit(stack, ids["marketing"], small("marketing", "contoso-marketing-dev"), "nightly")
    with contextlib.suppress(StackError):  # refused, and recorded as rejected
        submit(stack, f"build-{run}-0", {**small("sales", "contoso-sales-dev"), "concurency": "queue"}, "nightly")
    ask(stack, f"deployments/{ids['marketing']}/cancel", b'{"requested_by": "data-team@contoso.example"}')
    for name, state in (
        ("dev", "succeeded"),
        ("failing", "compensated"),
        ("finance", "succeeded"),
        ("held", "held"),
        ("marketing", "cancelled"),
    ):
        wait(lambda name=name, state=state: ask(stack, f"deployments/{ids[name]}")["state"] == state)
    running: dict[str, Any] = {**example("medallion.yaml"), "name": "sales", "target": "contoso-sales-prod"}
    steps: list[dict[str, Any]] = running["steps"]
    steps[0]["with"]["displayName"] = "contoso-sales-prod"
    submit(stack, ids["running"], running, "release-pipeline")
    wait(lambda: sum(s["state"] == "succeeded" for s in ask(stack, f"deployments/{ids['running']}")["steps"]) >= 6)
    for scheme in ("light", "dark"):
        take(stack, chromium, f"running-{scheme}", f"#/deployments/{ids['running']}", scheme)
        take(stack, chromium, f"deployments-{scheme}", "", scheme, 556)
    for scheme in ("light", "dark"):
        take(stack, chromium, f"compensated-{scheme}", f"#/deployments/{ids['failing']}", scheme)


def take(stack: Stack, chromium: Browser, name: str, hash: str, scheme: Any, height: int = 760) -> None:
    """One picture."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    page: Page = context.new_page()
    page.add_init_script(_KEY.format(json.dumps(stack.function_key)))
    page.goto(f"{stack.functions_url}/api/dashboard{hash}")
    page.locator(".item, .lane").first.wait_for()
    file = IMAGES / f"{name}.png"
    page.screenshot(path=file)
    context.close()
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")


def example(name: str) -> dict[str, Any]:
    """A manifest of the examples, with its files packed in."""
    file = ROOT / "examples" / name
    return pack.packed(parse(file.read_text()), file.parent)


def small(name: str, target: str, item: str = "Notebook", on_failure: str = "rollback") -> dict[str, Any]:
    """A workspace, a lakehouse and an item without a definition."""
    steps: list[dict[str, Any]] = [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": target}},
        {"id": "ledger", "kind": "lakehouse", "with": {"workspaceId": _WORKSPACE, "displayName": "ledger"}},
        {"id": "report", "kind": "item", "needs": ["ledger"]}
        | {"with": {"workspaceId": _WORKSPACE, "type": item, "displayName": "report"}},
    ]
    return {"name": name, "target": target, "onFailure": on_failure, "steps": steps}


def submit(stack: Stack, deployment_id: str, manifest: dict[str, Any], requested_by: str) -> None:
    """Over HTTP, as any client would."""
    body = json.dumps({**manifest, "requestedBy": requested_by}).encode()
    ask(stack, f"deployments?id={deployment_id}", body)


def ask(stack: Stack, path: str, body: bytes | None = None) -> Any:
    """A JSON answer of the app's."""
    request = urllib.request.Request(f"{stack.functions_url}/api/{path}", data=body)  # noqa: S310 - our own address
    request.add_header("x-functions-key", stack.function_key)
    request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise StackError(f"{path} was answered {error.code}: {error.read().decode()[:500]}") from None


def wait(condition: Callable[[], bool]) -> None:
    """Until it holds. Raises StackError."""
    until = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > until:
            raise StackError("a deployment did not come to the state that its picture needs")
        time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
