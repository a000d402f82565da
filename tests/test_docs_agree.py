"""The documents agree with the code: tables, inputs, signs and numbers that a page repeats are those of the code.

tests/test_docs.py checks that everything which a page names exists; these tests find what a page lacks or has kept.
"""

import re

import pytest

from local.azure_check.expected import alerts
from local.paths import ROOT
from local.stack.description import FLEX, hosts_of
from shared import bootstrap, settings
from shared.adapters.telemetry.buffered import MAX_WAITING
from shared.cli.matrix import MAX_ROWS
from shared.cli.plan import shown
from shared.domain.step_graph import MAX_STEPS
from shared.saga.dry_run.read_only import READING_POSTS
from shared.saga.dry_run.result import Action, DryRun, StepChange
from shared.saga.step.delivery import MAX_WAITS

STORAGE = (ROOT / "infra" / "modules" / "storage.bicep").read_text(encoding="utf-8")


def page(name: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def created(word: str) -> list[str]:
    """Return the names in a list of storage.bicep; tests/infra compares these lists with the code."""
    found = re.search(rf"^var {word} = \[(.*)\]$", STORAGE, re.MULTILINE)
    assert found, f"infra/modules/storage.bicep has no list {word}"
    return re.findall(r"'([\w-]+)'", found[1])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docs/manifest.md", f"up to {MAX_STEPS:,} steps"),
        ("docs/scripting.md", f"at most {MAX_STEPS:,} resources"),
        ("docs/cli.md", f"up to {MAX_ROWS:,} rows"),
        ("docs/telemetry.md", f"holds {MAX_WAITING} signals"),
        ("docs/dashboard.md", f"the last {MAX_WAITS}"),
        ("infra/README.md", f"{len(alerts())} alerts on events"),
    ],
)
def test_page_has_the_number_of_the_code(name: str, text: str) -> None:
    """A number that was changed in the code alone is found."""
    assert text in page(name)


def test_plan_page_has_every_action_with_its_sign() -> None:
    """It also names each POST that a plan may send."""
    text = page("docs/plan.md")
    lines = shown(DryRun("sales", "sales", tuple(StepChange("step", "item", action) for action in Action)))
    rows = re.findall(r"^\| `(.)` \| ([a-z, ]+) \|", text, re.MULTILINE)
    signs = {action: sign for sign, actions in rows for action in actions.split(", ")}
    assert signs == {action.value: line.strip()[0] for action, line in zip(Action, lines, strict=False)}
    assert [post for post in READING_POSTS if f"`{post.rpartition('/')[2]}`" not in text] == []


@pytest.mark.parametrize("name", created("tables"))
def test_architecture_page_has_every_table(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", page("docs/architecture.md"), re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in created("queues") if not name.endswith("-poison")])
def test_architecture_page_draws_every_queue(name: str) -> None:
    """The names have a space behind them, because one is the beginning of another."""
    assert f"queue {name} " in page("docs/architecture.md")


def test_health_page_has_every_check() -> None:
    """A monitor reports a check by its name; building the app connects nothing."""
    at = "http://127.0.0.1:1/acc"
    storage = f"AccountName=acc;AccountKey=c2VjcmV0;BlobEndpoint={at};QueueEndpoint={at};TableEndpoint={at};"
    vault = {"FEATURE_USE_AZURE_KEYVAULT": "true", "KEY_VAULT_URL": "https://sales.vault.azure.net"}
    app = bootstrap.build(settings.load({"AzureWebJobsStorage": storage, **vault}))
    named = set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|[^|]*\|([^|]*)\|", page("docs/health.md"), re.MULTILINE)))
    )
    checks: set[str] = {*vars(app.health)["_checks"]}
    assert "key_vault" in checks
    assert sorted(checks - named) == []


@pytest.mark.parametrize("group", [group.removeprefix("function:") for group in hosts_of(FLEX).values()])
def test_host_page_has_every_function_group(group: str) -> None:
    """An operator finds the group of each function that has instances of its own."""
    assert f"`{group}`" in page("docs/host.md")


def test_pipelines_page_has_every_input_of_the_action_and_of_the_template() -> None:
    text = page("docs/pipelines.md")
    inputs = page(".github/actions/deploy/action.yml").partition("\noutputs:")[0]
    github = set(re.findall(r"^  ([a-z-]+):$", inputs, re.MULTILINE))
    azure = set(re.findall(r"^  - name: (\w+)", page("pipelines/azure/deploy.yml"), re.MULTILINE))
    assert len(github) > 10
    assert len(azure) > 10
    assert sorted(name for name in github | azure if f"`{name}`" not in text) == []
