"""Items of a repository that get other names: another item may get the name that one of them had."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local.fabric_simulator import control, definitions
from shared.cli.pack import packed
from shared.cli.stored import StoredFiles
from shared.domain.states import DeploymentState as D
from tests.simulation.edges import WORKSPACE, own_role
from tests.simulation.world import World

FAILS = {"workspaceId": WORKSPACE, "type": "Crystal", "displayName": "ball"}


class Repository:
    """A repository of notebooks, and a tenant to which it is deployed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.world, self.count = folder, World(seed), 0
        self.choice = dict[str, str]()
        control.seed(self.world.model, {"workspaces": [{"displayName": "sales", "roleAssignments": [own_role()]}]})

    def put(self, *names: str, description: str = "") -> None:
        """Write one notebook for each name that is not empty; the first one has always the same logical id and text,
        and so on."""
        more = {"description": description} if description else {}
        shutil.rmtree(self.folder / "items", ignore_errors=True)
        for number, name in enumerate(names):
            if not name:
                continue
            at = self.folder / "items" / f"{number}.Notebook"
            at.mkdir(parents=True)
            metadata = {"type": "Notebook", "displayName": name, **more}
            platform = {"metadata": metadata, "config": {"logicalId": _id(number)}}
            (at / ".platform").write_text(json.dumps(platform))
            (at / "notebook-content.py").write_text(f"# {number}\n")

    def deploy(self, *more: dict[str, Any]) -> D:
        """Deploy it, and return the final state."""
        self.count += 1
        self.world.clock.advance(60.0)  # nothing else takes time, and later deployments are known by their time
        workspace = {"id": "ws", "kind": "workspace", "with": {"displayName": "sales", "ifExists": "adopt"}}
        content: dict[str, Any] = {
            "id": "content",
            "kind": "repository",
            "with": {"workspaceId": WORKSPACE, "path": "items"},
        }
        content["with"] |= self.choice
        stored = StoredFiles()
        manifest = packed(
            {"name": "m", "target": "T", "steps": [workspace, content, *more]}, self.folder, stored=stored
        )
        stored.send(self.world.blobs)
        self.world.submit(manifest, f"d{self.count}")
        return self.world.run(f"d{self.count}")[0]

    def fail(self) -> D:
        """Deploy it with a step after it that fails."""
        return self.deploy({"id": "ball", "kind": "item", "needs": ["content"], "with": FAILS})

    def held(self) -> dict[str, tuple[str, str]]:
        """Return the name and content of each notebook in the workspace, by its id."""
        place = next(iter(self.world.model.store.workspaces.values()))
        shown = {each.id: definitions.shown(place, each, None)["definition"] for each in place.standing()}
        content = {
            key: next(part["payload"] for part in each["parts"] if part["path"] == "notebook-content.py")
            for key, each in shown.items()
        }
        return {each.id: (each.name, content[each.id]) for each in place.standing()}

    def names(self) -> list[str]:
        return sorted(name for name, _ in self.held().values())

    def descriptions(self) -> list[str]:
        """Return what people read in the descriptions."""
        place = next(iter(self.world.model.store.workspaces.values()))
        return sorted(each.description.partition("[saga:")[0].strip() for each in place.standing())

    def errors(self) -> list[str]:
        rows = [step.record for step in self.world.journal.steps(f"d{self.count}")]
        return [row.error.message for row in rows if row.error is not None]


def _id(number: int) -> str:
    return f"0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c{number:02x}"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("before", "after"), [(["A"], ["B", "A"]), (["A", "B", "C"], ["B", "C", "D", "A"])], ids=["new", "chain"]
)
def test_name_that_a_renamed_item_had_is_free_for_another(
    tmp_path: Path, before: list[str], after: list[str], seed: int
) -> None:
    """The new item is not taken for the old one, which has the name at first: two steps would write to one item. A
    rollback restores all names."""
    made = Repository(tmp_path, seed)
    made.put(*before)
    assert made.deploy() is D.SUCCEEDED
    was = made.held()
    made.put(*after)
    assert made.fail() is D.COMPENSATED
    assert made.held() == was
    assert made.deploy() is D.SUCCEEDED, made.errors()
    assert made.names() == sorted(after)
    now = made.held()
    assert {key: text for key, (_, text) in was.items()}.items() <= {
        key: text for key, (_, text) in now.items()
    }.items()
    assert made.deploy() is D.SUCCEEDED
    assert made.held() == now


def test_names_that_two_items_exchange_are_refused_with_what_to_do(tmp_path: Path) -> None:
    made = Repository(tmp_path, 1)
    made.put("A", "B")
    assert made.deploy() is D.SUCCEEDED
    was = made.held()
    made.put("B", "A")
    assert made.deploy() is D.COMPENSATED
    assert "'A' and 'B' exchange their names" in "".join(made.errors())
    assert made.held() == was
    made.put("B", "C")
    assert made.deploy() is D.SUCCEEDED, made.errors()
    made.put("B", "A")
    assert made.deploy() is D.SUCCEEDED, made.errors()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (["A", "B", "C"], ["B", "C", "A"], "'A', 'B' and 'C' exchange their names"),
        (["A", "B"], ["b", "a"], "'A' and 'b' exchange their names"),
    ],
    ids=["three", "other case"],
)
def test_names_that_go_in_a_circle_are_refused_before_anything_changes(
    tmp_path: Path, before: list[str], after: list[str], told: str
) -> None:
    made = Repository(tmp_path, 1)
    made.put(*before)
    assert made.deploy() is D.SUCCEEDED
    was = made.held()
    made.put(*after)
    assert made.deploy() is D.COMPENSATED
    assert told in "".join(made.errors())
    assert {step.record.attempt for step in made.world.journal.steps("d2")} == {0}
    assert made.held() == was


def test_item_that_is_renamed_and_refers_to_the_one_that_gets_its_name_is_renamed_first(tmp_path: Path) -> None:
    """Each step waits for the other one, and the error says what to do."""
    made = Repository(tmp_path, 1)
    made.put("A")
    assert made.deploy() is D.SUCCEEDED
    was = made.held()
    text = f"# {_id(1)}\n"
    made.put("B", "A")
    (tmp_path / "items/0.Notebook/notebook-content.py").write_text(text)
    assert made.deploy() is D.COMPENSATED
    assert "if that item refers to this one, rename it in a deployment of its own first" in "".join(made.errors())
    assert made.held() == was
    made.put("B")
    assert made.deploy() is D.SUCCEEDED, made.errors()
    made.put("B", "A")
    (tmp_path / "items/0.Notebook/notebook-content.py").write_text(text)
    assert made.deploy() is D.SUCCEEDED, made.errors()


def test_name_of_an_item_that_is_left_out_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """No step renames that item, so nothing would free its name, and its content is not replaced by the new one."""
    made = Repository(tmp_path, 1)
    made.put("A")
    assert made.deploy() is D.SUCCEEDED
    was = made.held()
    made.put("B", "A")
    made.choice["exclude"] = "^B"
    assert made.deploy() is D.COMPENSATED
    assert "this deployment leaves out, has the name 'A': deploy that item too" in "".join(made.errors())
    assert made.held() == was
    made.choice.clear()
    assert made.deploy() is D.SUCCEEDED, made.errors()
    assert made.names() == ["A", "B"]


def test_name_that_a_left_out_item_has_lost_is_free(tmp_path: Path) -> None:
    """A person has renamed it in the workspace."""
    made = Repository(tmp_path, 1)
    made.put("A")
    assert made.deploy() is D.SUCCEEDED
    [item] = next(iter(made.world.model.store.workspaces.values())).standing()
    item.name = "B"
    made.put("B", "A")
    made.choice["exclude"] = "^B"
    assert made.deploy() is D.SUCCEEDED, made.errors()
    assert made.names() == ["A", "B"]


def test_case_of_a_name_changes(tmp_path: Path) -> None:
    """To Fabric it is the same name, which the item itself has."""
    made = Repository(tmp_path, 1)
    made.put("load")
    assert made.deploy() is D.SUCCEEDED
    made.put("Load")
    assert made.deploy() is D.SUCCEEDED, made.errors()
    assert made.names() == ["Load"]


def test_item_with_another_logical_id_leaves_the_old_one_to_a_new_item(tmp_path: Path) -> None:
    """Two notes named one item: when the first logical id came back under another name, both steps wrote to it."""
    made = Repository(tmp_path, 1)
    made.put("A")
    assert made.deploy() is D.SUCCEEDED
    made.put("", "A")
    assert made.deploy() is D.SUCCEEDED
    made.put("B", "A")
    assert made.deploy() is D.SUCCEEDED, made.errors()
    assert made.names() == ["A", "B"]


def test_item_with_another_logical_id_has_the_case_of_its_new_name(tmp_path: Path) -> None:
    made = Repository(tmp_path, 1)
    made.put("load")
    assert made.deploy() is D.SUCCEEDED
    made.put("", "Load")
    assert made.fail() is D.COMPENSATED
    assert made.names() == ["load"]
    assert made.deploy() is D.SUCCEEDED, made.errors()
    assert made.names() == ["Load"]


def test_description_that_git_has_no_more_is_removed(tmp_path: Path) -> None:
    """Fabric commits an item with an empty description without the field."""
    made = Repository(tmp_path, 1)
    made.put("A", description="words")
    assert made.deploy() is D.SUCCEEDED
    made.put("A")
    assert made.fail() is D.COMPENSATED
    assert made.descriptions() == ["words"]
    assert made.deploy() is D.SUCCEEDED, made.errors()
    assert made.descriptions() == [""]


def test_item_that_is_not_deployed_now_gets_its_old_item_later(tmp_path: Path) -> None:
    """Its logical id changed, and it is left out: the item of its name does not count as an orphan, so it stays."""
    made = Repository(tmp_path, 1)
    made.put("A", "C")
    assert made.deploy() is D.SUCCEEDED
    was = made.held()
    made.put("", "C", "A")
    made.choice = {"orphans": "delete", "exclude": "^A"}
    assert made.deploy() is D.SUCCEEDED, made.errors()
    made.world.pass_hours(1)
    assert made.held() == was


def test_name_of_an_item_whose_logical_id_has_another_type_now_is_free(tmp_path: Path) -> None:
    """The notebook is not renamed: its logical id belongs to a pipeline, and another notebook has its name."""
    repository = Repository(tmp_path, 1)
    repository.put("a")
    assert repository.deploy() is D.SUCCEEDED
    repository.put("b", "a")
    pipeline = tmp_path / "items" / "0.Notebook"
    platform = json.loads((pipeline / ".platform").read_text())
    platform["metadata"]["type"] = "DataPipeline"
    (pipeline / ".platform").write_text(json.dumps(platform))
    (pipeline / "notebook-content.py").rename(pipeline / "pipeline-content.json")
    (pipeline / "pipeline-content.json").write_text("{}")
    pipeline.rename(tmp_path / "items" / "0.DataPipeline")
    assert repository.deploy() is D.SUCCEEDED
    place = next(iter(repository.world.model.store.workspaces.values()))
    assert sorted((each.type, each.name) for each in place.standing()) == [("DataPipeline", "b"), ("Notebook", "a")]
