"""Commands as callers send them: read from a message of the queue or built from a caller's fields."""

import difflib
from dataclasses import dataclass

from shared.domain.access import BY_KEY, Caller
from shared.domain.deployment_ids import is_deployment_id
from shared.domain.errors import InvalidInputError, Problem
from shared.domain.fields import child, suggestion, type_name
from shared.domain.json import JsonObject
from shared.domain.row_limits import REASON_CHARACTERS, fitting, person
from shared.saga.command.verbs import VERBS, Verb
from shared.saga.submission.acceptance import opened

_MAX_FIELDS = 10
"""A message with more fields is not taken for a command whose field is misspelt."""
_MAX_NAME, _MAX_REASON = 256, 500
_MAX_MESSAGE = 16_000
"""Bytes: the longest names and reason fit, with each character beyond ASCII escaped."""


@dataclass(frozen=True)
class Command:
    """One request of a verb. `step` is the id of the step to approve or refuse.

    `requested_by` is what the caller states, unless `caller` is signed in: without sign-in, everybody who may write to
    the queue or has the function key may send a command.
    """

    verb: Verb
    deployment_id: str
    requested_by: str
    reason: str = ""
    step: str = ""
    caller: Caller = BY_KEY

    @property
    def why(self) -> str:
        """Return verb, requester and reason as the audit records them."""
        what = f"{self.verb.value} requested by {self.requested_by}"
        return f"{what}: {self.reason}" if self.reason else what


def read(content: bytes) -> Command | None:
    """Return the command in a message of any bytes; None if the message is a submission.

    Raises InvalidInputError if the message is meant as a command and is not a valid one.
    """
    data = opened(content)
    problem = misread(data)
    if problem is not None:
        raise InvalidInputError([problem])
    if data is None or "command" not in data:
        return None
    deployment_id = data.get("deployment_id")
    if not is_deployment_id(deployment_id):
        raise InvalidInputError(
            [Problem("$.deployment_id", "is required: the id under which the deployment was submitted")]
        )
    if len(content) > _MAX_MESSAGE:
        raise InvalidInputError([Problem("$", f"a command has at most {_MAX_MESSAGE} bytes, not {len(content)}")])
    verb = Verb(data["command"])
    return command(verb, deployment_id, data.get("requested_by"), data.get("reason"), data.get("step"))


def misread(data: JsonObject | None) -> Problem | None:
    """Return what is wrong with the field `command` of a message or body; None if it is absent or valid."""
    found = next((name for name in data or {} if _is_command(name, data or {})), None)
    if found is None or data is None:
        return None
    if found != "command":
        return Problem(child("$", found), "is not a known field. Did you mean 'command'?")
    word = data[found]
    if isinstance(word, str) and word in set(VERBS):
        return None
    near = suggestion(word.strip().lower(), list(VERBS)) if isinstance(word, str) else ""
    text = f"'{word[:64]}'" if isinstance(word, str) else type_name(word)
    return Problem("$.command", f"{text} is not a command.{near} Known: {', '.join(VERBS)}")


def _is_command(name: str, data: JsonObject) -> bool:
    """Return True if a field is `command` in any spelling, or resembles it in a small message without a manifest."""
    plain = name[:64].strip().casefold()
    if plain == "command":
        return True
    has_manifest = any(each == "steps" or each.startswith("manifest") for each in data)
    if has_manifest or len(data) > _MAX_FIELDS:
        return False
    return len(difflib.get_close_matches(plain, ["command"], cutoff=0.8)) > 0


def command(
    verb: Verb,
    deployment_id: str,
    requested_by: object = "",
    reason: object = "",
    step: object = "",
    caller: Caller = BY_KEY,
) -> Command:
    """Build a command from a caller's fields, cut to their row limits; an empty requester becomes `somebody`."""
    why = fitting(str(reason or "")[:_MAX_REASON], REASON_CHARACTERS)
    return Command(
        verb, deployment_id, person(str(requested_by or "somebody")), why, str(step or "")[:_MAX_NAME], caller
    )
