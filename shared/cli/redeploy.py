"""The command `redeploy`: send the manifest of an ended deployment again, as a new deployment."""

import argparse

from shared.bootstrap.command_line import Remote
from shared.cli.common import Add, add_label, add_url, connect, known_id, labels
from shared.cli.render.output import Output
from shared.cli.submit import add_sending, deliver, new_id, sent
from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import InvalidInputError, NotFoundError, Problem
from shared.domain.labels import relabelled
from shared.domain.manifest import compile_manifest
from shared.saga.submission.redeploy import obstacle, stored_manifest
from shared.steps import KINDS


def add_commands(add: Add) -> None:
    redeploy = add("redeploy", _redeploy, "send the manifest of an ended deployment again, as a new deployment")
    redeploy.add_argument("earlier", metavar="ID", help="the ended deployment")
    redeploy.add_argument("--id", help="the new deployment's id (default: a generated one)")
    add_label(redeploy, "a label in place of all those of the earlier deployment; repeat it for several")
    add_url(redeploy)
    add_sending(redeploy)


def _redeploy(options: argparse.Namespace, output: Output) -> int:
    """Send the manifest with the values, files and items that it had. Fabric may have changed since: `plan` shows what
    the same manifest would change now."""
    if options.id is not None and not is_deployment_id(options.id):
        raise InvalidInputError([Problem("--id", ID_RULE)])
    wanted = labels(options) or None
    access = connect(options)
    header = access.journal.header(known_id(options.earlier)).record
    if why := obstacle(header):
        raise InvalidInputError([Problem("ID", why)])
    earlier = header.deployment_id
    if options.id == earlier:
        taken = f"{earlier} is the id of the deployment that is sent again: give another id, or leave --id out"
        raise InvalidInputError([Problem("--id", taken)])
    options.id = options.id or new_id({"name": header.name})

    def report() -> None:
        text = f"deployment {options.id}, with the manifest of {earlier}"
        output.event("submitting", text, deployment_id=options.id, redeployed=earlier)

    if isinstance(access, Remote):  # the app has the manifest
        report()
        answer = access.desk.redeploy(earlier, options.id, options.requested_by, wanted)
        options.is_sent = True
        return sent(options, output, access, str(answer.get("manifest_hash") or header.manifest_hash))
    try:
        manifest = relabelled(stored_manifest(header, access.blobs), wanted)
    except NotFoundError as error:
        raise InvalidInputError([Problem("ID", str(error))]) from None
    compile_manifest(manifest, KINDS)
    report()
    return deliver(options, output, access, {"manifest": manifest})
