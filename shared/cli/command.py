"""Run one command; every error becomes a sentence and the exit code that docs/cli.md lists."""

import argparse
import sys
from collections.abc import Callable, Sequence

from shared import settings
from shared.cli import config
from shared.cli.common import follow_command
from shared.cli.crash import CRASHED, INTERRUPTED, crash
from shared.cli.follow import BAD_REQUEST, NOT_AUTHORISED, UNAVAILABLE
from shared.cli.help import COMMAND
from shared.cli.parser import parser
from shared.cli.plan import WRONG
from shared.cli.render.output import LineOutput, Output, choose, standard_output
from shared.cli.render.runner import RunnerOutput
from shared.domain.errors import (
    FabricAuthError,
    FabricError,
    FabricTransientError,
    IllegalTransitionError,
    InvalidInputError,
    NotFoundError,
    SagaError,
    StorageAuthError,
    StorageUnavailableError,
    UnknownVersionError,
    how_many,
)
from shared.domain.remedies import remedy

_WHEN_UNAVAILABLE = (
    "  what to do: check that the service is running, that its address is right (AzureWebJobsStorage..., "
    "FABRIC_API_BASE_URL, --url) and that it is reachable (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE); "
    'on a machine without Azure: make up, then eval "$(make -s env)"'
)


def run(arguments: Sequence[str] | None) -> int:
    """Run one command and return its exit code.

    Raises SystemExit as argparse does, and any error of creating the output.
    """
    given = sys.argv[1:] if arguments is None else arguments
    for number, text in enumerate(given, start=1):
        if not _is_text(text):
            print(f"error: argument {number} is not UTF-8 text", file=sys.stderr)
            return BAD_REQUEST
    options = parser().parse_args(given)
    output = _output(options)
    command: Callable[[argparse.Namespace, Output], int] = options.run
    try:
        config.apply(options)
        return command(options, output)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        output.close()
        about = {"matrix" if _is_fleet(options) else "deployment_id": getattr(options, "id", None)}
        output.event("detached", f"\n{_detached(options)}", **about)
        return INTERRUPTED
    except InvalidInputError as error:
        output.close()
        message = f"error: {how_many(error.problems)}; correct what is listed"
        output.event("invalid", message, count=len(error.problems))
        output.problems(error.problems)
        return _code(error, options)
    except (settings.SettingsError, SagaError) as error:
        output.close()
        code = _code(error, options)
        kind = "unavailable" if code == UNAVAILABLE else type(error).__name__
        output.event("error", f"error: {error}{_hint(error, code, options)}", error=kind, message=str(error))
        return code
    except Exception as error:
        output.close()
        message = crash(error)
        output.event("error", f"error: {message}", error="crashed", message=message)
        return CRASHED
    finally:
        output.close()


def _hint(error: Exception, code: int, options: argparse.Namespace) -> str:
    """Return the lines after an error: what to do, and how to follow what was sent; empty if the error says it."""
    hint = ""
    if code == UNAVAILABLE:
        hint = f"\n{_WHEN_UNAVAILABLE}"
    elif isinstance(error, FabricError):
        hint = f"\n  what to do: {remedy(error)}"
    elif type(error) is NotFoundError and not _is_sent(options):
        hint = f"\n  what to do: check the id; `{COMMAND} list` shows the deployments"
    if _is_fleet(options) and _is_sent(options):
        hint += f"\n  {_rest_of_fleet(options)}"
    elif code == CRASHED and _is_sent(options):
        hint += f"\n  the request was sent; follow it with: {follow_command(options)}"
    return hint


def _code(error: Exception, options: argparse.Namespace) -> int:
    """Return the exit code of an error. BAD_REQUEST promises that nothing was done, so it never follows sending."""
    if isinstance(error, StorageAuthError | FabricAuthError):
        return NOT_AUTHORISED
    if isinstance(error, StorageUnavailableError | FabricTransientError):
        return UNAVAILABLE
    if isinstance(error, UnknownVersionError | IllegalTransitionError) or _is_sent(options):
        return CRASHED
    return WRONG if getattr(options, "detailed_exitcode", False) else BAD_REQUEST


def _is_sent(options: argparse.Namespace) -> bool:
    return getattr(options, "is_sent", False)


def _detached(options: argparse.Namespace) -> str:
    if not getattr(options, "id", None):
        return "interrupted."
    if _is_fleet(options):
        state = "detached" if _is_sent(options) else "interrupted before anything was certainly sent"
        return f"{state}: {_rest_of_fleet(options)}"
    if getattr(options, "is_sent", True):
        return f"detached. The deployment continues; follow it with: {follow_command(options)}"
    return f"interrupted before anything was certainly sent; check with: {follow_command(options)}"


def _is_fleet(options: argparse.Namespace) -> bool:
    return getattr(options, "matrix", None) is not None


def _rest_of_fleet(options: argparse.Namespace) -> str:
    """Return how to continue `submit --matrix`, whose rows may have been sent in part; `id` is that of the matrix."""
    return (
        f"what was sent continues; the same command with --id {options.id} sends the rest and follows all, and "
        f"{COMMAND} list --label matrix={options.id} shows them"
    )


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _output(options: argparse.Namespace) -> Output:
    """Return the output that the options ask for, or the one that suits the terminal or the pipeline's runner."""
    stream = standard_output()
    output = choose(stream, as_json=options.json)
    runner = settings.runner()
    is_lines = type(output) is LineOutput
    manifest = getattr(options, "manifest", None) or ""  # None: `submit` without a file, or with --fabric-cicd
    return RunnerOutput(stream, runner, manifest) if runner.kind and is_lines else output
