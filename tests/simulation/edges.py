"""The edges between the engine and the world: ports at which a process may die, and HTTP without a network."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.fabric_simulator.http import Request
from local.fabric_simulator.model import FabricModel
from shared.adapters.fabric.transport import AnswerLostError
from shared.saga.step.delivery import MAX_DELIVERY
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from tests.simulation.world import World

IDENTITY = "00000000-0000-0000-0000-00000000c1c1"
WORKSPACE = "${{ steps.ws.outputs.id }}"
"""The reference to the workspace that the step `ws` of a manifest creates."""


def own_role() -> dict[str, str]:
    """Return the role assignment by which the deployer may change a workspace that existed before."""
    return {"id": IDENTITY, "type": "ServicePrincipal", "role": "Admin"}


class Crash(BaseException):
    """The process dies here. It is not an `Exception`, because nothing in the code may catch it."""


class Crashing:
    """A port at each of whose calls the process may die."""

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
    """Wrap a port so that the process may die at its calls. The type is `Any`, because the result has all methods of
    the port."""
    return Crashing(port, crash)


class ModelTransport:
    """HTTP without a network: calls the simulator's model. A reset is a lost answer."""

    def __init__(self, model: FabricModel, clock: FakeClock) -> None:
        self._model, self._clock = model, clock

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one call, which takes no time."""
        path, _, query = url.removeprefix("http://127.0.0.1").partition("?")
        parameters = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        reply = self._model.handle(Request(method, path, parameters, dict(headers), body or b""))
        if reply.reset:
            raise AnswerLostError("reset")
        return reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.body


class Network:
    """The network between a process and Fabric: a call takes time, and its process may die in the meantime."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._fabric = ModelTransport(world.model, world.clock)

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one call."""
        world = self._world

        def effect() -> tuple[int, dict[str, str], bytes]:
            return self._fabric.exchange(method, url, headers, body)

        seconds = world.call_seconds()
        with world.in_flight(method):
            world.point("before exchange")
            if seconds:
                world.send_late_call(seconds * world.chance.random(), effect)
            answer = effect()
        if seconds:
            world.others_while(seconds * world.chance.random())
        world.point("after exchange")
        return answer


@dataclass
class HeartbeatBlock:
    """A block that sends heartbeats: the next one at `due`, and none while its process is held up (`is_frozen`)."""

    heartbeat: Callable[[], bool]
    seconds: float
    due: datetime
    started_at: datetime
    is_frozen: bool = False
    has_renewed: bool = False

    def skip_to_last(self, until: datetime) -> None:
        """Move `due` to the last heartbeat that is due by then, at or after `due`.

        Nothing happens before `until` that could see the heartbeats between, and each replaces the one before it. They
        are most of all writes of a schedule, so leaving them out takes a third off its time. Two are never left out:
        the first, which decides between two deliveries of a step, and the last before MAX_DELIVERY.
        """
        if not self.has_renewed:
            return
        latest = self.started_at + MAX_DELIVERY - timedelta(microseconds=1)
        until = min(until, latest) if self.due <= latest else self.due
        self.due += (until - self.due) // timedelta(seconds=self.seconds) * timedelta(seconds=self.seconds)


class Heartbeats:
    """The port Heartbeat on the simulated clock. The blocks are a stack: a block that runs inside another one began
    later."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.blocks: list[HeartbeatBlock] = []

    @contextmanager
    def during(self, heartbeat: Callable[[], bool], seconds: float) -> Generator[None]:
        """Send heartbeats while the block runs, whenever time passes."""
        now = self._clock.now()
        block = HeartbeatBlock(heartbeat, seconds, now + timedelta(seconds=seconds), now)
        self.blocks.append(block)
        try:
            yield
        finally:
            self.blocks.remove(block)


class FixedToken:
    """A token that never expires."""

    def token(self) -> str:
        return f"sim.{IDENTITY}.99999999999"

    def invalidate(self, token: str) -> None:
        pass
