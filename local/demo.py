"""`make demo`: the main job on this machine, for real. Exits 0 only if both deployments ended as they should."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from typing import Any

from local import azurite
from local.stack import HOME, ROOT, Stack, StackError, from_environment

EXAMPLES = ROOT / "examples"


def main() -> int:
    """Start, deploy, fail and put back, show the proof, stop."""
    began = time.monotonic()
    stack = from_environment(os.environ.get("STACK") or f"demo-{secrets.token_hex(3)}")
    say(f"starting Azurite, a simulated Fabric ({stack.profile}) and the functions host; first time: from npm")
    try:
        with contextlib.closing(Closing(stack)):
            azurite.ensure_installed(HOME)
            stack.up()
            verdicts = [
                deploy(stack, "medallion.yaml", 0, "one workspace, three lakehouses side by side, three principals"),
                deploy(stack, "failing.yaml", 1, "the same, but its last step cannot work: everything is put back"),
                proof(stack),
            ]
    except (StackError, azurite.AzuriteError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    took = f"{time.monotonic() - began:.0f} s"
    passed = all(verdicts)
    say(f"both deployments ended as they should, in {took}" if passed else f"NOT as it should be (after {took})")
    return 0 if passed else 1


class Closing:
    """Stops the stack however the demo ends."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def close(self) -> None:
        """Stop it."""
        self._stack.down()


def say(text: str) -> None:
    """A line of the demo's own."""
    print(f"\n== {text}", flush=True)


def deploy(stack: Stack, name: str, expected: int, what: str) -> bool:
    """Submit an example through the command line and follow it; whether the exit code is the expected one."""
    say(f"submit examples/{name}: {what}")
    command = [sys.executable, "-m", "shared.cli", "submit", str(EXAMPLES / name), "--wait", "--timeout", "2m"]
    environment = {**os.environ, "AzureWebJobsStorage": stack.connection_string}
    code = subprocess.run([*command, "--id", name.removesuffix(".yaml")], cwd=ROOT, env=environment, check=False)
    print(f"exit code {code.returncode}", flush=True)
    return code.returncode == expected


def proof(stack: Stack) -> bool:
    """What Fabric holds now and the audits of both, kept in files; whether it is exactly what the first one made."""
    folder = stack.folder / "proof"
    folder.mkdir(exist_ok=True)
    state: dict[str, Any] = fetch(f"{stack.fabric_url}/_sim/state")
    (folder / "fabric-state.json").write_text(json.dumps(state, indent=2))
    (folder / "fabric-calls.json").write_text(json.dumps(fetch(f"{stack.fabric_url}/_sim/calls"), indent=1))
    environment = {**os.environ, "AzureWebJobsStorage": stack.connection_string}
    for name in ("medallion", "failing"):
        command = [sys.executable, "-m", "shared.cli", "audit", name]
        text = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        (folder / f"{name}-audit.txt").write_text(text)
    say("the proof")
    for workspace in state["workspaces"]:
        items = ", ".join(sorted(f"{i['type']} {i['displayName']}" for i in workspace["items"]))
        print(f"Fabric holds workspace {workspace['displayName']}: {items}; {len(workspace['roleAssignments'])} roles")
    print(f"put back: {', '.join(d['displayName'] for d in state['deleted'])}, and the roles")
    print(f"what Fabric holds, and every call it got: {folder.relative_to(ROOT)}/fabric-state.json, fabric-calls.json")
    print(
        f"every move of the journal, who and why:   {folder.relative_to(ROOT)}/medallion-audit.txt, failing-audit.txt"
    )
    found = {w["displayName"]: sorted(i["displayName"] for i in w["items"]) for w in state["workspaces"]}
    return found == {"contoso-sales-dev": ["bronze", "gold", "silver"]}


def fetch(url: str) -> Any:
    """A JSON document of the simulator's."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own address
        return json.loads(answer.read())


if __name__ == "__main__":
    sys.exit(main())
