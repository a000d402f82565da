"""The commands that only read: what is wrong with their options."""

from pathlib import Path
from typing import Any

import pytest

from shared.cli import reads
from shared.cli.__main__ import main
from shared.domain.states import DeploymentState
from tests.unit.cli.sample_records import header


@pytest.mark.parametrize("name", ["", "missing/file.md", "\0"])
def test_markdown_that_cannot_be_written_is_a_bad_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A folder, a file in a folder that does not exist, and what is no name of a file."""

    class Access:
        @property
        def journal(self) -> Any:
            return self

        def header(self, deployment_id: str) -> Any:
            record = header(DeploymentState.SUCCEEDED, deployment_id=deployment_id)
            return type("V", (), {"record": record})()

        def steps(self, deployment_id: str) -> list[Any]:
            return []

    monkeypatch.setattr(reads, "connect", lambda options: Access())  # pyright: ignore[reportUnknownLambdaType]
    assert main(["status", "d1", "--markdown", f"{tmp_path}/{name}"]) == 2
    assert "cannot be written" in capsys.readouterr().out
