"""The views: an activity returns one to the orchestrator, which does what it says next.

The durable engine keeps the answers of activities, and the input of an orchestration that continues as new, as JSON: so
each view has a form in JSON, in which the field `next` names its kind.
"""

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.json import JsonObject
from shared.domain.states import DeploymentState
from shared.saga.orchestration.progress import Progress


class Next(StrEnum):
    """The kinds of views, as JSON names them. The words are persisted, so they are never renamed."""

    ENDED = "ended"
    HOLD = "hold"
    WAIT = "wait"
    RUN = "run"


@dataclass(frozen=True)
class Ended:
    """The orchestration ends: its deployment has ended, or is stuck until it is tried again."""

    state: DeploymentState


@dataclass(frozen=True)
class Hold:
    """The orchestration ends, and its deployment does not: a person or a script decides how it continues."""


@dataclass(frozen=True)
class Wait:
    """Nothing can be done now: ask again after `seconds`, or when an event comes. `holder` is the deployment that holds
    the target, or this one if it waits for something of its own."""

    seconds: float
    holder: str


@dataclass(frozen=True)
class Run:
    """The steps can run, and stand as `progress` says. The watchdog comes again after `round_seconds`; after a message
    was sent, it comes after `watchdog_seconds`."""

    progress: Progress
    watchdog_seconds: float
    round_seconds: float


type View = Ended | Hold | Wait | Run


def to_json(view: View) -> JsonObject:
    """Return the view as JSON."""
    match view:
        case Ended(state):
            return {"next": Next.ENDED.value, "state": state.value}
        case Hold():
            return {"next": Next.HOLD.value}
        case Wait(seconds, holder):
            return {"next": Next.WAIT.value, "seconds": seconds, "holder": holder}
        case Run(progress, watchdog, following):
            shown = {"progress": progress.to_json(), "watchdog": watchdog, "round": following}
            return {"next": Next.RUN.value, **shown}


def from_json(data: JsonObject) -> View:
    """Return the view that JSON stands for. Raises ValueError or KeyError for other JSON."""
    match Next(data["next"]):
        case Next.ENDED:
            return Ended(DeploymentState(data["state"]))
        case Next.HOLD:
            return Hold()
        case Next.WAIT:
            return Wait(data["seconds"], data["holder"])
        case Next.RUN:  # a view that was stored by an earlier version has no `round`
            watchdog = data["watchdog"]
            return Run(Progress.from_json(data["progress"]), watchdog, data.get("round", watchdog))
