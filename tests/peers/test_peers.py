"""fabric-cicd and the Fabric CLI work with the simulator as with Fabric; `make peers` runs all of their commands."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.peers import commands, environment, publishing
from tests.peers.stage import ROOT, Outcome, Stage, running
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Return a running simulator, and install the peers if they are missing."""
    environment.install()
    with running() as stage:
        yield stage


def wrong(outcomes: Iterator[Outcome]) -> list[str]:
    """Return the commands that did something other than against Fabric."""
    return [f"{o.command}: {o.problem}" for o in outcomes if o.problem]


def test_peers_repository_has_an_item_of_each_type() -> None:
    """The repository contains one item of each of the 31 types that fabric-cicd knows."""
    kinds = {kind for kind, _ in publishing.expected()}
    assert len(kinds) == len(publishing.expected()) == 31


def test_peers_fabric_cicd_publishes_all_types_twice(stage: Stage) -> None:
    """The first run creates every item and its settings, the second one creates nothing."""
    assert wrong(publishing.first_and_second(publishing.Workspace(stage, "gate"))) == []


def test_peers_fab_runs_its_commands(stage: Stage) -> None:
    """The commands succeed, and their effects are in the simulator."""
    assert wrong(commands.run_together(stage, commands.SMALL)) == []


def test_peers_report_what_is_wrong(stage: Stage) -> None:
    """A command without its effect, a failing one and a missing item are reported."""
    without_effect = (commands.Command("exists nowhere.Workspace", lambda state: False),)
    assert wrong(commands.run(stage, without_effect))[0].endswith("it left no trace in the simulator")
    failing = (commands.Command("mkdir nowhere.Workspace/one.Folder"),)
    assert "exit code" in wrong(commands.run(stage, failing))[0]
    assert "Lakehouse orders" in publishing.Workspace(stage, "empty").missing()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_peers_leave_no_simulator_behind(number: signal.Signals) -> None:
    """A run that is ended by a signal ends its simulator first."""
    lines = (
        # A background job of a shell starts with SIGINT ignored; a person's run does not.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)",
        "from tests.peers.stage import end_in_order, running",
        "end_in_order()",
        "with running() as stage: print(stage.port, flush=True); input()",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None
        port = int(run.stdout.readline())
        run.send_signal(number)
        assert run.wait(PATIENCE_SECONDS) != 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
