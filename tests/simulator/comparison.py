"""A recorded answer compared with a simulated one, both ways: members, types, values and rows.

An id, a time, a host name or a version that Fabric draws has no counterpart in the request. Ids correspond one to one:
the first answer that shows a new id decides its counterpart, and every later answer must agree. Of the other drawn
values (`DRAWN`) the format is compared.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulator.recordings import GUID

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?P<fraction>\.\d+)?(?P<zone>Z|[+-]\d\d:\d\d)?")
_STAMP = re.compile("[0-9]{14}|(?<=until: ).*")
_LATE = re.compile(r"\.(earliestRestorePoint|latestRestorePoint|sqlEndpointProperties|oneLakeTablesPath)\b")
DRAWN: dict[str, str] = {
    r".*\.(connectionString|connectionInfo|serverFqdn|databaseName)": "a host name that Fabric assigns",
    r".*\.(queryServiceUri|ingestionServiceUri|blobEndpoint|dfsEndpoint)": "a host name that Fabric assigns",
    r".*\.principal\.(displayName|.*Details(\..*)?)": "from the directory; the recorder replaced it",
    r".*\.invitationUrl": "a secret; the recorder replaced it",
    r"\$\.requestId": "drawn for each request",
    r".*\.percentComplete": "the progress of an operation, which the recording alone knows",
    r".*\.(startTime|endTime|createdDate|lastUpdatedTime|targetVersion)": "drawn by Fabric",
}
"""Members whose value follows from nothing that the recording shows, and why; only their type is compared."""


@dataclass(frozen=True)
class Difference:
    """One difference: its place (a JSON path, or a header's name), what differs, and both values."""

    at: str
    sort: str
    recorded: Any = None
    simulated: Any = None

    @property
    def kind(self) -> str:
        """Return the place and the sort, by which differences are counted."""
        return f"{self.at}: {self.sort}"


@dataclass
class Ids:
    """The simulated counterpart of each recorded id, and the other way round."""

    here: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    there: dict[str, str] = field(default_factory=lambda: dict[str, str]())

    def learn(self, recorded: str, simulated: str) -> None:
        """Let two ids correspond, unless one of them already has a counterpart."""
        recorded, simulated = recorded.lower(), simulated.lower()
        if recorded not in self.here and simulated not in self.there:
            self.here[recorded], self.there[simulated] = simulated, recorded

    def same(self, recorded: str, simulated: str) -> bool:
        """Return True if two ids correspond; new ones do from now on."""
        self.learn(recorded, simulated)
        return self.here.get(recorded.lower()) == simulated.lower()

    def mapped(self, text: str) -> str:
        """Return a text with each recorded id replaced by its counterpart."""
        return GUID.sub(lambda m: self.here.get(m[0].lower(), m[0]), text)

    def mapped_body(self, body: Any) -> Any:
        """Return a request's body with each recorded id replaced, also inside the parts of a definition."""
        if isinstance(body, dict):
            return {name: self._mapped_member(name, value) for name, value in body.items()}
        if isinstance(body, list):
            return [self.mapped_body(value) for value in body]
        return self.mapped(body) if isinstance(body, str) else body

    def _mapped_member(self, name: str, value: Any) -> Any:
        if name != "payload" or not isinstance(value, str):
            return self.mapped_body(value)
        try:
            text = base64.b64decode(value).decode()
        except (binascii.Error, UnicodeDecodeError):
            return value
        mapped = self.mapped(text)
        return value if mapped == text else base64.b64encode(mapped.encode()).decode()


@dataclass
class Comparison:
    """Compares two JSON values. `is_open` names places of which only the shape is compared: their values follow from
    what happened before the recording began. `aliases` are the recorded names of things that have another name here."""

    ids: Ids
    is_open: Callable[[str], bool] = lambda at: False
    aliases: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    found: list[Difference] = field(default_factory=lambda: list[Difference]())

    def compare(self, recorded: Any, simulated: Any, at: str = "$") -> None:
        """Add each difference to `found`."""
        if isinstance(recorded, dict) and isinstance(simulated, dict):
            self._members(recorded, simulated, at)
        elif isinstance(recorded, list) and isinstance(simulated, list):
            self._rows(recorded, simulated, at)
        elif (_is_drawn(at) and (recorded is None) == (simulated is None)) or self._is_late(at):
            return
        elif type_of(recorded) != type_of(simulated):
            self._add(at, f"{type_of(simulated)} for {type_of(recorded)}", recorded, simulated)
        elif recorded is not None and not self.is_open(at):
            self._value(recorded, simulated, at)

    def _add(self, at: str, sort: str, recorded: Any = None, simulated: Any = None) -> None:
        self.found.append(Difference(at, sort, recorded, simulated))

    def _members(self, recorded: dict[str, Any], simulated: dict[str, Any], at: str) -> None:
        if "payload" in recorded and "payload" in simulated and "path" in recorded:
            self._part(recorded, simulated, at)
            return
        for name, value in recorded.items():
            if name in simulated:
                self.compare(value, simulated[name], f"{at}.{name}")
            elif not self._is_late(f"{at}.{name}"):
                self._add(f"{at}.{name}", "absent" if value else "absent, empty", value)
        for name in simulated.keys() - recorded.keys():
            if not self._is_late(f"{at}.{name}"):
                self._add(f"{at}.{name}", "extra" if simulated[name] else "extra, empty", None, simulated[name])

    def _is_late(self, at: str) -> bool:
        """Return True for a property that comes late, of a thing of which nothing says how old it is."""
        return self.is_open(at) and _LATE.search(at) is not None

    def _part(self, recorded: dict[str, Any], simulated: dict[str, Any], at: str) -> None:
        """Compare a part of a definition by its content: JSON as JSON, anything else as text."""
        if recorded.get("payloadType") != simulated.get("payloadType"):
            self._add(f"{at}.payloadType", "value", recorded.get("payloadType"), simulated.get("payloadType"))
        theirs, ours = decoded(recorded["payload"]), decoded(simulated["payload"])
        if isinstance(theirs, dict | list) or isinstance(ours, dict | list):
            self.compare(theirs, ours, at)
        elif theirs is not None and not self.is_open(at) and self.ids.mapped(theirs) != ours:
            self._add(at, "content", theirs, ours)

    def _rows(self, recorded: list[Any], simulated: list[Any], at: str) -> None:
        left = list(simulated)
        pairs: list[tuple[Any, Any]] = []
        rest = recorded
        for same in (self._has_same_id, _has_same_path, self._has_same_name, _has_same_type, _has_same_value):
            missing: list[Any] = []
            for row in rest:
                at_most_one = [i for i, other in enumerate(left) if same(row, other)][:1]
                pairs += [(row, left.pop(i)) for i in at_most_one]
                missing += [] if at_most_one else [row]
            rest = missing
        for row, mate in pairs:
            self.compare(row, mate, f"{at}[{_word(row)}]")
        if self.is_open(at):
            return
        for row in rest:
            self._add(f"{at}[{_word(row)}]", "row absent", row)
        for row in left:
            self._add(f"{at}[{_word(row)}]", "row extra", None, row)

    def _has_same_id(self, row: Any, other: Any) -> bool:
        if not (isinstance(row, dict) and isinstance(other, dict) and "id" in row and "id" in other):
            return False
        return self.ids.here.get(str(row["id"]).lower()) == str(other["id"]).lower()

    def _has_same_name(self, row: Any, other: Any) -> bool:
        if not (isinstance(row, dict) and isinstance(other, dict) and "displayName" in row):
            return False
        own = str(other.get("displayName"))
        own = _STAMP.sub("", self.aliases.get(own, own))
        is_new = "id" not in row or str(row["id"]).lower() not in self.ids.here
        return is_new and row.get("type") == other.get("type") and _STAMP.sub("", str(row["displayName"])) == own

    def _value(self, recorded: Any, simulated: Any, at: str) -> None:
        if not isinstance(recorded, str):
            if recorded != simulated:
                self._add(at, "value", recorded, simulated)
            return
        if GUID.fullmatch(recorded):
            if not self.ids.same(recorded, simulated):
                self._add(at, "another id", recorded, simulated)
            return
        time, own = _TIME.fullmatch(recorded), _TIME.fullmatch(simulated)
        if time and own:
            if bool(time["zone"]) != bool(own["zone"]):
                self._add(at, "format of a time", recorded, simulated)
            elif (own["fraction"] or "").endswith("0"):
                self._add(at, "digits of a time", recorded, simulated)
            return
        simulated = self.aliases.get(simulated, simulated)
        if _STAMP.sub("", self.ids.mapped(recorded)) != _STAMP.sub("", simulated):
            self._add(at, "value", recorded, simulated)


def _is_drawn(at: str) -> bool:
    return any(re.fullmatch(pattern, at) for pattern in DRAWN)


def _word(row: Any) -> str:
    """Return what a row's place is called by: its part's path or its type, which the counts of differences need."""
    if not isinstance(row, dict):
        return ""
    path = str(row.get("path", ""))
    return path if "payload" in row else str(row.get("type", "")) if isinstance(row.get("type"), str) else ""


def _has_same_path(row: Any, other: Any) -> bool:
    return isinstance(row, dict) and isinstance(other, dict) and "path" in row and row["path"] == other.get("path")


def _has_same_type(row: Any, other: Any) -> bool:
    is_named = not isinstance(row, dict) or "type" not in row or "id" in row or "displayName" in row
    return not is_named and isinstance(other, dict) and row["type"] == other.get("type")


def _has_same_value(row: Any, other: Any) -> bool:
    keys = (isinstance(row, dict), isinstance(other, dict))
    return row == other if True in keys else type_of(row) == type_of(other) and (row == other or type_of(row) == "id")


def decoded(payload: str) -> Any:
    """Return a part's content: JSON, or text with LF at the ends of lines, or None for bytes that are not text."""
    try:
        text = base64.b64decode(payload).decode("utf-8-sig").replace("\r\n", "\n")
    except (binascii.Error, UnicodeDecodeError):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict | list) else text


def type_of(value: Any) -> str:
    """Return the JSON type of a value; ids and times are types of their own."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "id" if GUID.fullmatch(value) else "time" if _TIME.fullmatch(value) else "string"
    return "object" if isinstance(value, dict) else "list"
