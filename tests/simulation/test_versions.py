"""Versions of a repository, deployed one after the other to one workspace: it is what a fresh deployment makes.

Each deployment is first made to fail, at a write of a random step or after all of them: everything is as it was before.
The last version is deployed until nothing is left to do, and the workspace is compared with one that has never had
another version: items by type and name, with folder, description, definition, schedules and shortcuts. Not compared are
orphans, which stay or are in quarantine, and folders that are empty now. A schedule that is not listed any more is off
after the deployment, and deleted by the next one.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import Phase, example, given, note, settings
from hypothesis import strategies as st

from tests.simulation.refusing_world import differences, is_write_call
from tests.simulation.versions import Thing, Version, VersionsWorld, histories, picture

HUNTS = os.environ.get("HYPOTHESIS_PROFILE") == "hunt"
EXAMPLES = 500 if HUNTS else 12
CALLS_BESIDE = 16
"""Calls of a deployment that changes nothing, beside one for each item: lists of the workspace, its roles, its folders,
and those of the exports that `check` compares with."""
REFUSED = {
    "exchange their names": lambda version: True,
    "is already in use": lambda version: version.chosen["orphans"] == "keep",
    "if that item refers to this one": lambda version: any(thing.refers for _, thing in version.things),
    "that this deployment leaves out": lambda version: version.is_selection,
    "has no value": lambda version: version.is_selection,
}
"""Words of the errors with which a deployment may be refused, and the versions that it is true of."""


def without_parts(before: int | None, after: int | None) -> list[Version]:
    """Return two versions: an item with schedules and one with a shortcut lose them and have other logical ids."""
    target = (0, Thing("Lakehouse", "C", 0))
    pipeline = Thing("DataPipeline", "a", before, times=(("04:00", True), ("05:00", False)))
    lakehouse = Thing("Lakehouse", "B", before and before + 1, refers=(0,))
    first = Version((target, (1, pipeline), (2, lakehouse)))
    bare = replace(pipeline, logical=after, name="A", times=None)
    last = Version((target, (1, bare), (2, replace(lakehouse, logical=after and after + 1, refers=()))))
    how = (("orphans", "keep"), ("unchanged", "skip"))
    return [replace(each, options=how) for each in (first, last)]


@settings(max_examples=EXAMPLES, phases=list(Phase) if HUNTS else [Phase.explicit, Phase.generate])
@example(without_parts(1, None), 2)
@example(without_parts(None, 1), 3)
@example(without_parts(1, 5), 14)
@given(histories(), st.integers(1, 14))
def test_workspace_is_what_a_fresh_deployment_of_the_last_version_makes(history: list[Version], refuse_at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(history, refuse_at, Path(folder))


def check(history: list[Version], refuse_at: int, folder: Path) -> None:
    """Deploy the versions, and compare."""
    world = VersionsWorld(folder)
    assert world.put(history[0]) == "succeeded", f"first: {world.errors()}"
    for version in history[1:]:
        check_failure(world, version, refuse_at)
        if not deployed(world, version):
            return
    last = history[-1].whole()
    if not deployed(world, last):
        return
    fresh = VersionsWorld(folder)
    assert fresh.put(last) == "succeeded", fresh.errors()
    expected = picture(fresh)
    assert unlike(expected, picture(world), is_first=True) == {}
    assert world.put(last) == "succeeded", world.errors()
    assert unlike(expected, picture(world), is_first=False) == {}
    check_repeated(world, last)


def check_failure(world: VersionsWorld, version: Version, refuse_at: int) -> None:
    """Let the deployment fail, at its write of that number or at its end."""
    before = world.all()
    world.refuse_at = refuse_at
    assert world.put(version, fails=True) == "compensated", world.errors()
    world.refuse_at = 0
    errors = world.errors()
    assert differences(before, world.all()) == [], errors


def deployed(world: VersionsWorld, version: Version) -> bool:
    """Deploy a version; return False if it is refused for a reason that is documented, and nothing has changed."""
    before = world.all()
    state, errors = world.put(version), world.errors()
    if state == "succeeded":
        world.pass_hours(1)  # the sweeper deletes orphans
        return True
    reasons = [reason for reason, may_be in REFUSED.items() if reason in errors and may_be(version)]
    assert state == "compensated", errors
    assert reasons, errors
    assert differences(before, world.all()) == [], errors
    return False


def check_repeated(world: VersionsWorld, version: Version) -> None:
    """Deploy a version that is there already: nothing is written, and there is at most one call for each item."""
    before, begin = world.all(), len(world.model.calls)
    assert world.put(version) == "succeeded", world.errors()
    assert [line for line in differences(before, world.all()) if line != "notes differs"] == []
    if version.chosen["unchanged"] == "redeploy":
        return
    calls = world.model.calls[begin:]
    assert [call for call in calls if is_write_call(call["method"], call["path"])] == []
    note(f"{len(calls)} calls for {len(version.things)} items")
    assert len(calls) <= len(version.things) + CALLS_BESIDE


def unlike(expected: dict[str, Any], found: dict[str, Any], *, is_first: bool) -> dict[str, tuple[Any, Any]]:
    """Return each field that differs from the expected one. Items that are not expected are orphans."""
    items = {key.partition(": ")[0] for key in expected}
    shown = {key: value for key, value in found.items() if key.partition(": ")[0] in items}
    keys = [key for key in sorted(expected.keys() | shown) if not (is_first and key.endswith(": schedules"))]
    return {key: (expected.get(key), shown.get(key)) for key in keys if expected.get(key) != shown.get(key)}
