"""The variables of parameter.yml, whose values only the target workspace knows: `$items...` and `$workspace...`.

Source of the grammar: microsoft/fabric-cicd 1.4.0, `parse_dynamic_variable`.
"""

from shared.repository.item_types import ATTRIBUTES, ITEM_TYPES
from shared.repository.model import Kind, Ref

_ITEMS, _WORKSPACE, _OTHER = "$items.", "$workspace.", ".$items."
_FIXED = {
    "$workspace.id": "id",
    "$workspace.$id": "id",
    "$workspace.$name": "name",
    "$workspace.$name_encoded": "name_encoded",
}
ENV = "$ENV:"


class VariableError(ValueError):
    """A text that begins with `$` is not a variable; the message is the rest of a sentence about it."""


def parse(text: str) -> Ref:
    """Return what a text that begins with `$` stands for. Raises VariableError."""
    if text.startswith(_ITEMS):
        return _item(text.removeprefix(_ITEMS), "", allows_legacy=True)
    if not text.startswith(_WORKSPACE):
        raise VariableError("is not a variable; write $items.<type>.<name>.$<attribute> or $workspace.$id")
    if text in _FIXED:
        return Ref(Kind.WORKSPACE, _FIXED[text])
    rest = text.removeprefix(_WORKSPACE)
    if rest.startswith(_ITEMS):
        raise VariableError("names no workspace between $workspace. and .$items.")
    if _OTHER in rest:
        name, item = rest.split(_OTHER, 1)
        if not name.strip():
            raise VariableError("names no workspace between $workspace. and .$items.")
        return _item(item, name.strip(), allows_legacy=False)
    if rest.startswith("$"):
        raise VariableError(f"is not one of {', '.join(_FIXED)}")
    if ".$" in rest and not rest.endswith(".$id"):
        raise VariableError("names an attribute of another workspace; only its $id is known")
    name = rest.removesuffix(".$id").strip()
    if not name:
        raise VariableError("names no workspace after $workspace.")
    return Ref(Kind.WORKSPACE, "id", workspace=name)


def _item(text: str, workspace: str, *, allows_legacy: bool) -> Ref:
    """Return the item that `<type>.<name>.$<attribute>` names; the `$` may be missing in the legacy form."""
    if ".$" in text:
        rest, attribute = text.rsplit(".$", 1)
    elif allows_legacy and text.count(".") > 1:
        rest, attribute = text.rsplit(".", 1)
        attribute = attribute.strip()
    else:
        raise VariableError("does not end with .$<attribute>, for example .$id")
    item_type, _, name = rest.partition(".")
    item_type, name = item_type.strip(), name.strip()
    if not item_type or not name:
        raise VariableError("must name the type and the name of an item: $items.<type>.<name>.$<attribute>")
    if item_type not in ITEM_TYPES:
        raise VariableError(f"names the item type '{item_type}', which is unknown; it is case-sensitive")
    if attribute.lower() not in ATTRIBUTES:
        known = ", ".join(sorted(ATTRIBUTES))
        raise VariableError(f"ends with the attribute '{attribute}'; the attributes are {known}")
    return Ref(Kind.ITEM, attribute.lower(), item_type, name, workspace)
