"""Measure the processor time of each test file, with all processes that its tests start (`pytest -n 0 --cpu`).

On a busy machine wall time depends on the neighbours; processor time hardly does. A stack that several files share is
charged to the file that starts it. Linux only, because it reads /proc.
"""

import ctypes
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

_PR_SET_CHILD_SUBREAPER = 36
_SHOWN = 400
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ProcessorTime:
    """Report processor seconds by test file at the end of the run."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._tests: dict[str, int] = defaultdict(int)
        self._before = 0.0
        # A process whose parent has ended becomes our child, so that its time is not lost.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def _charge(self, name: str) -> None:
        now = seconds_of_tree(os.getpid())
        self._seconds[name] += now - self._before
        self._before = now

    def pytest_collection_finish(self) -> None:
        """Charge what has passed until now to the collection."""
        self._charge("(imports and collection)")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        """Charge the file when its last test has ended."""
        name = item.location[0]
        self._tests[name] += 1
        try:
            return (yield)
        finally:
            if nextitem is None or nextitem.location[0] != name:
                self._charge(name)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the files that took most."""
        self._charge("(end)")
        ordered = sorted(self._seconds.items(), key=lambda each: -each[1])
        terminalreporter.section("processor seconds by file")
        for name, seconds in ordered[:_SHOWN]:
            terminalreporter.line(f"{seconds:8.1f} {self._tests[name]:5} tests  {name}")
        rest = sum(seconds for _, seconds in ordered[_SHOWN:])
        terminalreporter.line(f"{rest:8.1f} in {max(0, len(ordered) - _SHOWN)} other files")
        terminalreporter.line(f"{sum(self._seconds.values()):8.1f} in total")


def seconds_of_tree(root: int) -> float:
    """Return the processor seconds of a process and its descendants, with those of ended ones that were waited for."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            parents[int(folder.name)] = int(fields[1])
            seconds[int(folder.name)] = sum(map(int, fields[11:15])) / _TICKS_PER_SECOND
    return sum(each for pid, each in seconds.items() if _descends(pid, root, parents))


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid != root:
        if pid not in parents:
            return False
        pid = parents[pid]
    return True
