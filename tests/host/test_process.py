"""The host as a process: how it starts, what it listens on, how it ends."""

import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.functions_host.keys import Keys
from tests.host.hosts import Served
from tests.waiting import PATIENCE_SECONDS, eventually


def fails(served: Served) -> str:
    """Start a host that cannot start, check that it ends with code 1 by itself, and return its log."""
    assert served.spawn().wait(PATIENCE_SECONDS) == 1
    return served.log


def test_process_app_that_fails_at_import_ends_it_with_the_apps_traceback(make: Callable[..., Served]) -> None:
    """The exit code is 1, and the log has the line of the app."""
    text = fails(make(source="import azure.functions\n\nraise ValueError('half an app')\n"))
    assert "the host cannot start: the function app cannot be loaded" in text
    assert "half an app" in text
    assert "function_app.py" in text


def test_process_app_with_a_syntax_error_ends_it(make: Callable[..., Served]) -> None:
    """The same holds for a file that is not Python."""
    assert "SyntaxError" in fails(make(source="def broken(:\n"))


def test_process_missing_app_setting_of_a_trigger_is_named(make: Callable[..., Served]) -> None:
    """The message names the function and the setting."""
    served = make()
    del served.environment["TICK"]
    text = fails(served)
    assert "function tick: its binding names the app setting TICK, which is not set" in text
    assert "Traceback" not in text


def test_process_schedule_that_is_not_valid_is_named(make: Callable[..., Served]) -> None:
    """The message names the function and the text."""
    text = fails(make(environment={"TICK": "every monday"}))
    assert "function tick: its schedule 'every monday' is not valid" in text


def test_process_taken_port_ends_it(make: Callable[..., Served]) -> None:
    """The host does not run without its port."""
    served = make()
    with socket.create_server(("127.0.0.1", served.port)):
        assert "address already in use" in fails(served)


def test_process_broken_host_json_ends_it(make: Callable[..., Served]) -> None:
    """The message has the place of the mistake."""
    served = make()
    (served.app / "host.json").write_text("{")
    text = fails(served)
    assert "the host cannot start" in text
    assert "host.json is damaged (JSONDecodeError: Expecting property name" in text
    assert "Traceback" not in text


def test_process_entities_are_refused(make: Callable[..., Served]) -> None:
    """The host reports at once what it does not serve."""
    source = (
        "import azure.durable_functions as df\n\napp = df.DFApp()\n\n\n"
        "@app.entity_trigger(context_name='context')\ndef counter(context):\n    pass\n"
    )
    assert "not serve durable entities" in fails(make(source=source))


def test_process_listens_on_loopback_only(host: Served) -> None:
    """Neither the HTTP port nor the engine's port is open to the network."""
    assert host.process is not None
    found = listeners(host.process.pid)
    assert len(found) >= 2
    assert set(found) <= {"0100007F", "0000000000000000FFFF00000100007F"}, found


def listeners(pid: int) -> list[str]:
    """Return the addresses that a process listens on, as /proc writes them."""
    if not Path("/proc/net/tcp").exists():
        pytest.skip("needs /proc")
    targets = [target for fd in Path(f"/proc/{pid}/fd").iterdir() if (target := link(fd)).startswith("socket:")]
    own = {target[len("socket:[") : -1] for target in targets}
    found: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and parts[9] in own:
                found.append(parts[1].split(":")[0])
    return found


def link(fd: Path) -> str:
    """Return the target of a descriptor, or an empty text if it is closed by now."""
    try:
        return str(fd.readlink())
    except OSError:
        return ""


def test_process_drains_after_a_signal(make: Callable[..., Served]) -> None:
    """Functions that run are finished and acknowledged, nothing new starts, and the exit code is 0."""
    with make(configuration={"extensions.queues.batchSize": 2, "extensions.queues.newBatchThreshold": 0}) as served:
        for n in range(4):
            served.put("slow", {"n": n, "seconds": 2})
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(served.http("GET", "/api/pause?seconds=2")))
        asking.start()
        eventually(lambda: len(served.traces("slow begins")) >= 2 and served.traces("pause begins"))
        assert served.terminate() == 0
        asking.join()
        assert answers[0].text == "rested"
        started = len(served.traces("slow begins"))
        assert len(served.traces("slow ends")) == started
        assert served.depth("slow") == 4 - started
        served.start()
        eventually(lambda: served.depth("slow") == 0)
        assert sorted(t["body"]["n"] for t in served.traces("slow begins")) == [0, 1, 2, 3]


def test_process_drain_has_an_end(make: Callable[..., Served]) -> None:
    """A function that takes longer than the time to drain is given up; its message is delivered again."""
    with make(lease="1", drain="1") as served:
        served.put("slow", {"n": 1, "seconds": 3600})
        eventually(lambda: served.traces("slow begins"))
        assert served.terminate() == 0
        assert served.depth("slow") == 1
        # The app's cleanup at exit runs, although nobody waits for that function's thread.
        assert served.traces("process ends")
        assert not served.traces("slow ends")


def test_process_idle_host_ends_at_once(make: Callable[..., Served]) -> None:
    """A connection that is kept alive does not delay it; Ctrl-C works like SIGTERM."""
    with make(drain="3600") as served:
        idle = socket.create_connection(("127.0.0.1", served.port))
        idle.sendall(b"GET /api/items/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(10)
        assert served.process is not None
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(PATIENCE_SECONDS) == 0
        idle.close()


def test_keys_survive_a_kill_while_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is complete or does not exist."""
    file = tmp_path / "keys.json"

    def cut(value: Any, stream: Any, **_: Any) -> None:
        stream.write('{"default"')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("local.files.json.dump", cut)
        with pytest.raises(KeyboardInterrupt):
            Keys.load(file)
    keys = Keys.load(file)
    assert Keys.load(file) == keys
    assert file.stat().st_mode & 0o777 == 0o600
