"""Create a workspace with two lakehouses and a reader from a script: everything, or nothing.

    python examples/script.py contoso-scripted            # commits
    python examples/script.py contoso-scripted --fail     # raises at the end and is rolled back

If you kill the script at any instant, the app's sweeper rolls it back. Needs the settings of the app (docs/scripting.md).
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, unless it is installed

from shared.scripting.resilience import fabric_retry
from shared.scripting import DeploymentTransaction, ResourceType

READER = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"


def create(transaction: DeploymentTransaction, path: str, body: dict) -> str:
    """POST the body, wait if Fabric answers with an operation, and return the id of the new resource."""
    reply = transaction.fabric.send("POST", path, body)
    if reply.operation is None:
        return reply.body["id"]
    while (status := transaction.fabric.poll(reply.operation.id, reply.operation.location)).state == "running":
        time.sleep(1)
    if status.state == "failed":
        raise RuntimeError(f"{path}: {status.error_code}: {status.message}")
    return transaction.fabric.result(reply.operation.id, reply.operation.location)["id"]


@fabric_retry(max_attempts=5)
def shown(transaction: DeploymentTransaction, workspace: str) -> list[str]:
    """Return the names of the lakehouses in the workspace. A read, so it may be retried."""
    return sorted(row["displayName"] for row in transaction.fabric.list(f"/workspaces/{workspace}/lakehouses"))


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace")
    parser.add_argument("--fail", action="store_true")
    options = parser.parse_args()
    with DeploymentTransaction("example", target=options.workspace) as transaction:
        with transaction.creating(ResourceType.WORKSPACE, name=options.workspace) as pending:
            description = pending.description("Made by a script")
            body = {"displayName": options.workspace, "description": description}
            pending.created(workspace := create(transaction, "/workspaces", body))
        for name in ("bronze", "silver"):
            # The journal has the row before the lakehouse exists, so a kill between the two lines is rolled back too.
            with transaction.creating(ResourceType.LAKEHOUSE, name=name, workspace_id=workspace) as pending:
                body = {"displayName": name, "description": pending.description()}
                pending.created(create(transaction, f"/workspaces/{workspace}/lakehouses", body))
        role = {"principal": {"id": READER, "type": "User"}, "role": "Viewer"}
        transaction.fabric.send("POST", f"/workspaces/{workspace}/roleAssignments", role)
        # The simple form, right after the call. A kill between the two lines would leave the role.
        transaction.track_resource(ResourceType.ROLE_ASSIGNMENT, READER, workspace_id=workspace, role="Viewer")
        print(f"made {', '.join(shown(transaction, workspace))}: {transaction.get_stats()}")
        if options.fail:
            raise SystemExit("something failed: everything is rolled back")


if __name__ == "__main__":
    main()
