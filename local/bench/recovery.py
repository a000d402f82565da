"""Measure how much later a deployment ends if its host is killed with `kill -9` while it runs."""

import json
import statistics
import time
from pathlib import Path

from local.bench.measure import Bench, heading, row, spread
from local.paths import ROOT
from shared.cli.pack import packed
from shared.domain.json import JsonObject
from shared.domain.text import parse

_KILLS = (0.2, 0.5, 0.8)
"""When the host is killed, as parts of the undisturbed time."""


def run(bench: Bench, rounds: int) -> None:
    """Run a deployment that succeeds and one that is rolled back, with and without kills, at Fabric's recorded pace."""
    for example in ("medallion", "failing"):
        path = ROOT / "examples" / f"{example}.yaml"
        plain = [_wall(bench, path, f"plain-{example}-{i}") for i in range(rounds)]
        whole = statistics.median(plain)
        extra: list[float] = []
        for i in range(rounds):
            for kill in _KILLS:
                wall = _wall(bench, path, f"killed-{example}-{i}-{kill}".replace(".", "-"), kill * whole)
                extra.append(wall - whole)
        heading(f"{example}, the host killed with kill -9 while it runs (median of {len(extra)})")
        row("undisturbed", f"{whole:.1f} s", spread(plain, "s", 1))
        row("delay, the host's restart included", f"{statistics.median(extra):.1f} s", spread(extra, "s", 1))


def _wall(bench: Bench, path: Path, deployment_id: str, kill_after: float = 0.0) -> float:
    """Return the wall seconds from the submission to the end."""
    manifest: JsonObject = packed(parse(path.read_text()), path.parent)
    manifest["target"] = deployment_id
    manifest["steps"][0]["with"]["displayName"] = deployment_id
    began = time.time()
    bench.storage.submit(json.dumps({"deployment_id": deployment_id, "manifest": manifest}))
    if kill_after:
        time.sleep(kill_after)
        bench.stack.kill_host()
        bench.stack.start_host()
    header = bench.ended(deployment_id)
    assert header.finished_at is not None  # noqa: S101 - it has ended
    return header.finished_at.timestamp() - began
