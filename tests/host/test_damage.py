"""Damaged files of the local stack: one sentence names them, no process is left running unnoticed, and the data
stay."""

import json
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.wrappers_pb2 import StringValue

from local import azurite, files, processes
from local.functions_host.engine_store import StoredEngine
from local.functions_host.keys import Keys
from local.paths import HOME
from tests.host.test_stack import PARTS, command, eventually, name, stack_of

__all__ = ["name"]

CUTS: list[Callable[[bytes], bytes]] = [
    lambda content: content[: len(content) // 2],
    lambda content: b"",
    lambda content: b"\xff\x00garbage" * 400,
    lambda content: b"[]",
    lambda content: b"{}",
    lambda content: b'{"default": 7, "master": "", "ports": 3, "pids": []}',
    lambda content: b"[" * 100_000,
]


# --- the engine's state -----------------------------------------------------------------------------------------


def begin(engine: StoredEngine, instance: str, text: str = "x") -> None:
    """Start an orchestration."""
    engine.StartInstance(pb.CreateInstanceRequest(instanceId=instance, name="o", input=StringValue(value=text)), None)


def stored(path: Path) -> list[str]:
    """Return the instances in the file."""
    with sqlite3.connect(path) as database:
        return [row[0] for row in database.execute("select id from instances order by id")]


def damage_after_the_first_page(path: Path) -> None:
    """Damage everything after the file's first page."""
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def replace_by_another_programs_table(path: Path) -> None:
    """Replace the database with one that has another table."""
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("create table instances (id text, colour text)")


def write_invalid_histories(path: Path) -> None:
    """Replace the histories with bytes that are not a history."""
    with sqlite3.connect(path) as database:
        database.execute("update instances set history = ?", (b"\xff\xff\xff",))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"garbage " * 2_000),
        lambda path: path.write_bytes(path.read_bytes()[:1_000]),
        lambda path: path.write_bytes(path.read_bytes()[:5_000]),
        damage_after_the_first_page,
        replace_by_another_programs_table,
        write_invalid_histories,
    ],
)
def test_engine_sets_a_damaged_file_aside_and_begins_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    """One line says what was damaged and where it is kept; new instances are stored again."""
    path = tmp_path / "engine.sqlite"
    engine = StoredEngine(path)
    for number in range(50):
        begin(engine, f"i-{number}", "x" * 500)
    engine._database.close()
    damage(path)
    before = path.read_bytes()
    repeated = StoredEngine(path)
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "is damaged" in caplog.text
    [kept] = [file for file in tmp_path.glob("engine.sqlite.damaged-*") if not file.name.endswith(("-wal", "-shm"))]
    assert kept.read_bytes()[:16] == before[:16]
    begin(repeated, "new")
    assert stored(path) == ["new"]


def test_engine_reads_an_empty_and_an_intact_file_without_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is not damaged is not set aside."""
    path = tmp_path / "engine.sqlite"
    path.touch()
    engine = StoredEngine(path)
    begin(engine, "kept")
    engine._database.close()
    assert [each.instance_id for each in StoredEngine(path)._left] == ["kept"]
    assert caplog.records == []
    assert sorted(file.name for file in tmp_path.iterdir() if "damaged" in file.name) == []


def test_engine_on_a_file_that_cannot_be_used_reports_it_and_leaves_it(tmp_path: Path) -> None:
    """A folder has the file's name. It is not set aside, because it may be intact."""
    path = tmp_path / "engine.sqlite"
    path.mkdir()
    with pytest.raises(RuntimeError, match=r"engine\.sqlite cannot be used .*unable to open"):
        StoredEngine(path)
    assert path.is_dir()


def test_engine_with_a_full_disk_refuses_calls_until_there_is_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No call is answered before its change is stored. The error is logged once, and the first write that succeeds
    stores everything."""
    caplog.set_level(logging.WARNING)
    path = tmp_path / "engine.sqlite"
    engine = StoredEngine(path)
    begin(engine, "before")
    engine._database.execute("pragma max_page_count = 3")
    for number in range(3):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            begin(engine, f"during-{number}", "x" * 50_000)
    assert stored(path) == ["before"]
    engine._database.execute("pragma max_page_count = 1073741823")
    begin(engine, "after")
    assert stored(path) == ["after", "before", "during-0", "during-1", "during-2"]
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]


# --- keys and small files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", CUTS)
def test_keys_that_are_damaged_are_replaced(tmp_path: Path, cut: Callable[[bytes], bytes]) -> None:
    """The old file is kept under another name; the new one is private, and is read from then on."""
    file = tmp_path / "keys.json"
    old = Keys.load(file)
    file.write_bytes(cut(file.read_bytes()))
    new = Keys.load(file)
    assert new != old
    assert Keys.load(file) == Keys.read(file) == new
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.glob("keys.json.damaged-*"))) == 1


@pytest.mark.parametrize("cut", CUTS[:4])
def test_damaged_object_is_an_error_that_names_its_file(tmp_path: Path, cut: Callable[[bytes], bytes]) -> None:
    """This holds for any content that is not a JSON object."""
    file = tmp_path / "some.json"
    file.write_bytes(cut(b'{"whole": true}'))
    with pytest.raises(files.DamagedError, match=r"some\.json is damaged"):
        files.read_object(file)


# --- the stack --------------------------------------------------------------------------------------------------


def check_one_sentence(done: Any, code: int, *says: str) -> None:
    """Check the exit code and the output, which must not contain a traceback."""
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text
    for each in says:
        assert each in text


@pytest.mark.parametrize("cut", CUTS)
def test_stack_with_a_damaged_file_reports_it_in_one_sentence(name: str, cut: Callable[[bytes], bytes]) -> None:
    """`status` and `env` say what to do; `down` does what it can. No process has to run for that."""
    folder = HOME / "stacks" / name
    folder.mkdir(parents=True)
    (folder / "stack.json").write_bytes(cut(b'{"ports": {}, "pids": {}}'))
    sound = command(name, "status")
    if cut(b"x") == b"{}":  # An object without content counts as a missing file.
        assert sound.returncode == 1
        return
    check_one_sentence(sound, 1, "stack.json is damaged", "`make up`")
    check_one_sentence(command(name, "env"), 1, "stack.json is damaged")
    check_one_sentence(command(name, "down"), 0, "is stopped", "stack.json is damaged")
    assert not (folder / "stack.json").exists()


def test_stack_with_every_file_damaged_starts_and_reports_each_file(name: str) -> None:
    """The host was killed and its files were damaged: the same data are served, and every process is known."""
    folder = HOME / "stacks" / name
    stack = stack_of(name).up()
    old = dict(stack.pids)
    stack.kill_host()
    for beside in folder.glob("engine.sqlite-*"):
        beside.unlink()  # The write-ahead log would repair the file.
    for file in ("engine.sqlite", "keys.json", "stack.json"):
        (folder / file).write_bytes(b"garbage " * 1_000)
    check_one_sentence(
        command(name, "up"), 0, "stack.json is damaged", "keys.json is damaged", "engine.sqlite was damaged"
    )
    assert not any(processes.is_alive(pid) for pid in old.values())
    data = json.loads((folder / "stack.json").read_text())
    assert data["function_key"] == Keys.read(folder / "keys.json").default
    assert set(data["pids"]) == set(PARTS)
    check_one_sentence(command(name, "status"), 0)
    (folder / "stack.json").write_bytes(b"{")
    check_one_sentence(command(name, "down"), 0, "stack.json is damaged")
    eventually(lambda: not any(processes.is_alive(pid) for pid in data["pids"].values()))
    assert not any(azurite.is_listening(port) for port in data["ports"].values())


def test_stack_whose_host_cannot_start_reports_the_reason(name: str) -> None:
    """The sentence itself has the reason, not only a log; every process that was started is known."""
    folder = HOME / "stacks" / name
    (folder / "engine.sqlite").mkdir(parents=True)
    check_one_sentence(command(name, "up"), 1, "functions did not start", "engine.sqlite cannot be used", os.sep)
    check_one_sentence(command(name, "down"), 0)
