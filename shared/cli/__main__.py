"""`python -m shared.cli`: what CI and operators run. `--help` says what there is; docs/cli.md has a page."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from shared import settings
from shared.cli.connection import follow_again
from shared.cli.follow import BAD_REQUEST, NOT_AUTHORISED, UNAVAILABLE
from shared.cli.output import LineOutput, Output, choose
from shared.cli.parser import parser
from shared.cli.plan import WRONG
from shared.cli.runner import RunnerOutput
from shared.domain.errors import (
    FabricAuthError,
    FabricTransientError,
    InvalidInputError,
    SagaError,
    StorageAuthError,
    StorageUnavailableError,
    how_many,
)

INTERRUPTED, READER_GONE = 130, 141
_WHEN_UNAVAILABLE = (
    "  what to do: see that it is up and its address right (AzureWebJobsStorage..., FABRIC_API_BASE_URL, --url); "
    'on a machine without Azure: make up, then eval "$(make -s env)"'
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    output = _output(options)
    bad_request = WRONG if getattr(options, "detailed_exitcode", False) else BAD_REQUEST
    try:
        command: Callable[[argparse.Namespace, Output], int] = options.run
        return command(options, output)
    except InvalidInputError as error:
        output.close()
        said = f"error: {how_many(error.problems)}; correct what is listed"
        output.event("invalid", said, count=len(error.problems))
        output.problems(error.problems)
        return bad_request
    except (settings.SettingsError, StorageAuthError, FabricAuthError) as error:
        output.close()
        output.event("error", f"error: {error}", error=type(error).__name__, message=str(error))
        return bad_request if isinstance(error, settings.SettingsError) else NOT_AUTHORISED
    except (StorageUnavailableError, FabricTransientError) as error:
        output.close()
        output.event("error", f"error: {error}\n{_WHEN_UNAVAILABLE}", error="unavailable", message=str(error))
        return UNAVAILABLE
    except SagaError as error:
        output.close()
        output.event("error", f"error: {error}", error=type(error).__name__, message=str(error))
        return bad_request
    except BrokenPipeError:
        # Who read our output has gone (`... | head`). What is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:
        output.close()
        where = getattr(options, "id", None)
        said = f"detached. It goes on; follow it with: {follow_again(options)}" if where else "interrupted."
        output.event("detached", f"\n{said}", deployment_id=where)
        return INTERRUPTED
    finally:
        output.close()


def _output(options: argparse.Namespace) -> Output:
    """As asked for, as the terminal allows, or as the pipeline understands that runs this."""
    output = choose(as_json=options.json)
    runner = settings.runner()
    is_lines = type(output) is LineOutput
    return RunnerOutput(sys.stdout, runner, getattr(options, "manifest", "")) if runner.kind and is_lines else output


if __name__ == "__main__":
    sys.exit(main())
