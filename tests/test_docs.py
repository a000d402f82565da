"""What the documents name is there: pages and headings, commands and their options, files, variables."""

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
"""Outputs of Bicep, which tests/infra compares, and what tests/real_fabric reads."""
KNOWN = VARIABLES.keys() | OF_OTHERS | {name.removeprefix("FEATURE_USE_") for name in VARIABLES}
"""Flags may be named without what all of them begin with, as in docs/rollout.md."""


def documents() -> list[Path]:
    """Every Markdown file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def prose(text: str) -> str:
    """The text without its fenced blocks: what looks like a link or a heading in code is none."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """What a fragment may name, as GitHub makes it of headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        slug = plain.replace(" ", "-")
        found.add(next(s for s in (slug, *(f"{slug}-{n}" for n in range(1, 99))) if s not in found))
    return found


def options_of(command: str, capsys: pytest.CaptureFixture[str]) -> set[str] | None:
    """The options that a command's help tells of; None: there is no such command."""
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    shown = capsys.readouterr().out
    return set(re.findall(r"--[a-z-]+", shown)) if left.value.code == 0 else None


def broken(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """Everything that a document in `folder` names and that is not there."""
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
def test_docs_name_only_what_is_there(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each relative link, anchor, make target, command, option, file and variable."""
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
def test_docs_check_finds_what_is_not_there(text: str, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No check is taken on trust."""
    assert list(broken(text, ROOT, capsys)) == [found]


def test_docs_every_page_is_reached_from_the_readme() -> None:
    """Who reads the README finds each page of docs/ in its list; nothing lies there unnamed."""
    linked = {link.partition("#")[0] for link in LINK.findall(prose((ROOT / "README.md").read_text()))}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def test_docs_command_line_page_tells_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/cli.md names each command, and no option that neither they nor the command line itself has."""
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", capsys.readouterr().out, re.MULTILINE)
    page = (ROOT / "docs" / "cli.md").read_text()
    assert listed
    assert [name for name in listed if f"`{name} " not in page and f"`{name}`" not in page] == []
    known = {option for name in listed for option in options_of(name, capsys) or ()}
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    known.add("--version")
    assert set(re.findall(r"(?<![-|])--[a-z][a-z-]*", prose(page))) <= known


def test_no_document_holds_both_sides_of_a_merge() -> None:
    """Git's conflict markers are in no document."""
    marker = re.compile(r"^(?:<{7}|>{7}|\|{7}) |^={7}$", re.MULTILINE)
    assert [str(path) for path in documents() if marker.search(path.read_text())] == []
