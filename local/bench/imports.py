"""What a cold start pays for importing the app, beside the SDK that any app imports."""

import statistics
import subprocess
import sys
import time

from local.bench.measure import heading, row, spread
from local.stack import ROOT

_PROGRAMS = {
    "python alone": "pass",
    "the SDK alone": "import azure.functions, azure.durable_functions",
    "function_app": "import function_app",
}


def run(rounds: int) -> None:
    """By turns, each in a fresh process."""
    found: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    for _ in range(rounds):
        for name, program in _PROGRAMS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
            found[name].append(1000 * (time.perf_counter() - began))
    base = statistics.median(found["python alone"])
    heading(f"import (median of {rounds}, python's own start taken off)")
    for name in ("the SDK alone", "function_app"):
        row(name, f"{statistics.median(found[name]) - base:.0f} ms", spread(found[name], "ms with python", 0))
    own = statistics.median(found["function_app"]) - statistics.median(found["the SDK alone"])
    row("ours over the SDK", f"{own:.0f} ms")
