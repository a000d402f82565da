"""No value of a variable, an option or a file causes a traceback or the exit code of another outcome."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.remote_api import RemoteAdmin, RemoteApi, RemoteJournal, key_header
from shared.bootstrap.command_line import Remote
from shared.cli import submit, verbs
from shared.cli.__main__ import main
from shared.cli.crash import CRASHED, INTERRUPTED
from shared.domain.errors import SagaError, UnknownVersionError
from shared.domain.states import DeploymentState
from shared.domain.variables import VARIABLES
from tests.command_line import run
from tests.conftest import ROOT
from tests.unit.cli.sample_records import header

NOWHERE = {"AzureWebJobsStorage": "", "FABRIC_SAGA_URL": "http://127.0.0.1:1", "FUNCTION_KEY": "key"}
ODD = ["\ufeffx", "\u201cx\u201d", "x\u200b", "\u03b1", "x\u00e9", "\udcff", "x\u2028y", "\u00a0x\u2060"]
BECOME_HEADERS = [
    "FUNCTION_KEY",
    "FABRIC_SAGA_URL",
    "FABRIC_API_BASE_URL",
    "FABRIC_OPERATION_HOSTS",
    "AzureWebJobsStorage",
    "AzureWebJobsStorage__tableServiceUri",
    "AzureWebJobsStorage__clientId",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_AUTHORITY_HOST",
    "KEY_VAULT_URL",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "HTTPS_PROXY",
    "NO_PROXY",
    "STEP_LEASE_SECONDS",
    "FEATURE_USE_ROLLBACK",
]
FAULTS: list[Callable[[], BaseException]] = [
    lambda: TypeError("AccountKey=secret"),
    lambda: RecursionError(),
    lambda: OSError(28, "No space left on device"),
    lambda: UnicodeEncodeError("latin-1", "\ufeff", 0, 1, "ordinal not in range(256)"),
]


@pytest.mark.parametrize("name", BECOME_HEADERS)
@pytest.mark.parametrize("value", ODD)
def test_variable_with_a_character_that_no_header_may_have_is_a_bad_request(name: str, value: str) -> None:
    """The exit code is 2; the message names the variable and the character, and repeats nothing of its value."""
    environment = {**NOWHERE, "FABRIC_CREDENTIAL": "service_principal"} | {name: value}
    if name not in ("FABRIC_SAGA_URL", "FUNCTION_KEY"):
        environment.pop("FABRIC_SAGA_URL")
    done = run("list", environment=environment)
    odd = next(c for c in value if c not in "x\u00a0")
    assert done.returncode == 2
    assert f"error: {name} has a character that is not allowed" in done.stdout
    assert f"U+{ord(odd):04X}" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://127.0.0.1:99999", "https://a b", "http://evil.example\\@127.0.0.1/", "x", "https://"]
)
@pytest.mark.parametrize("command", [["list"], ["health"], ["status", "d"], ["breakers"], ["cancel", "d"]])
def test_address_that_is_not_valid_is_a_bad_request(url: str, command: list[str]) -> None:
    """For every command that has an address."""
    done = run(*command, "--url", url, environment=NOWHERE)
    assert (done.returncode, done.stderr) == (2, "")
    assert "--url: the app's address" in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "expected_text"),
    [
        ("REQUESTS_CA_BUNDLE", None, "which cannot be read: No such file or directory"),
        ("CURL_CA_BUNDLE", b"no certificate", "which holds no certificate in PEM"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", None, "which cannot be read: No such file or directory"),
    ],
)
def test_unreadable_file_that_a_variable_names_is_a_bad_request(
    tmp_path: Path, name: str, content: bytes | None, expected_text: str
) -> None:
    """One message names the variable and the path, before any request."""
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_bytes(content)
    done = run("list", environment={name: str(path)})
    assert (done.returncode, done.stdout) == (
        2,
        f"error: {name} is '{path}', {expected_text}{done.stdout.partition(expected_text)[2]}",
    )


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AZURE_CLIENT_CERTIFICATE_PATH"])
def test_file_of_a_variable_that_is_none_or_has_a_long_name_is_a_bad_request(name: str, tmp_path: Path) -> None:
    """To open a pipe would wait for its writer; the system refuses to look for a name that is too long."""
    os.mkfifo(tmp_path / "pipe")
    for path, expected in (("pipe", "it is not a regular file"), ("x" * 300, "File name too long")):
        done = run("list", environment={**NOWHERE, name: str(tmp_path / path)})
        assert (done.returncode, done.stderr) == (2, "")
        assert f"error: {name} is " in done.stdout
        assert f"which cannot be read: {expected}" in done.stdout


LONG = "x" * 300


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("repository", {"path": LONG}),
        ("repository", {"path": ".", "parameters": LONG}),
        ("item", {"folder": LONG}),
        ("environment", {"folder": LONG}),
        ("principals", {"file": LONG}),
    ],
)
def test_long_name_in_a_manifest_is_a_bad_request(kind: str, fields: dict[str, str], tmp_path: Path) -> None:
    spec = {"workspaceId": "00000000-0000-0000-0000-000000000001", **fields}
    file = tmp_path / "m.json"
    file.write_text(json.dumps({"name": "m", "steps": [{"id": "a", "kind": kind, "with": spec}]}))
    done = run("validate", str(file), environment={})
    assert (done.returncode, done.stderr) == (2, "")
    assert "cannot be read: File name too long" in done.stdout


@pytest.mark.parametrize(
    "arguments", [[LONG], ["--fabric-cicd", LONG], ["examples/medallion.yaml", "--values", LONG], ["m", "--root", LONG]]
)
def test_long_name_as_an_argument_is_a_bad_request(arguments: list[str], tmp_path: Path) -> None:
    done = run("validate", *arguments, environment={})
    assert (done.returncode, done.stderr) == (2, "")
    assert "cannot be read: " in done.stdout


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"repository_directory": LONG}, "cannot be read: File name too long"),
        ({"repository_directory": ".", "parameter": LONG}, "cannot be read: File name too long"),
        ({"repository_directory": "a\0"}, "U+0000"),
        ({"repository_directory": ".", "parameter": "a\0"}, "cannot be read"),
    ],
)
def test_odd_path_in_a_configuration_is_a_bad_request(names: dict[str, str], expected: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(json.dumps({"core": {"workspace": "a", **names}}))
    done = run("validate", "--fabric-cicd", str(file), environment={})
    assert (done.returncode, done.stderr) == (2, "")
    assert expected in done.stdout


@pytest.mark.parametrize(
    "proxy", ["http://[::1", "http://:8080", "ftp://proxy:21", "http://proxy:port", "socks5://p:1"]
)
def test_proxy_that_is_not_valid_is_a_bad_request(proxy: str) -> None:
    """Under each name and in both spellings; a user and a password in it are allowed, and are not shown."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        done = run("list", environment={name: proxy})
        assert done.returncode == 2
        assert f"error: {name} " in done.stdout
    done = run("list", environment={"HTTPS_PROXY": "http://user:pass\u03b1word@proxy:8080"})
    assert "word" not in done.stdout
    assert run("validate", "examples/medallion.yaml", environment={"HTTPS_PROXY": "proxy:8080"}).returncode == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_crash_has_its_own_exit_code_and_no_traceback(
    fault: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, the place and what to do, without the error's text, which may contain a secret."""

    def broken(*_: Any) -> Any:
        raise fault()

    monkeypatch.setattr("shared.cli.plan.compile_manifest", broken)
    done = run("validate", "examples/medallion.yaml", environment={})
    assert (done.returncode, done.stderr) == (CRASHED, "")
    assert done.stdout.startswith(f"error: the command line itself failed: {type(fault()).__name__}")
    assert " in shared/cli/plan.py, line " in done.stdout
    assert "what to do: " in done.stdout
    assert "secret" not in done.stdout


@pytest.mark.parametrize("where", ["shared.cli.command.parser", "shared.cli.command.choose", "shared.settings.runner"])
@pytest.mark.parametrize(("fault", "code"), [(TypeError, CRASHED), (KeyboardInterrupt, INTERRUPTED)])
def test_crash_or_interrupt_before_the_output_exists_is_a_message_too(
    where: str, fault: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the error stream, because nothing else exists yet."""

    def broken(*_: Any, **__: Any) -> Any:
        raise fault

    monkeypatch.setattr(where, broken)
    done = run("validate", "examples/medallion.yaml", environment={})
    assert done.returncode == code
    assert len(done.stderr.strip().splitlines()) == (2 if code == CRASHED else 1)
    assert "Traceback" not in done.stderr


def test_wrong_interpreter_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline's python3 may be older, and its traceback would end with the exit code of a failed deployment."""
    monkeypatch.setattr(sys, "version_info", (3, 11, 2))
    done = run("list", environment={})
    assert (done.returncode, done.stdout) == (CRASHED, "")
    assert done.stderr.startswith("error: Python 3.13 or later is needed; ")


class FailingApp:
    """An app that accepts a message; every later read raises the error."""

    def __init__(self, error: BaseException) -> None:
        self.sent = 0
        self._error = error

    def remote(self) -> Remote:
        """Return the connection, as connection.connect does."""
        api = RemoteApi("https://app.example", key_header("key"))
        journal = RemoteJournal(api)
        journal.header = self._header  # type: ignore[method-assign]
        desk = RemoteAdmin(api)
        return Remote(journal, desk, self._submit, desk)

    def _submit(self, text: str, delay_seconds: float = 0.0) -> None:
        self.sent += 1

    def _header(self, deployment_id: str) -> Any:
        if self.sent:
            raise self._error
        found = header(DeploymentState.RUNNING, deployment_id=deployment_id)
        return type("V", (), {"record": found})()


@pytest.mark.parametrize("error", [UnknownVersionError("a row cannot be read"), SagaError("not this app"), TypeError()])
@pytest.mark.parametrize(
    ("module", "arguments"),
    [(submit, ["submit", "examples/medallion.yaml", "--id", "d", "--wait"]), (verbs, ["cancel", "d", "--wait"])],
)
def test_error_after_sending_is_never_a_bad_request(
    module: Any, arguments: list[str], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 means that nothing was done, so a pipeline would submit again under another id."""
    app = FailingApp(error)
    monkeypatch.setattr(module, "connect", lambda _: app.remote())
    done = run(*arguments, environment={})
    assert (app.sent, done.returncode) == (1, CRASHED)


@pytest.mark.parametrize("is_sent", [False, True])
def test_interrupt_reports_whether_the_submission_was_sent(is_sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing was sent before the interrupt, the message does not say that a deployment continues."""
    app = FailingApp(KeyboardInterrupt())
    monkeypatch.setattr(submit, "connect", lambda _: app.remote())
    if not is_sent:

        def interrupted(*_: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(submit, "envelope", interrupted)
    done = run("submit", "examples/medallion.yaml", "--id", "d", "--wait", environment={})
    assert done.returncode == INTERRUPTED
    assert ("The deployment continues" in done.stdout) == is_sent
    assert "follow d" in done.stdout


@pytest.mark.parametrize(
    ("redirection", "code"), [(">&-", "0"), (">/dev/full", "70"), ("2>&- >&-", "0"), ("<&- -", "2"), ("| true", "141")]
)
def test_closed_or_full_stream_has_its_own_exit_code(redirection: str, code: str) -> None:
    """A command with a closed output does its work; one whose output is lost reports it by its exit code."""
    file, redirection = (
        ("-", redirection[:-2]) if redirection.endswith(" -") else ("examples/medallion.yaml", redirection)
    )
    script = f"{sys.executable} -m shared.cli validate {file} {redirection}; echo ${{PIPESTATUS[0]}} >&9"
    read, write = os.pipe()
    bash = f"exec 9>&{write}; {script}"
    done = subprocess.run(
        ["bash", "-c", bash], cwd=ROOT, capture_output=True, text=True, timeout=180, pass_fds=(write,), check=False
    )
    os.close(write)
    with os.fdopen(read) as codes:
        assert codes.read().strip() == code
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "checks", [{"a": [{"kind": 1, "text": [], "check": {}, "event": 0, "self": 1}]}, {"a": 7}, [1]]
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_health_of_another_program_is_no_crash(checks: Any, more: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Many programs have a page /health, and answer there with JSON of their own."""
    monkeypatch.setattr(RemoteAdmin, "health", lambda _: {"status": [], "checks": checks, "notes": 7})
    done = run("health", *more, environment=NOWHERE)
    assert (done.returncode, done.stderr) == (3, "")


def test_interrupt_during_an_import_causes_no_traceback() -> None:
    script = (
        "import os, signal, sys, builtins; load = builtins.__import__\n"
        # A shell that starts the tests in the background has them ignore the signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def slow(name, *rest):\n"
        "    if name == 'shared.cli.parser': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = slow\n"
        "from shared.cli.__main__ import process; sys.exit(process())"
    )
    command = [sys.executable, "-c", script, "list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr.strip()) == (INTERRUPTED, "interrupted.")
    assert signal.SIGINT + 128 == INTERRUPTED


TEXTS = st.one_of(
    st.text(max_size=30).filter(lambda text: "\0" not in text),
    st.sampled_from(
        [*ODD, "-1", "1e999", "nan", "9" * 5_000, "[]", "http://[::1", "a=b;c", "true", "/", "https://app.example"]
    ),
)
NAMES = [*VARIABLES, "https_proxy", "no_proxy", "COLUMNS", "TERM", "HOME", "NO_COLOR", "LANG"]
COMMANDS = ["list", "status", "submit", "validate", "plan", "cancel", "approve", "audit", "health", "breakers", "init"]
FLAGS = [
    "--url",
    "--id",
    "--timeout",
    "--limit",
    "--state",
    "--target",
    "--json",
    "--requested-by",
    "--wait",
    "--unknown",
]


@settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    environment=st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=4),
    command=st.sampled_from(COMMANDS),
    arguments=st.lists(st.one_of(st.sampled_from(FLAGS), TEXTS), max_size=4),
)
def test_any_environment_and_arguments_end_without_the_code_of_an_outcome(
    environment: dict[str, str], command: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is reachable, so no command that needs the app succeeds, fails as a deployment does, or crashes."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    monkeypatch.setattr("requests.Session.send", _refused)
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        for name in os.environ:
            patch.delenv(name)
        for name, value in {"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential", **environment}.items():
            patch.setenv(name, value)
        try:
            code = main([command, *arguments])
        except SystemExit as ended:
            code = ended.code
    assert code in (0, 2, 4, 5) or (command == "health" and code == 3)


def _refused(*_: Any, **__: Any) -> Any:
    import requests

    raise requests.ConnectionError("nothing is there")
