"""Render a part of a repository that is not sent as a definition: shortcuts and schedules."""

import base64

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.item_template import stored_template
from shared.domain.json import JsonObject, content_hash
from shared.domain.ports import Fabric
from shared.repository.model import Ref
from shared.repository.model_json import from_json, to_json
from shared.repository.render import RenderError, render
from shared.steps import lookups
from shared.steps.kind import NotYetError
from shared.steps.recall import Recall


class UnusablePartError(InvalidInputError):
    """A part does not hold what it should once its parameters are replaced. `about` begins the message."""

    def __init__(self, about: str, why: str) -> None:
        super().__init__([Problem("$.with.template", f"{about} cannot be used: {why}")])


def rendered_part(fabric: Fabric, spec: JsonObject, recall: Recall, about: str) -> str:
    """Return the text of the one part in the template of a spec. Raises FabricError, UnusablePartError."""
    values = {str(content_hash(each["ref"])): _value(fabric, spec, each) for each in spec["refs"]}

    def value_of(ref: Ref) -> str:
        return values[content_hash(to_json(ref))]

    try:
        [part] = stored_template(spec, recall.payload)["parts"]
        raw = part.get("content")
        content = recall.payload(part["sha256"]) if raw is None else base64.b64decode(raw)
        return render(content, True, from_json(part["replacements"]), value_of).decode()
    except (KeyError, TypeError, ValueError, RenderError) as error:
        raise UnusablePartError(about, str(error)) from None


def _value(fabric: Fabric, spec: JsonObject, each: JsonObject) -> str:
    if "value" in each:
        return each["value"]
    try:
        return lookups.value_of(fabric, spec["workspaceId"], from_json(each["ref"]))
    except NotYetError as error:
        raise FabricTransientError(str(error), call="look up a reference") from None
