"""A journal that somebody changed by hand in the table: `verify-journal` reports the row and what is wrong with it."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from azure.data.tables import TableClient, UpdateMode

from shared.adapters.storage.clients import StorageClients
from shared.adapters.storage.journal_table import TableJournal
from shared.domain.ports import Change
from shared.domain.records import AuditEntry
from shared.domain.states import DeploymentState, StepState
from shared.saga.audit.verify import Verdict, read, verify
from tests.contract.harness import a_header, some_steps
from tests.fakes import START, FakeClock

pytestmark = pytest.mark.azurite


@dataclass
class Tamperer:
    """Somebody with write access to the table, and the rows of one deployment by key."""

    journal: TableJournal
    name: str
    table: TableClient
    rows: dict[str, dict[str, Any]]

    def verdict(self) -> Verdict:
        """Return the result of the verification."""
        return verify(read(self.journal, self.name))

    def restore(self) -> None:
        """Restore every row, and delete every other one."""
        there = {row["RowKey"]: dict(row) for row in self.table.query_entities(f"PartitionKey eq '{self.name}'")}
        for key in there.keys() - self.rows.keys():
            self.table.delete_entity(self.name, key)
        for key in (key for key, row in self.rows.items() if there.get(key) != row):
            self.put(key)

    def key(self, beginning: str, index: int = 0) -> str:
        """Return the key of the row that has this prefix."""
        return sorted(key for key in self.rows if key.startswith(beginning))[index]

    def entry(self, subject: str, index: int) -> str:
        """Return the key of an audit entry, by its index within its subject."""
        return sorted(key for key in self.rows if key.startswith("audit_") and subject in key)[index]

    def put(self, key: str, **columns: Any) -> None:
        """Write a row with other columns, or a copy of it under another key."""
        self.table.upsert_entity({**self.rows[key], **columns}, mode=UpdateMode.REPLACE)

    def write(self, key: str, old: str, new: str) -> None:
        """Replace a part of the stored record."""
        record = self.rows[key]["record"]
        assert record.count(old) == 1, record
        self.put(key, record=record.replace(old, new))

    def delete(self, key: str) -> None:
        """Delete a row."""
        self.table.delete_entity(self.rows[key]["PartitionKey"], key)

    def move(self, key: str, other: str) -> None:
        """Move a row to another key."""
        self.put(key, RowKey=other)
        self.delete(key)

    def swap(self, one: str, two: str) -> None:
        """Write each row's columns under the other's key."""
        self.put(one, RowKey=two)
        self.put(two, RowKey=one)


@pytest.fixture(scope="module")
def untouched(storage: str) -> Iterator[Tamperer]:
    """Return a deployment of two applied steps, with a note."""
    name, journal = f"d-{uuid.uuid4().hex}", TableJournal(StorageClients(storage), FakeClock().now)
    header = a_header(name, step_count=2)
    journal.create(header, some_steps(name, 2), "submitted")
    running = header.replace(state=DeploymentState.RUNNING)
    last = journal.write_header(Change(journal.header(name), running, "tester", "began"))
    for step in journal.steps(name):
        started = journal.write_step(Change(step, step.record.replace(state=StepState.INTENT), "tester", "create"))
        journal.write_step(Change(started, started.record.replace(state=StepState.SUCCEEDED), "tester", "verified"))
    ended = last.record.replace(state=DeploymentState.SUCCEEDED)
    journal.write_header(Change(last, ended, "tester", "all applied"))
    journal.note(name, AuditEntry(START, "deployment", "succeeded", "succeeded", "accept", "refused", 0))
    with TableClient.from_connection_string(storage, "journal") as table:
        found = table.query_entities(f"PartitionKey eq '{name}'")
        yield Tamperer(journal, name, table, {row["RowKey"]: dict(row) for row in found})


@pytest.fixture
def tamperer(untouched: Tamperer) -> Iterator[Tamperer]:
    """Verify the deployment before a test changes it, and restore it afterwards."""
    assert untouched.verdict().is_proven
    yield untouched
    untouched.restore()


STEP, HEADER, NOTES = "step_00001", "header", "notes"
TAMPERINGS: dict[str, tuple[Callable[[Tamperer], object], str, str]] = {
    "state": (lambda h: h.write(STEP, '"state":"succeeded"', '"state":"failed"'), STEP, "the row is 'failed'"),
    "state that never was": (lambda h: h.write(HEADER, '"succeeded"', '"done"'), HEADER, "cannot be read"),
    "state as it is shown": (lambda h: h.put(STEP, state="failed"), STEP, "'state' is 'failed'"),
    "target as it is shown": (lambda h: h.put(HEADER, target="other"), HEADER, "'target' is 'other'"),
    "owner of an entry": (lambda h: h.put(h.entry(STEP, 0), actor="anna"), "audit_", "'actor' is 'anna'"),
    "header": (lambda h: h.write(HEADER, '"name":"', '"name":"x'), "deployment", "its digest does not match"),
    "first entry": (lambda h: h.delete(h.entry(STEP, 0)), "deployment, write 0", "not those that were accepted"),
    "entry taken out": (
        lambda h: h.delete(h.entry("deployment_000001", 0)),
        "deployment, write 2",
        "does not follow the entry before it",
    ),
    "last entry": (lambda h: h.delete(h.entry(STEP, -1)), STEP, "does not name its last entry"),
    "last of the header": (lambda h: h.delete(h.entry("deployment_000002", 0)), "deployment", "last entry"),
    "all entries": (
        lambda h: [h.delete(k) for k in h.rows if "audit_" in k],
        "deployment",
        "its acceptance has no entry",
    ),
    "reason": (lambda h: h.write(h.entry(STEP, 0), '"create"', '"adopt"'), STEP, "its hash does not match"),
    "two in each other's place": (lambda h: h.swap(h.entry(STEP, 0), h.entry(STEP, 1)), "audit_", "belongs to the"),
    "entry elsewhere": (lambda h: h.move(h.entry(STEP, 0), "audit_0_elsewhere"), "audit_0_elsewhere", "belongs to"),
    "entry twice": (lambda h: h.put(h.entry(STEP, 0), RowKey="audit_9"), STEP, "is in the audit twice"),
    "step gone": (lambda h: h.delete(STEP), STEP, "in the audit but not in the journal"),
    "header gone": (lambda h: h.delete(HEADER), "deployment", "in the audit but not in the journal"),
    "note gone": (lambda h: h.delete(h.entry("deployment_000000_", 0)), NOTES, "the audit has 0 notes, and 1"),
    "row of another kind": (lambda h: h.put(NOTES, RowKey="remark"), "remark", "does not exist in a journal"),
    "no JSON": (lambda h: h.put(STEP, record='{"version":1'), STEP, "not a JSON object"),
    "no object": (lambda h: h.put(h.entry(STEP, 1), record="[]"), "audit_", "not a JSON object"),
    "number as text": (lambda h: h.write(STEP, '"ordinal":1', '"ordinal":"1"'), STEP, "field 'ordinal'"),
    "no record": (lambda h: h.put(HEADER, record=None), HEADER, "not a JSON object"),
    "time without a zone": (lambda h: h.write(h.entry(STEP, 0), "+00:00", ""), "audit_", "field 'at'"),
    "another version": (lambda h: h.write(STEP, '"version":1', '"version":2'), STEP, "schema version 2"),
    "head of the notes": (lambda h: h.write(NOTES, '"number":1', '"number":true'), NOTES, "field 'number'"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_reported_with_its_place(tamperer: Tamperer, name: str) -> None:
    """After any change, move, insertion or deletion the journal is not proven, and a difference names the row and
    the reason."""
    tamper, subject, text = TAMPERINGS[name]
    tamper(tamperer)
    verdict = tamperer.verdict()
    assert not verdict.is_proven
    found = [str(each) for each in verdict.differences]
    assert any(each.startswith(subject) and text in each for each in found), found
