"""The principals file: real CSV, and no silent default."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Problem
from shared.domain.principals import COLUMNS, ROLES, SEPARATORS, TYPES, Principal, parse_principals

ID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c0"


def parsed(text: str) -> tuple[list[Principal], list[str]]:
    """Return the principals and the problems of a file."""
    problems: list[Problem] = []
    found = parse_principals(text, "p.csv", problems)
    return found, [str(p) for p in problems]


def test_principals_with_comments_blanks_quotes_and_byte_order_mark_are_read() -> None:
    """The file is read as people and Excel mean it, and lines are counted as an editor counts them."""
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
    """A wrong line is an error with its place, even after a good line."""
    _, problems = parsed(f"{ID}0,Viewer,,User\n{line}\n")
    assert any(p.startswith(f"p.csv {where}") for p in problems), problems


def test_principals_with_the_same_id_twice_are_an_error() -> None:
    """The letter case of a GUID does not make another principal."""
    _, problems = parsed(f"{ID}a,Viewer,,User\n{ID.upper()}A,Admin,,User\n")
    assert problems == ["p.csv line 2, principal_id: stands on line 1 already"]


def test_principals_empty_file_is_an_error() -> None:
    """A file of comments gives nobody a role, and nobody means that."""
    assert parsed("# nobody\n\n")[1] == ["p.csv: names no principal"]


EXCEL: list[tuple[str, str]] = [
    ("semicolons", f"principal_id;role;description;type\r\n{ID}1;Admin;east, west;Group\r\n"),
    ("semicolons, no header", f"{ID}1;Admin;east, west;Group\r\n"),
    ("tabs", f"principal_id\trole\tdescription\ttype\r\n{ID}1\tAdmin\teast, west\tGroup\r\n"),
    ("sep=", f"\ufeffsep=;\r\nprincipal_id;role;description;type\r\n{ID}1;Admin;east, west;Group\r\n"),
    ("sep= in quotes", f'"sep=\t"\r\n{ID}1\tAdmin\teast, west\tGroup\r\n'),
    ("CR alone", f'principal_id,role,description,type\r{ID}1,Admin,"east, west",Group\r'),
    ("empty rows", f";;;\nprincipal_id;role;description;type\n;;;\n{ID}1;Admin;east, west;Group\n ; ;;\n;;;"),
    ("another order", f'Type,Description,Role,Principal_ID\nGroup,"east, west",Admin,{ID}1\n'),
    ("spaces", f'# team\n principal_id , role , description , type\n{ID}1 , Admin , "east, west", Group\n'),
    ("invisible characters", f'{ID}1\u200b,\u00a0Admin,"east, west",\ufeffGroup\u200e\n'),
]


@pytest.mark.parametrize("text", [text for _, text in EXCEL], ids=[name for name, _ in EXCEL])
def test_principals_from_excel_are_read_as_meant(text: str) -> None:
    """Separators, line ends, order of columns and empty rows differ; the principal is the same."""
    found, problems = parsed(text)
    assert problems == []
    assert [(p.principal_id, p.role, p.description, p.type) for p in found] == [
        (f"{ID}1", "Admin", "east, west", "Group")
    ]


def test_principals_comment_inside_a_quoted_cell_is_text() -> None:
    """Its lines belong to the description, and the line numbers of the next rows stay correct."""
    found, problems = parsed(f'{ID}1,Admin,"Tickets:\n#4711\n\n#4712\nend",User\n#,"\n{ID}2,Viewer,,User\n')
    assert problems == []
    assert [(p.description, p.line) for p in found] == [("Tickets:\n#4711\n\n#4712\nend", 1), ("", 7)]


@pytest.mark.parametrize(
    ("text", "expected_text"),
    [
        (
            f"principal_id,role,type\n{ID}1,Admin,User\n",
            "line 1: the header must name each of these columns once, in any order: "
            "principal_id, role, description, type; it lacks description",
        ),
        (f"principal_id,role,type,type\n{ID}1,Admin,User,\n", "it lacks description; it repeats type"),
        (f"principal_id,role,description,type,mail\n{ID}1,Admin,,User,\n", "it also has 'mail'"),
        (f"{ID}1,Admin,,User\n{ID}2;Admin;;User\n", "line 2: has 1 field, not 4"),
        (f"{ID}1,Admin,,User\n{ID}2;Admin;;User\n", "the separator is a comma, a semicolon or a tab"),
        (f"{ID}1;Admin;a;b;User\n", "put a description that holds the separator in quotation marks"),
        (f"sep=|\n{ID}1|Admin||User\n", "line 1: has 1 field"),
        (f"{ID[:-1]}\u200b01,Admin,,User\n{ID}2,Admin,,User", "1c<U+200B>01' is not a GUID"),
        (f"{{{ID}1}};Admin;;User\n", f"line 1, principal_id: '{{{ID}1}}' has brackets around it"),
        (f"{ID}1,Ad\u00a0min,,User\n", "'Ad<U+00A0>min' is not one of"),
        (f'{ID}1,Admin,"x,User\n{ID}2,Admin,,User\n', "line 1: is not CSV: the quotation mark that opens a cell"),
        (f'{ID}1,Admin,"x"y,User\n', "inside a quoted cell write each quotation mark twice"),
        (f"{ID}1,Admin,{'x' * 140_000},User\n", "a cell is longer than 131072 characters"),
    ],
)
def test_principals_problem_states_what_is_wrong_and_what_to_do(text: str, expected_text: str) -> None:
    """The message uses the words of a person who reads the file, not of the library that parses it."""
    _, problems = parsed(text)
    assert any(expected_text in problem for problem in problems), problems


@pytest.mark.parametrize(
    "text",
    ["root:x,0,Administrator of all,/bin/sh\n", "[core]\n\tsecret = canary\n", 'canary: "\n', "a,b,c,canary\n" * 500],
)
def test_principals_problem_does_not_quote_another_file(text: str) -> None:
    """A file given by mistake is one problem without a quotation, because problems are recorded and shown."""
    [problem] = parsed(text)[1]
    assert problem.startswith("p.csv line 1: is not a line of a list of principals (principal_id,role,")
    assert not any(word in problem for word in ("root", "secret", "canary"))


@given(
    st.lists(
        st.tuples(
            st.uuids(),
            st.sampled_from(ROLES),
            st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from('#,;\t"\n\r'), max_size=20),
            st.sampled_from(TYPES),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    ),
    st.permutations(range(4)),
    st.sampled_from(SEPARATORS),
)
def test_principals_written_by_a_csv_library_are_read_unchanged(
    rows: list[tuple[object, str, str, str]], order: list[int], separator: str
) -> None:
    """This holds for any separator and any order of columns."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, delimiter=separator)
    writer.writerows([[row[i] for i in order] for row in [COLUMNS, *rows]])
    found, problems = parsed(stream.getvalue())
    assert problems == []
    assert [(p.principal_id, p.role, p.description, p.type) for p in found] == [
        (str(i), r, d.strip(), t) for i, r, d, t in rows
    ]
