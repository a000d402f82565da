"""Looking at deployments: `follow` one to its end, `status` of one, `list` all."""

import argparse

from shared.cli.arguments import count, known_id, seconds
from shared.cli.connection import add_url, connect
from shared.cli.follow import EXIT_CODES, SUCCEEDED, follow
from shared.cli.output import Output, header_json
from shared.cli.parts import Add
from shared.cli.timeline import clean
from shared.saga.accept import normal_target


def add_commands(add: Add) -> None:
    """The three, by the parser's own helper."""
    following = add("follow", _follow, "follow a deployment to its end")
    following.add_argument("id", help="the deployment's id")
    add_url(following)
    following.add_argument("--timeout", type=seconds, help="stop following after this time (90s, 10m, 2h): exit code 9")
    following.add_argument("--unknown", type=seconds, default=60.0, help="how long the id may be unknown (default 60s)")
    status = add("status", _status, "show a deployment as it stands")
    status.add_argument("id", help="the deployment's id")
    add_url(status)
    listing = add("list", _list, "list deployments, newest first")
    add_url(listing)
    listing.add_argument("--target", help="of this target only")
    listing.add_argument("--open", action="store_true", help="only those that have not ended")
    listing.add_argument("--limit", type=count, default=50, help="how many at most (default 50)")


def _follow(options: argparse.Namespace, output: Output) -> int:
    storage = connect(options)
    return follow(
        storage.journal,
        known_id(options.id),
        output,
        timeout_seconds=options.timeout,
        unknown_seconds=options.unknown,
    )


def _status(options: argparse.Namespace, output: Output) -> int:
    journal = connect(options).journal
    header = journal.header(known_id(options.id)).record
    steps = [s.record for s in journal.steps(options.id)]
    code = EXIT_CODES.get(header.state, SUCCEEDED)
    output.ended(header, steps, code)
    return SUCCEEDED


def _list(options: argparse.Namespace, output: Output) -> int:
    journal = connect(options).journal
    target = normal_target(options.target) if options.target else None
    is_empty = True
    for header in journal.page(options.limit, target=target, open_only=options.open):
        is_empty = False
        when = f"{header.accepted_at:%Y-%m-%d %H:%M:%S}"
        row = f"{when}  {header.state.value:12} {header.deployment_id:44} {clean(header.target, 60)}"
        output.event("deployment", row, **header_json(header))
    if is_empty and not options.json:
        output.event("note", "no deployments" + (" that match" if options.target or options.open else ""))
    return SUCCEEDED
