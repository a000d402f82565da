"""The CSV file of `submit --matrix`: the first row names inputs, and each further row is one deployment."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.cli import pack
from shared.cli.render.timeline import clean
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.principals import SEPARATOR_LINE, SEPARATORS, csv_reason, trimmed

MAX_ROWS = 1_000
ID = "id"
"""The column that names a row in its deployment's id; without it, the row's number does."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Row:
    """One row: where it is, the id of its deployment, and the values of inputs."""

    place: str
    deployment_id: str
    values: dict[str, str]


def read_rows(file: str, base: str, problems: Problems) -> list[Row]:
    """Return the rows of a file whose values can be used; an empty cell gives no value, so the input's default counts.
    Problems of other rows, of ids and of the file are appended.

    Columns are separated as in the first row, by commas, semicolons (as Excel writes in many countries) or tabs. Raises
    InvalidInputError if the file cannot be read as rows.
    """
    text, _ = pack.read_text(file)
    where = clean(file)
    lines = list(_lines(text, where))
    if not lines:
        what = "is empty: the first row names inputs, each further row is one deployment"
        raise InvalidInputError([Problem(where, what)])
    [(line, header), *rest] = lines
    names = [trimmed(name) for name in header]
    wrong_names = [Problem(f"{where}:{line}", message) for message in _wrong_names(names)]
    problems += wrong_names
    found: list[Row] = []
    seen: dict[str, str] = {}
    for number, (line, cells) in enumerate(rest, start=1):
        place = f"{where}:{line}"
        cells = [trimmed(cell) for cell in cells]
        if not any(cells):
            continue
        if len(cells) != len(names):
            problems.append(Problem(place, f"has {len(cells)} cells; the first row has {len(names)}"))
            continue
        values = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
        own = values.pop(ID, f"{number:03d}")
        if not _NAME.fullmatch(own):
            rule = "must be letters, digits, '.', '_' and '-', with a letter or digit first (40 at most)"
            problems.append(Problem(place, f"its {ID} '{own[:64]}' {rule}"))
        if own.casefold() in seen:
            problems.append(Problem(place, f"its {ID} '{own[:64]}' is that of {seen[own.casefold()]} too"))
        seen.setdefault(own.casefold(), place)
        found.append(Row(place, f"{base}-{own}", values))
    count = len(found)
    if count > MAX_ROWS or (not found and not problems):
        problems.append(Problem(where, f"has {count} rows with values; from 1 to {MAX_ROWS} are accepted"))
    return [] if wrong_names or count > MAX_ROWS else found


def _lines(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row and the number of its first line; a cell in quotation marks may have several lines.
    Lines before the first row are skipped if they are empty, or if they name the separator, as Excel may write it.
    Raises InvalidInputError."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    named = SEPARATOR_LINE.fullmatch(first)
    separator = named[1] if named else next((each for each in SEPARATORS if each in first), SEPARATORS[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line, has_begun, is_skipped = 1, False, named is not None
    try:
        for cells in reader:
            has_begun = has_begun or any(cell.strip() for cell in cells)
            if has_begun and not is_skipped:
                yield line, cells
            is_skipped = is_skipped and not has_begun
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidInputError([Problem(f"{where}:{line}", f"is not CSV: {csv_reason(error)}")]) from None


def _wrong_names(names: list[str]) -> list[str]:
    """Return what is wrong with the names of the columns."""
    found = [] if "" not in names else ["has a column without a name: name the input, or delete the column"]
    repeated = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    return [*found, *(f"has the column '{name[:64]}' more than once" for name in repeated)]
