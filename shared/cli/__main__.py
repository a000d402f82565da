"""Start the command line, `python -m shared.cli`. `--help` lists the commands; docs/cli.md describes them.

Before `main` runs, only the standard library and `crash` are imported, so that an interrupt, a missing package or an
error of the program ends with a sentence and its own exit code, wherever it happens.
"""

from __future__ import annotations  # so that an older interpreter prints a sentence too

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from shared.cli.crash import CRASHED, INTERRUPTED, crash

BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Raises SystemExit for --help and usage errors, as argparse does."""
    if sys.version_info < (3, 13):  # noqa: UP036 - it may be run by an older interpreter
        _report_crash(f"error: Python 3.13 or later is needed; {sys.executable} is {sys.version.split()[0]}")
        return CRASHED
    try:
        from shared.cli.command import run

        return run(arguments)
    except KeyboardInterrupt:
        _report_crash("\ninterrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:
        _report_crash(f"error: {crash(error)}")
        return CRASHED


def _report_crash(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # the stream is closed
        return


def process() -> int:
    """Run the command that the process was started with."""
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    stream: TextIO | None = sys.stdout
    if stream is None:  # closed by the caller
        return code
    try:
        stream.flush()
    except (OSError, ValueError) as error:
        # At exit, Python must not try to write the rest of the buffer again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return BROKEN_PIPE if isinstance(error, BrokenPipeError) else code or CRASHED
    return code


if __name__ == "__main__":
    sys.exit(process())
