"""Install packages in an environment with uv, which takes seconds where pip takes half a minute.

`python -m local.environments` installs requirements-dev.txt in the environment that it runs in. uv reads no
configuration of pip, such as a mirror: if uv fails, pip installs the same packages.
"""

import re
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

from local.paths import ROOT

REQUIREMENTS = ROOT / "requirements-dev.txt"
_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def create(place: Path, *packages: str) -> None:
    """Create an environment at `place`, in place of an earlier one, and install packages in it. Raises SystemExit."""
    venv.create(place, clear=True, symlinks=True)
    install(place / "bin" / "python", *packages)


def install(python: Path, *packages: str) -> None:
    """Install packages in the environment of `python`. Raises SystemExit if neither uv nor pip can do it."""
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), *packages]
    if not _failed(uv):
        return
    print(f"uv could not install {' '.join(packages)}: pip tries it with its own configuration", file=sys.stderr)
    if problem := _failed([*_PIP, "--python", str(python), "install", "--quiet", *packages]):
        raise SystemExit(f"pip could not install {' '.join(packages)} in {python.parent.parent}: {problem}")


def _failed(command: list[str]) -> str:
    """Run a command. Return the end of what it reports if it fails, and else an empty text."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return (done.stderr.strip() or f"exit code {done.returncode}")[-1000:] if done.returncode else ""


def main() -> None:
    """Install uv, and then all packages of requirements-dev.txt, which has uv's version too."""
    wanted = re.findall(r"^uv==[\w.]+", REQUIREMENTS.read_text(), re.MULTILINE)
    if find_spec("uv") is None:
        _failed([*_PIP, "install", "--quiet", *wanted])
    install(Path(sys.executable), "-r", str(REQUIREMENTS))


if __name__ == "__main__":
    main()
