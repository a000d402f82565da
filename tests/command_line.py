"""Run the command line in this process, because a new interpreter takes a second of processor time to load it.

A test whose subject is the process itself (signals, pipes, the interpreter's own variables) starts one.
"""

import io
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from unittest.mock import patch

from local.paths import ROOT
from shared.cli.__main__ import main

Done = subprocess.CompletedProcess[str]


def run(*arguments: str, environment: Mapping[str, str], text: str = "", seconds: float = 180.0) -> Done:
    """Run one command to its end in the repository's folder, with this environment and nothing else.

    An environment that sets variables of the interpreter gets a new process; `seconds` is the time limit of that
    process.
    """
    if any(name.startswith("PYTHON") and os.environ.get(name) != value for name, value in environment.items()):
        command = [sys.executable, "-m", "shared.cli", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, input=text, capture_output=True, text=True, check=False, timeout=seconds
        )
    out, err = _stream("strict"), _stream("backslashreplace")
    given = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    root = logging.getLogger()
    with (
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "stdin", given),
        # Without the tests' own handlers a warning goes to stderr, as it does in a process.
        patch.object(root, "handlers", []),
        chdir(ROOT),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = _code(arguments)
    return Done(["shared.cli", *arguments], code, _text(out), _text(err))


def _code(arguments: tuple[str, ...]) -> int:
    """Return the exit code that the interpreter would return."""
    try:
        return main(arguments)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
            return 1
        return error.code or 0
    except Exception:
        traceback.print_exc()
        return 1


def _stream(errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
