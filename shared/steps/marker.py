"""The marker at the end of a description, which proves that a step created the resource (ADR 4)."""

import hashlib
import re

from shared.domain.fields import Fields, Words
from shared.domain.template import has_reference

_MARKER = re.compile(r" ?(\[saga:[0-9a-f]{12}\])")
MARKER_LENGTH = len(" [saga:0123456789ab]")
"""Characters of a description that the marker uses."""
_DESCRIPTION = Words("For people; Fabric shows it.", "Sales analytics, development")


def marker_of(deployment_id: str, step_id: str) -> str:
    """Return twelve hex digits that identify a step of a deployment."""
    return hashlib.sha256(f"{deployment_id}/{step_id}".encode()).hexdigest()[:12]


def with_marker(description: str, marker: str) -> str:
    """Return the description that is sent to Fabric: the caller's text unchanged, then `[saga:<marker>]`."""
    return _marked(without_marker(description), f"[saga:{marker}]")


def has_marker(description: str, marker: str) -> bool:
    """Return True if a description carries exactly that marker."""
    return f"[saga:{marker}]" in description


def without_marker(description: str) -> str:
    """Return the caller's text unchanged, without the marker of any deployment.

    A description that was exported from Fabric carries the marker of the step that created the item there.
    """
    while (words := _MARKER.sub("", description)) != description:
        description = words
    return description


def keep_marker(description: str, present: str) -> str:
    """Return the new text with the marker, if any, that the present description carries."""
    found = _MARKER.findall(present)
    words = without_marker(description)
    return _marked(words, found[-1]) if found else words


def says_the_same(one: str, other: str) -> bool:
    """Return True if two descriptions have the same text.

    Markers, white space at the ends and the kind of line ends are not compared: Fabric may drop them, and a person
    does not see them.
    """
    return _comparable(one) == _comparable(other)


def check_description(spec: Fields, limit: int) -> None:
    """Note a `description` that leaves no room for the marker. `limit` is Fabric's own, in characters."""
    text, room = spec.data.get("description"), limit - MARKER_LENGTH
    words = without_marker(text) if isinstance(text, str) and len(text) <= limit else text
    if not isinstance(words, str) or has_reference(text) or len(words) <= room:
        spec.text("description", maximum=limit, refers=True, words=_DESCRIPTION)
        return
    spec.raw("description")
    spec.problem(
        "description",
        f"has {len(words)} characters; at most {room} are allowed: Fabric accepts {limit}, and Saga needs "
        f"{MARKER_LENGTH} of them for the marker by which it recognises what it created",
    )


def _marked(words: str, marker: str) -> str:
    return f"{words} {marker}" if words else marker


def _comparable(description: str) -> str:
    return without_marker(description).replace("\r\n", "\n").strip()
