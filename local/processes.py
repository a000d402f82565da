"""Inspect and end processes by their id, also those that this process did not start."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_NAMED_SECONDS = 5.0
"""How long to wait for a command line: a new process has none until its program is loaded."""


def end(pid: int, number: signal.Signals, seconds: float) -> bool:
    """Send a signal and wait up to `seconds` for the process to end. Return True if it has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return True
        except ChildProcessError:
            if not is_alive(pid):
                return True
        time.sleep(0.02)
    return False


def is_alive(pid: int) -> bool:
    """Return True if a process with this id runs and is not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        return status.rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def writing_to(file: Path) -> list[int]:
    """Return the ids of the processes whose standard output is this file; empty on systems without /proc."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "fd" / "1").readlink() == file.resolve() and is_alive(int(folder.name)):
                found.append(int(folder.name))
    return found


def command_line(pid: int) -> list[str] | None:
    """Return the program and its arguments: empty for a kernel thread or an ended process, None without /proc."""
    if not Path("/proc/self").exists():
        return None
    until = time.monotonic() + _NAMED_SECONDS
    while is_alive(pid) and time.monotonic() < until:
        with suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if line:
                return line.decode(errors="replace").split("\0")
        time.sleep(0.002)
    return []
