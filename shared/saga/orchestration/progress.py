"""The decisions of the orchestrator: a pure function of the step graph and the states reported so far.

It travels as the orchestration's input when that continues as new, so it is JSON and small (a few bytes a step).
The journal is the truth; this is a view of it that is refreshed whenever in doubt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shared.domain.approval import waits_for_person
from shared.domain.json import JsonObject
from shared.domain.messages import Direction
from shared.domain.ordinals import packed, unpacked
from shared.domain.ports import Versioned
from shared.domain.records import StepRecord
from shared.domain.states import BACKWARD_SETTLED, FORWARD_SETTLED, IN_FLIGHT, StepState

_CODES = {state: i for i, state in enumerate(StepState)}
_STATES: list[StepState] = list(StepState)


@dataclass
class Progress:
    """The graph (`needs[i]` are the ordinals that step i waits for), each step's state, and who is on the way.

    A step is over when it is compensated (or was never begun) and all steps that need it, directly or through
    others, are that too. Only then may a step that it needs be compensated: the step between two others may be over
    early, because it changed nothing.

    `sent` are ordinals whose message is out and whose end in the present direction has not been heard of.
    `sent_at` is when their last message was sent, in seconds since 1970, if that is known.
    `unanswered` counts for how many rounds of the watchdog such a step had not even begun.
    """

    needs: list[list[int]]
    states: list[StepState]
    direction: Direction = Direction.FORWARD
    rolling_back: bool = False
    sent: set[int] = field(default_factory=lambda: set[int]())
    unanswered: dict[int, int] = field(default_factory=lambda: dict[int, int]())
    sent_at: dict[int, float] = field(default_factory=lambda: dict[int, float]())

    def __post_init__(self) -> None:
        self._dependents: list[list[int]] = [[] for _ in self.needs]
        for step, needed in enumerate(self.needs):
            for other in needed:
                self._dependents[other].append(step)
        self._candidates = set(range(len(self.needs)))
        self._over = set[int]()
        self._left = [len(dependents) for dependents in self._dependents]
        self._note_over(range(len(self.needs)))

    def _note_over(self, ordinals: Iterable[int]) -> None:
        """Count down `_left`, the dependents of each step that are not over, wherever these steps make that true."""
        waiting = list(ordinals)
        while waiting:
            i = waiting.pop()
            if i in self._over or self._left[i] or self.states[i] not in _COMPENSATED:
                continue
            self._over.add(i)
            for needed in self.needs[i]:
                self._left[needed] -= 1
            self._candidates.update(self.needs[i])
            waiting += self.needs[i]

    def on_settled(self, ordinal: int, state: StepState) -> None:
        """Note that a step has settled. An event of the other direction, or a repeated one, changes nothing."""
        if not 0 <= ordinal < len(self.states):
            return
        forward = self.direction is Direction.FORWARD
        if state not in (FORWARD_SETTLED if forward else BACKWARD_SETTLED):
            return
        self.states[ordinal] = state
        self.sent.discard(ordinal)
        if forward:
            self._candidates.update(self._dependents[ordinal])
        else:
            self._note_over([ordinal])
        if forward and state is StepState.FAILED:
            self.rolling_back = True

    def take_ready(self) -> list[int]:
        """Return the ordinals to send now, and mark them as sent. Forward: all needs succeeded. Backward: all that
        needs it, directly or through others, is compensated."""
        ready = sorted(i for i in self._candidates if i not in self.sent and self._is_ready(i))
        self._candidates.clear()
        self.sent.update(ready)
        return ready

    def _is_ready(self, i: int) -> bool:
        if self.direction is Direction.FORWARD:
            if self.rolling_back or self.states[i] is not StepState.PENDING:
                return False
            return all(self.states[n] is StepState.SUCCEEDED for n in self.needs[i])
        return self.states[i] in _TO_COMPENSATE and not self._left[i]

    @property
    def is_quiet(self) -> bool:
        """Return True if no message is out; if `take_ready` returned nothing as well, this direction is over."""
        return not self.sent

    def to_json(self) -> JsonObject:
        """Return the view as the orchestration's input; states are small numbers."""
        return {
            "needs": [packed(needs) for needs in self.needs],
            "states": [_CODES[s] for s in self.states],
            "direction": self.direction.value,
            "rolling_back": self.rolling_back,
            "sent": sorted(self.sent),
            "unanswered": sorted(self.unanswered.items()),
            "sent_at": self._times(),
        }

    def _times(self) -> list[JsonObject]:
        """Return the ordinals that were sent at the same time together, because many are."""
        together: dict[float, list[int]] = {}
        for i in self.sent & self.sent_at.keys():
            together.setdefault(self.sent_at[i], []).append(i)
        return [{"at": at, "ordinals": packed(ordinals)} for at, ordinals in sorted(together.items())]

    @classmethod
    def from_json(cls, data: JsonObject) -> "Progress":
        """Return the view that JSON stands for."""
        numbers: list[int] = data["states"]
        states = [_STATES[i] for i in numbers]
        unanswered = dict(data.get("unanswered", []))
        needs = [list(unpacked(row)) for row in data["needs"]]
        direction = Direction(data["direction"])
        times: list[JsonObject] = data.get("sent_at", [])
        sent_at = {i: float(each["at"]) for each in times for i in unpacked(each["ordinals"])}
        return cls(needs, states, direction, data["rolling_back"], set(data["sent"]), unanswered, sent_at)


_TO_COMPENSATE = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.COMPENSATING})
_COMPENSATED = frozenset({StepState.COMPENSATED, StepState.SKIPPED})


def from_journal(steps: Sequence[Versioned[StepRecord]], direction: Direction, rolling_back: bool) -> Progress:
    """Return the progress that the journal shows. A step in flight counts as sent; `lost` says which need a message.

    A rollback waits for no person: a waiting approval does not count as in flight, and will be skipped."""
    records = [s.record for s in steps]
    states = [r.state for r in records]
    progress = Progress([list(r.needed) for r in records], states, direction)
    progress.rolling_back = rolling_back or (direction is Direction.FORWARD and StepState.FAILED in states)
    progress.sent = {
        i for i in in_flight(records, direction) if not (progress.rolling_back and waits_for_person(records[i]))
    }
    return progress


def in_flight(records: Iterable[StepRecord], direction: Direction) -> list[int]:
    """Return the ordinals of the steps whose action in that direction has begun and not settled."""
    if direction is Direction.FORWARD:
        moving = IN_FLIGHT - {StepState.COMPENSATING}
        return [
            r.ordinal
            for r in records
            if r.state in moving
            or (r.state is StepState.PENDING and (r.started_at is not None or r.freed_at is not None))
        ]
    return [r.ordinal for r in records if r.state is StepState.COMPENSATING]
