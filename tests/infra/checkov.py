"""checkov over infra/, in an environment of its own, because its dependencies would hold ours at old versions.

`python -m tests.infra.checkov` installs it, once; the test runs it if it is installed.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local import environments
from tests.infra.bicep import FOLDER

VERSION = "3.3.30"
_NO_REASON = "No comment provided"
"""The text that checkov writes in place of a missing reason."""
_HOME = FOLDER.parent / ".local" / f"checkov-{VERSION}"


@dataclass(frozen=True)
class Report:
    """The findings of a scan. checkov does not count a file that it cannot read as a failure, so it is counted here."""

    resources: int
    unread: list[str]
    failed: list[str]
    unreasoned: list[str]


def is_installed() -> bool:
    """Return True if checkov is installed."""
    return (_HOME / ".ready").exists()


def install() -> None:
    """Install checkov once, from PyPI."""
    if is_installed():
        return
    environments.create(_HOME, f"checkov=={VERSION}")
    (_HOME / ".ready").touch()


def scan(folder: Path = FOLDER) -> Report:
    """Run every check for Bicep, without a request to its makers' server."""
    command = [str(_HOME / "bin" / "checkov"), "--framework", "bicep", "--skip-download", "--output", "json"]
    done = subprocess.run([*command, "--directory", str(folder)], capture_output=True, text=True, check=False)
    data = json.loads(done.stdout)
    results = data["results"]
    return Report(
        resources=data["summary"]["resource_count"],
        unread=results["parsing_errors"],
        failed=[
            f"{c['file_path']}: {c['resource']}: {c['check_id']} {c['check_name']}" for c in results["failed_checks"]
        ],
        unreasoned=[
            f"{c['file_path']}: {c['check_id']}"
            for c in results["skipped_checks"]
            if c["check_result"].get("suppress_comment") in (None, "", _NO_REASON)
        ],
    )


if __name__ == "__main__":
    install()
    print(f"checkov {VERSION}: {_HOME}")
