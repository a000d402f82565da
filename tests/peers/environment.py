"""The environment of the peers, because their dependencies are not ours.

`python -m tests.peers.environment` installs it (about half a minute, once).
"""

import subprocess
import sys
from pathlib import Path

VERSIONS = {"fabric-cicd": "1.4.0", "ms-fabric-cli": "1.8.0"}
_HOME = Path(__file__).resolve().parents[2] / ".local" / ("peers-" + "-".join(VERSIONS.values()))
PYTHON = _HOME / "bin" / "python"


def is_installed() -> bool:
    """Return True if the peers are installed."""
    return (_HOME / ".ready").exists()


def install() -> None:
    """Install the peers once, from PyPI."""
    if is_installed():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(_HOME)], check=True)
    wanted = [f"{name}=={version}" for name, version in VERSIONS.items()]
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"pip could not install {', '.join(wanted)}: {done.stderr.strip()[-500:]}")
    (_HOME / ".ready").touch()


if __name__ == "__main__":
    install()
    print(f"{', '.join(f'{name} {version}' for name, version in VERSIONS.items())}: {_HOME}")
