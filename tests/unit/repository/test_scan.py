"""A directory in Fabric's source-control format: its items, and every problem at once with its file and line."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from shared.domain.errors import Problems
from shared.repository import scan
from shared.repository.files import RefusedError
from shared.repository.model import ZERO_ID, Repository
from tests.differential.all_types import item, logical_id, png, write

NOTEBOOK = {"notebook-content.py": "x = 1\n"}


def scanned(root: Path) -> tuple[Repository, list[str]]:
    problems = Problems()
    return scan.scan(root, "repo", problems), [str(each) for each in problems]


def test_item_has_its_metadata_folder_and_parts(tmp_path: Path) -> None:
    payload = {"enableSchemas": True}
    files: dict[str, str | bytes] = {"notebook-content.py": "x = 1\r\n", "Resources/a.png": png()}
    item(tmp_path, "A/B/Load.Notebook", "Notebook", "Load data", files, description="why", creationPayload=payload)
    repository, problems = scanned(tmp_path)
    assert problems == []
    (found,) = repository.items
    assert (found.key, found.description, found.creation_payload) == ("Notebook/Load data", "why", payload)
    assert (found.folder, found.directory, found.logical_id) == (
        "/A/B",
        "A/B/Load.Notebook",
        logical_id("Notebook/Load data"),
    )
    assert repository.folders == ("/A", "/A/B")
    assert [(part.path, part.is_text) for part in found.parts] == [
        (".platform", True),
        ("notebook-content.py", True),
        ("Resources/a.png", False),
    ]
    part = found.parts[1]
    assert (part.size, part.sha256) == (7, hashlib.sha256(b"x = 1\r\n").hexdigest())
    assert scan.reader(tmp_path, "repo")(part.file) == b"x = 1\r\n"
    assert b"".join(scan.opened(tmp_path, "repo", part)) == b"x = 1\r\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
@pytest.mark.parametrize("name", [b"a\xff", b"a\tb", b"a\x1bb"])
def test_name_that_no_part_or_folder_can_have_is_a_problem(tmp_path: Path, name: bytes) -> None:
    """Fabric's names are text on one line; the system's are bytes."""
    odd = os.fsdecode(name)
    item(tmp_path, "Load.Notebook", "Notebook", "Load", {**NOTEBOOK, f"{odd}.py": "x"})
    item(tmp_path, f"{odd}/Other.Notebook", "Notebook", "Other", NOTEBOOK)
    _, problems = scanned(tmp_path)
    assert len(problems) == 2
    assert all("; rename it" in problem and problem.isprintable() for problem in problems)


def test_part_that_changes_after_the_scan_is_refused(tmp_path: Path) -> None:
    item(tmp_path, "Load.Notebook", "Notebook", "Load", NOTEBOOK)
    repository, _ = scanned(tmp_path)
    write(tmp_path / "Load.Notebook/notebook-content.py", "y = 2\n")
    with pytest.raises(RefusedError, match="changed after it was checked"):
        list(scan.opened(tmp_path, "repo", repository.items[0].parts[1]))


@pytest.mark.parametrize(
    ("text", "expected_text"),
    [
        ("{", "repo/X/.platform:1: is not JSON: Expecting property name"),
        ('{\n"metadata": {}}', "repo/X/.platform:1: has no object `config`"),
        ("[]", "repo/X/.platform:1: has no object `metadata`"),
        (
            '{"metadata": {\n"type": "Notebook"},\n"config": {"logicalId": "%"}}',
            "repo/X/.platform:1: displayName is missing",
        ),
        (
            '{"metadata": {"displayName": "A",\n"type": " "}, "config": {"logicalId": "%"}}',
            ":2: type must be a non-empty text",
        ),
        (
            '{"metadata": {"displayName": "A",\n"type": "notebook"}, "config": {"logicalId": "%"}}',
            "must be written Notebook",
        ),
        (
            '{"metadata": {"displayName": "A", "type": "Notebook"}, "config":\n{"logicalId": ""}}',
            ":2: logicalId must be",
        ),
        ('{"metadata": {"displayName": "A", "type": "Notebook"}, "config": {"logicalId": "x"}}', "'x' is not a GUID"),
        (
            '{"metadata": {"displayName": "A", "type": "Notebook", "description": 1}, "config": {"logicalId": "%"}}',
            "description must be a text",
        ),
        (
            '{"metadata": {"displayName": "A\\ud800", "type": "Notebook"}, "config": {"logicalId": "%"}}',
            "displayName contains U+D800, which is half a character",
        ),
    ],
)
def test_problem_of_a_platform_file_has_its_line(tmp_path: Path, text: str, expected_text: str) -> None:
    write(tmp_path / "X/.platform", text.replace("%", ZERO_ID))
    assert any(expected_text in each for each in scanned(tmp_path)[1]), scanned(tmp_path)[1]


def test_all_problems_are_found_at_once(tmp_path: Path) -> None:
    """Duplicates, a nested item, a bad folder name, text that is not UTF-8: one run names them all."""
    item(tmp_path, "A.Notebook", "Notebook", "Same", NOTEBOOK)
    item(tmp_path, "B.Notebook", "Notebook", "SAME", NOTEBOOK)
    item(tmp_path, "C.Notebook", "Notebook", "Other", NOTEBOOK, logical=logical_id("Notebook/Same"))
    item(tmp_path, "A.Notebook/Inner.Notebook", "Notebook", "Inner", NOTEBOOK)
    item(
        tmp_path, "a#b/D.Notebook", "Notebook", "D", {"notebook-content.py": "x\n\ny = 'gr\xfc\xdfe'".encode("latin-1")}
    )
    problems = "\n".join(scanned(tmp_path)[1])
    assert "repo/B.Notebook/.platform:5: has the type and display name of 'A.Notebook/.platform'" in problems
    assert "repo/C.Notebook/.platform:9: has the logicalId of 'A.Notebook/.platform'" in problems
    assert "repo/A.Notebook/Inner.Notebook/.platform:1: is an item inside the item 'A.Notebook'" in problems
    assert "repo/a#b: becomes a workspace folder, whose name may not contain #" in problems
    assert "repo/a#b/D.Notebook/notebook-content.py:3: is text, but not in UTF-8" in problems


def test_zero_logical_ids_of_an_export_do_not_collide(tmp_path: Path) -> None:
    for name in ("A", "B"):
        item(tmp_path, f"{name}.Notebook", "Notebook", name, NOTEBOOK, logical=ZERO_ID)
    repository, problems = scanned(tmp_path)
    assert (len(repository.items), problems) == (2, [])


def test_database_below_an_eventhouse_is_an_item_in_the_folder_above_it(tmp_path: Path) -> None:
    item(tmp_path, "RT/H.Eventhouse", "Eventhouse", "H", {"EventhouseProperties.json": "{}"})
    item(tmp_path, "RT/H.Eventhouse/.children/D.KQLDatabase", "KQLDatabase", "D", {"DatabaseSchema.kql": ""})
    repository, problems = scanned(tmp_path)
    assert problems == []
    assert {each.key: (each.folder, len(each.parts)) for each in repository.items} == {
        "Eventhouse/H": ("/RT", 2),
        "KQLDatabase/D": ("/RT", 2),
    }
    assert repository.folders == ("/RT",)


def test_junk_and_local_settings_are_left_out_and_listed(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"definition.pbir": "{}", ".pbi/localSettings.json": "{}", ".DS_Store": b"\0"}
    item(tmp_path, "R.Report", "Report", "R", {**files, "__pycache__/a.pyc": b"\0", "._x": b"", ".gitignore": "x"})
    write(tmp_path / ".git/HEAD", "ref")
    repository, problems = scanned(tmp_path)
    assert problems == []
    assert [part.path for part in repository.items[0].parts] == [".platform", "definition.pbir"]
    left_out = (".DS_Store", "._x", ".gitignore", ".pbi/localSettings.json", "__pycache__/")
    assert repository.left_out == tuple(f"R.Report/{each}" for each in left_out)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_link_out_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret.txt", "outside")
    root = tmp_path / "repo"
    item(root, "A.Notebook", "Notebook", "A", NOTEBOOK)
    (root / "A.Notebook/secret.py").symlink_to(tmp_path / "secret.txt")
    repository, problems = scanned(root)
    assert any("leads out of the folder" in each for each in problems)
    assert repository.items[0].part("secret.py") is None
    with pytest.raises(RefusedError, match="leads out of the folder"):
        scan.reader(root, "repo")("../secret.txt")


def test_directory_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_FILES", 3)
    for name in "abcd":
        write(tmp_path / name, "")
    assert "more than 3 files" in scanned(tmp_path)[1][0]


def test_missing_directory_is_a_problem(tmp_path: Path) -> None:
    assert scanned(tmp_path / "no")[1] == ["repo: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("content", "is_text"),
    [
        (b"PK\x03\x04" + b"\0" * 30, False),
        (b"\x89PNG\r\n\x1a\n", False),
        (b"a\0\xff", False),
        (b"", True),
        ("é".encode(), True),
    ],
)
def test_text_is_told_from_binary(tmp_path: Path, content: bytes, is_text: bool) -> None:
    item(tmp_path, "A.Notebook", "Notebook", "A", {"file.bin": content})
    repository, problems = scanned(tmp_path)
    assert problems == []
    assert repository.items[0].parts[1].is_text is is_text


def test_configuration_names_paths_in_its_own_git_repository(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / ".git/HEAD", "")
        write(tmp_path / name / "ws/x", "")
    config = tmp_path / "one/config.yml"
    assert scan.named_by(config, "ws", is_directory=True) == (tmp_path / "one/ws").resolve()
    assert scan.named_by(config, "../two/ws/x", is_directory=False) == (tmp_path / "two/ws/x").resolve()
    with pytest.raises(RefusedError, match="another Git repository"):
        scan.named_by(config, str(tmp_path / "two/ws"), is_directory=True)
    with pytest.raises(RefusedError, match="is not a directory"):
        scan.named_by(config, "ws/x", is_directory=True)


def test_directory_called_as_an_item_without_platform_is_listed(tmp_path: Path) -> None:
    """It is not an item, as for fabric-cicd, but its files are listed as left out."""
    item(tmp_path, "A.Notebook", "Notebook", "A", NOTEBOOK)
    for name in ("Code/B.Notebook/notebook-content.py", "Code/B.Notebook/more/x.py", "Code/readme.Notes/x.md"):
        write(tmp_path / name, "x")
    repository, problems = scanned(tmp_path)
    assert ([each.key for each in repository.items], problems) == (["Notebook/A"], [])
    assert repository.left_out == ("Code/B.Notebook/ (it has no .platform)",)


def test_name_with_a_blank_at_its_end_is_a_problem(tmp_path: Path) -> None:
    """Nobody sees it, and Fabric may drop it: the folder or the item would then be created again each time."""
    for name in ("A", "B "):
        item = tmp_path / name / f"{name.strip()}.Notebook"
        item.mkdir(parents=True)
        metadata = {"type": "Notebook", "displayName": "x " if name == "A" else "y"}
        config = {"logicalId": f"0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c0{len(name)}"}
        (item / ".platform").write_text(json.dumps({"metadata": metadata, "config": config}))
    _, problems = scanned(tmp_path)
    assert len(problems) == 2
    assert "A/A.Notebook/.platform:1: displayName 'x ' begins or ends with white space" in problems[0]
    assert "B : becomes a workspace folder, whose name may not begin or end with white space" in problems[1]


def test_missing_logical_id_is_told_what_to_do(tmp_path: Path) -> None:
    item = tmp_path / "A.Notebook"
    item.mkdir()
    (item / ".platform").write_text('{"metadata": {"type": "Notebook", "displayName": "x"},\n"config": {}}')
    _, problems = scanned(tmp_path)
    [problem] = problems
    assert "A.Notebook/.platform:2: logicalId is missing; add one, as a new GUID" in problem


def test_problem_of_a_platform_file_does_not_hide_those_of_the_other_files(tmp_path: Path) -> None:
    """They are checked as parts of the type that it names, if it names one."""
    item(tmp_path, "Load.Notebook", "Notebook", "Load", {"notebook-content.py": b"x = \xff"})
    platform = tmp_path / "Load.Notebook" / ".platform"
    for metadata, count in (({"type": "Notebook"}, 2), ({"displayName": "Load"}, 1)):
        platform.write_text(json.dumps({"metadata": metadata, "config": {"logicalId": logical_id("Notebook/Load")}}))
        _, problems = scanned(tmp_path)
        assert len(problems) == count
        assert problems[0].startswith("repo/Load.Notebook/.platform:1:")
        assert all("notebook-content.py:1" in problem for problem in problems[1:])
