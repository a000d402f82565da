"""The configuration file: what it sets, what it never sets, and its problems."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.cli.test_commands import Account, account, new_id, run

__all__ = ["account"]
MANIFEST = {"name": "m", "steps": [{"id": "ws", "kind": "workspace", "with": {"displayName": "m"}}]}
NOBODY = "http://127.0.0.1:9"


def written(folder: Path, text: str) -> dict[str, str]:
    """Write the file; return the variables that name it."""
    file = folder / "config.toml"
    file.write_text(text)
    return {"FABRIC_SAGA_CONFIG": str(file), "FUNCTION_KEY": "key"}


def test_address_of_the_file_is_used(tmp_path: Path) -> None:
    """The exit code is 5: nobody answers there, and the message names the address."""
    done = run("list", **written(tmp_path, f'url = "{NOBODY}"'))
    assert done.returncode == 5
    assert "127.0.0.1:9" in done.stdout


@pytest.mark.azurite
def test_environment_and_options_precede_the_file(account: Account, tmp_path: Path) -> None:
    """Storage of the environment is used in place of the file's API; the option in place of the file's requester."""
    environment = written(tmp_path, f'url = "{NOBODY}"\nrequested-by = "file"\ntimeout = "5m"')
    file = tmp_path / "m.json"
    file.write_text(json.dumps(MANIFEST))
    for options, expected in (((), "file"), (("--requested-by", "anna"), "anna")):
        wanted = new_id()
        done = run("submit", str(file), "--id", wanted, *options, storage=account.connection, **environment)
        assert done.returncode == 0, done.stdout
        assert account.take(wanted)["requested_by"] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url = ", "is not TOML"),
        ("url = 3", "url: must be a string, not a number"),
        ('ulr = "x"', "Did you mean 'url'?"),
        ('function-key = "s3cret"', "A function key comes from FUNCTION_KEY"),
        (f'url = "{NOBODY}"\nblob-uri = "https://x"', "cannot be combined"),
        ('url = "http://app.example"', "FABRIC_SAGA_URL"),
        ('url = "http://127.0.0.1:9\\u0000s3cret"', "url: contains a line end or a control character"),
        ('blob-uri = "https://x\\u0000"', "blob-uri: contains a line end or a control character"),
        ('requested-by = "anna\\nbob"', "requested-by: contains a line end or a control character"),
    ],
)
def test_wrong_file_is_a_clear_problem(tmp_path: Path, text: str, message: str) -> None:
    """The exit code is 2; no value is quoted, because somebody may have written a key into the file."""
    done = run("list", **written(tmp_path, text))
    assert done.returncode == 2
    assert message in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_timeout_of_the_file_is_checked(tmp_path: Path) -> None:
    done = run("follow", "x", storage="UseDevelopmentStorage=true", **written(tmp_path, 'timeout = "soon"'))
    assert done.returncode == 2
    assert "config.toml, timeout: must be a duration" in done.stdout


def test_named_file_that_is_missing_is_a_problem_and_the_default_is_not(tmp_path: Path) -> None:
    done = run("list", FABRIC_SAGA_CONFIG=str(tmp_path / "none.toml"))
    assert (done.returncode, "cannot be read" in done.stdout) == (2, True)
    file = tmp_path / "m.json"
    file.write_text(json.dumps(MANIFEST))
    assert run("validate", str(file), HOME=str(tmp_path)).returncode == 0


def test_file_in_the_home_folder_is_read_and_one_in_the_current_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository cannot name the address that gets the function key."""
    folder = tmp_path / ".config" / "fabric-saga"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'url = "{NOBODY}"')
    assert run("list", HOME=str(tmp_path), FUNCTION_KEY="key").returncode == 5
    (folder / "config.toml").rename(tmp_path / "config.toml")
    monkeypatch.chdir(tmp_path)
    assert "127.0.0.1:9" not in run("list", HOME=str(tmp_path), FUNCTION_KEY="key").stdout


@pytest.mark.parametrize("home", ["x" * 300, "/" + "x" * 5_000, "file", "locked"])
def test_home_folder_that_cannot_be_read_is_not_needed(home: str, tmp_path: Path) -> None:
    """HOME may be that of another user, or no folder at all."""
    (tmp_path / "file").touch()
    (tmp_path / "locked").mkdir(mode=0)
    assert run("validate", "examples/medallion.yaml", HOME=str(tmp_path / home)).returncode == 0


@pytest.mark.parametrize("error", [RuntimeError("no home"), PermissionError(13, "Permission denied")])
def test_user_without_a_home_folder_needs_no_file(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user of a container may have no entry in /etc/passwd, and no HOME."""

    def refused(_: object) -> Path:
        raise error

    monkeypatch.setattr(Path, "expanduser", refused)
    assert run("validate", "examples/medallion.yaml").returncode == 0


def test_pipe_is_refused_and_the_null_device_is_an_empty_file(tmp_path: Path) -> None:
    """To open a pipe would wait for its writer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = run("validate", "examples/medallion.yaml", FABRIC_SAGA_CONFIG=str(pipe))
    assert (done.returncode, "cannot be read: it is not a regular file" in done.stdout) == (2, True)
    assert run("validate", "examples/medallion.yaml", FABRIC_SAGA_CONFIG=os.devnull).returncode == 0
