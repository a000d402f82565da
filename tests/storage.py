"""One Azurite for a whole test run, with an empty account for each caller.

Its start takes 1.6 s of processor time, and most stacks only need storage that nobody else writes to. A test that stops
its storage, or reads the emulator's files, starts a process of its own (`make_stack(has_storage=True)`).
"""

import base64
import fcntl
from pathlib import Path

from local import azurite
from local.paths import HOME

_ACCOUNTS = 600
"""More than a run takes. The emulator must know all names when it starts."""


def account(folder: Path) -> str:
    """Return the connection string of an account that nobody has used. The first call starts the emulator.

    `folder` belongs to the run: all its workers share the emulator. Raises azurite.AzuriteError, and RuntimeError if
    all accounts are taken.
    """
    known = {f"account{number:04}": _key(number) for number in range(_ACCOUNTS)}
    file = _file(folder)
    with (folder / "storage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            running = azurite.start(HOME, folder / "azurite", in_memory=True, accounts=known)
            file.write_text(" ".join(map(str, (running.pid, *running.ports))))
        name = next((name for name in known if not (folder / name).exists()), None)
        if name is None:
            raise RuntimeError(f"a run has {_ACCOUNTS} storage accounts, and all are taken: raise their number")
        (folder / name).touch()
        _, blob, queue, table = map(int, file.read_text().split())
    return azurite.connection_string((blob, queue, table), name, known[name])


def stop(folder: Path) -> None:
    """End the emulator, if it was started."""
    if (file := _file(folder)).exists():
        azurite.stop(int(file.read_text().split()[0]))
        file.unlink()


def _file(folder: Path) -> Path:
    return folder / "storage"


def _key(number: int) -> str:
    return base64.b64encode(f"the key of account {number:04}".encode()).decode()
