"""`submit --matrix FILE`: one deployment for each row of a CSV file, whose columns give values of inputs.

All rows are checked before the first is sent. Every deployment has the label `matrix`, by which all of them are read at
once, and an id that is made of that label and the row, so the same command continues what an earlier one began.
"""

import argparse
import copy
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared import settings
from shared.bootstrap import command_line
from shared.cli import pack
from shared.cli.common import connect, labels, packed, read_manifest
from shared.cli.follow import (
    BAD_REQUEST,
    CANCELLED,
    NOT_AUTHORISED,
    NOT_ROLLED_BACK,
    ROLLED_BACK,
    SUCCEEDED,
    TIMED_OUT,
)
from shared.cli.help import COMMAND
from shared.cli.matrix import Row, read_rows
from shared.cli.render.output import Output, header_json
from shared.cli.render.timeline import clean
from shared.cli.stored import StoredFiles
from shared.cli.values import promoting, with_inputs
from shared.domain.deployment_ids import ID_RULE, is_deployment_id
from shared.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    Problem,
    Problems,
    SagaError,
)
from shared.domain.forgotten import ForgottenError
from shared.domain.json import content_hash
from shared.domain.labels import with_labels
from shared.domain.manifest import compile_manifest
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.domain.text import parse
from shared.domain.trace import TRACEPARENT
from shared.saga.submission.envelope import envelope
from shared.steps import KINDS

LABEL = "matrix"
"""The label of all deployments of a matrix; its value is `--id`."""
_MAX_BASE = 59
POLL_SECONDS = 2.0
"""The least time between two reads."""
_MAX_PAUSE, _READS_A_SECOND = 20.0, 50
"""A read of the list reads the header of each deployment that has not ended (`Journal.page`)."""
QUIET_SECONDS = 600.0
"""How long nothing may change while submissions are not accepted yet; then the app does not read its queue."""
_SETTLED = DEPLOYMENT_ENDED | {DeploymentState.STUCK, DeploymentState.HELD}


@dataclass(frozen=True)
class Ready:
    """A row with the manifest that is sent for it."""

    row: Row
    manifest: Any

    @property
    def hash(self) -> str:
        """Return the hash that its header will have."""
        return content_hash(self.manifest)


class _Once(Output):
    """Prints each event once, because packing reports much the same for every row."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._printed: set[tuple[str, str]] = set()

    def event(self, kind: str, text: str, **fields: Any) -> None:
        if (kind, text) not in self._printed:
            self._printed.add((kind, text))
            self._output.event(kind, text, **fields)


def submit(options: argparse.Namespace, output: Output, new_id: Callable[[Any], str]) -> int:
    """Check all rows, send a deployment for each, follow them if `--wait` asks for that, and return the exit code."""
    text, folder = read_manifest(options, output)
    manifest, options.id = pack.body(parse(text), options.id)
    manifest = promoting(options, manifest)
    base = options.id or new_id(manifest)[-_MAX_BASE:].lstrip("._-")
    if not is_deployment_id(base) or len(base) > _MAX_BASE:
        raise InvalidInputError([Problem("--id", f"{ID_RULE}; with --matrix, {_MAX_BASE} at most")])
    options.id = base  # an interrupt names it
    stored = StoredFiles()
    problems = Problems()
    if options.matrix == "-" and options.manifest == "-":
        raise InvalidInputError(
            [Problem("--matrix", "is standard input, and so is the manifest; give one of them as a file")]
        )
    rows = read_rows(options.matrix, base, problems)
    ready = _checked(options, output, manifest, folder, rows, base, stored, problems)
    output.event("submitting", f"{_count(ready)}, label {LABEL}={base}", matrix=base, count=len(ready))
    storage = connect(options)
    if stored.files:
        sent = stored.send(storage.blobs)
        output.event("stored", f"{len(stored.files)} files, {sent} bytes of them new", files=len(stored.files))
    wanted = settings.load().traceparent
    trace = wanted if TRACEPARENT.fullmatch(wanted) else ""
    codes: set[int] = set()
    forbidden: dict[str, ForbiddenError] = {}
    for each in ready:
        message = envelope(
            storage.blobs, each.row.deployment_id, {"manifest": each.manifest}, options.requested_by, trace
        )
        refusal = _sent(storage, each, message)
        if isinstance(refusal, ForbiddenError):
            forbidden[each.row.deployment_id] = refusal
            codes.add(NOT_AUTHORISED)
        else:
            codes.add(SUCCEEDED if refusal is None else BAD_REQUEST)
            options.is_sent = True
        if refusal is not None:
            name, why = each.row.deployment_id, clean(str(refusal), 500)
            output.event("refused", f"{name} is refused: {why}", deployment_id=name, row=each.row.place, message=why)
    ready = [each for each in ready if each.row.deployment_id not in forbidden]
    if not ready:
        raise next(iter(forbidden.values()))
    if not options.wait:
        text = f"submitted; see them with: {COMMAND} list --label {LABEL}={base}"
        output.event("submitted", text, matrix=base, ids=[each.row.deployment_id for each in ready])
        return exit_code(codes)
    followed = Fleet(ready, base, output, options.timeout).follow(storage)
    return exit_code({followed, NOT_AUTHORISED} if forbidden else {followed})


def _sent(storage: command_line.Access, each: Ready, message: str) -> SagaError | None:
    """Send the submission of a row, and return why the app refuses it: over HTTP it answers at once. Another refusal
    that it has not recorded is raised, because it would refuse every row; ALLOWED_TARGETS decides for each target."""
    try:
        storage.submit(message)
    except ForbiddenError as error:
        return error
    except (ConflictError, InvalidInputError) as error:
        try:
            storage.journal.header(each.row.deployment_id)
        except ForgottenError:
            return error
        except NotFoundError:
            raise error from None
        return error
    return None


def _checked(
    options: argparse.Namespace,
    output: Output,
    manifest: Any,
    folder: Path,
    rows: Sequence[Row],
    base: str,
    stored: StoredFiles,
    problems: Problems,
) -> list[Ready]:
    """Return the packed manifest of each row. Raises InvalidInputError with the problems of all rows, beside those that
    their file has; then nothing is sent."""
    given = labels(options)
    if given.get(LABEL, base) != base:
        text = f"names the label {LABEL}, by which the rows are found: with --matrix its value is that of --id"
        raise InvalidInputError([Problem("--label", text)])
    own = {**given, LABEL: base}
    ready: list[Ready] = []
    once = _Once(output)
    for row in rows:
        of_row = argparse.Namespace(**{**vars(options), "set_values": [*options.set_values, *row.values.items()]})
        try:
            # A copy, because packing writes the content of files in place of their names, which depend on the row.
            valued = with_labels(with_inputs(of_row, copy.deepcopy(manifest)), own)
            whole = packed(options, once, valued, folder, stored)
            compile_manifest(whole, KINDS)
        except InvalidInputError as error:
            problems.extend(Problem(f"{row.place} {each.path}", each.message, each.count) for each in error.problems)
            continue
        ready.append(Ready(row, whole))
    if problems:
        raise InvalidInputError(problems)
    return ready


@dataclass
class Fleet:
    """The deployments of a matrix, as they were read last."""

    ready: Sequence[Ready]
    base: str
    output: Output
    timeout_seconds: float | None
    found: dict[str, DeploymentRecord] = field(default_factory=dict[str, DeploymentRecord])

    def follow(self, storage: command_line.Access, sleep: Callable[[float], None] = time.sleep) -> int:
        """Read all of them until each has ended, is stuck or held, or the timeout is over. Return the exit code."""
        began = changed = time.monotonic()
        shown: dict[str, str] = {}
        while True:
            self._read(storage)
            present = {name: header.state.value for name, header in self.found.items()}
            if present != shown:
                self._progress(shown, present)
                shown, changed = present, time.monotonic()
            elapsed = time.monotonic() - began
            is_over = self.timeout_seconds is not None and elapsed > self.timeout_seconds
            is_unread = len(present) < len(self.ready) and time.monotonic() - changed > QUIET_SECONDS
            if is_over or is_unread or len(self._settled()) == len(self.ready):
                return self._end()
            sleep(pause(len(self.ready) - len(self._settled())))

    def _read(self, storage: command_line.Access) -> None:
        page = storage.journal.page(len(self.ready) * 2, labels={LABEL: self.base})
        self.found |= {header.deployment_id: header for header in page}
        for each in self.ready:  # an id that another manifest took has other labels
            if each.row.deployment_id not in self.found:
                try:
                    self.found[each.row.deployment_id] = storage.journal.header(each.row.deployment_id).record
                except ForgottenError as error:  # past its retention, its end is kept
                    self.found[each.row.deployment_id] = error.record
                except NotFoundError:
                    break  # not accepted yet; the rows after it were sent later, so they are hardly accepted either

    def _settled(self) -> list[str]:
        return [e.row.deployment_id for e in self.ready if self._state(e) in _SETTLED or self._is_taken(e)]

    def _state(self, each: Ready) -> DeploymentState | None:
        header = self.found.get(each.row.deployment_id)
        return header.state if header is not None and not header.may_compensate else None

    def _is_taken(self, each: Ready) -> bool:
        header = self.found.get(each.row.deployment_id)
        return header is not None and header.manifest_hash != each.hash

    def _progress(self, shown: dict[str, str], present: dict[str, str]) -> None:
        for name, state in sorted(present.items()):
            if shown.get(name) != state and state in {*_SETTLED}:
                self.output.event("state", f"{name}  {state}", deployment_id=name, state=state)
        numbers = Counter(present.values())
        if len(present) < len(self.ready):
            numbers["submitted"] = len(self.ready) - len(present)
        text = ", ".join(f"{count} {state}" for state, count in sorted(numbers.items()))
        self.output.event("fleet", f"{_count(self.ready)}: {text}", count=len(self.ready), states=dict(numbers))

    def _end(self) -> int:
        """Print the table, and return the exit code."""
        self.output.close()
        width = max(len(each.row.deployment_id) for each in self.ready)
        codes: set[int] = set()
        for each in self.ready:
            header = self.found.get(each.row.deployment_id)
            state, code = self._outcome(each)
            codes.add(code)
            took, why = "", ""
            if header is not None and not self._is_taken(each):
                took = (
                    f"{(header.finished_at - header.accepted_at).total_seconds():.1f} s" if header.finished_at else ""
                )
                why = _why(header)
            line = f"{each.row.deployment_id:{width}}  {state:12}  {took:>9}  {why}".rstrip()
            record = header_json(header) if header is not None else {"deployment_id": each.row.deployment_id}
            self.output.event("deployment", line, row=each.row.place, **record)
        return exit_code(codes)

    def _outcome(self, each: Ready) -> tuple[str, int]:
        if self._is_taken(each):
            return "conflict", BAD_REQUEST
        state = self._state(each)
        known = self.found.get(each.row.deployment_id)
        if state is None or state not in _SETTLED:
            return known.state.value if known is not None else "submitted", TIMED_OUT
        return state.value, _CODES.get(state, NOT_ROLLED_BACK)


def pause(number: int) -> float:
    """Return the seconds between two reads while that many deployments have not ended: a large fleet must not keep the
    journal busy with being watched."""
    return min(max(POLL_SECONDS, number / _READS_A_SECOND), _MAX_PAUSE)


def _count(ready: Sequence[Ready]) -> str:
    return "1 deployment" if len(ready) == 1 else f"{len(ready)} deployments"


def _why(header: DeploymentRecord) -> str:
    """Return why a deployment failed: of a manifest with problems, the first of them."""
    if not header.problems:
        return clean(header.error.message, 200) if header.error else ""
    first, more = header.problems[0], len(header.problems) - 1
    text = f"{first.get('path', '$')}: {first.get('message', '')}"
    return clean(text, 400) + (f" (and {more} more: {COMMAND} status {header.deployment_id})" if more else "")


_CODES = {
    DeploymentState.SUCCEEDED: SUCCEEDED,
    DeploymentState.COMPENSATED: ROLLED_BACK,
    DeploymentState.REJECTED: ROLLED_BACK,
    DeploymentState.CANCELLED: CANCELLED,
}
_ORDER = (NOT_ROLLED_BACK, TIMED_OUT, NOT_AUTHORISED, ROLLED_BACK, BAD_REQUEST, CANCELLED, SUCCEEDED)
"""The exit code of the fleet is the first of these that occurs: the one that needs a person most."""


def exit_code(codes: set[int]) -> int:
    """Return the one exit code of several. An id that belongs to another manifest counts as failed if others were
    sent, because BAD_REQUEST promises that nothing was done."""
    found = next(code for code in _ORDER if code in codes)
    return ROLLED_BACK if found == BAD_REQUEST and len(codes) > 1 else found
