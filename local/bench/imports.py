"""Measure how long a cold start imports the app, compared with the SDK that every app imports."""

import statistics
import subprocess
import sys
import time

from local.bench.measure import heading, row, spread
from local.paths import ROOT

_PROGRAMS = {
    "Python alone": "pass",
    "the SDK alone": "import azure.functions, azure.durable_functions",
    "function_app": "import function_app",
}


def run(rounds: int) -> None:
    """Import each in turn in a new process, and print the medians."""
    found: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    for _ in range(rounds):
        for name, program in _PROGRAMS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
            found[name].append(1000 * (time.perf_counter() - began))
    base = statistics.median(found["Python alone"])
    heading(f"import (median of {rounds}, without the start of Python)")
    for name in ("the SDK alone", "function_app"):
        row(name, f"{statistics.median(found[name]) - base:.0f} ms", spread(found[name], "ms with Python", 0))
    own = statistics.median(found["function_app"]) - statistics.median(found["the SDK alone"])
    row("function_app without the SDK", f"{own:.0f} ms")
