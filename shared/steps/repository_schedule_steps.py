"""The schedules in a packed repository: how their entries are checked, and the steps that they expand to."""

from collections.abc import Iterable, Iterator

from shared.domain.fields import Fields
from shared.domain.json import SHA256, JsonObject, as_list, as_object
from shared.domain.ports import Expanded
from shared.domain.ports.deployed import SCHEDULES, identity_of
from shared.repository.order import Phase
from shared.steps.item_schedules import ItemSchedulesKind
from shared.steps.removed_schedules import RemovedSchedulesKind
from shared.steps.repository_shortcut_steps import Steps, check_refs, identity
from shared.steps.schedules import JOBS


def check(spec: Fields) -> None:
    """Check the schedules of the entries: the command line made them."""
    for i, each in enumerate(as_list(spec.data.get("items")) or []):
        item = as_object(each) or {}
        if item.get("schedules") is None:
            continue
        fields = Fields(item["schedules"], f"{spec.path}.items[{i}].schedules", spec.problems, spec.references)
        if item.get("type") not in JOBS or not item.get("template"):
            fields.problem(None, f"are those of a {item.get('type')}; items have them that have jobs and a definition")
        fields.text("template", required=True, pattern=SHA256, hint="must be the SHA-256 of a stored template")
        check_refs(fields)
        fields.finish()


def without_file(spec: JsonObject) -> frozenset[str]:
    """Return the items, as `Type/Name`, that may have schedules and have no file of them."""
    rows = [row for row in spec["items"] if row["type"] in JOBS and not row.get("schedules")]
    return frozenset(_key(row) for row in rows)


def removed(step_id: str, spec: JsonObject, suffixes: Iterable[str]) -> Iterator[Expanded]:
    """Yield the step for the schedules whose file is gone, if it has a suffix. It comes before their items."""
    keys, kind = without_file(spec), RemovedSchedulesKind
    rows = [row for row in spec["items"] if _key(row) in keys]
    named = {identity_of("", SCHEDULES, identity(row)): row["type"] for row in rows}
    for suffix in suffixes:
        more: JsonObject = {"workspaceId": spec["workspaceId"], "repository": step_id, "items": named}
        more |= {"names": spec["identities"]} if spec.get("identities") else {}
        yield Expanded(suffix, kind.name, more, (), kind.outputs)


def expanded(spec: JsonObject, before: Iterable[Expanded], steps: Steps) -> Iterator[Expanded]:
    """Yield the steps that set the schedules of items. They come after all others of the repository: a schedule starts
    jobs, which may need any item."""
    rows = [row for row in spec["items"] if row.get("schedules")]
    others = list(before) if rows else []
    needed = {need for step in others for need in step.needs}
    last = tuple(step.suffix for step in others if step.suffix not in needed)
    nodes = {
        step["item"]: steps.node(f"{step['item']}#{step.get('phase') or Phase.WHOLE}")
        for step in spec["order"]
        if step.get("phase") != Phase.SHELL
    }
    kind = ItemSchedulesKind
    for row in rows:
        held, node = as_object(row["schedules"]) or {}, nodes[_key(row)]
        more: JsonObject = {
            "workspaceId": spec["workspaceId"],
            "itemId": steps.output(node),
            "displayName": row["displayName"],
            "type": row["type"],
            "identity": identity(row),
            "template": held.get("template"),
            "refs": [steps.value(each) for each in held.get("refs") or ()],
            "off": steps.output(node, "switchedOff"),
            "renewed": steps.output(node, "renewed"),
        }
        needs = tuple(dict.fromkeys([node, *last]))
        yield Expanded(steps.ids[_key(row)] + "/schedules", kind.name, more, needs, kind.outputs)


def _key(row: JsonObject) -> str:
    return f"{row['type']}/{row['displayName']}"
