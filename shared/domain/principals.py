"""The principals file: UTF-8 CSV with the columns `principal_id,role,description,type`."""

import csv
import io
from dataclasses import dataclass

from shared.domain.errors import Problem
from shared.domain.fields import GUID, suggestion

ROLES = ("Admin", "Member", "Contributor", "Viewer")
TYPES = ("User", "Group", "ServicePrincipal")
COLUMNS = ("principal_id", "role", "description", "type")


@dataclass(frozen=True)
class Principal:
    """Who gets which role. `line` is where the file says so (0 for an inline list)."""

    principal_id: str
    role: str
    type: str
    description: str
    line: int


def parse_principals(text: str, path: str, problems: list[Problem]) -> list[Principal]:
    """The principals of a file. A line that is wrong is a problem naming line and field; nothing is assumed.

    `#` at the start of a line makes a comment; blank lines are passed over; the header line may be left out.
    Quoting is CSV's own. Not done: asking the directory whether a principal exists.
    """
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    kept = ["\n" if line.lstrip().startswith("#") or not line.strip() else line for line in lines]
    reader = csv.reader(io.StringIO("".join(kept)), strict=True, skipinitialspace=True)
    found: list[Principal] = []
    seen: dict[str, int] = {}
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if not row or (not found and tuple(c.lower() for c in row) == COLUMNS):
                continue
            principal = _principal(row, reader.line_num, path, problems)
            if principal is None:
                continue
            key = principal.principal_id.lower()
            if key in seen:
                problems.append(
                    Problem(f"{path} line {reader.line_num}, principal_id", f"stands on line {seen[key]} already")
                )
            seen.setdefault(key, reader.line_num)
            found.append(principal)
    except csv.Error as error:
        problems.append(Problem(f"{path} line {reader.line_num}", f"is not CSV: {error}"))
    if not found and not problems:
        problems.append(Problem(path, "names no principal"))
    return found


def _principal(row: list[str], line: int, path: str, problems: list[Problem]) -> Principal | None:
    if len(row) != len(COLUMNS):
        expected = ",".join(COLUMNS)
        problems.append(Problem(f"{path} line {line}", f"has {len(row)} fields, not {len(COLUMNS)} ({expected})"))
        return None
    principal_id, role, description, kind = row
    before = len(problems)
    if not GUID.fullmatch(principal_id):
        problems.append(
            Problem(
                f"{path} line {line}, principal_id",
                f"'{principal_id[:64]}' is not a GUID: give the object id",
            )
        )
    for field, value, allowed in (("role", role, ROLES), ("type", kind, TYPES)):
        if value not in allowed:
            message = f"'{value[:64]}' is not one of: {', '.join(allowed)}.{suggestion(value, allowed)}"
            problems.append(Problem(f"{path} line {line}, {field}", message))
    return Principal(principal_id, role, kind, description, line) if len(problems) == before else None
