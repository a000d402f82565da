"""A task hub that several hosts share: instances, queues of messages and leases of partitions, in a SQLite file.

It stands for the storage account of the durable extension's Azure Storage provider (DurableTask.AzureStorage): each
instance belongs to a partition with a control queue, all activities share the queue of work items, and a partition is
served by the host that has its lease. A message that was taken is invisible for a time and comes again, unless it is
deleted together with the state that it led to. SQLite runs as in engine_store.py.
"""

import sqlite3
import threading
import time
import zlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WORK_ITEMS = "workitems"
START = "start"
_BUSY_SECONDS = 30.0
_TABLES = (
    "create table if not exists instances (id text primary key, partition integer, is_live integer, tokens text, "
    "state blob)",
    "create table if not exists messages (number integer primary key autoincrement, queue text, visible_at real, "
    "instance text, kind text, body blob)",
    "create index if not exists by_queue on messages (queue, visible_at)",
    "create index if not exists by_instance on messages (instance)",
    "create table if not exists leases (partition integer primary key, owner text, until real)",
)


class LeaseLostError(Exception):
    """Another host has the lease of the partition: what this host did to its instances must not be stored."""


@dataclass(frozen=True)
class HubMessage:
    """A message to an instance. `visible_at` is the time from which it may be taken, in seconds since 1970."""

    queue: str
    instance_id: str
    kind: str
    body: bytes
    visible_at: float = 0.0
    number: int = 0


@dataclass(frozen=True)
class Stored:
    """An instance as it is stored: its serialised state, and the tokens of its activities, both opaque to the hub."""

    instance_id: str
    is_live: bool
    tokens: str
    state: bytes


class TaskHub:
    """The hub of one file. Thread-safe; each process opens the file for itself."""

    def __init__(self, path: Path, partitions: int) -> None:
        """Open the file, or create it. Raises RuntimeError if it cannot be used."""
        self._lock, self.partitions = threading.RLock(), partitions
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_BUSY_SECONDS)
            self._database.execute("pragma journal_mode=wal")
            self._database.execute("pragma synchronous=normal")
            for statement in _TABLES:
                self._database.execute(statement)
        except sqlite3.Error as error:
            raise RuntimeError(
                f"the task hub {path} cannot be used ({error}): end all hosts that use it, delete it and start again; "
                "the app's deployments continue from their journal"
            ) from None

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def partition_of(self, instance_id: str) -> int:
        """Return the partition of an instance."""
        return zlib.crc32(instance_id.encode()) % self.partitions

    def control_queue_of(self, instance_id: str) -> str:
        """Return the control queue of an instance."""
        return control_queue(self.partition_of(instance_id))

    # Messages

    def send(self, message: HubMessage) -> None:
        """Put a message on its queue."""
        with self._writing():
            self._insert([message])

    def start(self, message: HubMessage) -> bool:
        """Put the message that starts an instance on its queue. Return False if the instance lives already."""
        with self._writing():
            if self._is_live(message.instance_id) or self._starting(message.instance_id):
                return False
            self._insert([message])
            return True

    def take(self, queue: str, count: int, seconds: float) -> list[HubMessage]:
        """Take the oldest visible messages of a queue; they are invisible for `seconds`."""
        now = time.time()
        wanted = "from messages where queue = ? and visible_at <= ?"
        with self._lock:
            # Most polls find nothing; a read does not wait for the other hosts.
            if self._database.execute(f"select 1 {wanted} limit 1", (queue, now)).fetchone() is None:
                return []
            with self._writing():
                rows = self._database.execute(
                    f"select number, instance, kind, body {wanted} order by number limit ?",
                    (queue, now, count),
                ).fetchall()
                self._hide((row[0] for row in rows), now + seconds)
        return [HubMessage(queue, row[1], row[2], row[3], number=row[0]) for row in rows]

    def hide(self, numbers: Iterable[int], seconds: float) -> None:
        """Keep taken messages invisible for `seconds` from now; with 0 they may be taken again."""
        with self._writing():
            self._hide(numbers, time.time() + seconds)

    def replace(self, number: int, message: HubMessage) -> None:
        """Delete a taken message, and send another in the same transaction."""
        with self._writing():
            self._delete([number])
            self._insert([message])

    def delete(self, number: int) -> None:
        """Delete a message that has no effect."""
        with self._writing():
            self._delete([number])

    # Instances

    def instance(self, instance_id: str) -> Stored | None:
        """Return a stored instance; None if it does not exist, or is about to start for the first time."""
        with self._lock:
            row = self._database.execute(
                "select id, is_live, tokens, state from instances where id = ?", (instance_id,)
            ).fetchone()
        return None if row is None else Stored(row[0], bool(row[1]), row[2], row[3])

    def starting(self, instance_id: str) -> bytes | None:
        """Return the body of the message that will start the instance; None if no such message waits."""
        with self._lock:
            return self._starting(instance_id)

    def live(self, partition: int) -> list[Stored]:
        """Return the instances of a partition that have not ended."""
        with self._lock:
            rows = self._database.execute(
                "select id, is_live, tokens, state from instances where partition = ? and is_live", (partition,)
            ).fetchall()
        return [Stored(row[0], True, row[2], row[3]) for row in rows]

    def checkpoint(self, owner: str, stored: Stored, done: Iterable[int], sent: Sequence[HubMessage]) -> None:
        """Store an instance after a turn, delete the messages of the turn, and send those that it led to.

        Raises LeaseLostError if `owner` has no longer the lease of the instance's partition.
        """
        partition = self.partition_of(stored.instance_id)
        with self._writing():
            held = self._database.execute("select owner from leases where partition = ?", (partition,)).fetchone()
            if held is None or held[0] != owner:
                raise LeaseLostError(f"partition {partition} is served by another host")
            self._database.execute(
                "insert or replace into instances values (?, ?, ?, ?, ?)",
                (stored.instance_id, partition, stored.is_live, stored.tokens, stored.state),
            )
            self._delete(done)
            self._insert(sent)

    def purge(self, instance_id: str) -> bool:
        """Delete an instance. Return False if it does not exist or has not ended."""
        with self._writing():
            found = self._database.execute("delete from instances where id = ? and not is_live", (instance_id,))
            return found.rowcount > 0

    # Leases

    def lease(self, owner: str, seconds: float) -> frozenset[int]:
        """Renew the leases of `owner`, and acquire those that nobody has; return the partitions that it holds.

        The first host acquires all; the real provider spreads them over the hosts.
        """
        now = time.time()
        with self._writing():
            for partition in range(self.partitions):
                self._database.execute(
                    "insert into leases values (?, ?, ?) on conflict (partition) do update "
                    "set owner = excluded.owner, until = excluded.until where owner = excluded.owner or until < ?",
                    (partition, owner, now + seconds, now),
                )
            rows = self._database.execute("select partition from leases where owner = ?", (owner,)).fetchall()
        return frozenset(row[0] for row in rows)

    def release(self, owner: str) -> None:
        """Give the leases of `owner` back."""
        with self._writing():
            self._database.execute("delete from leases where owner = ?", (owner,))

    # Inside a transaction, or under the lock

    @contextmanager
    def _writing(self) -> Generator[None]:
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")

    def _insert(self, messages: Iterable[HubMessage]) -> None:
        self._database.executemany(
            "insert into messages (queue, visible_at, instance, kind, body) values (?, ?, ?, ?, ?)",
            [(m.queue, m.visible_at, m.instance_id, m.kind, m.body) for m in messages],
        )

    def _hide(self, numbers: Iterable[int], until: float) -> None:
        rows = [(until, number) for number in numbers]
        self._database.executemany("update messages set visible_at = ? where number = ?", rows)

    def _delete(self, numbers: Iterable[int]) -> None:
        self._database.executemany("delete from messages where number = ?", [(number,) for number in numbers])

    def _is_live(self, instance_id: str) -> bool:
        row = self._database.execute("select is_live from instances where id = ?", (instance_id,)).fetchone()
        return row is not None and bool(row[0])

    def _starting(self, instance_id: str) -> bytes | None:
        row = self._database.execute(
            "select body from messages where instance = ? and kind = ? order by number limit 1", (instance_id, START)
        ).fetchone()
        return None if row is None else row[0]


def control_queue(partition: int) -> str:
    """Return the name of a partition's control queue."""
    return f"control-{partition:02}"
