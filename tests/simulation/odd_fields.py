"""Odd values in the answers of a run: which fields its answers have, and the same run with one of them changed."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

from local.fabric_simulator.http import Reply, Request
from tests.simulation.fault_table import SCENARIOS, prepared
from tests.simulation.world import World

VALUES: tuple[Any, ...] = (None, 7, True, [], {}, [None])
"""Values that replace that of a field: never a text, because another text may be a valid answer."""

type Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Field:
    """A field of an answer: the number of the answer in a run, and the names and positions that lead to the field."""

    answer: int
    call: str
    place: Place

    @property
    def kind(self) -> tuple[str, tuple[str, ...]]:
        """Return what two fields have in common that are read in the same way."""
        return self.call, tuple(str(each) if isinstance(each, str) else "#" for each in self.place)


@cache
def fields_of(name: str) -> tuple[Field, ...]:
    """Return the fields of the answers of a scenario that is rolled back, one of each kind."""
    found: dict[object, Field] = {}
    for number, (call, body) in enumerate(_answers(name)):
        for place in _places(body):
            field = Field(number, call, place)
            found.setdefault(field.kind, field)
    return tuple(found.values())


def run_with(name: str, field: Field, value: Any) -> World:
    """Run a scenario that is rolled back, with another value in a field of one answer."""
    count = iter(range(1_000_000))

    def odd(reply: Reply, _: Request) -> Reply:
        if next(count) != field.answer:
            return reply
        return replace(reply, body=json.dumps(_changed(json.loads(reply.body), field.place, value)).encode())

    return _run(name, odd)


def run_always_with(name: str, call: str, place: Place, value: Any) -> World:
    """Run a scenario that is rolled back, with another value in a field of each answer to a call."""

    def odd(reply: Reply, request: Request) -> Reply:
        if not reply.body or reply.status >= 300 or _call(request) != call:
            return reply
        body = json.loads(reply.body)
        has_row = not (len(place) > 1 and isinstance(body, dict) and cast(Any, body).get(place[0]) == [])
        return replace(reply, body=json.dumps(_changed(body, place, value) if has_row else body).encode())

    return _run(name, odd)


def run_plain(name: str) -> World:
    """Run a scenario that is rolled back, with the answers as they are."""
    return _run(name, lambda reply, _: reply)


def _call(request: Request) -> str:
    return f"{request.method} " + re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "*", request.path)


def _run(name: str, answer: Callable[[Reply, Request], Reply]) -> World:
    world = prepared(next(each for each in SCENARIOS if each.name == name), True)
    handle = world.model.handle
    world.model.handle = lambda request: answer(handle(request), request)
    world.run(hours=30.0)
    return world


def _answers(name: str) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []

    def noted(reply: Reply, request: Request) -> Reply:
        body = json.loads(reply.body) if reply.body and reply.status < 300 else None
        seen.append((_call(request), body))
        return reply

    _run(name, noted)
    return seen


def _places(body: Any, at: Place = ()) -> Iterator[Place]:
    """Yield the place of each field; of a list, only those of the first row."""
    if isinstance(body, dict):
        for member, value in cast(dict[str, Any], body).items():
            yield (*at, member)
            yield from _places(value, (*at, member))
    elif isinstance(body, list) and body:
        yield (*at, 0)
        yield from _places(cast(list[Any], body)[0], (*at, 0))


def _changed(body: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    first, rest = place[0], place[1:]
    if isinstance(first, str):
        return {**body, first: _changed(body[first], rest, value)}
    return [_changed(each, rest, value) if i == first else each for i, each in enumerate(body)]
