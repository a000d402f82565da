"""The deployed package: the app and nothing else, whatever other files the deploying machine has."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IGNORED = (ROOT / ".funcignore").read_text()
BESIDE_THE_CODE = {"function_app.py", "host.json", "requirements.txt", "constraints.txt", "LICENSE"}
NEVER = [
    *(".env", "local.settings.json", ".venv/pyvenv.cfg", "saga_env/pyvenv.cfg", ".azure/test/.env"),
    *("shared/domain/__pycache__/plan.cpython-313.pyc", ".local/azurite/db.json", "shared/.env"),
]
"""Files that a machine may have and no app may get: secrets first."""


def git(*arguments: str, folder: Path, text: str | None = None) -> list[str]:
    """Return the lines that git prints. git reads the ignore files, because their syntax is git's."""
    done = subprocess.run(["git", *arguments], cwd=folder, input=text, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def left_out(paths: list[str], ignored: str, folder: Path) -> set[str]:
    """Return the paths that the package would omit."""
    git("init", "--quiet", folder=folder)
    (folder / ".gitignore").write_text(ignored)
    return set(git("check-ignore", "--no-index", "--stdin", folder=folder, text="\n".join(paths)))


def test_package_is_the_app_and_nothing_else(tmp_path: Path) -> None:
    """It has every file of shared/ and the app's files beside it; no test, no document, no tool of a workstation."""
    tracked = git("ls-files", folder=ROOT)
    shipped = set(tracked) - left_out(tracked, IGNORED, tmp_path)
    assert shipped == BESIDE_THE_CODE | {name for name in tracked if name.startswith("shared/")}


@pytest.mark.parametrize("name", NEVER)
def test_package_contains_nothing_of_the_machine(tmp_path: Path, name: str) -> None:
    """Secrets, environments and caches stay on the machine."""
    assert left_out([name], IGNORED, tmp_path) == {name}


def test_package_planted_faults_are_found(tmp_path: Path) -> None:
    """A line missing from .funcignore, or one that covers too much, changes the package."""
    assert left_out(["tests/conftest.py", "shared/web/api.py"], IGNORED.replace("tests\n", "web\n"), tmp_path) == {
        "shared/web/api.py"
    }
