"""Packing what a manifest names: folders in Fabric's source-control format, principals files, and all that is odd."""

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.cli import pack
from shared.domain.errors import InvalidInputError
from shared.domain.text import MAX_BYTES

GUID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
CSV = f"principal_id,role,description,type\r\n{GUID},Admin,,User\r\n"


def platform(**metadata: Any) -> str:
    """A `.platform` file as Fabric writes it."""
    return json.dumps({"metadata": {"type": "Notebook", "displayName": "Clean", **metadata}, "config": {}})


def folder(root: Path, name: str = "Clean.Notebook", text: str | None = None) -> Path:
    """An item's folder with one part."""
    made = root / name
    made.mkdir()
    (made / "notebook-content.py").write_bytes(b"x = 1\r\ny = 2\r\n")
    if text is None or text:
        (made / ".platform").write_text(platform() if text is None else text)
    return made


def item(**spec: Any) -> dict[str, Any]:
    """A manifest with one item."""
    return {"name": "m", "steps": [{"id": "i", "kind": "item", "with": {"folder": "Clean.Notebook", **spec}}]}


def people(**spec: Any) -> dict[str, Any]:
    """A manifest with one list of principals."""
    return {"name": "m", "steps": [{"id": "p", "kind": "principals", "with": spec}]}


def spec_of(manifest: Any, root: Path) -> dict[str, Any]:
    """The packed `with` of the one step."""
    return pack.packed(manifest, root)["steps"][0]["with"]


def refusal(manifest: Any, root: Path) -> tuple[str, str]:
    """Path and message of the one problem."""
    with pytest.raises(InvalidInputError) as caught:
        pack.packed(manifest, root)
    [problem] = caught.value.problems
    return problem.path, problem.message


def test_pack_folder_becomes_a_definition(tmp_path: Path) -> None:
    """Every file is a part, bytes untouched, `.platform` last; type, name and description come from it."""
    made = folder(tmp_path, text=platform(description="cleans"))
    (made / "resources").mkdir()
    (made / "resources" / "logo.bin").write_bytes(bytes(range(256)))
    spec = spec_of(item(), tmp_path)
    parts = {p["path"]: base64.b64decode(p["payload"]) for p in spec["definition"]["parts"]}
    assert list(parts) == ["notebook-content.py", "resources/logo.bin", ".platform"]
    assert parts["notebook-content.py"] == b"x = 1\r\ny = 2\r\n"
    assert parts["resources/logo.bin"] == bytes(range(256))
    assert (spec["type"], spec["displayName"], spec["description"]) == ("Notebook", "Clean", "cleans")
    assert "folder" not in spec


def test_pack_leaves_hidden_files_out(tmp_path: Path) -> None:
    """Editors' and git's leftovers are no parts."""
    made = folder(tmp_path)
    (made / ".git").mkdir()
    (made / ".git" / "config").write_text("secret")
    (made / ".DS_Store").write_bytes(b"\x00")
    (made / "dangling").symlink_to(made / "nowhere")
    paths = [p["path"] for p in spec_of(item(), tmp_path)["definition"]["parts"]]
    assert paths == ["notebook-content.py", ".platform"]


def test_pack_what_the_manifest_says_goes_before_the_platform_file(tmp_path: Path) -> None:
    """Name and description may be said in the manifest; a null says nothing."""
    folder(tmp_path)
    spec = spec_of(item(displayName="Mine", description=None, type=None, definition=None), tmp_path)
    assert (spec["type"], spec["displayName"]) == ("Notebook", "Mine")
    assert spec["definition"]["parts"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no .platform"),
        ("{", "is no JSON"),
        ("[" * 200_000, "is no JSON"),
        ("\ufeff[]", "metadata.type is no string"),
        ("{}", "metadata.type is no string"),
        ('{"metadata": []}', "metadata.type is no string"),
        ('{"metadata": {"type": ["Notebook"], "displayName": "x"}}', "metadata.type is no string"),
        ('{"metadata": {"type": "Notebook"}}', "metadata.displayName is no string"),
        (platform(type="Report"), "holds a Report, and `type` says Notebook"),
    ],
)
def test_pack_platform_file_that_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    """Missing, unreadable, of another type: each is one problem at the folder's path."""
    folder(tmp_path, text=text)
    path, message = refusal(item(type="Notebook"), tmp_path)
    assert path == "$.steps[0].with.folder"
    assert says in message


def test_pack_platform_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Windows editors write one."""
    folder(tmp_path, text="\ufeff" + platform())
    assert spec_of(item(), tmp_path)["type"] == "Notebook"


def test_pack_binary_platform_file_is_named(tmp_path: Path) -> None:
    """Bytes that are no text at all."""
    (folder(tmp_path) / ".platform").write_bytes(b"\xff\xfe\x00\x01")
    assert "is no JSON" in refusal(item(), tmp_path)[1]


@pytest.mark.parametrize("name", ["nowhere", "x" * 5_000, "Clean.Notebook/notebook-content.py", "a\x00b"])
def test_pack_folder_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    """A path that does not exist, cannot exist, or is a file."""
    folder(tmp_path)
    path, message = refusal(item(folder=name), tmp_path)
    assert path == "$.steps[0].with.folder"
    assert "is not a folder" in message or "cannot be read" in message


def test_pack_folder_beside_a_definition_is_refused(tmp_path: Path) -> None:
    """There is one definition."""
    folder(tmp_path)
    assert "cannot stand beside" in refusal(item(definition={"parts": []}), tmp_path)[1]


def test_pack_folder_with_a_name_of_control_characters_is_refused(tmp_path: Path) -> None:
    """What the app would refuse is refused here: such a name cannot travel."""
    folder(tmp_path, text=platform(displayName="a\x00b"))
    path, message = refusal(item(), tmp_path)
    assert path == "$.steps[0].with.displayName"
    assert "U+0000" in message


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
def test_pack_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file name that is not UTF-8 cannot be a part's path."""
    made = folder(tmp_path)
    Path(os.fsdecode(os.fsencode(made) + b"/\xff")).write_text("x")
    assert "U+DCFF" in refusal(item(), tmp_path)[1]


def test_pack_folder_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A folder of gigabytes costs no memory."""
    with (folder(tmp_path) / "big.bin").open("wb") as stream:
        stream.truncate(40 * MAX_BYTES)
    assert f"may have {MAX_BYTES}" in refusal(item(), tmp_path)[1]


def test_pack_many_folders_too_large_together_are_refused(tmp_path: Path) -> None:
    """What each alone may hold can be too much in all."""
    for name in ("a", "b"):
        (folder(tmp_path, name) / "big.bin").write_bytes(b"x" * (7 * 1024 * 1024))
    steps = [{"id": n, "kind": "item", "with": {"folder": n}} for n in ("a", "b")]
    assert f"at most {MAX_BYTES}" in refusal({"name": "m", "steps": steps}, tmp_path)[1]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_pack_principals_file_is_taken_as_it_is(tmp_path: Path, mark: str) -> None:
    """With or without a byte order mark, line ends kept; its name goes along for messages."""
    (tmp_path / "team.csv").write_bytes((mark + CSV).encode())
    assert spec_of(people(file="team.csv"), tmp_path) == {"csv": CSV, "source": "team.csv"}


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), (b"\xff\xfea", "is not UTF-8 text (byte 0)"), (b"a,\x00b", "U+0000")],
)
def test_pack_principals_file_that_is_wrong_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    """Absent, binary, with characters that no text may have."""
    if content is not None:
        (tmp_path / "team.csv").write_bytes(content)
    path, message = refusal(people(file="team.csv"), tmp_path)
    assert path.startswith("$.steps[0].with.")
    assert says in message


def test_pack_endless_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A device or a disk image given by mistake is refused after as much as a manifest may have."""
    assert f"more than {MAX_BYTES} bytes" in refusal(people(file="/dev/zero"), tmp_path)[1]
    with pytest.raises(InvalidInputError, match="more than"):
        pack.read_text("/dev/zero")


def test_pack_file_beside_an_inline_list_is_left_for_the_check(tmp_path: Path) -> None:
    """Nothing that was written is overwritten in silence."""
    (tmp_path / "team.csv").write_text(CSV)
    spec = spec_of(people(file="team.csv", csv="mine"), tmp_path)
    assert spec == {"file": "team.csv", "csv": "mine"}


def test_pack_reports_all_problems_and_changes_nothing(tmp_path: Path) -> None:
    """Each file that cannot be packed is named; the manifest can still be sent as it was."""
    steps = [*item()["steps"], *people(file="gone.csv")["steps"]]
    manifest = {"name": "m", "steps": steps}
    before = json.dumps(manifest)
    with pytest.raises(InvalidInputError) as caught:
        pack.packed(manifest, tmp_path)
    assert [p.path for p in caught.value.problems] == ["$.steps[0].with.folder", "$.steps[1].with.file"]
    assert json.dumps(manifest) == before


@pytest.mark.parametrize(
    "manifest", [None, 7, "x", [], {}, {"steps": 7}, {"steps": [None, 7, {"kind": ["item"], "with": "x"}]}]
)
def test_pack_passes_what_is_no_manifest(manifest: Any, tmp_path: Path) -> None:
    """The check will say what is wrong with it."""
    assert pack.packed(manifest, tmp_path) == manifest


def test_read_text_knows_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in a manifest are relative to it, or, on standard input, to where one stands."""
    (tmp_path / "m.yaml").write_bytes(b"\xef\xbb\xbfname: x\r\n")
    assert pack.read_text(str(tmp_path / "m.yaml")) == ("name: x\r\n", tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"name: y")))
    monkeypatch.chdir(tmp_path)
    assert pack.read_text("-") == ("name: y", tmp_path)


@pytest.mark.parametrize("content", [None, b"name: \xff"])
def test_read_text_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """Absent, a folder, or no text."""
    path = tmp_path
    if content is not None:
        path = tmp_path / "m.yaml"
        path.write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        pack.read_text(str(path))
    assert str(path) in caught.value.problems[0].message
