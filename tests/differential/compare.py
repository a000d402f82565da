"""Send a directory with fabric-cicd and with the code under test, and compare every part."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.domain.errors import Problems
from shared.repository import parameters, scan
from shared.repository.compile import Analysis, analysed, sent_parts
from shared.repository.files import RefusedError
from shared.repository.item_types import SHORTCUTS, definition_format
from shared.repository.model import Compiled, Item, Repository
from shared.repository.model_json import from_json, to_json
from shared.repository.parameter_model import Parameters
from shared.repository.render import render
from tests.differential import peer


@dataclass
class Ours:
    """The result of the code under test for a directory; `problems` is empty if it accepts the directory."""

    repository: Repository
    parameters: Parameters | None
    analysis: Analysis | None
    problems: list[str]


@dataclass
class Comparison:
    """`parts` were compared, with so many bytes; `differing` names those that differ, and must be empty. `kept` counts
    how often a difference was avoided (`peer._patch`)."""

    parts: int = 0
    bytes: int = 0
    kept: int = 0
    differing: list[str] = field(default_factory=list[str])


def ours(root: Path, environment: str, env: Mapping[str, str] | None = None) -> Ours:
    """Return what the code under test makes of a directory."""
    problems = Problems()
    repository = scan.scan(root, "repo", problems)
    read = scan.reader(root, "repo")

    def text(file: str) -> str | None:
        try:
            return read(file).decode()
        except RefusedError:
            return None

    before = len(problems)
    loaded = parameters.load(text, "parameter.yml", environment, env, problems)
    analysis = None
    if len(problems) == before:
        found = loaded or Parameters(environment)
        analysis = analysed(repository, found, read, problems, name="repo")
    return Ours(repository, loaded, analysis, [str(each) for each in problems])


def rendered(root: Path, item: Item, compiled: Compiled) -> dict[str, bytes]:
    """Return the parts of an item as they are sent, by path."""
    read = scan.reader(root, "repo")
    parts = sent_parts(item)
    return {each.path: render(read(each.file), each.is_text, compiled.of(each.file), peer.resolve) for each in parts}


def compared(root: Path, environment: str, env: Mapping[str, str] | None = None) -> Comparison:
    """Return how what both send for a directory compares. Both must accept it."""
    sent = peer.send(root, environment, env=env)
    found = ours(root, environment, env)
    assert found.problems == []
    assert found.analysis is not None
    # As the engine has it: after a way through JSON, without the repository.
    compiled: Compiled = from_json(json.loads(json.dumps(to_json(found.analysis.compiled))))
    comparison = Comparison(kept=sent.kept)
    assert set(sent.parts) == {item.key for item in found.repository.items if _is_sent(item)}
    for item in found.repository.items:
        if _is_sent(item):
            _compare_item(root, item, compiled, sent, comparison)
        elif item.key in sent.shortcuts:
            _compare_shortcuts(root, item, compiled, sent.shortcuts[item.key], comparison)
    if sent.folders != set(found.repository.folders):
        comparison.differing.append(f"folders: {sorted(sent.folders)}")
    return comparison


def _is_sent(item: Item) -> bool:
    return item.type != "Lakehouse" and bool(sent_parts(item))


def _compare_item(root: Path, item: Item, compiled: Compiled, sent: peer.Sent, comparison: Comparison) -> None:
    own, theirs = rendered(root, item, compiled), sent.parts[item.key]
    if definition_format(item.type, list(own)) != sent.formats[item.key]:
        comparison.differing.append(f"{item.key}: format {sent.formats[item.key]!r}")
    if item.type == "Notebook" and list(own) != list(theirs):
        comparison.differing.append(f"{item.key}: order {list(theirs)}")
    for path in own.keys() | theirs.keys():
        comparison.parts += 1
        comparison.bytes += len(own.get(path, b""))
        if own.get(path) == theirs.get(path):
            continue
        comparison.differing.append(f"{item.key}/{path}: ours {own.get(path)!r:.300}, theirs {theirs.get(path)!r:.300}")


def _compare_shortcuts(
    root: Path, item: Item, compiled: Compiled, theirs: list[dict[str, Any]], comparison: Comparison
) -> None:
    own = json.loads(rendered(root, item, compiled)[SHORTCUTS])
    comparison.parts += 1
    if own != theirs:
        comparison.differing.append(f"{item.key}: shortcuts {theirs}")
