"""The verbs on the command line (shared/saga/command/verbs.py declares them).

A verb sends a command through the queue that submissions use too; the app decides, and records its decision in the
audit. If the deployment's state does not allow the verb, the command line prints what is possible and sends nothing.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial

from shared.bootstrap import command_line
from shared.cli.common import Add, Run, add_url, connect, follow_command, known_id, seconds
from shared.cli.follow import BAD_REQUEST, SUCCEEDED, FollowOptions, follow
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.approval import APPROVAL, waits_for_person
from shared.domain.records import DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.saga.command.verbs import VERBS, Verb, allowed_verbs, possible_verbs, reason_required


def add_commands(add: Add) -> None:
    """Add a command for each verb; `approve --refuse` is the verb refuse. `retire` is in environment.py."""
    for verb, spec in VERBS.items():
        if not spec.is_for_step and verb is not Verb.RETIRE:
            run: Run = partial(ask, verb)
            asking(add, verb.value, run, spec.summary[0].lower() + spec.summary[1:], needs_reason=spec.reason != "")
    approving = asking(add, "approve", _approve, "approve or refuse a step that waits for a person")
    approving.add_argument("step", help="the id of the step of kind approval")
    approving.add_argument("--refuse", action="store_true", help="refuse it: the deployment is rolled back or held")


def asking(
    add: Add, name: str, run: Run, text: str, *, needs_reason: bool = False, is_id_optional: bool = False
) -> argparse.ArgumentParser:
    """Add a command that asks something of a deployment, with the options that all of them have."""
    parser = add(name, run, text)
    parser.set_defaults(is_sent=False)
    parser.add_argument("id", nargs="?" if is_id_optional else None, help="the deployment's id")
    add_url(parser)
    parser.add_argument("--requested-by", metavar="NAME", default="", help="the requester, recorded in the audit")
    parser.add_argument("--reason", default="", required=needs_reason, help="the reason, recorded in the audit")
    parser.add_argument("--wait", action="store_true", help="follow the deployment to its end")
    parser.add_argument("--timeout", metavar="TIME", type=seconds, help="stop following after this time: exit code 9")
    return parser


def ask(verb: Verb, options: argparse.Namespace, output: Output) -> int:
    """Ask a verb of one deployment, if its state allows it. Return the exit code."""
    storage = connect(options)
    header = storage.journal.header(known_id(options.id)).record
    if verb not in possible_verbs(header):
        return _refuse(verb, header, [], output)
    if VERBS[verb].reason and not options.reason.strip():
        text = f"{reason_required(verb)} (--reason)"
        output.event("error", f"error: {text}", deployment_id=options.id, error="bad_request", message=text)
        return BAD_REQUEST
    return send(verb, options, output, storage, header)


def _approve(options: argparse.Namespace, output: Output) -> int:
    verb = Verb.REFUSE if options.refuse else Verb.APPROVE
    storage = connect(options)
    header = storage.journal.header(known_id(options.id)).record
    steps = [s.record for s in storage.journal.steps(options.id)]
    found = next((s for s in steps if s.step_id == options.step and s.kind == APPROVAL), None)
    if found is not None and verb in allowed_verbs(header, [found]):
        return send(verb, options, output, storage, header)
    if verb in allowed_verbs(header, steps) or header.state is DeploymentState.RUNNING:
        waiting = ", ".join(s.step_id for s in steps if waits_for_person(s)) or "none"
        text = f"step '{clean(options.step, 80)}' does not wait for approval; waiting steps: {waiting}"
        output.event("error", f"error: {text}", deployment_id=options.id, error="not_allowed", message=text)
        return BAD_REQUEST
    return _refuse(verb, header, steps, output)


def _refuse(verb: Verb, header: DeploymentRecord, steps: Sequence[StepRecord], output: Output) -> int:
    may = [v.value for v in allowed_verbs(header, steps)]
    is_over = header.state in DEPLOYMENT_ENDED
    current = f"has already ended: {header.state.value}" if is_over else f"is {header.state.value}"
    possible = f"; possible now: {', '.join(may)}" if may else ""
    text = f"{header.deployment_id} {current}; {verb.value} is not possible{possible}"
    message = {"deployment_id": header.deployment_id, "state": header.state.value, "allowed": may}
    output.event("error", f"error: {text}", error="not_allowed", message=text, **message)
    return BAD_REQUEST


def send(
    verb: Verb, options: argparse.Namespace, output: Output, storage: command_line.Access, header: DeploymentRecord
) -> int:
    """Send a command, follow the deployment if `options.wait` asks for that, and return the exit code."""
    command = {
        "command": verb.value,
        "deployment_id": options.id,
        "requested_by": options.requested_by[:256],
        "reason": options.reason[:500],
        "step": getattr(options, "step", ""),
    }
    storage.submit(json.dumps(command))
    options.is_sent = True
    if not options.wait:
        output.event(
            verb.value, f"{verb.value} was sent; follow it with: {follow_command(options)}", deployment_id=options.id
        )
        return SUCCEEDED

    def is_passing(present: DeploymentRecord) -> bool:
        """Return True for a final state that predates the command or that the deployment is about to leave."""
        awaits_target = verb is Verb.RETIRE and present.state is DeploymentState.SUCCEEDED
        return present.sequence <= header.sequence or awaits_target or present.is_being_released

    waiting_for = FollowOptions(
        options.timeout,
        follow_command(options),
        is_sent=True,
        is_passing=is_passing,
        goal=VERBS[verb].goal,
    )
    return follow(storage.journal, options.id, output, waiting_for)
