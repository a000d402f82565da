"""The result of a dry run: what would become of each step. The app sends it to the command line as JSON."""

from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum

from shared.domain.errors import UnknownVersionError
from shared.domain.json import JsonObject
from shared.domain.records import Resource


class Action(StrEnum):
    """The change that a deployment would make for a step."""

    CREATE = "create"
    RUN = "run"
    UPDATE = "update"
    RENAME = "rename"
    MOVE = "move"
    DRIFT = "drift"
    UNCHANGED = "unchanged"
    ADOPT = "adopt"
    BLOCKED = "blocked"


CHANGING = (Action.CREATE, Action.RUN, Action.UPDATE, Action.RENAME, Action.MOVE, Action.DRIFT)
"""The actions that change something in Fabric."""
_LISTS = ("fields", "files", "lines")


@dataclass(frozen=True)
class StepChange:
    """The change of one step: `fields` are those that an update would change, `resource` is the existing one."""

    id: str
    kind: str
    action: Action
    name: str = ""
    fields: tuple[str, ...] = ()
    reason: str = ""
    resource: Resource | None = None
    files: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    restorable: str = ""

    def to_json(self) -> JsonObject:
        resource = asdict(self.resource) if self.resource is not None else None
        return {**vars(self), "action": self.action.value, "resource": resource} | {
            name: list(getattr(self, name)) for name in _LISTS
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> "StepChange":
        resource = Resource(**data["resource"]) if data["resource"] is not None else None
        reported: tuple[str, str, Action, str] = data["id"], data["kind"], Action(data["action"]), data["name"]
        more = {name: tuple(data.get(name) or ()) for name in _LISTS}
        restorable = data.get("restorable") or ""
        return cls(*reported, reason=data["reason"], resource=resource, restorable=restorable, **more)


@dataclass(frozen=True)
class DryRun:
    """The changes of all steps, in the order of the manifest."""

    name: str
    target: str
    steps: tuple[StepChange, ...]

    @property
    def counts(self) -> dict[Action, int]:
        """Return the number of steps for each action."""
        found = Counter(step.action for step in self.steps)
        return {action: found[action] for action in Action}

    @property
    def changes(self) -> int:
        """Return the number of steps that would change something in Fabric."""
        return sum(self.counts[action] for action in CHANGING)

    def to_json(self) -> JsonObject:
        steps = [step.to_json() for step in self.steps]
        return {"name": self.name, "target": self.target, "changes": self.changes, "steps": steps}

    @classmethod
    def from_json(cls, data: JsonObject) -> "DryRun":
        """Return what the app answered. Raises UnknownVersionError if it is not a dry run of this version."""
        try:
            return cls(data["name"], data["target"], tuple(map(StepChange.from_json, data["steps"])))
        except (KeyError, TypeError, ValueError, AttributeError):
            text = "the plan of the app cannot be read: use the version of the command line that the app has"
            raise UnknownVersionError(text) from None
