"""checkov's findings on infra/, and the proof that it finds planted faults. It starts once for both."""

import pytest

from tests.conftest import require
from tests.infra import checkov
from tests.infra.bicep import Infra, infra

PLANTED = "/planted/"


def planted() -> Infra:
    """Return three files: a vault that can be purged, an unreadable file, and a skip without a reason."""
    files = {name: infra()[f"modules/{name}"] for name in ("vault.bicep", "identity.bicep", "storage.bicep")}
    files["vault.bicep"] = files["vault.bicep"].replace("enablePurgeProtection: true", "enablePurgeProtection: false")
    files["identity.bicep"] += "resource {"
    reason = files["storage.bicep"].split("CKV_AZURE_43:")[1].split("\n")[0]
    files["storage.bicep"] = files["storage.bicep"].replace(f"CKV_AZURE_43:{reason}", "CKV_AZURE_43")
    return files


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> checkov.Report:
    """Scan infra/ and the planted files, in folders side by side."""
    require(checkov.is_installed(), "checkov is not installed: make lint-infra")
    folder = tmp_path_factory.mktemp("checkov")
    both = {f"real/{name}": text for name, text in infra().items()}
    for name, text in (both | {f"planted/{name}": text for name, text in planted().items()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return checkov.scan(folder)


def in_planted(lines: list[str]) -> list[str]:
    """Return the findings in the planted files."""
    return [line for line in lines if PLANTED in line]


def test_checkov_reads_every_file_and_has_no_finding(report: checkov.Report) -> None:
    """No file is unreadable, no check fails, and every skipped check has a reason."""
    for found in (report.unread, report.failed, report.unreasoned):
        assert found == in_planted(found)
    assert report.resources > 55


def test_checkov_finds_planted_faults(report: checkov.Report) -> None:
    """Each of the three faults is reported."""
    failed = in_planted(report.failed)
    assert [line for line in failed if "CKV_AZURE_110" in line or "CKV_AZURE_42" in line]
    assert len(in_planted(report.unread)) == 1
    assert len(in_planted(report.unreasoned)) == 1
