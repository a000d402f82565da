"""What stands between the engine and the world: ports at which a process may die, and HTTP without a network."""

from collections.abc import Callable, Mapping
from typing import Any

from local.fabric_simulator.http import Request
from local.fabric_simulator.model import FabricModel
from shared.adapters.fabric_transport import AnswerLostError
from tests.fakes import FakeClock

IDENTITY = "00000000-0000-0000-0000-00000000c1c1"


class Crash(BaseException):
    """The process dies here. Not an Exception: nothing in the code may catch it."""


class Crashing:
    """A port whose calls may be the last thing that a process does."""

    def __init__(self, port: Any, crash: Callable[[str], None]) -> None:
        self._port, self._crash = port, crash

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self._crash(f"before {name}")
            answer = method(*args, **kwargs)
            self._crash(f"after {name}")
            return answer

        setattr(self, name, call)
        return call


def crashing(port: Any, crash: Callable[[str], None]) -> Any:
    """The port, wrapped; Any, for it has whatever methods the port has."""
    return Crashing(port, crash)


class ModelTransport:
    """HTTP without a network: the simulator's model, called."""

    def __init__(self, model: FabricModel, clock: FakeClock) -> None:
        self._model, self._clock = model, clock

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """One call; a reset is an answer that is lost."""
        path, _, query = url.removeprefix("http://127.0.0.1").partition("?")
        parameters = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        reply = self._model.handle(Request(method, path, parameters, dict(headers), body or b""))
        if reply.reset:
            raise AnswerLostError("reset")
        return reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.body


class FixedToken:
    """A token that never ends."""

    def token(self) -> str:
        """It."""
        return f"sim.{IDENTITY}.99999999999"

    def invalidate(self, token: str) -> None:
        """Nothing to forget."""
