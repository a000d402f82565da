"""What many tests need: Azurite where it can be had, and a clear word where it cannot."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from local import azurite

settings.register_profile("gate", deadline=None, derandomize=True, database=None, max_examples=50)
settings.register_profile("hunt", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "gate")

for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "TF_BUILD"):
    os.environ.pop(name, None)  # The tests' own runner: what a command prints must not depend on who runs the tests.

MOST_WORKERS = 16


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each core: the longest tests mostly wait, for processes that start and for times that pass."""
    return min(MOST_WORKERS, 2 * (os.process_cpu_count() or 1))


ROOT = Path(__file__).resolve().parent.parent


def seed_of(variable: str, fixed: int) -> int:
    """Return the seed that the environment gives (`make hunt` gives a fresh one), else the fixed one of the gate."""
    seed = int(os.environ.get(variable) or fixed)
    print(f"{variable}={seed}")
    return seed


def require(condition: bool, what: str) -> None:
    """Skip on a laptop, fail in CI: a check that silently does not run is no check."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what}; in CI it must be there")
    pytest.skip(what)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an Azurite of this worker's own."""
    require(shutil.which("npm") is not None, "Azurite needs Node.js and npm")
    running = azurite.start(ROOT / ".local", tmp_path_factory.mktemp("azurite"))
    yield running.connection_string
    azurite.stop(running.pid)


def reference(name: str) -> Path:
    """A folder of recorded traffic or published specifications, beside the repository; skips where it is absent."""
    folder = ROOT.parent / "shared" / name
    if not folder.exists():
        pytest.skip(f"reference material {name} is not beside this checkout")
    return folder
