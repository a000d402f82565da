"""`python -m tests.peers`: run every command of both peers, print each with its outcome."""

import sys
import time
from itertools import chain

from tests.peers import commands, environment, publishing
from tests.peers.stage import end_in_order, running


def main() -> int:
    """Return 1 if a command did something other than against Fabric."""
    end_in_order()
    environment.install()
    print(", ".join(f"{name} {version}" for name, version in environment.VERSIONS.items()), flush=True)
    wrong = count = 0
    began = time.monotonic()
    with running() as stage:
        for outcome in chain(publishing.all_of_it(stage, 400), publishing.all_of_it(stage, 409), commands.run(stage)):
            count += 1
            wrong += bool(outcome.problem)
            verdict = f"FAILED: {outcome.problem}" if outcome.problem else "ok"
            note = f" ({outcome.note})" if outcome.note else ""
            print(f"{time.monotonic() - began:6.1f} s  {verdict:6}  {outcome.command}{note}", flush=True)
    kinds = {kind for kind, _ in publishing.expected()}
    print(f"{count - wrong} of {count} commands right; {len(kinds)} item types in the repository")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
