"""checkov's findings on infra/, and the proof that it finds planted faults."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import require
from tests.infra import checkov
from tests.infra.bicep import Infra, infra


@pytest.fixture
def scanned(tmp_path: Path) -> Callable[[Infra], checkov.Report]:
    """Return a function that scans the given files."""
    require(checkov.is_installed(), "checkov is not installed: make lint-infra")

    def scan(files: Infra) -> checkov.Report:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return checkov.scan(tmp_path)

    return scan


def test_checkov_reads_every_file_and_has_no_finding(scanned: Callable[[Infra], checkov.Report]) -> None:
    """No file is unreadable, no check fails, and every skipped check has a reason."""
    report = scanned(infra())
    assert (report.unread, report.failed, report.unreasoned) == ([], [], [])
    assert report.resources > 40


def test_checkov_finds_planted_faults(scanned: Callable[[Infra], checkov.Report]) -> None:
    """A vault that can be purged, an unreadable file, and a skip without a reason are all reported."""
    files = {name: infra()[f"modules/{name}"] for name in ("vault.bicep", "identity.bicep", "storage.bicep")}
    files["vault.bicep"] = files["vault.bicep"].replace("enablePurgeProtection: true", "enablePurgeProtection: false")
    files["identity.bicep"] += "resource {"
    reason = files["storage.bicep"].split("CKV_AZURE_43:")[1].split("\n")[0]
    files["storage.bicep"] = files["storage.bicep"].replace(f"CKV_AZURE_43:{reason}", "CKV_AZURE_43")
    report = scanned(files)
    assert [line for line in report.failed if "CKV_AZURE_110" in line or "CKV_AZURE_42" in line]
    assert len(report.unread) == 1
    assert len(report.unreasoned) == 1
