"""Checks of a whole deployment: what the header's entries prove about its steps.

Each check yields what it disproves. An entry of the header binds the steps at three kinds of moments: the acceptance
binds every accepted row as it was created, an entry that reopens a script's transaction binds the step that it adds,
and an end binds the heads of all the steps' chains.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

from shared.domain import audit
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DEPLOYMENT_ENDED, FORWARD_SETTLED, STEP_SETTLED, DeploymentState, StepState
from shared.saga.audit.replay import NOTES, Difference

ROLLED_BACK = frozenset({StepState.COMPENSATED, StepState.SKIPPED})
_FINAL_STEP_STATES: Mapping[str, frozenset[StepState]] = {
    DeploymentState.SUCCEEDED: frozenset({StepState.SUCCEEDED}),
    DeploymentState.COMPENSATED: ROLLED_BACK,
    DeploymentState.CANCELLED: ROLLED_BACK | {StepState.PENDING},
    DeploymentState.REJECTED: frozenset({StepState.PENDING}),
    DeploymentState.FAILED: FORWARD_SETTLED,
}
"""The steps' states that a final state of the deployment allows. A deployment that is cancelled or rejected before it
starts leaves its steps pending."""
_RELEASED_STEP_STATES = ROLLED_BACK | STEP_SETTLED


@dataclass(frozen=True)
class _Story:
    """A deployment's chains and rows; `header` is None after retention."""

    header: DeploymentRecord | None
    rows: Sequence[StepRecord]
    moves: Sequence[AuditEntry]
    steps: Mapping[str, list[AuditEntry]]

    @property
    def last(self) -> AuditEntry:
        return self.moves[-1]

    @property
    def begin(self) -> AuditEntry:
        return self.moves[0]

    @cached_property
    def unmoved(self) -> dict[str, str]:
        """Return the heads of the rows that have no entry yet."""
        return {
            audit.subject_of(row): row.chain.head
            for row in self.rows
            if row.chain is not None and row.chain.head and audit.subject_of(row) not in self.steps
        }

    @cached_property
    def is_partial(self) -> bool:
        """Return True if the acceptance was interrupted: then the deployment never started, and rows may be missing."""
        return self.header is not None and len(self.rows) < self.header.step_count and _never_ran(self.moves)

    @cached_property
    def created(self) -> list[tuple[str, str]]:
        """Return each step with the digest of its row as it was created, by subject."""
        first = {s: entries[0].link.previous for s, entries in self.steps.items() if entries[0].link is not None}
        return sorted([*first.items(), *self.unmoved.items()])

    @cached_property
    def is_complete(self) -> bool:
        """Return True if every created step is known, from its row or its entries."""
        has_entries = any(entries[0].link is not None for entries in self.steps.values())
        return (self.header is not None or has_entries) and not self.is_partial

    @cached_property
    def appends(self) -> list[AuditEntry]:
        return [entry for entry in self.moves[1:] if _reopens(entry)]

    @property
    def accepted_and_added(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Part the created steps: those of the acceptance, and the last ones, which a script added."""
        first_added = max(0, len(self.created) - len(self.appends))
        return self.created[:first_added], self.created[first_added:]


def check_deployment(
    header: DeploymentRecord | None, rows: Sequence[StepRecord], chains: Mapping[str, list[AuditEntry]]
) -> Iterator[Difference]:
    """Yield every contradiction between the header's entries and the steps."""
    moves = chains.get(audit.DEPLOYMENT, [])
    if not moves:
        yield Difference(audit.DEPLOYMENT, None, "its acceptance has no entry")
        return
    steps = {subject: entries for subject, entries in chains.items() if subject not in (audit.DEPLOYMENT, NOTES)}
    story = _Story(header, rows, moves, steps)
    yield from _header_is_kept_until_the_end(story)
    yield from _every_accepted_step_is_there(story)
    yield from _steps_are_those_accepted(story)
    yield from _added_steps_are_those_bound(story)
    yield from _each_end_binds_the_steps(story)
    yield from _steps_support_the_final_state(story)


def _header_is_kept_until_the_end(story: _Story) -> Iterator[Difference]:
    if story.header is None and story.last.after not in DEPLOYMENT_ENDED:
        yield Difference(audit.DEPLOYMENT, None, f"the header is missing, and the audit ends at '{story.last.after}'")


def _every_accepted_step_is_there(story: _Story) -> Iterator[Difference]:
    header = story.header
    if header is not None and header.step_count != len(story.rows) and not story.is_partial:
        message = f"the journal has {len(story.rows)} steps, and {header.step_count} were accepted"
        yield Difference(audit.DEPLOYMENT, None, message)


def _steps_are_those_accepted(story: _Story) -> Iterator[Difference]:
    accepted, _ = story.accepted_and_added
    link = story.begin.link
    if story.is_complete and link is not None and link.steps != audit.steps_digest(accepted):
        yield Difference(audit.DEPLOYMENT, story.begin.sequence, "the steps are not those that were accepted")


def _added_steps_are_those_bound(story: _Story) -> Iterator[Difference]:
    _, added = story.accepted_and_added
    if not story.is_complete:
        return
    for entry, step in zip_longest(story.appends, added):
        if entry is None or entry.link is None:
            continue
        if entry.link.steps != audit.steps_digest([step] if step else []):
            yield Difference(audit.DEPLOYMENT, entry.sequence, "the step that it added is not the one in the journal")


def _each_end_binds_the_steps(story: _Story) -> Iterator[Difference]:
    before_release = last_release = 0
    for entry in story.moves[1:]:
        link = entry.link
        if link is None or _reopens(entry):
            continue
        if link.steps is None:
            if entry.after in DEPLOYMENT_ENDED:
                yield Difference(audit.DEPLOYMENT, entry.sequence, "the entry of an end does not bind the steps")
            continue
        possible = _possible_digests(story, entry, before_release if _follows_release(entry) else last_release)
        if _is_release(entry):
            before_release, last_release = last_release, entry.sequence
        if link.steps not in possible:
            yield Difference(audit.DEPLOYMENT, entry.sequence, "the steps' chains are not those of this end")


def _possible_digests(story: _Story, end: AuditEntry, last_release: int) -> list[str | None]:
    """Return the digests that an end may bind; without any step left, that of the acceptance."""
    begin = story.begin.link
    return [
        audit.steps_digest(heads.items()) if heads or story.header is not None or begin is None else begin.steps
        for steps in _steps_at(end, story.steps)
        for heads in _heads_at(end, steps, story.unmoved, last_release)
    ]


def _steps_at(end: AuditEntry, steps: Mapping[str, list[AuditEntry]]) -> Iterator[Mapping[str, list[AuditEntry]]]:
    """Yield the entries of the steps without what the sweeper noted about their orphans after an end.

    Only the time tells which came first. For those of the same second, both are possible.
    """
    noted = [entry for entries in steps.values() for entry in entries if _is_about_orphan(entry)]
    if not noted:
        yield steps
        return
    for later in ([e for e in noted if e.at > end.at], [e for e in noted if e.at >= end.at]):
        yield {subject: [e for e in entries if e not in later] for subject, entries in steps.items()}


def _is_about_orphan(entry: AuditEntry) -> bool:
    """Return True for a note of the sweeper about an orphan of a step that was compensated."""
    return (entry.before, entry.after) == (StepState.COMPENSATED, StepState.COMPENSATED)


def _steps_support_the_final_state(story: _Story) -> Iterator[Difference]:
    last = story.last
    known = set(StepState)
    states = {StepState(e[-1].after) if e[-1].after in known else None for e in story.steps.values()}
    if story.unmoved:
        states.add(StepState.PENDING)
    if story.appends and last.after == DeploymentState.SUCCEEDED:
        # A script may continue after something could not be created, and commit the rest.
        states.discard(StepState.FAILED)
    is_given_up = _is_release(last) or _follows_release(last)
    allowed = _RELEASED_STEP_STATES if is_given_up else _FINAL_STEP_STATES.get(last.after)
    if allowed is not None and not states <= allowed:
        message = f"ends '{last.after}', which the final states of its steps contradict"
        yield Difference(audit.DEPLOYMENT, last.sequence, message)


def _never_ran(moves: Sequence[AuditEntry]) -> bool:
    """Return True if the deployment never reached RUNNING."""
    return all(DeploymentState.RUNNING not in (entry.before, entry.after) for entry in moves)


def _reopens(entry: AuditEntry) -> bool:
    """Return True if a header's entry binds one step that it adds, and not all steps at an end."""
    return entry.link is not None and entry.link.steps is not None and entry.after not in DEPLOYMENT_ENDED


def _is_release(entry: AuditEntry) -> bool:
    """Return True for the end of a stuck deployment that a person released."""
    return (entry.before, entry.after) == (DeploymentState.STUCK, DeploymentState.FAILED)


def _follows_release(entry: AuditEntry) -> bool:
    """Return True for an orphan check of a deployment that was released."""
    return (entry.before, entry.after) == (DeploymentState.FAILED, DeploymentState.FAILED)


def _heads_at(
    end: AuditEntry, steps: Mapping[str, list[AuditEntry]], unmoved: dict[str, str], last_release: int
) -> Iterator[dict[str, str]]:
    """Yield the heads that the steps' chains may have had at an end of their deployment.

    A `failed` deployment may have been resumed and have failed again. Each time every step that was not done settled
    once more, so the heads are those of one of these times.
    """
    if _is_release(end) or _follows_release(end):
        for by_time in (False, True):
            yield {s: _head_at_release(end, e, last_release, by_time=by_time) for s, e in steps.items()} | unmoved
        return
    # A step that a release leaves as it is had settled before.
    moved = {s: [e for e in es if e.before != e.after or not audit.left_with(e)] for s, es in steps.items()}
    if end.after != DeploymentState.FAILED:
        yield {s: head for s, e in moved.items() if (head := _head_at(end.after, e))} | unmoved
        return
    settled = {s: [e.link.hash for e in es if e.link and e.after in FORWARD_SETTLED] for s, es in moved.items()}
    for time in range(max(map(len, settled.values()), default=0)):
        yield {s: hashes[min(time, len(hashes) - 1)] for s, hashes in settled.items() if hashes} | unmoved


def _head_at_release(end: AuditEntry, entries: Sequence[AuditEntry], last_release: int, *, by_time: bool) -> str:
    """Return the head of a step's chain when its deployment was released: that of the entry which leaves it as it is.

    A step without such an entry was compensated before, and its head is its last entry; or its row could not be
    written, and only the time of its entries (`by_time`) tells which came before that end.
    """
    linked = [(e, e.link.hash) for e in entries if e.link is not None]
    left = [head for e, head in linked if last_release < audit.left_with(e) < end.sequence]
    until = [head for e, head in linked if e.at <= end.at or not by_time]
    return (left or until or [""])[-1]


def _head_at(end: str, entries: Iterable[AuditEntry]) -> str:
    """Return the head of a step's chain at an end of its deployment: that of the last entry or, for a success that was
    rolled back later, that of the entry by which the step succeeded."""
    hashes = [(e.after, e.link.hash) for e in entries if e.link is not None]
    if end == DeploymentState.SUCCEEDED:
        hashes = [h for h in hashes if h[0] in (StepState.SUCCEEDED, StepState.FAILED)]
    return hashes[-1][1] if hashes else ""
