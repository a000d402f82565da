"""The order in which items are sent: from their references alone, without a fixed order of types.

Items that need each other's ids are cut apart: one of them is created bare, and gets its definition when the others
exist.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import TopologicalSorter

from shared.domain.errors import Problem, Problems
from shared.repository.item_types import SHORTCUTS, may_be_bare
from shared.repository.model import Edge, Item, Needs


class Phase(StrEnum):
    """The part of an item's deployment that a step is."""

    WHOLE = "whole"
    SHELL = "shell"
    """Create the item bare, so that others can have its id."""
    DEFINITION = "definition"
    """Give the shell its definition."""
    SHORTCUTS = "shortcuts"
    """Make the shortcuts of a lakehouse, which need their targets."""


@dataclass(frozen=True)
class Node:
    """A step of an item (`Item.key`)."""

    item: str
    phase: Phase = Phase.WHOLE


@dataclass(frozen=True)
class Need:
    """A step that must have succeeded before, and the reference that says so (None: the shell of the item itself)."""

    node: Node
    edge: Edge | None


@dataclass(frozen=True)
class Ordered:
    """A step with all that it needs. `wave` is the length of the longest chain of needs before it."""

    node: Node
    needs: tuple[Need, ...]
    wave: int


@dataclass(frozen=True)
class Order:
    """The steps, each after what it needs. `ignored` are references by name that would close a cycle."""

    steps: tuple[Ordered, ...]
    ignored: tuple[Edge, ...] = ()


def ordered(items: Iterable[Item], edges: Iterable[Edge], problems: Problems) -> Order:
    """Return the steps of the items in their order.

    Edges from or to an item that is not among `items` are left out. Items that need each other, of which none can be
    created bare, are a problem, and their edges are left out.
    """
    by_key = {item.key: item for item in items}
    known = [edge for edge in edges if edge.item in by_key and edge.target in by_key]
    shortcuts = [edge for edge in known if _is_shortcut(edge, by_key)]
    between = [edge for edge in known if not _is_shortcut(edge, by_key)]
    groups = _groups(by_key, between)
    ignored = {edge for edge in between if edge.needs is Needs.NAME and groups[edge.item] == groups[edge.target]}
    between = [edge for edge in between if edge not in ignored]
    shells = _shells(by_key, between, problems)
    if shells is None:
        return Order(())
    steps = _steps(by_key, [*between, *shortcuts], shells)
    return Order(tuple(_sorted(steps)), tuple(sorted(ignored, key=lambda edge: (edge.item, edge.target, edge.file))))


def _is_shortcut(edge: Edge, items: Mapping[str, Item]) -> bool:
    return items[edge.item].type == "Lakehouse" and edge.file.rpartition("/")[2] == SHORTCUTS


def _shells(items: Mapping[str, Item], edges: list[Edge], problems: Problems) -> frozenset[str] | None:
    """Return the items to create bare: as few as needed so that no cycle is left; None if a cycle cannot be cut."""
    shells: set[str] = set()
    hard = [edge for edge in edges if edge.needs is not Needs.NAME]
    is_cut = True
    while True:
        left = [edge for edge in hard if edge.target not in shells]
        groups = _groups(items, left)
        inside = [edge for edge in left if groups[edge.item] == groups[edge.target]]
        if not inside:
            return frozenset(shells) if is_cut else None
        own = {edge.item for edge in inside if edge.item == edge.target}
        cycle = own or {edge.item for edge in inside if groups[edge.item] == groups[inside[0].item]}
        bare = sorted(key for key in cycle if may_be_bare(items[key].type))
        if bare:
            # The one in most cycles. A self-reference can only be cut at its own item.
            shells |= set(bare) if own else {max(bare, key=lambda key: (_ties(key, inside), key))}
        if not bare or own - set(bare):
            stuck = own - set(bare) if own else cycle
            _report_cycle(stuck, [edge for edge in inside if edge.item in stuck], problems)
            is_cut, hard = False, [edge for edge in hard if edge.item not in stuck or edge not in inside]


def _ties(key: str, edges: list[Edge]) -> int:
    """Return how many paths go through an item at most: the edges to it times those from it."""
    to = sum(edge.target == key for edge in edges)
    return to * sum(edge.item == key for edge in edges)


def _report_cycle(items: set[str], edges: list[Edge], problems: Problems) -> None:
    names = ", ".join(sorted(items))
    for edge in edges:
        if edge.target in items:
            what = f"{edge.item} {edge.reason} ({edge.target}); Fabric creates none of them without a definition"
            problems.append(Problem(edge.file, f"{what}: {names}. Remove one of the references"))


def _steps(items: Mapping[str, Item], edges: list[Edge], shells: frozenset[str]) -> dict[Node, list[Need]]:
    steps: dict[Node, list[Need]] = {}
    for key in items:
        if key in shells:
            steps[Node(key, Phase.SHELL)] = []
        steps[_last(key, shells)] = [Need(Node(key, Phase.SHELL), None)] if key in shells else []
    for edge in edges:
        is_shortcut = _is_shortcut(edge, items)
        node = Node(edge.item, Phase.SHORTCUTS) if is_shortcut else _last(edge.item, shells)
        if is_shortcut and node not in steps:
            steps[node] = [Need(_last(edge.item, shells), None)]
        is_filled = edge.needs in (Needs.CONTENT, Needs.NAME)
        target = _last(edge.target, shells)
        if edge.target in shells and (not is_filled or _reaches(target, node, steps)):
            target = Node(edge.target, Phase.SHELL)
        if not (is_filled and _reaches(target, node, steps)):
            steps[node].append(Need(target, edge))
    for item in items.values():
        node = Node(item.key, Phase.SHORTCUTS)
        if item.type == "Lakehouse" and item.part(SHORTCUTS) is not None and node not in steps:
            steps[node] = [Need(_last(item.key, shells), None)]
    return steps


def _last(key: str, shells: frozenset[str]) -> Node:
    return Node(key, Phase.DEFINITION if key in shells else Phase.WHOLE)


def _reaches(start: Node, wanted: Node, steps: Mapping[Node, list[Need]]) -> bool:
    """Return True if a step needs another one, directly or not."""
    seen, todo = {start}, [start]
    while todo:
        node = todo.pop()
        if node == wanted:
            return True
        todo += [need.node for need in steps.get(node, []) if need.node not in seen]
        seen |= set(todo)
    return False


def _sorted(steps: Mapping[Node, list[Need]]) -> Iterator[Ordered]:
    sorter = TopologicalSorter({node: [need.node for need in needs] for node, needs in steps.items()})
    waves: dict[Node, int] = {}
    for node in sorter.static_order():
        waves[node] = max((waves[need.node] + 1 for need in steps[node]), default=0)
    for node in sorted(steps, key=lambda each: (waves[each], each.item, each.phase)):
        yield Ordered(node, tuple(steps[node]), waves[node])


def _groups(items: Iterable[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Return for each item the number of its strongly connected component (Tarjan, without recursion)."""
    following: dict[str, list[str]] = {key: [] for key in items}
    for edge in edges:
        following[edge.item].append(edge.target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    group: dict[str, int] = {}
    stack: list[str] = []
    for root in following:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        path = [(root, iter(following[root]))]
        while path:
            key, rest = path[-1]
            target = next(rest, None)
            if target is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[key])
                if low[key] == index[key]:
                    number = len(group)
                    while key not in group:
                        group[stack.pop()] = number
            elif target not in index:
                index[target] = low[target] = len(index)
                stack.append(target)
                path.append((target, iter(following[target])))
            elif target not in group:
                low[key] = min(low[key], index[target])
    return group
