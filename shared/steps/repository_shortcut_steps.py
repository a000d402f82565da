"""The shortcuts in a packed repository: how their entries are checked, and the steps that they expand to."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from shared.domain.fields import Fields
from shared.domain.json import SHA256, JsonObject, as_list, as_object
from shared.domain.ports import Expanded
from shared.domain.ports.deployed import identity_of
from shared.repository.model import Ref
from shared.repository.model_json import from_json
from shared.repository.shortcuts import MAX_NAME, MAX_PATH, NAME, PATH
from shared.steps.repository_shortcuts import RemovedShortcutsKind, RepositoryShortcutKind

_HOLDER = "Lakehouse"


class Steps(Protocol):
    """The steps of the repository that is expanded."""

    @property
    def ids(self) -> Mapping[str, str]:
        """The suffixes of the items' first steps, by `Type/Name`."""
        ...

    def node(self, need: str) -> str:
        """Return the suffix of the step `Type/Name#phase`."""
        ...

    def output(self, suffix: str, name: str = "id") -> str:
        """Return the reference to an output of a step."""
        ...

    def suffix(self, wanted: str) -> str:
        """Return a suffix like the one wanted that no other step has."""
        ...

    def value(self, data: Any) -> JsonObject:
        """Return a reference of the files, with where its value comes from."""
        ...


def check_refs(row: Fields) -> None:
    """Check the references of an entry's files."""
    for i, each in enumerate(row.rows("refs")):
        try:
            if not isinstance(from_json(each), Ref):
                raise ValueError("it is not a reference")
        except ValueError as error:
            row.problem("refs", f"[{i}]: {error}")
    row.refers("refs", row.data.get("refs"))


def identity(row: JsonObject) -> str:
    """Return what identifies an item of the repository from one deployment to the next."""
    return identity_of(row.get("logicalId") or "", row["type"], row["displayName"])


def check(spec: Fields) -> None:
    """Check the shortcuts of the entries as far as the expansion uses them: the command line made them."""
    taken: set[str] = set()
    for i, each in enumerate(as_list(spec.data.get("items")) or []):
        item = as_object(each) or {}
        if item.get("shortcuts") is None:
            continue
        fields = Fields(item["shortcuts"], f"{spec.path}.items[{i}].shortcuts", spec.problems, spec.references)
        if item.get("type") != _HOLDER:
            fields.problem(None, f"are those of a {item.get('type')}, and only a {_HOLDER} has them")
        fields.text("template", required=True, pattern=SHA256, hint="must be the SHA-256 of a stored template")
        check_refs(fields)
        fields.texts("kept")
        fields.texts("needs", refers=True)
        own = f"{item.get('type')}/{item.get('displayName')}"
        for j, row in enumerate(fields.rows("rows")):
            taken.add(f"{own}:{_check_row(Fields(row, f'{fields.path}.rows[{j}]', spec.problems, spec.references))}")
        fields.finish()
    for i, each in enumerate(as_list(spec.data.get("items")) or []):
        for row in as_list((as_object((as_object(each) or {}).get("shortcuts")) or {}).get("rows")) or []:
            unknown = [at for at in as_list((as_object(row) or {}).get("after")) or [] if str(at) not in taken]
            if unknown:
                spec.problem("items", f"[{i}]: no shortcut is '{str(unknown[0])[:100]}'")


def _check_row(row: Fields) -> str:
    path = row.text("path", required=True, maximum=MAX_PATH, pattern=PATH, hint="is not the path of a shortcut")
    name = row.text("name", required=True, maximum=MAX_NAME, pattern=NAME, hint="is not the name of a shortcut")
    row.texts("after", refers=True)
    row.finish()
    return f"{path}/{name}"


def expanded(step_id: str, spec: JsonObject, steps: Steps) -> Iterator[Expanded]:
    """Yield a step for each shortcut of the lakehouses, and one for those that are not listed any more.

    A shortcut to another shortcut of the repository comes after it; the command line sees to it that no cycle arises.
    """
    rows: list[JsonObject] = [row for row in spec["items"] if row["type"] == _HOLDER]
    if not rows or spec.get("shortcuts") is False:
        return
    listed: dict[str, list[str]] = {}
    ends: dict[str, str] = {}
    for row in rows:
        own = listed[identity(row)] = list[str]()
        held: JsonObject = row.get("shortcuts") or {}
        for each in held.get("rows") or ():
            own.append(f"{each['path']}/{each['name']}")
            key = f"{_HOLDER}/{row['displayName']}"
            ends[f"{key}:{own[-1]}"] = steps.suffix(f"{steps.ids[key]}/shortcut/{own[-1]}")
    for row in rows:
        held = row.get("shortcuts") or {}
        for each in held.get("rows") or ():
            yield _step(spec["workspaceId"], row, each, ends, steps)
        listed[identity(row)] += held.get("kept") or ()
    removed: JsonObject = {"workspaceId": spec["workspaceId"], "repository": step_id, "lakehouses": listed}
    removed |= {"names": spec["identities"]} if spec.get("identities") else {}
    needs = tuple(ends.values()) or tuple(steps.ids[f"{_HOLDER}/{row['displayName']}"] for row in rows)
    suffix = steps.suffix("/removed-shortcuts")
    yield Expanded(suffix, RemovedShortcutsKind.name, removed, needs, RemovedShortcutsKind.outputs)


def _step(workspace_id: str, row: JsonObject, each: JsonObject, ends: Mapping[str, str], steps: Steps) -> Expanded:
    key, held = f"{_HOLDER}/{row['displayName']}", row["shortcuts"]
    at = f"{each['path']}/{each['name']}"
    spec: JsonObject = {
        "workspaceId": workspace_id,
        "itemId": steps.output(steps.ids[key]),
        "path": each["path"],
        "name": each["name"],
        "displayName": f"{row['displayName']}: {at}",
        "identity": identity(row),
        "template": held["template"],
        "refs": [steps.value(ref) for ref in held.get("refs") or ()],
    }
    before = [steps.ids[key], *map(steps.node, held.get("needs") or ()), *(ends[at] for at in each.get("after") or ())]
    kind = RepositoryShortcutKind
    return Expanded(ends[f"{key}:{at}"], kind.name, spec, tuple(dict.fromkeys(before)), kind.outputs)
