"""The command `redeploy`: send the manifest of an ended deployment again, as a new deployment."""

import argparse
import json

from shared import settings
from shared.bootstrap import command_line
from shared.cli.common import Add, known_id
from shared.cli.render.output import Output
from shared.cli.submit import add_sending, deliver, new_id
from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import InvalidInputError, NotFoundError, Problem
from shared.domain.manifest import compile_manifest
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState, Origin
from shared.steps import KINDS


def add_commands(add: Add) -> None:
    redeploy = add("redeploy", _redeploy, "send the manifest of an ended deployment again, as a new deployment")
    redeploy.add_argument("earlier", metavar="ID", help="the ended deployment; the storage account must be given")
    redeploy.add_argument("--id", help="the new deployment's id (default: a generated one)")
    redeploy.set_defaults(url="")
    add_sending(redeploy)


def _redeploy(options: argparse.Namespace, output: Output) -> int:
    """Send the manifest with the values, files and items that it had. Fabric may have changed since: `plan` shows what
    the same manifest would change now."""
    if options.id is not None and not is_deployment_id(options.id):
        raise InvalidInputError([Problem("--id", ID_RULE)])
    storage = command_line.storage(settings.load())
    header = storage.journal.header(known_id(options.earlier)).record
    _check(header, options.id)
    try:
        manifest = json.loads(storage.blobs.get(header.manifest_hash).decode("utf-8", "surrogatepass"))
    except NotFoundError:
        what = f"the manifest of {header.deployment_id} is no longer stored: submit it from its file"
        raise NotFoundError(what) from None
    compile_manifest(manifest, KINDS)
    options.id = options.id or new_id(manifest)
    output.event(
        "submitting",
        f"deployment {options.id}, with the manifest of {header.deployment_id}",
        deployment_id=options.id,
        redeployed=header.deployment_id,
    )
    return deliver(options, output, storage, {"manifest": manifest})


def _check(header: DeploymentRecord, wanted: str | None) -> None:
    """Raise InvalidInputError if the deployment has no manifest that may be sent again, or keeps its id."""
    name = header.deployment_id
    if header.origin is not Origin.MANIFEST:
        problem = Problem("ID", f"{name} was started by a script, which has no manifest: run the script again")
    elif header.state is DeploymentState.REJECTED:
        problem = Problem("ID", f"{name} was rejected: correct its manifest and submit it")
    elif header.state not in DEPLOYMENT_ENDED:
        problem = Problem("ID", f"{name} is {header.state.value}: only an ended deployment can be sent again")
    elif wanted == name:
        problem = Problem("--id", f"{name} is taken by the deployment that is sent again: give another id, or none")
    else:
        return
    raise InvalidInputError([problem])
