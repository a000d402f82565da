"""The principals file: UTF-8 CSV with the columns `principal_id,role,description,type`."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.domain.errors import Problem
from shared.domain.fields import GUID, suggestion

ROLES = ("Admin", "Member", "Contributor", "Viewer")
TYPES = ("User", "Group", "ServicePrincipal")
COLUMNS = ("principal_id", "role", "description", "type")
SEPARATORS = (",", ";", "\t")
"""Separators of columns. Excel writes semicolons if the comma is the decimal sign."""

NOT_A_LIST = (
    f"is not a line of a list of principals ({','.join(COLUMNS)}), and no other line begins with the object id of a "
    "principal (a GUID)"
)

_BLANK = "".join(SEPARATORS) + " \r\n\v\f\u00a0"
SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?\s*', re.IGNORECASE)
"""The first line that Excel may write, which names the separator."""
_SPACES, _DIRECTIONS, _JOINERS = range(0x2000, 0x2010), range(0x2028, 0x2030), range(0x205F, 0x206A)
_UNSEEN = "\t\n\r\v\f" + "".join(
    chr(code)
    for codes in ((0x85, 0xA0, 0xAD, 0x61C, 0x1680, 0x180E, 0x3000, 0xFEFF), _SPACES, _DIRECTIONS, _JOINERS)
    for code in codes
)
"""White space except the space itself, and characters of no width: they are often copied together with an id."""
_ANY_UNSEEN = re.compile(f"[{_UNSEEN}]")
_BEGINS_WITH_AN_ID = re.compile(rf'(?:^|[\r\n])[ \t"{{({_UNSEEN[5:]}]*{GUID.pattern}')
_ENCLOSED = re.compile(rf"\{{\s*{GUID.pattern}\s*\}}|\(\s*{GUID.pattern}\s*\)")
"""An object id as some tools of Windows print it."""
_QUOTED_CHARACTERS = 64
_QUOTED_NAMES = 3
_FIRST_CELL = 1_000
"""Characters of the first line that are read to find the separator."""


@dataclass(frozen=True)
class Principal:
    """A principal and its role. `line` is its line in the file (0 for an inline list)."""

    principal_id: str
    role: str
    type: str
    description: str
    line: int


def parse_principals(text: str, path: str, problems: list[Problem]) -> list[Principal]:
    """Return the principals of a file. A bad line is a problem that names line and field, never a silent default.

    Columns are separated by commas, semicolons or tabs, as in the first line. A line that starts with `#` outside a
    quoted cell is a comment; empty rows are skipped; the header may name the columns in another order, or be left out.
    Quoting is CSV's own. The directory is not asked if a principal exists.
    """
    table = _Table(text)
    found: list[Principal] = []
    seen: dict[str, int] = {}
    wrong: list[Problem] = []
    columns, is_first, is_ours = COLUMNS, True, _BEGINS_WITH_AN_ID.search(text) is not None
    try:
        for line, cells in table.rows():
            header = _header([_key(cell) for cell in cells]) if is_first else None
            if header is not None:
                is_first, is_ours, columns = False, True, tuple(header)
                if problem := _header_problem(columns):
                    problems.append(Problem(f"{path} line {line}", problem))
                    return []
                continue
            is_first = False
            principal = _principal(columns, cells, f"{path} line {line}", line, wrong)
            if principal is None:
                continue
            key = principal.principal_id.lower()
            if key in seen:
                wrong.append(Problem(f"{path} line {line}, principal_id", f"stands on line {seen[key]} already"))
            seen.setdefault(key, line)
            found.append(principal)
    except csv.Error as error:
        wrong.append(Problem(f"{path} line {table.line}", f"is not CSV: {csv_reason(error)}"))
    if wrong and not is_ours:
        # A different file, named by mistake: its text must not be repeated in recorded problems.
        line_of_first = wrong[0].path.removeprefix(path).partition(",")[0]
        problems.append(Problem(f"{path}{line_of_first}", NOT_A_LIST))
        return []
    problems += wrong
    if not found and not wrong:
        problems.append(Problem(path, "names no principal"))
    return found


class _Table:
    """Rows of cells, each with its first line. Comments are recognised between rows, not inside them."""

    def __init__(self, text: str) -> None:
        # `newline=""`: every kind of line end ends a line, and one inside a quoted cell stays as it is.
        self._lines = iter(io.StringIO(text.removeprefix("\ufeff"), newline=""))
        self._is_inside = False
        self._count = 0
        self.line = 0
        self._first = next((line for line in self._lines if not self._is_skipped(line)), "")
        named = SEPARATOR_LINE.fullmatch(self._first)
        if named:
            self._count += 1
            self._first = ""
        self._separator = named[1] if named else _separator(self._first)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that has content. Raises csv.Error; `line` is then the first line of the row."""
        reader = csv.reader(self._feed(), delimiter=self._separator, strict=True, skipinitialspace=True)
        while True:
            self._is_inside = False
            cells = next(reader, None)
            if cells is None:
                return
            if any(trimmed(cell) for cell in cells):
                yield self.line, cells

    def _feed(self) -> Iterator[str]:
        """Yield lines for the reader, which reads on inside a row only while a quoted cell is open."""
        for line in self._rest():
            if not self._is_inside:
                if self._is_skipped(line):
                    continue
                self.line = self._count + 1
            self._is_inside = True
            self._count += 1
            yield line

    def _rest(self) -> Iterator[str]:
        if self._first:
            yield self._first
        yield from self._lines

    def _is_skipped(self, line: str) -> bool:
        is_skipped = line.lstrip().startswith("#") or not line.strip(_BLANK)
        self._count += is_skipped
        return is_skipped


def _separator(line: str) -> str:
    """Return the separator after the first cell, which is an object id or the name of a column."""
    for separator in SEPARATORS:
        [cells] = csv.reader([line[:_FIRST_CELL] or "\n"], delimiter=separator, skipinitialspace=True)
        first = trimmed(cells[0]) if cells else ""
        if len(cells) > 1 and (GUID.fullmatch(first) or _ENCLOSED.fullmatch(first) or _key(first) in COLUMNS):
            return separator
    return SEPARATORS[0]


def _header(names: list[str]) -> list[str] | None:
    """Return the names; None if no cell is the name of a column, so that the row is not a header."""
    return names if any(name in COLUMNS for name in names) else None


def _header_problem(names: tuple[str, ...]) -> str:
    if sorted(names) == sorted(COLUMNS):
        return ""
    missing = [name for name in COLUMNS if name not in names]
    unknown = [f"'{_shown(name)}'" for name in names if name not in COLUMNS]
    twice = [name for name in COLUMNS if names.count(name) > 1]
    text = (("it lacks", missing), ("it also has", unknown), ("it repeats", twice))
    what = "; ".join(f"{word} {', '.join(words[:_QUOTED_NAMES])}" for word, words in text if words)
    return f"the header must name each of these columns once, in any order: {', '.join(COLUMNS)}; {what}"


def _principal(
    columns: tuple[str, ...], cells: list[str], place: str, line: int, problems: list[Problem]
) -> Principal | None:
    if len(cells) != len(COLUMNS):
        problems.append(Problem(place, f"has {_fields(cells)}, not {len(COLUMNS)} ({','.join(columns)}){_hint(cells)}"))
        return None
    row = dict(zip(columns, cells, strict=True))
    principal_id, role, kind = (trimmed(row[name]) for name in ("principal_id", "role", "type"))
    before = len(problems)
    if not GUID.fullmatch(principal_id):
        is_enclosed = _ENCLOSED.fullmatch(principal_id) is not None
        what = "has brackets around it: write the GUID alone" if is_enclosed else "is not a GUID: give the object id"
        problems.append(Problem(f"{place}, principal_id", f"'{_shown(principal_id)}' {what}"))
    for field, value, allowed in (("role", role, ROLES), ("type", kind, TYPES)):
        if value not in allowed:
            message = f"'{_shown(value)}' is not one of: {', '.join(allowed)}.{suggestion(value, allowed, problems)}"
            problems.append(Problem(f"{place}, {field}", message))
    description = row["description"].strip()
    return Principal(principal_id, role, kind, description, line) if len(problems) == before else None


def _fields(cells: list[str]) -> str:
    return f"{len(cells)} field{'' if len(cells) == 1 else 's'}"


def _hint(cells: list[str]) -> str:
    if len(cells) == 1:
        return "; the separator is a comma, a semicolon or a tab, the same as in the first line"
    return "; put a description that holds the separator in quotation marks" if len(cells) > len(COLUMNS) else ""


def trimmed(cell: str) -> str:
    """Return the cell without white space and characters of no width at its ends."""
    return cell.strip(_UNSEEN + " ")


def _key(cell: str) -> str:
    return trimmed(cell).lower()


def _shown(value: str) -> str:
    """Return the beginning of a value, with the codes of its invisible characters."""
    return _ANY_UNSEEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", value[:_QUOTED_CHARACTERS])


def csv_reason(error: csv.Error) -> str:
    """Return Python's message in terms of the file."""
    message = str(error)
    if "unexpected end" in message:
        return "the quotation mark that opens a cell here has no counterpart"
    if "expected after" in message:
        return "text follows a closing quotation mark; inside a quoted cell write each quotation mark twice"
    return "a cell is longer than 131072 characters" if "field limit" in message else message
