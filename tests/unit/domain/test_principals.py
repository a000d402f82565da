"""The principals file: real CSV, and no silent default."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Problem
from shared.domain.principals import ROLES, TYPES, Principal, parse_principals

ID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c0"


def parsed(text: str) -> tuple[list[Principal], list[str]]:
    """Principals and problems of a file."""
    problems: list[Problem] = []
    found = parse_principals(text, "p.csv", problems)
    return found, [str(p) for p in problems]


def test_principals_comments_blanks_quotes_and_byte_order_mark_are_understood() -> None:
    """What people and Excel write is read as they mean it, and lines are counted as an editor counts them."""
    text = (
        "\ufeff# who\n\nprincipal_id,role,description,type\n"
        f'{ID}1,Admin,"Team ""A"", east",Group\n   # more\n{ID}2 , Viewer , , User\n'
    )
    found, problems = parsed(text)
    assert problems == []
    assert [(p.principal_id, p.role, p.description, p.type, p.line) for p in found] == [
        (f"{ID}1", "Admin", 'Team "A", east', "Group", 4),
        (f"{ID}2", "Viewer", "", "User", 6),
    ]


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("someone@contoso.com,Admin,,User", "line 2, principal_id"),
        (f"{ID}1,admin,,User", "line 2, role"),
        (f"{ID}1,Owner,,User", "line 2, role"),
        (f"{ID}1,Admin,,", "line 2, type"),
        (f"{ID}1,Admin,,App", "line 2, type"),
        (f"{ID}1,Admin,User", "line 2"),
        (f"{ID}1,Admin,x,User,", "line 2"),
        (f'{ID}1,Admin,"x,User', "line 2"),
    ],
)
def test_principals_bad_line_names_line_and_field(line: str, where: str) -> None:
    """A line that is wrong is an error that says where; the good line above it is no excuse."""
    _, problems = parsed(f"{ID}0,Viewer,,User\n{line}\n")
    assert any(p.startswith(f"p.csv {where}") for p in problems), problems


def test_principals_same_id_twice_is_an_error() -> None:
    """The letter case of a GUID does not make another principal."""
    _, problems = parsed(f"{ID}a,Viewer,,User\n{ID.upper()}A,Admin,,User\n")
    assert problems == ["p.csv line 2, principal_id: stands on line 1 already"]


def test_principals_empty_file_is_an_error() -> None:
    """A file of comments gives nobody a role, which nobody means."""
    assert parsed("# nobody\n\n")[1] == ["p.csv: names no principal"]


@given(
    st.lists(
        st.tuples(
            st.uuids(),
            st.sampled_from(ROLES),
            st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\x85"), max_size=20),
            st.sampled_from(TYPES),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    )
)
def test_principals_what_a_csv_writer_writes_is_read_back(rows: list[tuple[object, str, str, str]]) -> None:
    """Any file that a CSV library writes comes back as it was."""
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(rows)
    found, problems = parsed(stream.getvalue())
    assert problems == []
    assert [(p.principal_id, p.role, p.description, p.type) for p in found] == [
        (str(i), r, d, t) for i, r, d, t in rows
    ]
