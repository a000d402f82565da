"""References of a repository and the order that follows from them: no fixed order of types, cycles are cut."""

from pathlib import Path

from shared.domain.errors import Problems
from shared.repository.model import Edge, Item, Needs
from shared.repository.order import Node, Order, Phase, ordered
from tests.differential import all_types, compare


def made(*keys: str) -> list[Item]:
    return [Item(key.split("/")[0], key.split("/")[1], "", "", None, "", key, ()) for key in keys]


def edge(text: str, needs: Needs = Needs.ID, file: str = "f") -> Edge:
    item, target = text.split(" > ")
    return Edge(item, target, needs, file, "needs it")


def made_order(items: list[Item], *edges: Edge) -> tuple[Order, list[str]]:
    problems = Problems()
    return ordered(items, edges, problems), [str(each) for each in problems]


def steps(found: Order) -> list[str]:
    return [f"{each.wave} {each.node.item} {each.node.phase}" for each in found.steps]


def test_items_come_after_what_they_need_whatever_their_types() -> None:
    items = made("VariableLibrary/V", "Notebook/N", "KQLDatabase/K", "Lakehouse/L")
    found, problems = made_order(items, edge("VariableLibrary/V > Lakehouse/L"), edge("Notebook/N > KQLDatabase/K"))
    assert problems == []
    assert steps(found) == [
        "0 KQLDatabase/K whole",
        "0 Lakehouse/L whole",
        "1 Notebook/N whole",
        "1 VariableLibrary/V whole",
    ]
    assert found.steps[3].needs[0].edge == edge("VariableLibrary/V > Lakehouse/L")


def test_cycle_is_cut_into_shell_and_definition() -> None:
    items = made("Eventstream/S", "Reflex/R", "DataPipeline/P")
    edges = [edge("Eventstream/S > Reflex/R"), edge("Reflex/R > Eventstream/S"), edge("DataPipeline/P > Reflex/R")]
    found, problems = made_order(items, *edges)
    assert problems == []
    assert steps(found) == [
        "0 Reflex/R shell",
        "1 DataPipeline/P whole",
        "1 Eventstream/S whole",
        "2 Reflex/R definition",
    ]


def test_item_that_references_itself_gets_its_definition_afterwards() -> None:
    found, problems = made_order(made("Notebook/N"), edge("Notebook/N > Notebook/N"))
    assert (steps(found), problems) == (["0 Notebook/N shell", "1 Notebook/N definition"], [])


def test_only_items_that_may_be_bare_are_created_as_shells() -> None:
    """A semantic model needs its definition, so the notebook of the cycle is the shell."""
    items = made("SemanticModel/M", "Notebook/N")
    found, problems = made_order(items, edge("SemanticModel/M > Notebook/N"), edge("Notebook/N > SemanticModel/M"))
    assert problems == []
    assert Node("Notebook/N", Phase.SHELL) in [each.node for each in found.steps]


def test_cycle_of_items_that_need_definitions_is_a_problem_with_both_files() -> None:
    items = made("SemanticModel/A", "SemanticModel/B")
    edges = [edge("SemanticModel/A > SemanticModel/B", file="a"), edge("SemanticModel/B > SemanticModel/A", file="b")]
    found, problems = made_order(items, *edges)
    assert found.steps == ()
    assert [each.split(":")[0] for each in problems] == ["a", "b"]


def test_reference_by_name_orders_softly_and_never_closes_a_cycle() -> None:
    items = made("DataPipeline/P", "VariableLibrary/V")
    name = edge("DataPipeline/P > VariableLibrary/V", Needs.NAME)
    assert steps(made_order(items, name)[0]) == ["0 VariableLibrary/V whole", "1 DataPipeline/P whole"]
    found, problems = made_order(items, name, edge("VariableLibrary/V > DataPipeline/P"))
    assert (steps(found), problems) == (["0 DataPipeline/P whole", "1 VariableLibrary/V whole"], [])
    assert found.ignored == (name,)


def test_lakehouses_with_shortcuts_to_each_other_are_created_first() -> None:
    items = made("Lakehouse/A", "Lakehouse/B")
    file = "x/shortcuts.metadata.json"
    one, other = (edge(f"Lakehouse/{a} > Lakehouse/{b}", Needs.CONTENT, file) for a, b in ("AB", "BA"))
    found, problems = made_order(items, one, other)
    assert problems == []
    assert steps(found)[:2] == ["0 Lakehouse/A whole", "0 Lakehouse/B whole"]
    assert {each.node.phase for each in found.steps[2:]} == {Phase.SHORTCUTS}


def test_ten_thousand_items_in_a_chain_are_ordered() -> None:
    """The depth of the graph is not limited by Python's recursion."""
    items = made(*(f"Notebook/{n:05}" for n in range(10_000)))
    found, problems = made_order(items, *(edge(f"Notebook/{n:05} > Notebook/{n - 1:05}") for n in range(1, 10_000)))
    assert problems == []
    assert found.steps[-1].wave == 9_999


def test_references_of_all_types_are_found_with_their_files_and_reasons(tmp_path: Path) -> None:
    """Logical ids, byPath, variables, KQL sources, parents, shortcuts, dataflows, names: one edge of each kind."""
    all_types.build(tmp_path)
    found = compare.ours(tmp_path, "PROD", all_types.ENV)
    assert found.problems == []
    assert found.analysis is not None
    edges = {(each.item, each.target, each.needs.value, each.reason) for each in found.analysis.edges}
    needed = {
        ("Notebook/Load data", "Environment/Spark", "id", "contains its logicalId"),
        ("Notebook/Load data", "Lakehouse/Bronze", "id", "gets $items.Lakehouse.Bronze.$id from parameter.yml:7"),
        ("Notebook/Load data", "Notebook/Common", "name", "runs it by name"),
        ("Notebook/Again", "Notebook/Again", "id", "contains its logicalId"),
        ("Report/Overview", "SemanticModel/Sales", "id", "names its semantic model by path (byPath)"),
        ("KQLDatabase/Events", "Eventhouse/House", "id", "is a database of this eventhouse"),
        ("KQLQueryset/Ask", "KQLDatabase/Events", "ready", "has an empty clusterUri for this database"),
        ("KQLDashboard/Live", "KQLDatabase/Events", "ready", "has an empty clusterUri for this database"),
        ("Lakehouse/Bronze", "Lakehouse/Silver", "content", "has a shortcut to it"),
        ("DataPipeline/Main", "VariableLibrary/Vars", "name", "reads its variables by name"),
        ("DataPipeline/Main", "DataPipeline/Child", "id", "contains its logicalId"),
        ("Dataflow/Derived", "Dataflow/Base", "id", "gets $items.Dataflow.Base.$id from parameter.yml:28"),
        ("GraphQLApi/Api", "Lakehouse/Bronze", "content", "contains its logicalId"),
        ("Eventstream/Stream", "Reflex/Alert", "id", "contains its logicalId"),
        ("Reflex/Alert", "Eventstream/Stream", "id", "contains its logicalId"),
    }
    assert needed - edges == set()
    problems = Problems()
    order = ordered(found.repository.items, found.analysis.edges, problems)
    assert list(problems) == []
    shells = {each.node.item for each in order.steps if each.node.phase is Phase.SHELL}
    assert shells in ({"Reflex/Alert", "Notebook/Again"}, {"Eventstream/Stream", "Notebook/Again"})
    position = {each.node: n for n, each in enumerate(order.steps)}
    assert all(position[need.node] < position[each.node] for each in order.steps for need in each.needs)
