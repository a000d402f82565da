"""The names that items of a repository get when other items of it lose them.

The notes of earlier deployments say which item had a name, and the packed repository says which name each of its items
gets now. So an item that is renamed is not taken for another one that gets its earlier name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.json import JsonObject
from shared.domain.names import same_name
from shared.domain.ports import Fabric
from shared.steps import item_notes
from shared.steps.items import items_path
from shared.steps.recall import Recall
from shared.steps.rows import usable

_CIRCLE = 20
"""The most names of a circle that is looked for. In a longer one, the attempts of the steps find it."""


def rows_of(fabric: Fabric, spec: JsonObject) -> list[JsonObject]:
    """Return the items of the type in the workspace, as a list shows them. Raises FabricError."""
    path = items_path(spec)
    return [row for row in usable(fabric.list(path), path) if row.get("type") == spec["type"]]


def is_renamed_later(spec: JsonObject, row: JsonObject) -> bool:
    """Return True if an item has the name of this one, and another step of the repository gives it another name."""
    return _has_name(spec, row, spec.get("renamed") or [])


def renamed(fabric: Fabric, spec: JsonObject, recall: Recall) -> list[str]:
    """Return the ids of the items that were deployed under the type and name of this one, and that other steps rename.

    Raises FabricError, and InvalidInputError if such an item keeps the name: because it is not deployed now, or because
    items exchange their names.
    """
    key, note = f"{spec['type']}/{spec['displayName']}", item_notes.known(spec)
    others = [each for each in recall.named(spec["workspaceId"], key) if each["id"] != note.get("id")]
    if not others:
        return []
    present = _names(recall, spec["identities"], spec["type"])
    left_out = [each["id"] for each in others if present.get(each["identity"], key) is None]
    if left_out and any(_has_name(spec, row, left_out) for row in rows_of(fabric, spec)):
        what = "an item that the repository contains under another name, and that this deployment leaves out, has the "
        raise _wrong(f"{what}name '{spec['displayName']}': deploy that item too, or first")
    names = _circle(spec, key, recall, present)
    if names:
        what = f"{', '.join(names[:-1])} and {names[-1]} exchange their names, which Fabric does not do in one call: "
        raise _wrong(f"{what}deploy one of them with a new name first")
    return [str(each["id"]) for each in others if present.get(each["identity"]) is not None]


def keys_left_out(recall: Recall, digest: str) -> list[str]:
    """Return the type and name of each item that the repository contains and that this deployment leaves out."""
    return list(_stored(recall, digest)["others"].values())


def _stored(recall: Recall, digest: str) -> dict[str, dict[str, str]]:
    """Return the type and name of each item of a packed repository by its identity, those that are `deployed` now and
    the `others`. Raises as `recall.payload`."""
    return json.loads(recall.payload(digest))


@dataclass(frozen=True)
class Names:
    """The items of a packed repository: all identities, and those of the deployed ones by type and name."""

    all: frozenset[str] = frozenset()
    by_key: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, recall: Recall, digest: str) -> "Names":
        """Return the items that a stored payload names. Raises as `recall.payload`."""
        names = _stored(recall, digest)
        by_key = {key.casefold(): identity for identity, key in names["deployed"].items()}
        return cls(frozenset({*names["others"], *names["deployed"]}), by_key)

    def identity_now(self, earlier: JsonObject) -> str:
        """Return what identifies an item now that was deployed last under this identity, type and name. It may have got
        a logical id since, have lost it, or have another one."""
        identity: str = earlier["identity"]
        return identity if identity in self.all else self.by_key.get(earlier["key"].casefold(), identity)


def _names(recall: Recall, digest: str, item_type: str) -> dict[str, str | None]:
    """Return the type and name of each item of the repository that has this type, by what identifies it; None for one
    that is left out. A logical id may belong to an item of another type now, which renames nothing."""
    names = _stored(recall, digest)
    others, deployed = (
        {identity: key for identity, key in names[part].items() if key.partition("/")[0] == item_type}
        for part in ("others", "deployed")
    )
    return {**dict.fromkeys(others), **deployed}


def _circle(spec: JsonObject, key: str, recall: Recall, present: dict[str, str | None]) -> list[str]:
    """Return the names of a circle of items, each of which gets the name that the next one had; empty if there is
    none."""
    earlier = item_notes.known(spec).get("name")
    own, names = f"{spec['type']}/{earlier}", [f"'{earlier}'"]
    following: str | None = key
    while earlier is not None and following is not None and len(names) <= _CIRCLE:
        if _is_same(following, own):
            return names if len(names) > 1 else []
        key = following
        names.append(f"'{key.partition('/')[2]}'")
        next_keys = [present.get(each["identity"]) for each in recall.named(spec["workspaceId"], key)]
        following = next((each for each in next_keys if each is not None and not _is_same(each, key)), None)
    return []


def _is_same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _has_name(spec: JsonObject, row: JsonObject, ids: list[str]) -> bool:
    is_one = row["id"].lower() in {each.lower() for each in ids}
    return is_one and same_name(row["displayName"], spec["displayName"])


def _wrong(what: str) -> InvalidInputError:
    return InvalidInputError([Problem("$.with.displayName", what)])
