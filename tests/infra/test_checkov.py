"""checkov's opinion of infra/, and that it would have one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import require
from tests.infra import checkov
from tests.infra.bicep import Infra, infra


@pytest.fixture
def scanned(tmp_path: Path) -> Callable[[Infra], checkov.Report]:
    """Scans files as given."""
    require(checkov.is_installed(), "checkov is not installed: make lint-infra")

    def scan(files: Infra) -> checkov.Report:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return checkov.scan(tmp_path)

    return scan


def test_checkov_reads_everything_and_has_nothing_to_complain_of(scanned: Callable[[Infra], checkov.Report]) -> None:
    """No file unread, nothing failed, and a reason beside whatever is skipped."""
    report = scanned(infra())
    assert (report.unread, report.failed, report.unreasoned) == ([], [], [])
    assert report.resources > 40


def test_checkov_finds_what_is_planted(scanned: Callable[[Infra], checkov.Report]) -> None:
    """A purgeable vault, a file that it cannot read, and a skip without a reason: all are reported."""
    files = {name: infra()[f"modules/{name}"] for name in ("vault.bicep", "identity.bicep", "storage.bicep")}
    files["vault.bicep"] = files["vault.bicep"].replace("enablePurgeProtection: true", "enablePurgeProtection: false")
    files["identity.bicep"] += "resource {"
    reason = files["storage.bicep"].split("CKV_AZURE_43:")[1].split("\n")[0]
    files["storage.bicep"] = files["storage.bicep"].replace(f"CKV_AZURE_43:{reason}", "CKV_AZURE_43")
    report = scanned(files)
    assert [line for line in report.failed if "CKV_AZURE_110" in line or "CKV_AZURE_42" in line]
    assert len(report.unread) == 1
    assert len(report.unreasoned) == 1
