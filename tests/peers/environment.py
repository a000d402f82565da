"""The environment of the peers, because their dependencies are not ours.

`python -m tests.peers.environment` installs it, once.
"""

from pathlib import Path

from local import environments

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
    environments.create(_HOME, *(f"{name}=={version}" for name, version in VERSIONS.items()))
    (_HOME / ".ready").touch()


if __name__ == "__main__":
    install()
    print(f"{', '.join(f'{name} {version}' for name, version in VERSIONS.items())}: {_HOME}")
