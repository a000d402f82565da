"""The commands `audit ID`, which lists every change of state, and `verify-journal ID`, which checks the list."""

import argparse

from shared import settings
from shared.bootstrap import command_line
from shared.cli.common import Add, add_url, connect, known_id
from shared.cli.follow import SUCCEEDED
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.audit import step_subject
from shared.domain.records import AuditEntry
from shared.saga.audit import verify

NOT_PROVEN = 1


def add_commands(add: Add) -> None:
    showing = add("audit", _audit, "list every change of state of a deployment: what, when, who, why")
    showing.add_argument("id", help="the deployment's id")
    add_url(showing)
    text = "replay a deployment's audit, check its hashes and compare it with the journal: exit code 1 if they differ"
    add("verify-journal", _verify, text).add_argument("id", help="the deployment's id")


def _audit(options: argparse.Namespace, output: Output) -> int:
    journal = connect(options).journal
    entries = journal.audit(known_id(options.id))
    if not entries:  # the audit is kept longer than the journal: without an audit the deployment does not exist
        journal.header(options.id)
    names = {step_subject(s.record.ordinal): s.record.step_id for s in journal.steps(options.id)}
    for entry in entries:
        subject = clean(names.get(entry.subject, entry.subject), 63)
        output.event("audit", _line(entry, subject, options.id), **entry.to_json())
    return SUCCEEDED


def _line(entry: AuditEntry, subject: str, deployment_id: str) -> str:
    move = f"{entry.before or '-'} -> {entry.after}" if entry.before != entry.after else entry.after
    correlation = entry.correlation_id if entry.correlation_id not in (None, deployment_id) else ""
    why = f": {clean(entry.reason, 1000)}" if entry.reason else ""
    work = f" [{clean(correlation, 64)}]" if correlation else ""
    return f"{entry.at:%Y-%m-%d %H:%M:%S.%f} {subject:12} {move:28} {entry.actor}{work}{why}"


def _verify(options: argparse.Namespace, output: Output) -> int:
    verdict = verify.verify(verify.read(command_line.storage(settings.load()).journal, known_id(options.id)))
    for each in verdict.differences:
        output.event("difference", f"  {clean(str(each), 1000)}", **vars(each))
    text = f"{options.id} is {verdict.state or 'without a state'}: {verdict.entries} entries, "
    if verdict.is_proven:
        text += (
            f"every move is legal and part of its chain, and the journal agrees with them (head {verdict.head[:12]})"
        )
    elif verdict.differences:
        text += f"and {len(verdict.differences)} difference(s) from what the app wrote"
    else:
        text += f"{verdict.unchained} of them without a hash, written by an older version: replayed, not proven"
    output.event(
        "verdict",
        text,
        deployment_id=options.id,
        proven=verdict.is_proven,
        state=verdict.state,
        entries=verdict.entries,
        unchained=verdict.unchained,
        differences=len(verdict.differences),
        head=verdict.head,
    )
    return SUCCEEDED if verdict.is_proven else NOT_PROVEN
