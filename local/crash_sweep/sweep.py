"""Make the planned kills on several stacks in parallel."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from local.crash_sweep.kills import COLD, Kill, Report, judge
from local.crash_sweep.worker import Result, Worker
from local.stack import StackError
from shared.domain.errors import StorageUnavailableError

MAX_BROKEN = 20
"""The sweep gives up after this number of stacks broke for another reason than the kill."""


class Sweep:
    """The kills that are left, shared by the threads that make them; each thread has its own stack.

    A worn stack is replaced. `used` is a stack that has run deployments before; one thread takes it, keeps it however
    worn it is, and stops it at the end.
    """

    def __init__(
        self,
        kills: Iterable[Kill],
        report: Report,
        report_line: Callable[[str], None],
        new_worker: Callable[[str], Worker],
        used: Worker | None = None,
    ) -> None:
        self._new_worker, self._used = new_worker, used
        self._left, self._lock = deque(kills), threading.Lock()
        self._report, self._print = report, report_line
        self._total, self._done, self._began = len(self._left), 0, time.monotonic()
        self._errors: list[BaseException] = []

    def run(self, jobs: int) -> None:
        """Make all kills on `jobs` stacks. Raises the first error of a thread, and KeyboardInterrupt."""
        threads = [threading.Thread(target=self._serve, name=f"worker-{i}") for i in range(jobs)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt as error:
            self._errors.append(error)
            for thread in threads:
                thread.join()
        if self._errors:
            raise self._errors[0]

    def _serve(self) -> None:
        """Make kills until none is left or a thread has failed; stop the stack at the end."""
        with self._lock:
            worker, self._used = self._used, None
        kept = worker
        try:
            while (kill := self._next()) is not None:
                if kill.mode == COLD:
                    with self._new_worker("sweep-cold") as fresh:
                        self._kill(kill, fresh)
                    continue
                worker = worker or self._new_worker("sweep").__enter__()
                if not self._kill(kill, worker) or (worker.is_worn and worker is not kept):
                    worker.__exit__()
                    worker = None
        except BaseException as error:
            self._errors.append(error)
        finally:
            if worker is not None:
                worker.__exit__()

    def _next(self) -> Kill | None:
        with self._lock:
            return self._left.popleft() if self._left and not self._errors else None

    def _kill(self, kill: Kill, worker: Worker) -> bool:
        """Make a kill. Return True if the stack can be used again: an unfinished deployment would disturb the next."""
        try:
            result = worker.run(kill.manifest, kill.boundary, kill.phase, kill.speed)
        except (OSError, StackError, StorageUnavailableError) as error:
            self._broke(kill, error)
            return False
        self._finished(kill, result)
        return not any(violation.startswith("not ended") for violation in result.violations)

    def _finished(self, kill: Kill, result: Result) -> None:
        """Count a result and print it; plan another try if the boundary was not reached."""
        with self._lock:
            wrong = judge(self._report, str(kill), result)
            word = self._count(kill, result)
            clock = time.strftime("%M:%S", time.gmtime(time.monotonic() - self._began))
            verdict = "WRONG" if wrong else "ok"
            self._print(f"{clock} {self._done:4}/{self._total} {kill}: {word}, {verdict} {result.seconds:.1f} s")
            for line in wrong:
                self._print(f"      VIOLATION {line}")

    def _count(self, kill: Kill, result: Result) -> str:
        following = kill.next_try
        if not result.was_killed and following is not None:
            self._left.append(following)
            return "not reached, tried again later"
        self._done += 1
        if result.was_killed:
            self._report.kills_made += 1
            return "killed"
        self._report.not_reached.append(kill)
        return "NEVER REACHED"

    def _broke(self, kill: Kill, error: Exception) -> None:
        """Plan the kill again on a new stack. Raises the error if too many stacks broke."""
        with self._lock:
            self._report.broken += 1
            if self._report.broken > MAX_BROKEN:
                raise error
            self._left.append(kill)
            self._print(f"      {kill}: another part of the stack failed ({error}); tried again later on a new stack")
