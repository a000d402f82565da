"""All that helps a user: `--help`, the example of a manifest, completion."""

import argparse
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.cli.__main__ import main
from shared.cli.completion import SHELLS, script
from shared.cli.help import EXAMPLES, GROUPS
from shared.cli.parser import parser
from shared.domain.manifest import compile_manifest
from shared.domain.text import parse
from shared.steps import KINDS, manifest_schema
from tests.conftest import ROOT


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return all commands by name."""
    action: Any = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


def test_help_shows_every_command_once_in_a_group() -> None:
    """No command is missing and none is extra; the text fits the width of a terminal."""
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == sorted(commands())
    text = parser().format_help()
    assert all(len(re.findall(rf"(?m)^  {name} ", text)) == 1 for name in named)
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("given", [[], ["deploy"]])
def test_help_is_printed_without_a_command_or_with_a_wrong_one(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, and the whole help is on the error stream."""
    with pytest.raises(SystemExit) as ended:
        main(given)
    text = capsys.readouterr()
    assert (ended.value.code, text.out) == (2, "")
    assert parser().format_help() in text.err
    assert "error: " in text.err.splitlines()[-1]


def test_usage_of_a_command_is_printed_after_its_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    """The error does not print the whole help."""
    with pytest.raises(SystemExit):
        main(["follow", "x", "--bogus"])
    text = capsys.readouterr().err
    assert "unrecognized arguments: --bogus" in text
    assert "COMMAND follow" in text.replace("python -m shared.cli", "COMMAND")
    assert "exit codes" not in text


def test_help_version_is_the_first_version_of_the_changelog(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    first = re.search(r"^## \[([0-9][^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert capsys.readouterr().out == f"fabric-saga {first[1]}\n"


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_example_of_a_command_is_valid(name: str) -> None:
    """It parses as a call of that command, and every argument has a description."""
    found = parser().parse_args(shlex.split(EXAMPLES[name]))
    assert EXAMPLES[name].startswith(name)
    assert callable(found.run)
    command = commands()[name]
    assert EXAMPLES[name] in command.format_help()
    assert all(action.help for action in command._actions)


def test_cli_page_names_every_command_and_exit_code() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    missing = [name for name in commands() if f"`{name}" not in page and f", `{name}" not in page]
    assert not missing, f"docs/cli.md: add rows for the commands {missing}"
    codes = {"0", "1", "2", "3", "4", "5", "8", "9", "130", "141"}
    assert codes <= set(re.findall(r"\| (\d+) \|", page))


def test_init_writes_a_valid_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is valid for the check and for the schema in its first line, and so are the parts in comments."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "mine.yaml"
    assert main(["init", "deep/mine.yaml"]) == 0
    text = file.read_text()
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    assert (file.parent / named[1]).resolve() == ROOT / "schemas" / "manifest.schema.json"
    assert compile_manifest(parse(text), KINDS).name == "sales"
    whole = re.sub(r"(?m)^( *)# (?=(?:- id:|  |\w+:))", r"\1", text.split("\n", 6)[6])
    assert set(re.findall(r"kind: (\w+)", whole)) == {"workspace", "lakehouse", "item", "principals", "approval"}
    errors = Draft202012Validator(manifest_schema.document()).iter_errors(yaml.safe_load(whole))
    assert [error.message for error in errors] == []
    capsys.readouterr()
    assert main(["init", "-"]) == 0
    assert parse(capsys.readouterr().out) == parse(text)


@pytest.mark.parametrize("path", ["there.yaml", "none/mine.yaml", "a\x00b"])
def test_init_overwrites_nothing(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, and the file is unchanged; the same if no file can be created."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.yaml").write_text("mine")
    assert main(["init", path]) == 2
    assert "path: " in capsys.readouterr().out
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("there.yaml", "mine")]


def test_completion_completes_in_bash() -> None:
    """The shell itself evaluates the script, which offers commands, then a command's options."""
    bash = shutil.which("bash")
    assert bash is not None
    text = script("bash", parser())
    for words, expected in ((["saga", "ve"], "verify-journal"), (["saga", "submit", "--wa"], "--wait")):
        line = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_saga; echo ${{COMPREPLY[@]}}"
        done = subprocess.run([bash, "-c", f"{text}\n{line}"], capture_output=True, text=True, check=False)
        assert done.stdout.split() == [expected], done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_contains_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It also defines the name that it completes."""
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in commands())
    assert text.rstrip().endswith('saga() { python -m shared.cli "$@"; }')
