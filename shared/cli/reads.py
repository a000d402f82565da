"""The commands that only read: `follow`, `status` and `list`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import shtab

from shared.cli.common import (
    Add,
    add_label,
    add_url,
    complete,
    connect,
    count,
    follow_command,
    known_id,
    labels,
    seconds,
)
from shared.cli.follow import EXIT_CODES, SUCCEEDED, FollowOptions, follow
from shared.cli.render.markdown import document
from shared.cli.render.output import Output, header_json
from shared.cli.render.timeline import clean
from shared.domain.address import AddressError, secure
from shared.domain.errors import InvalidInputError, Problem
from shared.domain.names import normal_target
from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState
from shared.repository.files import reason, shown


def add_commands(add: Add) -> None:
    following = add("follow", _follow, "follow a deployment to its end")
    following.add_argument("id", help="the deployment's id")
    add_url(following)
    following.add_argument(
        "--timeout", metavar="TIME", type=seconds, help="stop following after this time (90s, 10m, 2h): exit code 9"
    )
    following.add_argument(
        "--unknown",
        metavar="TIME",
        type=seconds,
        default=60.0,
        help="how long to wait for an id that is not known yet (default 60s)",
    )
    status = add("status", _status, "show the state of a deployment")
    status.add_argument("id", help="the deployment's id")
    add_url(status)
    text = "also write the state, the steps and the timeline as Markdown to this file"
    complete(status.add_argument("--markdown", metavar="FILE", help=text), shtab.FILE)
    status.add_argument("--page", metavar="URL", help="with --markdown: the app's address, to whose page it links")
    listing = add("list", _list, "list deployments, newest first")
    add_url(listing)
    listing.add_argument("--target", help="only deployments of this target")
    states = tuple(state.value for state in DeploymentState)
    text = f"only deployments in this state; repeat it for several: {', '.join(states)}"
    listing.add_argument("--state", action="append", choices=states, metavar="STATE", help=text)
    listing.add_argument("--open", action="store_true", help="only deployments that have not ended")
    add_label(listing, "only deployments that have this label; repeat it for several")
    listing.add_argument(
        "--limit", metavar="N", type=count, default=50, help="the maximum number of deployments (default 50)"
    )


MAX_COMMENT = 60_000
"""Bytes of a comment; GitHub takes 65,536 characters, and the caller may add some."""


def _follow(options: argparse.Namespace, output: Output) -> int:
    storage = connect(options)
    return follow(
        storage.journal,
        known_id(options.id),
        output,
        FollowOptions(options.timeout, follow_command(options), unknown_seconds=options.unknown),
    )


def _status(options: argparse.Namespace, output: Output) -> int:
    journal = connect(options).journal
    header = journal.header(known_id(options.id)).record
    steps = [s.record for s in journal.steps(options.id)]
    code = EXIT_CODES.get(header.state, SUCCEEDED)
    if options.page and not options.markdown:
        raise InvalidInputError([Problem("--page", "is used only with --markdown")])
    if options.markdown:
        link = _page_link(options.page or options.url, header.deployment_id)
        room = MAX_COMMENT - len(link)
        _write(options.markdown, link + document(header, steps, room))
    output.ended(header, steps, code)
    return SUCCEEDED


def _write(file: str, text: str) -> None:
    """Write a file. Raises InvalidInputError if that is not possible."""
    try:
        Path(file).write_text(text, "utf-8", "backslashreplace")
    except (OSError, ValueError) as error:
        raise InvalidInputError([Problem("--markdown", f"{shown(file)} cannot be written: {reason(error)}")]) from None


def _page_link(app: str, deployment_id: str) -> str:
    """Return a link to a deployment on the app's page; '' without an address. Raises InvalidInputError."""
    if not app:
        return ""
    try:
        address = secure(app, "the key or token")
    except AddressError as error:
        raise InvalidInputError([Problem("--page", f"the app's address {error}")]) from None
    base = address.url.removesuffix("/api")
    return f"[Deployment {deployment_id}](<{base}/api/dashboard#/deployments/{deployment_id}>)\n\n"


def _list(options: argparse.Namespace, output: Output) -> int:
    wanted = labels(options)  # a label that is wrong is reported, whether or not storage responds
    journal = connect(options).journal
    target = normal_target(options.target) if options.target else None
    states = [DeploymentState(word) for word in options.state or ()]
    found = journal.page(options.limit, target=target, states=states, open_only=options.open, labels=wanted)
    heading, *lines = _aligned([_HEADING, *map(_row, found)])
    if not options.json:
        is_filtered = options.target or options.state or options.open or options.label
        output.event("note", heading if found else "no deployments" + (" that match" if is_filtered else ""))
    for header, line in zip(found, lines, strict=True):
        output.event("deployment", line, **header_json(header))
    return SUCCEEDED


_HEADING = ("ACCEPTED (UTC)", "STATE", "ENDED (UTC)", "ID", "TARGET", "REQUESTED BY", "LABELS")


def _row(header: DeploymentRecord) -> tuple[str, ...]:
    requester = clean(header.requested_by, 40)
    own = " ".join(f"{name}={value}" for name, value in (header.labels or {}).items())
    ended = f"{header.finished_at:%Y-%m-%d %H:%M:%S}" if header.finished_at else ""
    when, target = f"{header.accepted_at:%Y-%m-%d %H:%M:%S}", clean(header.target, 60)
    return (when, header.state.value, ended, header.deployment_id, target, requester, own)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return each row as a line; each column is as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
