"""Everything that the documents name exists: pages and headings, commands and their options, files, variables."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.cli.__main__ import main
from shared.domain.variables import VARIABLES

ROOT = Path(__file__).resolve().parent.parent
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
COMMAND = re.compile(r"python -m shared\.cli ([a-zA-Z-]+)([^\n`;|#]*)")
MAKE = re.compile(r"(?:`|\$ |\()make (?:-s )?([a-z][a-z-]*)")
FILE = re.compile(r"(?:`|\s)((?:shared|tests|local|infra|docs|examples|pipelines)/[\w./-]*\w)(?=[`\s])")
VARIABLE = re.compile(
    r"`((?:FEATURE|FABRIC|RETRY|COMPENSATION|BREAKER|HEALTH|SECRET|KEY_VAULT|SWEEP)_[A-Z_]*[A-Z])(?:=\S*)?`"
)
OF_OTHERS = {"FABRIC_SAGA_IDENTITY_CLIENT_ID", "FABRIC_SAGA_PIPELINE_CLIENT_ID", "FABRIC_CAPACITY_ID"}
"""Outputs of Bicep, which tests/infra compares, and variables that tests/real_fabric reads."""
KNOWN = VARIABLES.keys() | OF_OTHERS | {name.removeprefix("FEATURE_USE_") for name in VARIABLES}
"""A flag may be named without the prefix that all flags have, as in docs/rollout.md."""


def documents() -> list[Path]:
    """Return every Markdown file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def prose(text: str) -> str:
    """Return the text without its fenced blocks, because a link or a heading in code is not a real one."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the fragments of a page, as GitHub derives them from headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        slug = plain.replace(" ", "-")
        found.add(next(s for s in (slug, *(f"{slug}-{n}" for n in range(1, 99))) if s not in found))
    return found


def options_of(command: str, capsys: pytest.CaptureFixture[str]) -> set[str] | None:
    """Return the options in a command's help, or None if there is no such command."""
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    shown = capsys.readouterr().out
    return set(re.findall(r"--[a-z-]+", shown)) if left.value.code == 0 else None


def broken(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """Yield everything that a document in `folder` names and that does not exist."""
    for link in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (folder / name).resolve() if name else None
        if target is not None and not target.exists():
            yield f"link {link}"
        elif fragment:
            page = target.read_text() if target is not None else text
            if fragment not in anchors(page):
                yield f"anchor {link}"
    yield from (f"make {name}" for name in MAKE.findall(text) if name not in TARGETS)
    for command, rest in COMMAND.findall(text):
        known = options_of(command, capsys) if command != "COMMAND" else {"--url"}
        if known is None:
            yield f"command {command}"
        else:
            yield from (f"option {command} {o}" for o in re.findall(r"(?<!\S)--[a-z-]+", rest) if o not in known)
    yield from (f"file {name}" for name in FILE.findall(text) if "KIND" not in name and not (ROOT / name).exists())
    yield from (f"variable {name}" for name in VARIABLE.findall(text) if name not in KNOWN)


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_docs_name_only_what_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(broken(page.read_text(), page.parent, capsys)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](docs/nowhere.md)", "link docs/nowhere.md"),
        ("[a](docs/api.md#nothing-of-this)", "anchor docs/api.md#nothing-of-this"),
        ("[a](#here)\n# There\n", "anchor #here"),
        ("run `make everything`", "make everything"),
        ("$ python -m shared.cli deploy x.yaml", "command deploy"),
        ("`python -m shared.cli submit x.yaml --force`", "option submit --force"),
        ("see `shared/nothing.py`", "file shared/nothing.py"),
        ("`FEATURE_USE_MAGIC=true`", "variable FEATURE_USE_MAGIC"),
    ],
)
def test_docs_check_finds_what_does_not_exist(text: str, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each part of the check can fail."""
    assert list(broken(text, ROOT, capsys)) == [found]


def test_docs_every_page_is_linked_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(prose((ROOT / "README.md").read_text()))}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def test_docs_command_line_page_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It names no option that neither a command nor the command line itself has."""
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", capsys.readouterr().out, re.MULTILINE)
    page = (ROOT / "docs" / "cli.md").read_text()
    assert listed
    missing = [name for name in listed if f"`{name} " not in page and f"`{name}`" not in page]
    assert not missing, f"docs/cli.md: add rows for the commands {missing}"
    known = {option for name in listed for option in options_of(name, capsys) or ()}
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    known.add("--version")
    assert set(re.findall(r"(?<![-|])--[a-z][a-z-]*", prose(page))) <= known


def test_no_document_contains_merge_conflict_markers() -> None:
    marker = re.compile(r"^(?:<{7}|>{7}|\|{7}) |^={7}$", re.MULTILINE)
    assert [str(path) for path in documents() if marker.search(path.read_text())] == []
