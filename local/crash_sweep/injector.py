"""Count and record the exchanges inside the host, and kill the process at the one that the plan names."""

import json
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from local.crash_sweep import names
from local.crash_sweep.crash_plan import AFTER, BEFORE, CrashPlan, crashed_file, record_file

READ, WRITE, TAKEN = (BEFORE,), (BEFORE, AFTER), (AFTER,)
"""The phases of a read, of a write, and of a message's receipt.

A read has no effect, so a kill after it equals a kill before the next exchange. A poll that returns no message is not a
boundary, so a receipt has no phase before it.
"""


class CrashInjector:
    """Counts the exchanges of this process. Without a plan, or after its kill, it only lets them pass."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._stamp = 0
        self._plan: CrashPlan | None = None
        self._is_armed = False
        self._counts: Counter[str] = Counter()
        self._known: dict[str, str] = {}

    def begin(self, name: str, phases: tuple[str, ...], text: str = "") -> bool:
        """Count an exchange that starts now, and kill the process if the plan says so.

        `text` is the content of the exchange, which shows to which deployment it belongs. Return True if the caller
        must kill the process after the exchange.
        """
        with self._lock:
            plan = self._current()
            if plan is None or names.is_foreign(f"{name} {text}", plan.deployment_id):
                return False
            name = names.normal(name, plan.deployment_id, self._known)
            self._counts[name] += 1
            nth = self._counts[name]
            if plan.record:
                self._record(name, nth, phases)
            if not self._is_armed or (name, nth) != (plan.name, plan.nth):
                return False
            if plan.phase == BEFORE:
                self.crash()
            return True

    def crash(self) -> None:
        """Write the mark and kill this process as a crash would: nothing is flushed, closed or answered."""
        crashed_file(self._file).write_text("")
        os.kill(os.getpid(), signal.SIGKILL)

    def remember(self, resource_id: str, name: str) -> None:
        """Replace this id by its name in all later names of exchanges."""
        with self._lock:
            self._known[resource_id.lower()] = name

    def _current(self) -> CrashPlan | None:
        try:
            stamp = self._file.stat().st_mtime_ns
        except OSError:
            return None
        if stamp != self._stamp:
            self._stamp = stamp
            self._plan = plan = CrashPlan.read(self._file)
            self._is_armed = bool(plan.name) and not crashed_file(self._file).exists()
            self._counts.clear()
            self._known = {known: known for known in plan.known}
        return self._plan

    def _record(self, name: str, nth: int, phases: tuple[str, ...]) -> None:
        row: dict[str, Any] = {"name": name, "nth": nth, "phases": phases}
        with record_file(self._file).open("a") as stream:
            stream.write(json.dumps(row) + "\n")
