"""Submissions that no delivery could finish."""

import json

from shared.domain.errors import Problem
from shared.domain.states import DeploymentState
from shared.saga.payloads import Payloads
from shared.saga.submission.acceptance import Acceptance
from shared.steps import KINDS
from tests.fake_journal import MemoryJournal
from tests.fakes import FakeClock, MemoryBlobs

MANIFEST = {"name": "m", "target": "t", "steps": [{"id": "ws", "kind": "workspace", "with": {"displayName": "w"}}]}
PROBLEM = Problem("$", "every delivery ended in an unexpected error")


def acceptance() -> tuple[Acceptance, MemoryJournal]:
    """Return an acceptance over memory, with its journal."""
    clock, blobs = FakeClock(), MemoryBlobs()
    journal = MemoryJournal(clock)
    return Acceptance(journal, blobs, Payloads(blobs), clock, KINDS), journal


def test_refuse_of_an_accepted_submission_reports_no_conflict() -> None:
    """Its deliveries ended after the acceptance again and again: it is not another manifest under the same id."""
    accepting, journal = acceptance()
    content = json.dumps({"deployment_id": "d", "manifest": MANIFEST}).encode()
    accepting.accept(content, "m1")
    answer = accepting.refuse(content, "m1", PROBLEM)
    assert not answer.conflict
    assert answer.header.state is DeploymentState.ACCEPTED
    assert not [entry for entry in journal.audit("d") if "another manifest" in entry.reason]


def test_refuse_of_another_manifest_under_a_taken_id_is_recorded() -> None:
    """The first deployment keeps its state, and the audit records what was refused."""
    accepting, journal = acceptance()
    accepting.accept(json.dumps({"deployment_id": "d", "manifest": MANIFEST}).encode(), "m1")
    other = json.dumps({"deployment_id": "d", "manifest": {**MANIFEST, "name": "other"}}).encode()
    answer = accepting.refuse(other, "m2", PROBLEM)
    assert answer.conflict
    assert answer.header.state is DeploymentState.ACCEPTED
    assert "another manifest" in journal.audit("d")[-1].reason


def test_refuse_of_an_unreadable_message_is_recorded_as_rejected() -> None:
    """It gets its own header."""
    accepting, _ = acceptance()
    answer = accepting.refuse(b"\xff\xfe", "m3", PROBLEM)
    assert answer.header.state is DeploymentState.REJECTED
    assert answer.header.deployment_id == "unreadable-m3"


def test_refuse_does_not_blame_the_manifest() -> None:
    """The cause may be an unreadable setting, for example: the record says what to check, and to submit again."""
    accepting, _ = acceptance()
    answer = accepting.refuse(json.dumps({"deployment_id": "d", "manifest": MANIFEST}).encode(), "m", PROBLEM)
    assert answer.header.error is not None
    assert "its manifest is not to blame" in answer.header.error.message
    assert "submit again" in answer.header.error.remedy
