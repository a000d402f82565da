"""Lets fabric-cicd publish a repository or unpublish what it lacks. Runs in the peers' environment.

`publish.py publish|unpublish WORKSPACE FOLDER [TYPE ...]`: the last line is JSON, with an error or null.
"""

import json
import os
import sys
import time
import traceback
from typing import Any

os.environ.setdefault("FABRIC_CICD_RETRY_DELAY_OVERRIDE_SECONDS", "0.2")
os.environ.setdefault("FABRIC_CICD_VERSION_CHECK_DISABLED", "1")

import fabric_cicd
from azure.core.credentials import AccessToken
from loopback import lead_to, ports, token

FLAGS = (
    "enable_lakehouse_unpublish", "enable_warehouse_unpublish", "enable_sqldatabase_unpublish",
    "enable_eventhouse_unpublish", "enable_kqldatabase_unpublish", "enable_cosmosdbdatabase_unpublish",
    "enable_graphmodel_unpublish", "enable_shortcut_publish",
)  # fmt: skip


_WAITS = "FABRIC_CICD_RETRY_DELAY_OVERRIDE_SECONDS"


class Credential:
    """Returns a token, as azure-identity's credentials do."""

    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        return AccessToken(token("https://api.fabric.microsoft.com"), int(time.time()) + 3600)


def main() -> None:
    action, workspace_id, folder, *types = sys.argv[1:]
    if not os.environ[_WAITS]:  # fabric-cicd fails on an empty value; without one it waits as it does for its users
        del os.environ[_WAITS]
    lead_to(*ports())
    for flag in FLAGS:
        fabric_cicd.append_feature_flag(flag)
    more = {"item_type_in_scope": types} if types else {}
    error = None
    try:
        workspace = fabric_cicd.FabricWorkspace(
            workspace_id=workspace_id,
            repository_directory=folder,
            environment="TEST",
            token_credential=Credential(),
            **more,
        )
        if action == "publish":
            fabric_cicd.publish_all_items(workspace)
        else:
            fabric_cicd.unpublish_all_orphan_items(workspace)
    except Exception as problem:
        traceback.print_exc()
        error = f"{type(problem).__name__}: {problem}"
    print(json.dumps({"error": error}))
    sys.exit(1 if error else 0)


if __name__ == "__main__":
    main()
