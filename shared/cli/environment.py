"""`retire --label`: roll back an environment, which is everything that deployments with the same labels deployed.

They are rolled back newest first, because a deployment cannot be rolled back while a later one uses its resources. Each
is rolled back as a whole or stays `stuck`, and then the older ones stay too (ADR 32).
"""

import argparse

from shared.bootstrap import command_line
from shared.cli import verbs
from shared.cli.common import Add, add_label, connect, follow_command, known_id, labels
from shared.cli.follow import SUCCEEDED, FollowOptions, follow
from shared.cli.render.output import Output
from shared.domain.errors import InvalidInputError, Problem
from shared.domain.states import DeploymentState as D
from shared.saga.command.verbs import VERBS, Verb, possible_verbs

MAX_DEPLOYMENTS = 1_000
"""Deployments of one environment. If there are more, the command says so and rolls back the newest ones."""
_STANDING = tuple(state for state in D if state not in (D.COMPENSATED, D.CANCELLED, D.REJECTED))
"""The states in which resources of a deployment may exist."""
_VERBS = (Verb.RETIRE, Verb.CANCEL, Verb.COMPENSATE)
"""The verbs that roll back a deployment that succeeded, is under way, or failed."""


def add_commands(add: Add) -> None:
    spec = VERBS[Verb.RETIRE]
    text = f"{spec.summary[0].lower()}{spec.summary[1:]}, or all deployments with a label"
    parser = verbs.asking(add, Verb.RETIRE.value, _retire, text, is_id_optional=True)
    add_label(parser, "instead of the id: all deployments with this label, newest first; repeat it for several")


def _retire(options: argparse.Namespace, output: Output) -> int:
    """Retire one deployment, or all with the given labels."""
    if bool(options.id) == bool(options.label):
        raise InvalidInputError([Problem("ID", "give the id of one deployment, or --label NAME=VALUE for all with it")])
    if options.id:
        return verbs.ask(Verb.RETIRE, options, output)
    storage, wanted = connect(options), labels(options)
    found = storage.journal.page(MAX_DEPLOYMENTS, states=_STANDING, labels=wanted)
    shown = ", ".join(f"{name}={value}" for name, value in wanted.items())
    output.event("retiring", f"{len(found)} deployments with {shown} have resources", count=len(found), labels=wanted)
    if len(found) == MAX_DEPLOYMENTS:
        output.event("warning", f"warning: only the newest {MAX_DEPLOYMENTS} are rolled back; repeat the command")
    for header in found:
        code = _roll_back(header.deployment_id, options, output, storage)
        if code != SUCCEEDED:
            return code
    return SUCCEEDED


def _roll_back(deployment_id: str, options: argparse.Namespace, output: Output, storage: command_line.Access) -> int:
    """Roll back one deployment by the verb that its state allows. With `--wait`, return SUCCEEDED only if nothing of it
    is left."""
    options.id = known_id(deployment_id)
    header = storage.journal.header(options.id).record
    verb = next((each for each in _VERBS if each in possible_verbs(header)), None)
    if verb is not None:
        code = verbs.send(verb, options, output, storage, header)
    elif options.wait and header.state in _STANDING:  # it is being rolled back already
        goal = VERBS[Verb.COMPENSATE].goal
        waiting = FollowOptions(options.timeout, follow_command(options), is_sent=True, goal=goal)
        code = follow(storage.journal, options.id, output, waiting)
    else:
        code = SUCCEEDED
    if not options.wait or code == SUCCEEDED:
        return code
    # Its final state may differ from the verb's goal, and still leave no resources.
    is_gone = storage.journal.header(options.id).record.state not in _STANDING
    return SUCCEEDED if is_gone else code
