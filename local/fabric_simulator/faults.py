"""Faults: rules that match calls and say what goes wrong.

A rule: {"match": {"method": "POST", "path": "/v1/workspaces/[^/]+/lakehouses"},
         "when": {"nth": 2} or {"nth": [1, 3]} or {"probability": 0.2} or {"times": 5}   (absent: always),
         "action": {"status": 503, "body": {...}, "headers": {...}, "effect": "before" | "after"}
                or {"reset": "before" | "after"} or {"delay_seconds": 3} or {"operation": "fail" | "never"}}
`error` is what a failing operation shows. `path` is a regular expression that must match the whole path, without the
query. "after" means that the call takes effect before the fault.
"""

import random
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, cast

from local.fabric_simulator.settings import is_number, is_whole

ACTIONS = frozenset({"status", "body", "headers", "effect", "reset", "delay_seconds", "operation", "error"})


class RuleError(Exception):
    """A rule is not valid; the message begins with the JSON path."""


@dataclass
class Rule:
    """A rule, how often it matched a call, and how often its fault was injected."""

    method: str | None
    path: re.Pattern[str]
    when: dict[str, Any]
    action: dict[str, Any]
    source: dict[str, Any]
    matched: int = 0
    injected: int = 0

    def matches_call(self, method: str, path: str, chance: random.Random) -> bool:
        """Count the call. Return True if the fault is injected into it."""
        if (self.method is not None and self.method != method) or not self.path.fullmatch(path):
            return False
        self.matched += 1
        nth = self.when.get("nth")
        if nth is not None and self.matched not in (nth if isinstance(nth, list) else [nth]):
            return False
        if "times" in self.when and self.injected >= self.when["times"]:
            return False
        if "probability" in self.when and chance.random() >= self.when["probability"]:
            return False
        self.injected += 1
        return True


@dataclass
class Faults:
    """The rules in force."""

    rules: list[Rule] = field(default_factory=lambda: list[Rule]())

    def replace(self, data: Any) -> None:
        """Replace all rules. Raises RuleError, and then changes nothing."""
        given = cast(dict[str, Any], data).get("rules") if isinstance(data, dict) else data
        if not isinstance(given, list):
            raise RuleError('$: must be a list of rules, or {"rules": [...]}')
        self.rules = [_rule(row, f"$[{i}]") for i, row in enumerate(cast(list[Any], given))]

    def inject(self, method: str, path: str, chance: random.Random) -> dict[str, Any]:
        """Return the action of the first rule that injects its fault into this call; empty if no rule does."""
        for rule in self.rules:
            if rule.matches_call(method, path, chance):
                return rule.action
        return {}

    def shown(self) -> list[dict[str, Any]]:
        """Return the rules with their counts."""
        return [{**r.source, "matched": r.matched, "injected": r.injected} for r in self.rules]


def _rule(row: Any, path: str) -> Rule:
    data = _object(row, path, {"match", "when", "action", "name"})
    match = _object(data.get("match", {}), f"{path}.match", {"method", "path"})
    when = _object(data.get("when", {}), f"{path}.when", {"nth", "probability", "times"})
    action = _object(data.get("action", {}), f"{path}.action", ACTIONS)
    if not action:
        raise RuleError(f"{path}.action: must contain one or more of {', '.join(sorted(ACTIONS))}")
    for place, given, rules in (("match", match, _MATCH), ("when", when, _WHEN), ("action", action, _ACTION)):
        for name, value in given.items():
            message, holds = rules[name]
            if not holds(value):
                raise RuleError(f"{path}.{place}.{name}: must be {message}")
    if "error" in action and action.get("operation") != "fail":
        raise RuleError(f"{path}.action.error: is only valid with operation: fail")
    for name in ("body", "headers", "effect"):
        if name in action and "status" not in action:
            raise RuleError(f"{path}.action.{name}: is only valid with a status")
    return Rule(match.get("method"), re.compile(match.get("path", ".*")), when, action, data)


def _object(value: Any, path: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RuleError(f"{path}: must be an object")
    data = cast(dict[str, Any], value)
    unknown = sorted(data.keys() - set(known))
    if unknown:
        raise RuleError(f"{path}.{unknown[0]}: unknown member; the members are: {', '.join(sorted(known))}")
    return data


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except (re.error, OverflowError, RecursionError):
        return False


def _is_nth(value: Any) -> bool:
    if isinstance(value, list):
        return all(is_whole(v, 1) for v in cast(list[Any], value))
    return is_whole(value, 1)


def _is_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(v, str) and "\n" not in v and "\r" not in v for v in cast(dict[str, Any], value).values()
    )


_RuleMessage = dict[str, tuple[str, Callable[[Any], bool]]]
_SIDES: tuple[str, Callable[[Any], bool]] = ("'before' or 'after'", lambda v: v in ("before", "after"))
_MATCH: _RuleMessage = {
    "method": ("a string", lambda v: isinstance(v, str)),
    "path": ("a regular expression", _is_pattern),
}
_WHEN: _RuleMessage = {
    "nth": ("a whole number, at least 1, or a list of them", _is_nth),
    "probability": ("a number from 0 to 1", lambda v: is_number(v, 0, 1)),
    "times": ("a whole number, at least 0", is_whole),
}
_ACTION: _RuleMessage = {
    "status": ("a status from 200 to 599", lambda v: is_whole(v, 200) and v < 600),
    "body": ("JSON", lambda v: True),
    "headers": ("an object of strings", _is_headers),
    "effect": _SIDES,
    "reset": _SIDES,
    "delay_seconds": ("a number of seconds, at least 0", is_number),
    "operation": ("'fail' or 'never'", lambda v: v in ("fail", "never")),
    "error": ("an object", lambda v: isinstance(v, dict)),
}
