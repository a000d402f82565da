"""The package as `pip install` and `pipx install` build it, in a fresh environment."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from local.constraints import required
from local.paths import ROOT
from shared.domain.version import VERSION
from tests.conftest import require


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what Git has, so that the build leaves nothing in the working folder."""
    require((ROOT / ".git").exists(), "the package is built from what Git has")
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "shared", *_BUILT_FROM],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in (os.fsdecode(each) for each in names if each):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "-w", str(folder), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


_BUILT_FROM = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE")


def test_wheel_has_the_whole_package_and_its_exact_requirements(wheel: Path) -> None:
    """Pages and the example are in it too; local, tests and infra are not. Each requirement has its version."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (Parser().parsestr(archive.read(n).decode()) for n in names if n.endswith("/METADATA"))
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "shared").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= names
    assert {name.partition("/")[0] for name in names} == {"shared", f"fabric_saga-{VERSION}.dist-info"}
    assert metadata["Version"] == VERSION
    found = {str(Requirement(each)) for each in metadata.get_all("Requires-Dist", [])}
    assert found == {str(each) for each in required(ROOT / "constraints.txt")}


def test_installed_command_works_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """`saga` runs outside the repository, calls itself by that name, and completes; the module goes on working."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "-q"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    # The requirements are not installed again: the tests' own environment has the same versions.
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib"))
    environment = {"PATH": f"{place / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run("saga", "--version") == f"fabric-saga {VERSION}\n"
    assert run(str(python), "-m", "shared.cli", "--version") == f"fabric-saga {VERSION}\n"
    assert "check it with: saga validate" in run("saga", "init", "deployment.yaml")
    assert "is valid" in run("saga", "validate", "deployment.yaml")
    assert "example: saga plan" in run("saga", "plan", "--help")
    script = run("saga", "completion", "bash")
    assert "python -m" not in script
    completed = "COMP_WORDS=(saga ve); COMP_CWORD=1; _shtab_saga; echo ${COMPREPLY[@]}"
    assert run("bash", "-c", f"{script}\n{completed}").split() == ["verify-journal"]
