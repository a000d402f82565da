"""`python -m local.stack up|down|status|env`: start or stop a stack, or print its state or its variables."""

import argparse
import sys

from local import azurite, files, stack
from local.stack import Stack, StackError, environment
from local.stack.description import READY


def main() -> int:
    """Run the command; return its exit code. Every error is one line that says what to do."""
    parser = argparse.ArgumentParser(prog="python -m local.stack", description=stack.__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "env"))
    parser.add_argument("--name", help="the stack's name; default: STACK, or `default`")
    options = parser.parse_args()
    chosen = stack.from_environment(options.name)
    try:
        return _run(chosen, options.command)
    except files.DamagedError as error:
        print(f"error: {error}; `make up` sets the file aside and starts again, and the data stay", file=sys.stderr)
    except (StackError, azurite.AzuriteError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        place = error.filename or chosen.folder
        print(f"error: {place}: {error.strerror}; correct this, then run `make up`", file=sys.stderr)
    finally:
        for note in chosen.notes:
            print(f"note: {note}", file=sys.stderr)
    return 1


def _run(stack: Stack, command: str) -> int:
    if command == "down":
        stack.down()
        print(f"stack {stack.name} is stopped; its data are in {stack.folder}")
        return 0
    if command == "up":
        stack.up()
    if not stack.file.exists():
        # To stderr for `env`, because a shell evaluates its output.
        stream = sys.stderr if command == "env" else sys.stdout
        print(f"stack {stack.name} is not running; `make up` starts it", file=stream)
        return 1
    data = stack.load()
    if command == "env":
        print(*environment.exports(stack, data), sep="\n")
        return 0
    return _print_status(stack)


def _print_status(stack: Stack) -> int:
    """Print the addresses and the next command; return 1 if a part is not running."""
    print(f"stack      {stack.name}" + (f" ({stack.topology})" if stack.topology != "single" else ""))
    print(f"app        {stack.functions_url}{READY}")
    print(f"page       {stack.functions_url}/api/dashboard (`make env` prints its key as FUNCTION_KEY)")
    print(f"fabric     {stack.fabric_url}" + (f"/_sim/state ({stack.profile})" if stack.has_simulator else ""))
    print(f"details    {stack.file}")
    dead = [part for part in stack.parts if not stack.runs(part)]
    for part in dead:
        print(f"parts      {part} is not running; `make up` starts it")
    if dead:
        return 1
    option = "" if stack.name == "default" else f" STACK={stack.name}"
    print(f'next       eval "$(make -s env{option})"; source .venv/bin/activate')
    print("           python -m shared.cli submit examples/medallion.yaml --wait")
    return 0


if __name__ == "__main__":
    sys.exit(main())
