"""Fixtures and helpers that many tests need: Azurite, if it can run here, and a clear message if it cannot."""

import gc
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import cpu, fakes, warm
from tests import storage as run_storage

settings.register_profile("gate", deadline=None, derandomize=True, database=None, max_examples=50)
settings.register_profile("hunt", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "gate")

for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "TF_BUILD"):
    os.environ.pop(name, None)  # The runner of the tests themselves: a command's output must not depend on it.

# Without compiled files, each worker and each process that a test starts compiles every module again: 15 s of processor
# time for a worker. They are in __pycache__, which Git and the package ignore.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

MAX_WORKERS = 16
_LONGEST = (
    *("e2e/test_crash_sweep", "simulation/test_fault_table", "e2e/test_pull_request", "e2e/test_canary"),
    *("e2e/test_api_schema", "host/test_stack", "contract/test_journal", "e2e/test_verbs"),
    *("simulation/test_resilience", "e2e/test_pipelines", "simulation/test_schedules", "e2e/test_transaction"),
    *("e2e/test_many", "e2e/test_faults", "page/test_deployment", "e2e/test_repository", "test_package"),
    *("unit/saga/submission/test_hostile", "unit/domain/test_records", "unit/domain/test_text", "test_diagrams"),
)
LONGEST = {f"tests/{name}.py": place for place, name in enumerate(_LONGEST)}
"""The files that take longest, with their place in the order: a worker takes whole files, and one that began such a
file late would run alone at the end. On two cores the ninth waits behind the first, because a worker whose file has one
test takes another file at once."""
warm.prepare()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Start four workers for each core: a test with a stack uses a quarter of a core, and waits for processes to start
    and for time to pass."""
    return min(MAX_WORKERS, 4 * (os.process_cpu_count() or 1))


@pytest.fixture(autouse=True)
def _declared_telemetry() -> Iterator[None]:
    """Fail a test in which the app emitted an event or a property that is not declared."""
    fakes.UNDECLARED.clear()
    yield
    assert not fakes.UNDECLARED, "\n".join(fakes.UNDECLARED)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--law` and `--cpu`."""
    parser.addoption("--law", type=int, help="run the tests of this law of docs/laws.md only; 6 is the proof")
    parser.addoption("--cpu", action="store_true", help="list the files by processor time (needs -n 0)")


def pytest_configure(config: pytest.Config) -> None:
    """Measure processor time if `--cpu` asks for it. Raises pytest.UsageError if workers run the tests."""
    if not config.getoption("--cpu"):
        return
    if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError("--cpu measures one process and its children: add -n 0")
    config.pluginmanager.register(cpu.ProcessorTime())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect the tests without the garbage collector, because nothing of them is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the law that `--law` names, and begin with the longest files."""
    items.sort(key=lambda item: LONGEST.get(item.nodeid.partition("::")[0], len(LONGEST)))
    wanted = config.getoption("--law")
    if wanted is None:
        return
    chosen = [item for item in items if any(wanted in mark.args for mark in item.iter_markers("law"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


@pytest.hookimpl
def pytest_collection_finish() -> None:
    """Give the root logger its level back, which fabric-cicd changes when it is imported: tests read warnings. The
    garbage collector need not visit what stays until the end: all modules and tests."""
    logging.getLogger().setLevel(logging.WARNING)
    gc.collect()
    gc.freeze()


ROOT = Path(__file__).resolve().parent.parent


def seed_of(variable: str, fixed: int) -> int:
    """Return the seed from the environment (`make hunt` sets a new one), or else the fixed seed of the gate."""
    seed = int(os.environ.get(variable) or fixed)
    print(f"{variable}={seed}")
    return seed


def require(condition: bool, what: str) -> None:
    """Skip the test on a laptop and fail it in CI, because a check that is skipped without notice checks nothing."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what}; it must be available in CI")
    pytest.skip(what)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """End the run's Azurite and remove its folder, after all workers. A run that a test starts leaves both alone."""
    if warm.owner(warm.folder()) == os.getpid():
        run_storage.stop(warm.folder())
        shutil.rmtree(warm.folder(), ignore_errors=True)


@pytest.fixture(scope="module")
def storage() -> str:
    """Return the connection string of an empty storage account for the tests of a module."""
    require(shutil.which("npm") is not None, "Azurite needs Node.js and npm")
    return run_storage.account(warm.folder())


def reference(name: str) -> Path:
    """Return a folder of recorded traffic or published specifications beside the repository. Skip the test if it is
    missing."""
    folder = ROOT.parent / "shared" / name
    if not folder.exists():
        pytest.skip(f"reference material {name} is not beside this checkout")
    return folder
