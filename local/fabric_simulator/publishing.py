"""The published parts of an environment. Its definition contains the staged parts.

Source: fabric-cicd's recorded trace (202, Retry-After 120, about 355 s), a recording of a publish without new libraries
(200, less than a second), the published OpenAPI. Assumed: a publish that fails or is cancelled changes nothing.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from local.fabric_simulator.parts import parts_of
from local.fabric_simulator.store import Item, Operation, stamp
from local.fabric_simulator.world import Body

SPARK = "Setting/Sparkcompute.yml"
LIBRARIES = "Libraries/"
_SHORTEST = 0.001
"""The shortest publish, in seconds, however short operations are: its begin and its end differ."""
IN_PROGRESS = frozenset({"Running", "Waiting", "Cancelling"})


@dataclass
class Publishing:
    """The published parts, and the last publish: its version, its state, its times and the parts that it takes over.

    `version` is empty until the environment is published for the first time.
    """

    published: Mapping[str, bytes] = field(default_factory=lambda: dict[str, bytes]())
    version: str = ""
    state: str = "Success"
    began_at: float = 0.0
    ended_at: float = 0.0
    operation: Operation | None = None
    taken: Mapping[str, bytes] = field(default_factory=lambda: dict[str, bytes]())


def settled(item: Item, now: float) -> Publishing:
    """Return the state of an environment, after the end of a publish whose time is over."""
    state = item.part(Publishing)
    operation = state.operation
    if state.state == "Running" and operation and operation.over_at is not None and operation.over_at <= now:
        state.state = "Failed" if operation.error else "Success"
        state.ended_at, state.operation = operation.over_at, None
        if state.state == "Success":
            state.published = state.taken
    return state


def is_changed(item: Item) -> bool:
    """Return True if something is staged that is not published."""
    return dict(item.part(Publishing).published) != parts_of(item)


def has_new_libraries(item: Item) -> bool:
    """Return True if libraries are staged that are not published; to publish them takes minutes."""
    staged, published = (
        {path: data for path, data in parts.items() if path.startswith(LIBRARIES)}
        for parts in (parts_of(item), item.part(Publishing).published)
    )
    return staged != published


def begin(item: Item, operation: Operation, version: str) -> None:
    """Begin to publish what is staged; it is published when the operation ends."""
    state = item.part(Publishing)
    state.version, state.state, state.operation = version, "Running", operation
    state.began_at, state.taken = operation.began_at, parts_of(item)


def cancel(item: Item, now: float) -> None:
    """End the running publish; its operation fails."""
    state = item.part(Publishing)
    if state.operation:
        message = "The publish of the environment was cancelled."
        state.operation.over_at = now
        state.operation.error = {"errorCode": "EnvironmentPublishCancelled", "message": message}
    state.state, state.ended_at, state.operation = "Cancelled", now, None


def details(item: Item, now: float) -> Body:
    """Return `publishDetails` as it is shown."""
    state = settled(item, now)
    began = ended = item.created_at  # recorded: of one that was never published
    if state.version:
        began, ended = state.began_at, max(state.ended_at, state.began_at + _SHORTEST)
    body: Body = {
        "state": state.state,
        "targetVersion": state.version or str(uuid.uuid5(uuid.UUID(item.id), "version")),
        "startTime": f"{stamp(began)}Z",
    }
    if state.state not in IN_PROGRESS:
        body["endTime"] = f"{stamp(ended)}Z"
    body["componentPublishInfo"] = {name: {"state": state.state} for name in ("sparkSettings", "sparkLibraries")}
    return body
