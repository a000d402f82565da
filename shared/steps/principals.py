"""Kind `principals`: a list of principals, from a file or inline, as one role assignment each.

It never runs itself: it expands into `role_assignment` steps, so each has its own journal row, error and undo.
"""

from dataclasses import replace
from typing import Any

from shared.domain.fields import Fields
from shared.domain.json import JsonObject
from shared.domain.principals import Principal, parse_principals
from shared.domain.template import escaped
from shared.steps.kind import IF_EXISTS
from shared.steps.role_assignment import RoleAssignmentKind, check_principal


class PrincipalsKind:
    """Stands for one `role_assignment` step a principal, `<id>.<position>`; all are tried and all are reported."""

    name = "principals"
    outputs: frozenset[str] = frozenset()

    def check(self, spec: Fields) -> None:
        """`with`: workspaceId, and one of principals (inline list), csv (a file's text) or file; ifExists."""
        spec.guid("workspaceId", required=True)
        spec.choice("ifExists", IF_EXISTS)
        given = [name for name in ("principals", "csv", "file") if spec.data.get(name) is not None]
        for name in ("principals", "csv", "file", "source"):
            spec.raw(name)
        if len(given) != 1:
            spec.problem(None, "give exactly one of: principals (an inline list), csv (a file's text), file (a path)")
        elif given == ["file"]:
            spec.problem("file", "is not packed: submit with the command line, which reads the file")
        else:
            _principals(spec.data, spec)

    def expand(self, spec: JsonObject) -> list[tuple[str, str, JsonObject]]:
        """One `role_assignment` a principal, numbered from 1."""
        shared = {name: spec[name] for name in ("workspaceId", "ifExists") if name in spec}
        return [
            (
                f"{i:03d}",
                RoleAssignmentKind.name,
                {**shared, "principalId": p.principal_id, "principalType": p.type, "role": p.role}
                | ({"description": p.description} if p.description else {}),
            )
            for i, p in enumerate(_principals(spec, Fields(spec, "$", [], [])), start=1)
        ]


def _principals(spec: JsonObject, fields: Fields) -> list[Principal]:
    if spec.get("csv") is not None:
        # A file's text is what it is: nothing in it is a reference.
        text = Fields(spec, fields.path, fields.problems).text("csv", maximum=4_000_000)
        name = spec.get("source")
        path = f"{fields.path}.csv" + (f" ({name})" if isinstance(name, str) else "")
        found = parse_principals(text, path, fields.problems)
        return [replace(principal, description=escaped(principal.description)) for principal in found]
    return _inline(fields.rows("principals"), fields)


def _inline(rows: list[Any], spec: Fields) -> list[Principal]:
    found: list[Principal] = []
    seen: set[str] = set()
    if not rows:
        spec.problem("principals", "names no principal")
    for i, row in enumerate(rows):
        fields = spec.element("principals", i, row)
        for name in ("workspaceId", "ifExists"):
            if fields.raw(name) is not None:
                fields.problem(name, "is said beside the list, once for all of it")
        check_principal(fields)
        fields.finish()
        data = {k: v for k, v in fields.data.items() if isinstance(v, str)}
        principal_id = data.get("principalId", "")
        if principal_id and principal_id.lower() in seen:
            fields.problem("principalId", "stands in this list already")
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
