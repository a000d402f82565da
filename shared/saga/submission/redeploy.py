"""Read the manifest of an ended deployment, to send it again as a new one: with the values, files and items it had."""

import json
from typing import Any

from shared.domain.errors import NotFoundError
from shared.domain.ports import Blobs
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, Origin


def obstacle(header: DeploymentRecord) -> str:
    """Return why the deployment has no manifest that may be sent again, and what to do; '' if it has one."""
    name = header.deployment_id
    if header.origin is not Origin.MANIFEST:
        return f"{name} was started by a script, which has no manifest: run the script again"
    if header.state is DeploymentState.REJECTED:
        return f"{name} was rejected: correct its manifest and submit it"
    if header.state not in DEPLOYMENT_ENDED:
        return f"{name} is {header.state.value}: only an ended deployment can be sent again"
    return ""


def stored_manifest(header: DeploymentRecord, blobs: Blobs) -> Any:
    """Return the manifest as it was accepted. Raises NotFoundError if it has none, or if it is no longer stored."""
    if header.origin is not Origin.MANIFEST:
        raise NotFoundError(obstacle(header))
    try:
        content = blobs.get(header.manifest_hash)
    except NotFoundError:
        what = f"the manifest of {header.deployment_id} is no longer stored: submit it from its file"
        raise NotFoundError(what) from None
    return json.loads(content.decode("utf-8", "surrogatepass"))
