"""Kind `environment`: an environment with its Spark compute and libraries, and its publish.

It expands to two steps, because a create is one call: the environment, and the publish of what is staged. The publish
has the id of the step, so that a step that needs the environment waits until it is published. Compensation restores the
definition and, if anything has been published since, publishes that.
"""

import json
import re
from collections.abc import Mapping

from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.ports import Expanded, Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.repository.environment_rules import check_compute, check_packages
from shared.steps import items, published
from shared.steps.definition_parts import parts_of, wire_definition
from shared.steps.item import ItemKind, check_definition
from shared.steps.item_actions import EnvironmentPublishKind, publish_call
from shared.steps.kind import WORKSPACE_ID, Call, IfExists, Snapshot, check_if_exists, check_name
from shared.steps.marker import check_description

TYPE = "Environment"
SPARK, LIBRARIES = "Setting/Sparkcompute.yml", "Libraries/PublicLibraries/environment.yml"
"""The parts of an environment's definition. Source: published OpenAPI, and Microsoft's page on the definition."""
_GIVEN_BY_FOLDER = ("type", "displayName", "description", "definition")
_SETTING = re.compile("[a-z][a-z0-9_]{0,63}")
_PART = {"path": SPARK, "text": "driver_cores: 4"}


class EnvironmentKind:
    """Expand to `<id>/item` and `<id>`, the publish; without a publish, to `<id>` alone."""

    name = "environment"
    about = "A Fabric environment with its Spark compute and libraries, published."
    outputs = frozenset({"id", "workspaceId"})
    packs = "folder"

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        spec.boolean(
            "publish",
            default=True,
            words=Words(
                "Publish what is staged, and wait; with new libraries this takes minutes. Default: true.", False
            ),
        )
        compute = spec.any_object(
            "sparkCompute", words=Words(f"The content of {SPARK}, with the names of that file.", {"driver_cores": 4})
        )
        _check_contents(
            spec,
            compute or {},
            spec.texts("publicLibraries", words=Words("Packages from PyPI, as pip names them.", ["pandas==2.2.3"])),
        )
        check_if_exists(spec, IfExists.ADOPT)
        is_folder = spec.path_field(
            "folder",
            gives=_GIVEN_BY_FOLDER,
            words=Words(
                "An item's folder in Fabric's source-control format; it gives name and definition.", "a.Environment"
            ),
        )
        if is_folder:
            spec.not_packed("folder")
            return
        spec.choice("type", (TYPE,), words=Words("Set by the folder.", TYPE))
        name = spec.text(
            "displayName",
            required=True,
            maximum=items.NAME_LIMIT,
            refers=True,
            words=Words("Unique among the workspace's environments.", "Spark"),
        )
        check_name(spec, name)
        check_description(spec, items.DESCRIPTION_LIMIT)
        definition = spec.sub("definition", words=Words("The whole definition, part by part.", {"parts": [_PART]}))
        if definition is not None:
            check_definition(definition, TYPE)
            for other in ("sparkCompute", "publicLibraries"):
                if spec.data.get(other) is not None:
                    spec.problem(other, "cannot be used with a definition or a folder, which contains it")

    def runs_last(self, spec: JsonObject) -> bool:
        return False

    def runs_always(self, spec: JsonObject) -> bool:
        return False

    def expand(self, step_id: str, spec: JsonObject) -> list[Expanded] | None:
        """Return the step of the environment, and the one that publishes it."""
        row: JsonObject = {
            name: spec[name] for name in ("workspaceId", "displayName", "description", "ifExists") if name in spec
        }
        row |= {"type": TYPE, "isWhole": "definition" in spec}
        if definition := spec.get("definition") or _made(spec):
            row["definition"] = definition
        if spec.get("publish") is False:
            return [Expanded("", EnvironmentItemKind.name, row, (), EnvironmentItemKind.outputs)]
        item = f"steps.{step_id}/item.outputs"
        publish: JsonObject = {
            "workspaceId": spec["workspaceId"],
            "itemId": f"${{{{ {item}.id }}}}",
            "displayName": spec["displayName"],
            **{name: f"${{{{ {item}.{name} }}}}" for name in ("changed", "created")},
        }
        return [
            Expanded("/item", EnvironmentItemKind.name, row, (), EnvironmentItemKind.outputs),
            Expanded("", EnvironmentPublishKind.name, publish, ("/item",), EnvironmentPublishKind.outputs),
        ]


def _check_contents(spec: Fields, compute: JsonObject, packages: list[str]) -> None:
    """Note what Fabric would refuse. A doubtful value is sent, because Fabric may have extended its lists."""

    def bad(name: str, what: str) -> None:
        spec.problem("sparkCompute", what)

    def doubtful(name: str, what: str) -> None:
        if not _SETTING.fullmatch(name.partition(".")[0]):  # it would become more than one name in the file
            bad(name, what)

    check_compute(compute, bad, doubtful)
    check_packages(packages, lambda i, what: spec.problem("publicLibraries", f"[{i}]: {what}"))


def _made(spec: JsonObject) -> JsonObject | None:
    """Return the definition of the fields. JSON is YAML too, so that no text of a manifest can become structure."""
    parts: list[JsonObject] = []
    if compute := spec.get("sparkCompute"):
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in compute.items()]
        parts.append({"path": SPARK, "text": "".join(lines)})
    if packages := spec.get("publicLibraries"):
        lines = ["dependencies:\n", "  - pip:\n", *(f"      - {json.dumps(package)}\n" for package in packages)]
        parts.append({"path": LIBRARIES, "text": "".join(lines)})
    return {"parts": parts} if parts else None


class EnvironmentItemKind(ItemKind):
    """Create or update an environment. A part that the manifest does not give stays as it is."""

    name = "environment_item"
    about = "The environment itself; a step of the kind environment expands to it."
    packs = ""
    outputs = ItemKind.outputs | {"changed", "created"}
    tracks = ""
    tracked_fields: Mapping[str, str] = {}

    def check(self, spec: Fields) -> None:
        """Check what is sent to Fabric; `environment` checked the rest."""
        spec.guid("workspaceId", required=True)
        spec.text("displayName", required=True, maximum=items.NAME_LIMIT, refers=True)
        for name in ("type", "description", "ifExists", "isWhole"):
            spec.raw(name)
        spec.any_object("definition")

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return the fields that differ; of the definition, only the parts that the manifest gives are compared."""
        present = as_object(found.image.get("definition"))
        if present is None or "definition" not in spec or spec.get("isWhole"):
            return super().changes(spec, found)
        given = parts_of(spec["definition"])
        kept = [part for part in as_list(present.get("parts")) or [] if part["path"] in given]
        return super().changes(spec, Snapshot(found.resource, {**found.image, "definition": {"parts": kept}}))

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        found = super().find(fabric, spec)
        return None if found is None else _with_version(fabric, found)

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        found = super().locate(fabric, spec, resource)
        return None if found is None else _with_version(fabric, found)

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return POST /items, or the calls of an update, whose definition has the parts that stay."""
        before = as_object((intent.before or {}).get("definition"))
        if intent.action is IntentAction.CREATE or before is None or spec.get("isWhole"):
            return super().apply(spec, intent)
        if not self.changes(spec, Snapshot(Resource(TYPE, "", "", ""), intent.before or {})):
            return []
        wanted = wire_definition(spec["definition"], TYPE)
        given = parts_of(wanted)
        stay = [part for part in as_list(before.get("parts")) or [] if part["path"] not in given]
        return super().apply({**spec, "definition": {"parts": [*stay, *wanted["parts"]]}}, intent)

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        outputs = super().verify(fabric, spec, resource, intent)
        is_created = intent.action is IntentAction.CREATE
        return {**outputs, "changed": intent.action is not IntentAction.ADOPT, "created": is_created}

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE, or the calls that restore the definition and publish it if something else was published."""
        calls = super().compensate(spec, intent, found)
        is_restored = any(call.path.endswith("/updateDefinition") for call in calls)
        if not is_restored or not published.is_new(intent.before or {}, found.image):
            return calls
        return [calls[0], publish_call(spec["workspaceId"], found.resource.id), *calls[1:]]


def _with_version(fabric: Fabric, found: Snapshot) -> Snapshot:
    """Return an environment with its last publish. Raises FabricError."""
    resource = found.resource
    return Snapshot(resource, {**found.image, **published.read(fabric, resource.parent_id or "", resource.id)})
