"""Promotion: a deployment that says `promotes: ID` deploys what that deployment deployed, to another stage.

The hashes of the parts are compared: of the steps as they are written, before inputs are replaced, and of the files of
each item, before parameters are replaced. So values may differ between stages, and content may not.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from shared.domain.approval import APPROVAL
from shared.domain.errors import InvalidInputError, NotFoundError, Problem, Problems
from shared.domain.forgotten import ForgottenError
from shared.domain.item_template import stored_template
from shared.domain.json import JsonObject, as_list, as_object, content_hash
from shared.domain.ports import Blobs, Journal
from shared.domain.states import DeploymentState
from shared.saga.submission.redeploy import stored_manifest

FIELD = "promotes"
_PATH = f"$.{FIELD}"
_NAMED = 10
_BESIDE = ("schedules", "shortcuts")
"""Fields of an item with a template of their own, for the files that are set after it."""
_OF_THE_STAGE = frozenset({"template", "bundle", "refs", "valueSet", "ready", "connections", *_BESIDE})
"""Fields of an item that packing derives from its files and the environment's parameters."""


def parts_of(manifest: Any, blobs: Blobs) -> dict[str, str]:
    """Return the digest of each part of a packed manifest, by name. Raises NotFoundError if the list of the files of an
    item is not stored.

    A part is a step or, of a repository, an item. An approval deploys nothing, so it is not a part.
    """
    found: dict[str, str] = {}
    read = cache(blobs.get)  # many items share a bundle
    for row in as_list((as_object(manifest) or {}).get("steps")) or ():
        step = as_object(row) or {}
        spec = as_object(step.get("with")) or {}
        items = as_list(spec.get("items")) if step.get("kind") == "repository" else None
        if step.get("kind") == APPROVAL:
            continue
        if items is None:
            found[str(step.get("id"))] = content_hash({"kind": step.get("kind"), "with": spec})
            continue
        for each in items:
            item = as_object(each) or {}
            name = f"{step.get('id')}/{item.get('type')}/{item.get('displayName')}"
            found[name] = content_hash({**_of_every_stage(item), "files": _files(name, item, read)})
    return found


def _of_every_stage(item: JsonObject) -> JsonObject:
    return {name: value for name, value in item.items() if name not in _OF_THE_STAGE}


def _files(name: str, item: JsonObject, read: Callable[[str], bytes]) -> list[list[Any]]:
    """Return path and SHA-256 of each file of an item; a shell has none but its shortcuts."""
    beside = [found for field in _BESIDE if (found := as_object(item.get(field))) is not None]
    try:
        templates = [stored_template(each, read) for each in (item, *beside) if each.get("template")]
        rows = [row for each in templates for row in as_list(each["parts"]) or []]
        return [[row["path"], row["sha256"]] for row in map(as_object, rows) if row is not None]
    except (InvalidInputError, ValueError, KeyError, TypeError, RecursionError):
        raise NotFoundError(f"the list of the files of {name} is not stored") from None


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Return what differs between the parts of a promotion and those of its source, for people."""
    found = [f"{name} is not in the source" for name in here if name not in there]
    found += [f"{name} is missing" for name in there if name not in here]
    return sorted(found + [f"{name} differs" for name in here if name in there and here[name] != there[name]])


def promotion_problems(manifest: Any, source_id: str, journal: Journal, blobs: Blobs) -> Problems:
    """Return why a manifest does not promote that deployment. Raises StorageUnavailableError."""
    try:
        source = journal.header(source_id).record
    except ForgottenError:
        return Problems([Problem(_PATH, f"{source_id} is past its retention; deploy the stage before again")])
    except NotFoundError:
        return Problems([Problem(_PATH, f"there is no deployment '{source_id}'")])
    if source.state is not DeploymentState.SUCCEEDED:
        need = "only a deployment that succeeded, and was not rolled back since, can be promoted"
        return Problems([Problem(_PATH, f"{source_id} is {source.state.value}: {need}")])
    try:
        found = differences(parts_of(manifest, blobs), parts_of(stored_manifest(source, blobs), blobs))
    except NotFoundError as error:
        return Problems([Problem(_PATH, f"it cannot be compared: {error}")])
    if not found:
        return Problems()
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    text = f"is not what {source_id} deployed: {', '.join(found[:_NAMED])}{more}"
    return Problems([Problem(_PATH, f"{text}; submit the same files, or promote another deployment")])
