"""Faults on order: rules that match calls and say what goes wrong.

A rule: {"match": {"method": "POST", "path": "/v1/workspaces/[^/]+/lakehouses"},
         "when": {"nth": 2} or {"nth": [1, 3]} or {"probability": 0.2} or {"times": 5}   (absent: always),
         "action": {"status": 503, "body": {...}, "headers": {...}, "effect": "before" | "after"}
                or {"reset": "before" | "after"} or {"delay_seconds": 3} or {"operation": "fail" | "never"}}
`path` is a regular expression that must match the whole path, without query. "after" means: the effect happens.
"""

import random
import re
from dataclasses import dataclass, field
from typing import Any, cast

ACTIONS = frozenset({"status", "body", "headers", "effect", "reset", "delay_seconds", "operation"})


class RuleError(Exception):
    """A rule that cannot be used; the message begins with its JSON path."""


@dataclass
class Rule:
    """One rule and how often it matched and struck."""

    method: str | None
    path: re.Pattern[str]
    when: dict[str, Any]
    action: dict[str, Any]
    source: dict[str, Any]
    matched: int = 0
    struck: int = 0

    def strikes(self, method: str, path: str, chance: random.Random) -> bool:
        """Count the call, and say whether the fault happens on it."""
        if (self.method is not None and self.method != method) or not self.path.fullmatch(path):
            return False
        self.matched += 1
        nth = self.when.get("nth")
        if nth is not None and self.matched not in (nth if isinstance(nth, list) else [nth]):
            return False
        if "times" in self.when and self.struck >= self.when["times"]:
            return False
        if "probability" in self.when and chance.random() >= self.when["probability"]:
            return False
        self.struck += 1
        return True


@dataclass
class Faults:
    """The present rules."""

    rules: list[Rule] = field(default_factory=lambda: list[Rule]())

    def replace(self, data: Any) -> None:
        """Put these rules in place of all others. Raises RuleError; then nothing changes."""
        given = cast(dict[str, Any], data).get("rules") if isinstance(data, dict) else data
        if not isinstance(given, list):
            raise RuleError('$: a list of rules, or {"rules": [...]}')
        self.rules = [_rule(row, f"$[{i}]") for i, row in enumerate(cast(list[Any], given))]

    def strike(self, method: str, path: str, chance: random.Random) -> dict[str, Any]:
        """The action for this call, empty where nothing goes wrong. The first rule that strikes wins."""
        for rule in self.rules:
            if rule.strikes(method, path, chance):
                return rule.action
        return {}

    def shown(self) -> list[dict[str, Any]]:
        """The rules with their counts."""
        return [{**r.source, "matched": r.matched, "struck": r.struck} for r in self.rules]


def _rule(row: Any, path: str) -> Rule:
    if not isinstance(row, dict):
        raise RuleError(f"{path}: must be an object")
    data = cast(dict[str, Any], row)
    unknown = data.keys() - {"match", "when", "action", "name"}
    if unknown:
        raise RuleError(f"{path}.{sorted(unknown)[0]}: is not known; a rule has match, when, action, name")
    match: dict[str, Any] = data.get("match") or {}
    when: dict[str, Any] = data.get("when") or {}
    action: dict[str, Any] = data.get("action") or {}
    if not action or action.keys() - ACTIONS:
        raise RuleError(f"{path}.action: one or more of {', '.join(sorted(ACTIONS))}")
    if when.keys() - {"nth", "probability", "times"}:
        raise RuleError(f"{path}.when: nth, probability, times")
    if action.get("reset") not in (None, "before", "after") or action.get("effect") not in (None, "before", "after"):
        raise RuleError(f"{path}.action: reset and effect are 'before' or 'after'")
    try:
        pattern = re.compile(match.get("path", ".*"))
    except re.error as error:
        raise RuleError(f"{path}.match.path: {error}") from None
    return Rule(match.get("method"), pattern, when, action, data)
