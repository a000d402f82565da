"""Fork host processes from a process that has imported everything, because a sweep starts hundreds of hosts.

A forked start takes a third of the time of a normal one. The forking process creates no client, opens no connection
and starts no thread, so each host starts like a new process.
"""

import gc
import importlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from local import processes
from local.paths import ROOT
from local.stack import Stack

_HEAVY = (
    *("azure.functions", "azure.durable_functions", "azure_functions_runtime", "shared.entry"),
    *("shared.adapters.storage.journal_table", "shared.adapters.storage.lock_table", "shared.adapters.storage.blobs"),
    *("shared.adapters.storage.queues", "shared.adapters.durable", "shared.adapters.fabric.client", "shared.cli.pack"),
    *("azure.storage.queue", "azure.storage.blob"),
)
"""The modules that every host imports, except for function_app.py, which the host loads itself."""


def fork_hosts(serve: Callable[[], None]) -> None:
    """Fork a process for each line of standard input, and print its id.

    A line is JSON with `arguments`, `log` and `environment`.
    """
    for module in _HEAVY:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that a collection in a fork does not copy the pages of all these modules
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that ended children do not stay as zombies
    for line in sys.stdin:
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        wanted: dict[str, Any] = json.loads(line)
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target in (1, 2):
            os.dup2(log, target)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        random.seed()
        os.environ.update(wanted["environment"])
        sys.argv[1:] = wanted["arguments"]
        serve()
        os._exit(0)


@dataclass
class PreforkStack(Stack):
    """A stack that forks its functions hosts from one process."""

    host_module: str = "local.crash_sweep.host"

    def __post_init__(self) -> None:
        self._prefork: subprocess.Popen[str] | None = None
        self._forked: set[int] = set()

    def runs(self, part: str) -> bool:
        """Return True if the part runs. A forked host is known by its id only, because forks share a command line."""
        pid = self.pids.get(part)
        if part not in self.hosts or pid is None:
            return super().runs(part)
        return pid in self._forked and processes.is_alive(pid)

    def _spawn(self, part: str, module: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        if part not in self.hosts:
            super()._spawn(part, module, arguments, environment)
            return
        log = self.folder / f"{part}.log"
        if self._prefork is None:
            with log.open("ab") as stream:
                self._prefork = subprocess.Popen(
                    [sys.executable, "-m", module],
                    cwd=ROOT,
                    env={**environment, "PYTHONUNBUFFERED": "1"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stream,
                    text=True,
                    start_new_session=True,
                )
        wanted = {"arguments": arguments, "log": str(log), "environment": dict(environment)}
        print(json.dumps(wanted), file=_open(self._prefork.stdin), flush=True)
        self.pids[part] = int(_open(self._prefork.stdout).readline())
        self._forked.add(self.pids[part])
        self._save()

    def down(self) -> None:
        """Stop the stack, and the process that forks its hosts."""
        super().down()
        if self._prefork is not None:
            with self._prefork:
                _open(self._prefork.stdin).close()
            self._prefork = None


def _open(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the process that forks hosts has no pipes")
    return stream
