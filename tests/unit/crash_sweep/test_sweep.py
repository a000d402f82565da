"""The sweep replaces a stack that has run many deployments, and makes every kill."""

from typing import Any, cast

import pytest

from local.crash_sweep.crash_plan import Boundary
from local.crash_sweep.kills import PLAIN, Kill, Report
from local.crash_sweep.manifests import Manifest
from local.crash_sweep.sweep import Sweep
from local.crash_sweep.worker import RUNS_OF_A_STACK, Result, Worker
from shared.domain.states import DeploymentState

KILLS = 2 * RUNS_OF_A_STACK + 1


class Counted(Worker):
    """A worker that starts no process and kills at once."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        self.is_stopped = True

    def _up(self) -> None:
        raise _Reached

    def run(self, *given: Any, **options: Any) -> Result:
        """Count the run as the real worker does, and report a kill."""
        with pytest.raises(_Reached):
            super().run(*given, **options)
        return Result("sweep-00000000", True, (), 0.0)


class _Reached(Exception):
    """The run would start the stack now."""


@pytest.mark.parametrize(("is_kept", "runs"), [(False, [RUNS_OF_A_STACK, RUNS_OF_A_STACK, 1]), (True, [KILLS])])
def test_sweep_replaces_a_worn_stack(tmp_path: Any, is_kept: bool, runs: list[int]) -> None:
    """No stack runs more deployments than its limit, unless it was given; each stack is stopped; no kill is lost."""
    made: list[Counted] = []

    def new_worker(prefix: str) -> Worker:
        worker = Counted(prefix, tmp_path)
        worker._plan = tmp_path / "crash-plan.json"
        made.append(worker)
        return worker

    manifest = Manifest("none", {}, DeploymentState.SUCCEEDED)
    kill = Kill(manifest, 1, Boundary("table read journal header", 1, ("before",)), PLAIN, "before")
    report = Report(1, KILLS)
    used = new_worker("used") if is_kept else None
    Sweep([kill] * KILLS, report, lambda _: None, new_worker, used).run(1)
    assert [cast(Any, worker)._runs for worker in made] == runs
    assert all(worker.is_stopped for worker in made)
    assert (report.kills_made, report.violations) == (KILLS, [])
