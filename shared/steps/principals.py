"""Kind `principals`: the roles of many principals, from a file or inline.

It expands to one `role_assignment` step each, so that each has its own journal row, error and compensation.
"""

from collections.abc import Iterable
from dataclasses import replace

from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject
from shared.domain.ports import Expanded
from shared.domain.principals import COLUMNS, Principal, parse_principals
from shared.domain.template import escaped
from shared.steps.kind import WORKSPACE_ID, IfExists, check_if_exists
from shared.steps.role_assignment import EXAMPLE, RoleAssignmentKind, check_principal

_SHARED = ("workspaceId", "ifExists")
_MAX_CSV = 4_000_000


class PrincipalsKind:
    """Expand to one `role_assignment` step for each principal, named `<id>.<position>`."""

    name = "principals"
    about = "The roles of many principals in a workspace: expands to one role_assignment step each."
    outputs: frozenset[str] = frozenset()
    packs = "file"

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        check_if_exists(spec, IfExists.UPDATE)
        rows = spec.each(
            "principals",
            _read_row,
            empty="names no principal",
            words=Words("The principals and their roles.", [EXAMPLE]),
        )
        spec.raw(
            "csv",
            schema={"type": "string"},
            words=Words(
                "The text of a CSV file of principals.", f"{','.join(COLUMNS)}\n{EXAMPLE['principalId']},Admin,,User"
            ),
        )
        spec.path_field(
            "file",
            words=Words("A CSV file, relative to the manifest; the command line packs it.", "principals.csv"),
        )
        spec.raw(
            "source",
            words=Words("The name of the file, for messages; set by the command line.", "principals.csv"),
        )
        given = spec.one_of({"principals": "array", "csv": "string", "file": "string"})
        if len(given) != 1:
            spec.problem(None, "give exactly one of: principals (an inline list), csv (a file's text), file (a path)")
        elif given == ["file"]:
            spec.not_packed("file")
        elif given == ["csv"]:
            _from_csv(spec)
        else:
            _inline(element for element, _ in rows)

    def runs_last(self, spec: JsonObject) -> bool:
        return False

    def runs_always(self, spec: JsonObject) -> bool:
        return False

    def expand(self, step_id: str, spec: JsonObject) -> list[Expanded]:
        """Return one `role_assignment` step for each principal, numbered from 1."""
        shared = {name: spec[name] for name in _SHARED if name in spec}
        fields = Fields(spec, "$", [], [])
        if spec.get("csv") is not None:
            principals = _from_csv(fields)
        else:
            principals = _inline(element for element, _ in fields.each("principals", _read_row, empty=""))
        return [
            Expanded(
                f".{i:03d}",
                RoleAssignmentKind.name,
                {**shared, "principalId": p.principal_id, "principalType": p.type, "role": p.role}
                | ({"description": p.description} if p.description else {}),
                outputs=RoleAssignmentKind.outputs,
            )
            for i, p in enumerate(principals, start=1)
        ]


def _read_row(row: Fields) -> None:
    for name in _SHARED:
        row.absent(name, "applies to the whole list: set it once, beside `principals`")
    check_principal(row)


def _from_csv(spec: Fields) -> list[Principal]:
    # Without a list of references, because the text of a file contains none: it is used unchanged.
    text = Fields(spec.data, spec.path, spec.problems).text("csv", maximum=_MAX_CSV)
    name = spec.data.get("source")
    path = f"{spec.path}.csv" + (f" ({name})" if isinstance(name, str) else "")
    found = parse_principals(text, path, spec.problems)
    return [replace(principal, description=escaped(principal.description)) for principal in found]


def _inline(elements: Iterable[Fields]) -> list[Principal]:
    found: list[Principal] = []
    seen: set[str] = set()
    for fields in elements:
        data = {k: v for k, v in fields.data.items() if isinstance(v, str)}
        principal_id = data.get("principalId", "")
        if principal_id and principal_id.lower() in seen:
            fields.problem("principalId", "is in this list already")
        seen.add(principal_id.lower())
        found.append(
            Principal(
                principal_id,
                data.get("role", ""),
                data.get("principalType", ""),
                data.get("description", ""),
                0,
            )
        )
    return found
