"""Companions whose names end with the time of their creation: the staging items of dataflows.

Nothing in Fabric says to which dataflow one belongs, so they are counted: companions.py has the rules.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.domain.json import JsonObject
from shared.domain.records import Resource
from shared.steps.companion_types import COMPANIONS, Companion
from shared.steps.makers import Found, Maker, OwnItems, resource_of

_SLACK = timedelta(seconds=5)
"""How much the clocks of Fabric and of this app may differ."""
_STAMP = re.compile("[0-9]{14}")


def stamped(
    makers: Sequence[Maker], untouched: Sequence[JsonObject], rows: Sequence[JsonObject], workspace_id: str
) -> Iterator[Found]:
    """Yield the companions whose names have a time, of those that nobody touched.

    Of a span of time in which makers were created, the candidates, touched ones included, must not outnumber the
    makers. With one more, nobody can decide which of them is foreign: the touched one may be the companion. Nor can
    anybody decide it later, when somebody has deleted or renamed one of them: the makers of such a span are marked
    (`doubted`).
    """
    for own, companion in _stamped_slots(makers):
        spans = _spans(own, companion)
        fitting = [(i, row) for row in rows for i, span in enumerate(spans) if _fits(row, companion, span)]
        counts = Counter(i for i, _ in fitting)
        for i, row in fitting:
            span = spans[i]
            is_doubted = any(companion.type in (maker.made or {}) for maker in span.makers)
            if counts[i] <= len(span.makers) and not is_doubted and row in untouched:
                yield Found(resource_of(row, workspace_id), span.makers[0].step_id, companion.outlives)


def doubted(own: OwnItems, rows: Sequence[JsonObject], workspace_id: str) -> dict[str, list[Resource]]:
    """Return, by step, the items that may be its stamped companions, if a workspace contains more of them than the
    makers can have, with the makers that a lost create may have made. From now on, nothing proves whose they are."""
    found: dict[str, list[Resource]] = {}
    known = {maker.step_id for maker in own.makers}
    inside = [m for m in (*own.makers, *own.possible) if m.resource.parent_id == workspace_id]
    for makers, companion in _stamped_slots(inside):
        for span in _spans(makers, companion):
            fitting = [resource_of(row, workspace_id) for row in rows if "id" in row and _fits(row, companion, span)]
            if len(fitting) > len(span.makers):
                for step_id in {maker.step_id for maker in span.makers} & known:
                    found.setdefault(step_id, []).extend(fitting)
    return found


def looks_stamped(maker: Maker, row: JsonObject) -> bool:
    """Return True if an item has the name of a stamped companion of this maker."""
    return any(
        _fits(row, companion, span)
        for makers, companion in _stamped_slots([maker])
        for span in _spans(makers, companion)
    )


def _stamped_slots(makers: Sequence[Maker]) -> Iterator[tuple[list[Maker], Companion]]:
    """Yield each stamped companion with the makers that have one, in the order of their creation."""
    for item_type, slots in COMPANIONS.items():
        own = sorted((m for m in makers if m.resource.type == item_type), key=lambda m: m.since)
        for companion in (c for c in slots if c.is_stamped) if own else ():
            yield own, companion


@dataclass
class _Span:
    begin: datetime
    end: datetime
    makers: list[Maker]


def _spans(makers: Sequence[Maker], companion: Companion) -> list[_Span]:
    """Return the spans of time in which the companions of makers were created; overlapping spans are merged."""
    spans: list[_Span] = []
    for maker in makers:
        begin, end = maker.since - _SLACK, maker.until + timedelta(seconds=companion.made_within) + _SLACK
        if spans and begin <= spans[-1].end:
            spans[-1].end = max(spans[-1].end, end)
            spans[-1].makers.append(maker)
        else:
            spans.append(_Span(begin, end, [maker]))
    return spans


def _fits(row: JsonObject, companion: Companion, span: _Span) -> bool:
    name = row.get("displayName") or ""
    prefix = companion.name.removesuffix("{stamp}")
    stamp = name.removeprefix(prefix)
    if row.get("type") != companion.type or not name.startswith(prefix) or not _STAMP.fullmatch(stamp):
        return False
    try:
        made_at = datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return False  # fourteen digits that are not a time
    return span.begin <= made_at <= span.end
