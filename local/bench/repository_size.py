"""Deploy a large repository: processor time an item, and the greatest memory of the command line and of the host."""

import re
import tempfile
from pathlib import Path

from local.bench.measure import Bench, heading, row
from local.bench.repository import Measured, ours, write

FEW, MANY = 100, 1_000
MIB = 300
"""Of the large repository; an item of the small one has the same size."""


def run(bench: Bench) -> None:
    """Deploy both repositories, the small one first, each into a workspace of its own."""
    kib = MIB * 1024 // MANY
    heading(f"repositories of {FEW} and {MANY} notebooks with {kib} KiB each ({MIB} MiB), Fabric's own quota")
    _deploy(bench, "warm", 5, 1)
    few = _deploy(bench, "few", FEW, kib)
    many = _deploy(bench, "many", MANY, kib)
    row(f"processor time of an item: {MANY} / {FEW}", f"{many / few:.2f} x", "at most 1.3")


def _deploy(bench: Bench, target: str, count: int, kib: int) -> float:
    """Deploy, print, and return the host's processor seconds for an item."""
    host = Path(f"/proc/{bench.stack.pids['functions']}")
    idle = _resident(host)
    before = bench.used()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write(root / "repository", count, kib)
        measured: Measured = ours(bench, root, target, 1)
    seconds = bench.used().since(before).cpu_seconds / count
    if target != "warm":
        calls = f"{len(measured.calls) / count:.2f} calls an item"
        row(f"{count} items: submission to end", f"{measured.seconds:.1f} s", calls)
        row(f"{count} items: processor time of the host", f"{seconds * 1000:.0f} ms", "an item")
        row(f"{count} items: peak memory of the command line", f"{measured.command_mib:.0f} MiB")
        row(f"{count} items: peak memory of the host", f"{_peak(host):.0f} MiB", f"{idle:.0f} MiB before")
    return seconds


def _resident(process: Path) -> float:
    """Return the resident MiB of a process, and reset its peak."""
    (process / "clear_refs").write_text("5")
    return _status(process, "VmRSS")


def _peak(process: Path) -> float:
    """Return the greatest resident MiB of a process since the reset."""
    return _status(process, "VmHWM")


def _status(process: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", (process / "status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
