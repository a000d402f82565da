"""Packing the files that a manifest names: folders in Fabric's source-control format, principals files, and
odd cases."""

import base64
import errno
import io
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.cli import item_folder, pack
from shared.domain.errors import InvalidInputError
from shared.domain.text_limits import MAX_BYTES
from shared.repository import files
from tests.differential import all_types

GUID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
CSV = f"principal_id,role,description,type\r\n{GUID},Admin,,User\r\n"


def platform(**metadata: Any) -> str:
    """Return a `.platform` file as Fabric writes it."""
    return json.dumps({"metadata": {"type": "Notebook", "displayName": "Clean", **metadata}, "config": {}})


def folder(root: Path, name: str = "Clean.Notebook", text: str | None = None) -> Path:
    """Write an item's folder with one part."""
    made = root / name
    made.mkdir()
    (made / "notebook-content.py").write_bytes(b"x = 1\r\ny = 2\r\n")
    if text is None or text:
        (made / ".platform").write_text(platform() if text is None else text)
    return made


def item(**spec: Any) -> dict[str, Any]:
    """Return a manifest with one item."""
    return {"name": "m", "steps": [{"id": "i", "kind": "item", "with": {"folder": "Clean.Notebook", **spec}}]}


def people(**spec: Any) -> dict[str, Any]:
    """Return a manifest with one list of principals."""
    return {"name": "m", "steps": [{"id": "p", "kind": "principals", "with": spec}]}


def spec_of(manifest: Any, root: Path) -> dict[str, Any]:
    """Return the packed `with` of the only step."""
    return pack.packed(manifest, root)["steps"][0]["with"]


def refusal(manifest: Any, root: Path) -> tuple[str, str]:
    """Return path and message of the only problem."""
    with pytest.raises(InvalidInputError) as caught:
        pack.packed(manifest, root)
    [problem] = caught.value.problems
    return problem.path, problem.message


def test_pack_folder_becomes_a_definition(tmp_path: Path) -> None:
    """Every file is a part with unchanged bytes, `.platform` last; type, name and description come from it."""
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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a\xff.py", "'Clean.Notebook/a\\udcff.py' has a name that is not UTF-8 text; rename it"),
        (b"a\nb.py", "'Clean.Notebook/a\\nb.py' has a control character in its name; rename it"),
        (b"inner\xff/c.py", "'Clean.Notebook/inner\\udcff' has a name that is not UTF-8 text; rename it"),
    ],
)
def test_pack_names_the_file_whose_name_no_part_can_have(tmp_path: Path, name: bytes, expected: str) -> None:
    """The path of a part is text on one line."""
    path = Path(os.fsdecode(os.fsencode(folder(tmp_path)) + b"/" + name))
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert refusal(item(), tmp_path) == ("$.steps[0].with.folder", expected)


def test_pack_excludes_only_leftovers_by_name(tmp_path: Path) -> None:
    """Hidden files are parts like others; only the files that tools leave behind are excluded, and they are named."""
    made = folder(tmp_path)
    inside = [".settings", ".resources/functions.json", "dags/.hidden/x", "Files/.config"]
    leftovers = [".git/config", ".DS_Store", "Thumbs.db", ".pbi/cache.abf", ".children/Db.KQLDatabase/.platform"]
    leftovers += ["sub/__pycache__/m.pyc", ".ipynb_checkpoints/a.ipynb", "sub/.gitkeep", "._notebook-content.py"]
    leftovers += [".venv/pyvenv.cfg", "~$notes.docx", "a.py:Zone.Identifier", ".Trashes/x", "$RECYCLE.BIN/x"]
    leftovers += ["sub/.gitignore"]
    for name in [*inside, *leftovers]:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("x")
    (made / "empty").mkdir()
    reported: list[pack.LeftOut] = []
    definition = pack.packed(item(), tmp_path, None, reported.append)["steps"][0]["with"]["definition"]
    assert {p["path"] for p in definition["parts"]} == {*inside, "notebook-content.py", ".platform"}
    [left] = reported
    assert (left.path, left.folder) == ("$.steps[0].with.folder", "Clean.Notebook")
    assert set(left.files) == {
        *(".git/", ".DS_Store", "Thumbs.db", ".pbi/", ".children/", "sub/__pycache__/", ".ipynb_checkpoints/"),
        *("sub/.gitkeep", "._notebook-content.py", ".venv/", "~$notes.docx", "a.py:Zone.Identifier", ".Trashes/"),
        *("$RECYCLE.BIN/", "sub/.gitignore"),
    }


def test_pack_sends_the_gitignore_of_an_sql_database(tmp_path: Path) -> None:
    """Fabric writes it itself, and it is a part there; a repository sends it too."""
    made = folder(tmp_path)
    platform = json.loads((made / ".platform").read_text())
    (made / ".platform").write_text(
        json.dumps({**platform, "metadata": {**platform["metadata"], "type": "SQLDatabase"}})
    )
    (made / "notebook-content.py").rename(made / "db.sqlproj")
    (made / ".gitignore").write_text("bin/")
    reported: list[pack.LeftOut] = []
    definition = pack.packed(item(), tmp_path, None, reported.append)["steps"][0]["with"]["definition"]
    assert {p["path"] for p in definition["parts"]} == {".gitignore", "db.sqlproj", ".platform"}
    assert reported == []


def test_pack_reports_nothing_if_all_files_are_sent(tmp_path: Path) -> None:
    folder(tmp_path)
    reported: list[pack.LeftOut] = []
    pack.packed(item(), tmp_path, None, reported.append)
    assert reported == []


@pytest.mark.parametrize(
    ("item_type", "names", "inferred"),
    [
        ("Notebook", ["notebook-content.ipynb"], "ipynb"),
        ("Notebook", ["notebook-content.py", "Resources/other.ipynb"], None),
        ("SparkJobDefinition", ["SparkJobDefinitionV1.json", "Main/main.py"], "SparkJobDefinitionV2"),
        ("SparkJobDefinition", ["SparkJobDefinitionV1.json", "Libs/lib.py"], "SparkJobDefinitionV2"),
        ("SparkJobDefinition", ["SparkJobDefinitionV1.json"], None),
        ("SemanticModel", ["definition.pbism", "model.bim"], "TMSL"),
        ("SemanticModel", ["definition.pbism", "definition/tables/t.tmdl"], None),
        ("SQLDatabase", ["db.sqlproj", "dbo/Tables/t.sql"], "sqlproj"),
        ("DataPipeline", ["pipeline-content.json"], None),
    ],
)
def test_pack_format_is_inferred_from_the_files(
    tmp_path: Path, item_type: str, names: list[str], inferred: str | None
) -> None:
    """The names of the files determine the format that Fabric needs; Fabric's default is not written out."""
    made = tmp_path / "Clean.Notebook"
    for name in names:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("x")
    (made / ".platform").write_text(platform(type=item_type))
    assert spec_of(item(), tmp_path)["definition"].get("format") == inferred


def test_pack_uses_the_format_in_the_manifest(tmp_path: Path) -> None:
    """`format` beside `folder` becomes the definition's format; a bare item has none."""
    made = folder(tmp_path)
    spec = spec_of(item(format="fabricGitSource"), tmp_path)
    assert spec["definition"]["format"] == "fabricGitSource"
    assert "format" not in spec
    (made / "notebook-content.py").unlink()
    assert "without a definition; remove `format`" in refusal(item(format="ipynb"), tmp_path)[1]


@pytest.mark.parametrize(
    ("metadata", "names", "payload"),
    [
        ({"type": "Warehouse"}, [], None),
        ({"type": "Warehouse", "creationPayload": {"defaultCollation": "c"}}, [], {"defaultCollation": "c"}),
        ({"type": "Lakehouse"}, [], None),
        ({"type": "MLExperiment"}, ["mlexperiment.metadata.json"], None),
        ({"type": "Warehouse"}, ["dw.sqlproj", "dbo/Tables/t.sql"], None),
    ],
)
def test_pack_folder_without_a_definition_gives_a_bare_item(
    tmp_path: Path, metadata: dict[str, Any], names: list[str], payload: object
) -> None:
    """`.platform` alone defines nothing, and some types accept no definition: their files are named as excluded."""
    made = tmp_path / "Clean.Notebook"
    made.mkdir()
    for name in names:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("x")
    (made / ".platform").write_text(platform(**metadata))
    reported: list[pack.LeftOut] = []
    spec = pack.packed(item(), tmp_path, None, reported.append)["steps"][0]["with"]
    assert "definition" not in spec
    assert spec.get("creationPayload") == payload
    assert [(set(left.files), left.reason) for left in reported] == (
        [(set(names), f"a {metadata['type']} has no definition in Fabric")] if names else []
    )


def outside(root: Path) -> Path:
    """Write a folder beside the root, with a secret, a list of principals and an item."""
    made = root / "outside"
    made.mkdir()
    (made / "secret.env").write_text("TOKEN=canary-7f3a")
    (made / "team.csv").write_text(CSV)
    folder(made)
    return made


@pytest.mark.parametrize("target", ["../../outside/secret.env", "/proc/self/environ", "../secret.env", "/dev/zero"])
def test_pack_link_out_of_an_item_is_refused_unread(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git keeps links, so anybody's change can add one; it is named before anything is read."""
    outside(tmp_path)
    root = tmp_path / "repo"
    root.mkdir()
    (root / "secret.env").write_text("TOKEN=canary-7f3a")
    (folder(root) / "leak.py").symlink_to(target)
    monkeypatch.setattr(files, "read", lambda *_: pytest.fail("pack must not read a file here"))
    path, message = refusal(item(), root)
    assert path == "$.steps[0].with.folder"
    assert "'Clean.Notebook/leak.py' leads out of the folder" in message
    assert "canary" not in message


@pytest.mark.parametrize(
    ("target", "expected_text"),
    [
        ("nowhere", "is a link to a file that does not exist"),
        ("leak", "is a link to a file that does not exist"),
        ("resources", "is a link to a folder"),
        ("resources/pipe", "is a pipe, not a file"),
        (".git/config", "is a link to a file that is left out"),
    ],
)
def test_pack_link_inside_an_item_to_anything_but_a_file_is_refused(
    tmp_path: Path, target: str, expected_text: str
) -> None:
    """The link leads to nothing, to itself, or to a folder. If it were dropped without notice, its file would be
    missing later."""
    made = folder(tmp_path)
    for name in ("resources", ".git"):
        (made / name).mkdir()
    (made / ".git" / "config").write_text("x")
    os.mkfifo(made / "resources" / "pipe")
    (made / "leak").symlink_to(target)
    with pytest.raises(InvalidInputError) as caught:
        pack.packed(item(), tmp_path)
    assert any(expected_text in p.message and "leak'" in p.message for p in caught.value.problems), (
        caught.value.problems
    )


def test_pack_link_to_a_file_of_the_same_item_is_that_file(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made / "same.py").symlink_to("notebook-content.py")
    parts = {p["path"]: p["payload"] for p in spec_of(item(), tmp_path)["definition"]["parts"]}
    assert parts["same.py"] == parts["notebook-content.py"]


@pytest.mark.parametrize("name", ["../outside/{}", "{absolute}/{}", "link/{}", "direct-{}"])
@pytest.mark.parametrize(("kind", "end"), [("item", "Clean.Notebook"), ("principals", "team.csv")])
def test_pack_follows_names_out_of_the_manifests_folder_only_below_the_root(
    tmp_path: Path, name: str, kind: str, end: str
) -> None:
    """By `..`, by an absolute path, through a link on the way or as a link itself: refused, and accepted below
    --root."""
    away = outside(tmp_path)
    root = tmp_path / "repo"
    root.mkdir()
    (root / "link").symlink_to(away)
    (root / f"direct-{end}").symlink_to(away / end)
    text = name.format(end, absolute=away)
    manifest = item(folder=text) if kind == "item" else people(file=text)
    path, message = refusal(manifest, root)
    assert path == f"$.steps[0].with.{'folder' if kind == 'item' else 'file'}"
    assert f"'{text}' leads out of the folder" in message
    assert "--root" in message
    spec = pack.packed(manifest, root, pack.real_root(str(tmp_path), root))["steps"][0]["with"]
    assert spec.get("csv") == CSV or spec["displayName"] == "Clean"


@pytest.mark.parametrize("wrong", ["nowhere", "file", "a\x00b", ""])
def test_pack_root_that_is_not_a_folder_is_named(tmp_path: Path, wrong: str) -> None:
    """The option is the path of the problem."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInputError) as caught:
        pack.real_root(str(tmp_path / wrong) if wrong else "", tmp_path)
    assert [p.path for p in caught.value.problems] == ["--root"]


@pytest.mark.parametrize("name", ["notebook-content.py", "Clean.Notebook"])
def test_pack_name_changed_during_reading_reads_nothing_else(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file or its folder that becomes a link after the check is not followed."""
    away = outside(tmp_path)
    (away / "Clean.Notebook" / "notebook-content.py").write_text("canary-7f3a")
    root = tmp_path / "repo"
    root.mkdir()
    made = folder(root)
    check = item_folder._check_files  # pyright: ignore[reportPrivateUsage]

    def swap(*given: Any) -> None:
        check(*given)
        if name == made.name:
            made.rename(root / "old")
            made.symlink_to(away / made.name)
        else:
            (made / name).unlink()
            (made / name).symlink_to(away / made.name / name)

    monkeypatch.setattr(item_folder, "_check_files", swap)
    message = refusal(item(), root)[1]
    assert "cannot be read" in message or "is a link" in message
    assert "canary" not in message


def test_pack_file_that_changes_during_reading_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mixture of two versions is never sent."""
    part = folder(tmp_path) / "notebook-content.py"
    fdopen = os.fdopen

    def grow(*given: Any) -> Any:
        stream = fdopen(*given)
        size = os.fstat(stream.fileno()).st_size
        if size == part.stat().st_size:
            read = stream.read

            class Growing:
                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *_: object) -> None:
                    stream.close()

                def fileno(self) -> int:
                    return stream.fileno()

                def read(self, count: int) -> bytes:
                    with part.open("ab") as more:
                        more.write(b"z = 3")
                    return read(count)

            return Growing()
        return stream

    monkeypatch.setattr(os, "fdopen", grow)
    assert "'Clean.Notebook/notebook-content.py' changed while it was read" in refusal(item(), tmp_path)[1]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("place", ["part", "file", "manifest"])
def test_pack_refuses_a_pipe_or_socket_without_waiting(tmp_path: Path, kind: str, place: str) -> None:
    """Opening a pipe would block until somebody writes to it."""
    name = "Clean.Notebook/odd" if place == "part" else "odd"
    folder(tmp_path)
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(tmp_path / name))
    if place == "manifest":
        with pytest.raises(InvalidInputError) as caught:
            pack.read_text(str(tmp_path / name))
        message = caught.value.problems[0].message
        assert ("give -" in message) == (kind == "pipe")
    else:
        message = refusal(item() if place == "part" else people(file=name), tmp_path)[1]
    assert f"is a {kind}, not a file" in message
    assert name in message


@pytest.mark.parametrize("place", ["part", "file", "folder"])
def test_pack_names_a_file_that_may_not_be_read(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the path of the file itself, not only of the folder."""
    inner = folder(tmp_path) / "inner"
    inner.mkdir()
    (tmp_path / "team.csv").write_text(CSV)
    real_open, scandir = os.open, os.scandir

    def closed(path: Any, *given: Any, **more: Any) -> int:
        if path in ("notebook-content.py", "team.csv"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real_open(path, *given, **more)

    def closed_folder(path: Any) -> Any:
        if Path(path) == inner:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(path)

    if place == "folder":
        monkeypatch.setattr(os, "scandir", closed_folder)
    else:
        monkeypatch.setattr(os, "open", closed)
        monkeypatch.setattr(os, "supports_dir_fd", {*os.supports_dir_fd, closed})
    message = refusal(people(file="team.csv") if place == "file" else item(), tmp_path)[1]
    named = {"part": "Clean.Notebook/notebook-content.py", "file": "team.csv", "folder": "Clean.Notebook/inner"}
    assert message == f"'{named[place]}' cannot be read: Permission denied"


def test_pack_reads_the_same_without_opening_relative_to_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: the file is read, and a file that was exchanged is refused."""
    made = folder(tmp_path)
    expected = spec_of(item(), tmp_path)
    monkeypatch.setattr(os, "supports_dir_fd", set[object]())
    assert spec_of(item(), tmp_path) == expected
    real_open = os.open

    def swap(path: Any, *given: Any, **more: Any) -> int:
        opened = real_open(path, *given, **more)
        (made / "new").write_text("other")
        (made / "new").replace(path)
        return opened

    monkeypatch.setattr(os, "open", swap)
    assert "changed while it was opened" in refusal(item(), tmp_path)[1]


def test_pack_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is refused before any of its files is read."""
    monkeypatch.setattr(files, "MAX_FILES", 3)
    made = folder(tmp_path)
    for number in range(3):
        (made / f"{number}.py").write_text("x")
    assert "contains more than 3 files and folders" in refusal(item(), tmp_path)[1]


def test_pack_item_inside_another_is_refused(tmp_path: Path) -> None:
    """Its files would become parts of the outer item."""
    folder(folder(tmp_path), "Inner.Notebook")
    message = refusal(item(), tmp_path)[1]
    assert "'Clean.Notebook/Inner.Notebook' is another item inside this one" in message


def test_pack_folder_of_the_older_format_is_reported_as_such(tmp_path: Path) -> None:
    """Fabric wrote two files before `.platform` existed."""
    (folder(tmp_path, text="") / "item.metadata.json").write_text("{}")
    assert "belongs to an older format" in refusal(item(), tmp_path)[1]


def test_pack_manifest_overrides_the_platform_file(tmp_path: Path) -> None:
    """The manifest may set name and description; a null sets nothing."""
    folder(tmp_path)
    spec = spec_of(item(displayName="Mine", description=None, type=None, definition=None), tmp_path)
    assert (spec["type"], spec["displayName"]) == ("Notebook", "Mine")
    assert spec["definition"]["parts"]


@pytest.mark.parametrize(
    ("text", "expected_text"),
    [
        ("", "has no .platform"),
        ("{\n<<<<<<< HEAD", "is not JSON (Expecting property name enclosed in double quotes, line 2)"),
        ("[" * 200_000, "is not JSON"),
        ("\ufeff[]", "metadata.type is missing"),
        ("{}", "metadata.type is missing"),
        ('{"metadata": []}', "metadata.type is missing"),
        ('{"metadata": {"type": ["Notebook"], "displayName": "x"}}', "metadata.type is not a string with text"),
        ('{"metadata": {"type": "Notebook"}}', "metadata.displayName is missing"),
        ('{"metadata": {"type": "Notebook", "displayName": " "}}', "metadata.displayName is not a string with text"),
        (platform(description=["x"]), "metadata.description is not a string"),
        ('{"metadata": {"type": 1, "displayName": "x", "description": 2}}', "metadata.description is not a string"),
        (platform(type="Report"), "contains a Report, but `type` is Notebook"),
    ],
)
def test_pack_platform_file_that_is_not_valid_is_named(tmp_path: Path, text: str, expected_text: str) -> None:
    """Missing, unreadable or of another type: each problem is at the folder's path, and all are reported."""
    folder(tmp_path, text=text)
    with pytest.raises(InvalidInputError) as caught:
        pack.packed(item(type="Notebook"), tmp_path)
    assert {problem.path for problem in caught.value.problems} == {"$.steps[0].with.folder"}
    assert any(expected_text in problem.message for problem in caught.value.problems)


def test_pack_platform_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Windows editors write a byte order mark."""
    folder(tmp_path, text="\ufeff" + platform())
    assert spec_of(item(), tmp_path)["type"] == "Notebook"


def test_pack_binary_platform_file_is_named(tmp_path: Path) -> None:
    """Bytes that are not text, and text in another encoding."""
    path = folder(tmp_path) / ".platform"
    path.write_bytes(b"\xfe\x01")
    assert "it is not UTF-8 text (byte 0)" in refusal(item(), tmp_path)[1]
    path.write_bytes(platform().encode("utf-16"))
    assert "it is UTF-16 text; write it as UTF-8" in refusal(item(), tmp_path)[1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_pack_files_in_utf_16_are_refused_by_name(tmp_path: Path, encoding: str) -> None:
    """PowerShell and Excel save files in this encoding: the manifest, and a list of principals."""
    text = f"is {encoding.upper()[:6]} text; write it as UTF-8"
    (tmp_path / "m.yaml").write_bytes("name: m".encode(encoding))
    with pytest.raises(InvalidInputError, match=f"m.yaml {text}"):
        pack.read_text(str(tmp_path / "m.yaml"))
    (tmp_path / "team.csv").write_bytes(CSV.encode(encoding))
    assert refusal(people(file="team.csv"), tmp_path)[1] == f"'team.csv' {text}"


@pytest.mark.parametrize("name", ["nowhere", "x" * 5_000, "Clean.Notebook/notebook-content.py", "a\x00b"])
def test_pack_folder_that_is_not_a_folder_is_named(tmp_path: Path, name: str) -> None:
    """A path that does not exist, cannot exist, or is a file."""
    folder(tmp_path)
    path, message = refusal(item(folder=name), tmp_path)
    assert path == "$.steps[0].with.folder"
    assert "is not a folder" in message or "cannot be read" in message


def test_pack_folder_beside_a_definition_is_refused(tmp_path: Path) -> None:
    """An item has one definition."""
    folder(tmp_path)
    assert "cannot be combined with a definition" in refusal(item(definition={"parts": []}), tmp_path)[1]


def test_pack_folder_with_a_name_of_control_characters_is_refused(tmp_path: Path) -> None:
    """The app would refuse such a name, so the command line refuses it first."""
    folder(tmp_path, text=platform(displayName="a\x00b"))
    path, message = refusal(item(), tmp_path)
    assert path == "$.steps[0].with.displayName"
    assert "U+0000" in message


def test_pack_folder_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    """A folder of gigabytes needs no memory."""
    with (folder(tmp_path) / "big.bin").open("wb") as stream:
        stream.truncate(40 * MAX_BYTES)
    assert f"may have at most {MAX_BYTES}" in refusal(item(), tmp_path)[1]


def test_pack_folders_that_are_too_large_together_are_refused(tmp_path: Path) -> None:
    """Each alone is small enough."""
    for name in ("a", "b"):
        (folder(tmp_path, name) / "big.bin").write_bytes(b"x" * (7 * 1024 * 1024))
    steps = [{"id": n, "kind": "item", "with": {"folder": n}} for n in ("a", "b", "not read any more")]
    path, message = refusal({"name": "m", "steps": steps}, tmp_path)
    assert path == "$.steps[1].with.folder"
    assert f"at most {MAX_BYTES}" in message


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_pack_principals_file_is_sent_unchanged(tmp_path: Path, mark: str) -> None:
    """With or without a byte order mark, and with its line ends; its name is kept for messages."""
    (tmp_path / "team.csv").write_bytes((mark + CSV).encode())
    assert spec_of(people(file="team.csv"), tmp_path) == {"csv": CSV, "source": "team.csv"}


@pytest.mark.parametrize(
    ("content", "expected_text"),
    [
        (None, "cannot be read"),
        (b"\xfe\xffa", "is UTF-16 text"),
        (b"\xc3(", "is not UTF-8 text (byte 0)"),
        (f"{GUID},\x00".encode(), "U+0000"),
    ],
)
def test_pack_principals_file_that_is_not_valid_is_named(
    tmp_path: Path, content: bytes | None, expected_text: str
) -> None:
    """Missing, binary, or with characters that no text may have."""
    if content is not None:
        (tmp_path / "team.csv").write_bytes(content)
    path, message = refusal(people(file="team.csv"), tmp_path)
    assert path.startswith("$.steps[0].with.")
    assert expected_text in message


def test_pack_does_not_read_a_device_or_a_file_that_is_too_large(tmp_path: Path) -> None:
    """A device or a disk image given by mistake is refused unread."""
    with pytest.raises(InvalidInputError, match="/dev/zero is a device, not a file"):
        pack.read_text("/dev/zero")
    with (tmp_path / "big.csv").open("wb") as stream:
        stream.truncate(40 * MAX_BYTES)
    assert f"at most {MAX_BYTES} are read" in refusal(people(file="big.csv"), tmp_path)[1]
    with pytest.raises(InvalidInputError, match="are read"):
        pack.read_text(str(tmp_path / "big.csv"))


def test_pack_file_that_is_not_a_list_of_principals_is_not_sent(tmp_path: Path) -> None:
    """Another file given by mistake is neither sent nor quoted."""
    (tmp_path / "config").write_text("[core]\n\ttoken = canary-7f3a\n")
    manifest = people(file="config")
    path, message = refusal(manifest, tmp_path)
    assert path == "$.steps[0].with.file (config) line 1"
    assert "is not a line of a list of principals" in message
    assert "canary" not in json.dumps(manifest) + message


def test_pack_leaves_a_file_beside_an_inline_list_to_the_check(tmp_path: Path) -> None:
    """Nothing in the manifest is overwritten without notice."""
    (tmp_path / "team.csv").write_text(CSV)
    spec = spec_of(people(file="team.csv", csv="mine"), tmp_path)
    assert spec == {"file": "team.csv", "csv": "mine"}


def test_pack_reports_all_problems_and_changes_nothing(tmp_path: Path) -> None:
    """Each file that cannot be packed is named, and the manifest can still be sent unchanged."""
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
def test_pack_ignores_what_is_not_a_manifest(manifest: Any, tmp_path: Path) -> None:
    """The check reports what is wrong with it."""
    assert pack.packed(manifest, tmp_path) == manifest


def test_read_text_returns_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in a manifest are relative to its folder, or, on standard input, to the current one."""
    (tmp_path / "m.yaml").write_bytes(b"\xef\xbb\xbfname: x\r\n")
    assert pack.read_text(str(tmp_path / "m.yaml")) == ("name: x\r\n", tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"name: y")))
    monkeypatch.chdir(tmp_path)
    assert pack.read_text("-") == ("name: y", tmp_path)


@pytest.mark.parametrize("content", [None, b"name: \xff"])
def test_read_text_names_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    """The file is missing, is a folder, or is not text."""
    path = tmp_path
    if content is not None:
        path = tmp_path / "m.yaml"
        path.write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        pack.read_text(str(path))
    assert str(path) in caught.value.problems[0].message


@pytest.mark.parametrize("name", ["", "  "])
def test_pack_empty_name_does_not_mean_the_folder_of_the_manifest(tmp_path: Path, name: str) -> None:
    """A variable was not set: the problem is one sentence, and nothing is read."""
    folder(tmp_path, "other.Notebook")
    text = {"folder": "is empty: give the folder, relative to the manifest"}
    assert refusal(item(folder=name), tmp_path) == ("$.steps[0].with.folder", text["folder"])
    assert refusal(people(file=name), tmp_path) == ("$.steps[0].with.file", text["folder"].replace("folder", "file"))


def test_parameters_may_be_beside_the_repository_and_name_variables_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual layout for fabric-cicd: config.yml and parameter.yml above the directory of the items."""
    all_types.item(tmp_path, "m/ws/A.Notebook", "Notebook", "A", {"notebook-content.py": "x = 'old'\n"})
    text = "find_replace:\n- find_value: old\n  replace_value:\n    PROD: $ENV:PLACE\n"
    all_types.write(tmp_path / "m/parameter.yml", text)
    all_types.write(tmp_path / "outside.yml", text)

    def packed(file: str, warnings: list[str], **fields: Any) -> Any:
        spec = {"workspaceId": GUID, "path": "ws", "environment": "PROD", "parameters": file, **fields}
        manifest = {"steps": [{"id": "a", "kind": "repository", "with": spec}]}
        return pack.packed(manifest, tmp_path / "m", on_warning=lambda each: warnings.append(each.message))

    with pytest.raises(InvalidInputError, match=r"parameter.yml:4: '\$ENV:PLACE' is an environment variable"):
        packed("../parameter.yml", [])
    monkeypatch.setenv("PLACE", "new")
    warnings: list[str] = []
    assert packed("../parameter.yml", warnings, environmentVariables=True)["steps"][0]["with"]["items"]
    assert [each for each in warnings if "environment variables PLACE" in each]
    with pytest.raises(InvalidInputError, match="leads out of the folder"):
        packed("../../outside.yml", [])


def test_pack_part_that_fabric_would_refuse_is_named_with_its_line(tmp_path: Path) -> None:
    """The schedules of an item's folder, as of an item of a repository."""
    place = folder(tmp_path)
    (place / ".schedules").write_text('{"schedules": [\n{"enabled": "yes", "configuration": {"type": "Cron"}}]}')
    with pytest.raises(InvalidInputError) as caught:
        pack.packed(item(), tmp_path)
    found = {problem.path for problem in caught.value.problems}
    assert found == {"Clean.Notebook/.schedules:2"}
    assert len(caught.value.problems) == 5
