"""The packages of the set-up: uv installs them, pip if uv cannot, and a failure names what is missing."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from local import environments

METADATA = "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a package; no index is asked."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with zipfile.ZipFile(folder / "toy-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("toy.py", "BALL = 'red'\n")
        archive.writestr("toy-1.0.dist-info/METADATA", METADATA)
        archive.writestr("toy-1.0.dist-info/WHEEL", WHEEL)
        archive.writestr("toy-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return folder


def ball(place: Path) -> str:
    """Return what the package says in the environment at `place`."""
    command = [str(place / "bin" / "python"), "-c", "import toy; print(toy.BALL)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_environment_has_its_packages_and_replaces_an_earlier_one(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """uv installs them and reports nothing; nothing of an interrupted environment stays."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "left").touch()
    monkeypatch.setenv("UV_FIND_LINKS", str(mirror))
    environments.create(place, "toy==1.0")
    assert ball(place) == "red\n"
    assert not (place / "left").exists()
    assert capsys.readouterr().err == ""


def test_pip_installs_what_only_its_own_configuration_finds(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """uv does not read pip's settings; pip takes over and says so."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(mirror))
    environments.create(tmp_path / "place", "toy==1.0")
    assert ball(tmp_path / "place") == "red\n"
    assert "uv could not install toy==1.0" in capsys.readouterr().err


@pytest.mark.usefixtures("mirror")
def test_package_that_nobody_finds_is_named(tmp_path: Path) -> None:
    """The message has the package, the environment and pip's reason."""
    with pytest.raises(SystemExit, match=r"could not install toy==2\.0 in .*place: .* requirement toy==2\.0"):
        environments.create(tmp_path / "place", "toy==2.0")
