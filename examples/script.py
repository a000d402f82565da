"""A workspace with two lakehouses and a reader, made by a script: all of it, or nothing.

    python examples/script.py contoso-scripted            # commits
    python examples/script.py contoso-scripted --fail     # raises at the end: everything is put back

Kill it at any instant: the app's sweeper puts back what it made. Needs the settings of the app (docs/scripting.md).
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, unless it is installed

from shared.resilience import fabric_retry
from shared.transaction import DeploymentTransaction, ResourceType

READER = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"


def create(transaction: DeploymentTransaction, path: str, body: dict) -> str:
    """POST it, wait for Fabric where it answers with an operation, and return the id."""
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
    """The names of the lakehouses in the workspace; a read, so it may be repeated."""
    return sorted(row["displayName"] for row in transaction.fabric.list(f"/workspaces/{workspace}/lakehouses"))


def main() -> None:
    """The script."""
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
            # The journal knows of it before it is made, so a kill between the two lines is put back too.
            with transaction.creating(ResourceType.LAKEHOUSE, name=name, workspace_id=workspace) as pending:
                body = {"displayName": name, "description": pending.description()}
                pending.created(create(transaction, f"/workspaces/{workspace}/lakehouses", body))
        role = {"principal": {"id": READER, "type": "User"}, "role": "Viewer"}
        transaction.fabric.send("POST", f"/workspaces/{workspace}/roleAssignments", role)
        # The simple form: right after the call. A kill between the two lines would leave the role.
        transaction.track_resource(ResourceType.ROLE_ASSIGNMENT, READER, workspace_id=workspace, role="Viewer")
        print(f"made {', '.join(shown(transaction, workspace))}: {transaction.get_stats()}")
        if options.fail:
            raise SystemExit("something is not as it should be: everything is put back")


if __name__ == "__main__":
    main()
