"""The Bicep files, as far as they can be held without Azure: syntax, and agreement with the code."""

import json
import re
from pathlib import Path

import pytest
import tree_sitter_bicep
from tree_sitter import Language, Parser

from shared import settings
from shared.adapters import blobs, breaker_table, journal_table, lock_table, queues, signal_table

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "infra").rglob("*.bicep"))
TEXT = {file.name: file.read_text() for file in FILES}

ROLES = {
    "blobOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "blobContributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "queueContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "queueMessageSender": "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    "tableContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "tableReader": "76199698-9eea-4c19-bc75-cec21354c6b6",
    "metricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}
"""Azure's built-in roles, by Microsoft's published list."""
OF_THE_HOST = {"AzureWebJobsStorage__credential", "PYTHON_THREADPOOL_THREAD_COUNT", "FUNCTIONS_WORKER_RUNTIME"}
"""Settings that the Functions host reads and our code does not."""


def names(variable: str, text: str) -> set[str]:
    """The strings of an array variable."""
    found = re.search(rf"var {variable} = \[(.*?)\]", text)
    assert found is not None
    return set(re.findall(r"'([^']+)'", found[1]))


def settings_of(text: str) -> set[str]:
    """The names under the app's settings."""
    block = text[text.index("name: 'appsettings'") :]
    return set(re.findall(r"^    (\w+):", block[: block.index("\n  }\n")], re.MULTILINE))


class Recording(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]  # the settings give a default always
        """Absent, whatever it is."""
        self.asked.add(key)
        return default


def names_read() -> set[str]:
    """Every environment variable that the settings ask for."""
    environment = Recording()
    settings.load(environment)
    settings.environment_secret("AZURE_CLIENT_SECRET", environment)
    return environment.asked


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_bicep_file_parses(file: Path) -> None:
    """No syntax error anywhere."""
    tree = Parser(Language(tree_sitter_bicep.language())).parse(file.read_bytes())
    assert not tree.root_node.has_error


def test_bicep_creates_the_tables_queues_and_containers_that_the_code_uses() -> None:
    """Names differ nowhere."""
    text = TEXT["storage.bicep"]
    expected = {
        journal_table.JOURNAL,
        journal_table.DEPLOYMENTS,
        lock_table.TABLE,
        breaker_table.TABLE,
        signal_table.TABLE,
    }
    assert names("tables", text) == expected
    both = {queues.SUBMISSIONS, queues.STEPS}
    assert names("queues", text) == both | {f"{name}-poison" for name in both}
    assert names("containers", text) == {blobs.CONTAINER, "app-package"}


def test_bicep_roles_have_the_published_ids() -> None:
    """A wrong digit would grant nothing, or something else."""
    found = {m[1]: m[2] for text in TEXT.values() for m in re.finditer(r"(\w+): '([0-9a-f-]{36})'", text)}
    assert found == ROLES


def test_bicep_settings_are_known_and_documented() -> None:
    """Every setting of the app is one that the code or the host reads, and every one that is read stands in docs/."""
    read = names_read()
    triggers = set(re.findall(r"%(\w+)%", (ROOT / "function_app.py").read_text()))
    given = settings_of(TEXT["app.bicep"])
    assert given <= read | triggers | OF_THE_HOST
    assert triggers <= given, "a trigger names a setting that is not set: the function would not start"
    docs = (ROOT / "docs" / "settings.md").read_text() + (ROOT / "docs" / "host.md").read_text()
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    for name in read | triggers:
        assert f"`{name}`" in docs or f"`{name.removeprefix('AzureWebJobsStorage')}`" in docs, name
    assert set(sample) <= read | triggers | OF_THE_HOST


def test_bicep_has_no_keys_and_no_public_storage() -> None:
    """Identities only."""
    whole = "\n".join(TEXT.values())
    assert "allowSharedKeyAccess: false" in whole
    assert "allowBlobPublicAccess: false" in whole
    assert not re.search(r"listKeys|AccountKey|listCredentials|@secure", whole)
