"""The outcome of a replay: each exchange agrees, differs only in what is tolerated, or contradicts the recording.

`python -m tests.simulator.report [--own-times] [FILE...]` prints it for recordings in the format of fabric_traffic.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from tests.simulator.comparison import Difference
from tests.simulator.recordings import Conversation, conversations, route_of
from tests.simulator.replay import Replay

KNOWN: tuple[tuple[str, str], ...] = (
    ("jobs/instances/{id} 200: Retry-After", "Fabric sends it on some polls of a running job, with a drawn number."),
    ("definitionParts.*displayName: value", "The recorder gave the item another name inside the exported file."),
    ("definitionParts.*logicalId: another id", "One of three exported items had a logical id; nothing says why."),
)
"""Kinds that contradict the recording and are left so, each with the reason."""
Kinds = tuple[tuple[str, str, str], ...]
COSMETIC: Kinds = (
    ("digits of a time$", "", "A time that the simulator draws ends in another digit."),
    ("spark/settings .*ETag: absent$", "", "The tag of settings that were changed before the recording began."),
    ("home-cluster-uri: extra$", "", "The recorder dropped it in July 2026; no client reads it."),
)
TOLERATED: Kinds = (
    (r"\.description: (extra|extra, empty|absent)$", "2026-04-21", "The recorder removed descriptions."),
    (r"\.capacityRegion: extra$", "2026-07-01", "Fabric did not have it in lists and creations."),
    (r"connections.*UsageInUserControlledCode: extra", "2026-01-20", "Fabric did not have it."),
    (r"POST \S+/spark/pools 201: Location: extra$", "2026-04-21", "Fabric did not send it."),
    (r"connections.*\.credentialDetails: object for null$", "", "The recorder replaced credentials."),
    (r"/shortcuts 201: Location: value$", "", "The recorder replaced a random name in the body, not in the header."),
    (r"\.isRetriable: extra(, empty)?$", "2026-04-21", "Fabric did not have it in errors."),
    (
        r"\.sensitivityLabel: absent$",
        "",
        "The recording tenant's own policy labels items; the simulator has no labels.",
    ),
    (r"\.description: value$", "2026-04-21", "The recorder removed descriptions, but not from every list."),
    (r"parts\[map.json\]", "2026-04-21", "The format of a map had version 1.0.0, and has 2.0.0 since."),
    (
        r"/externalDataShares.*\.(paths\[\]: row |recipient\.type: extra)",
        "2026-04-21",
        "Fabric showed whole addresses.",
    ),
    (r"\.attributes: absent, empty$", "", "An empty list of a few weeks, in no published definition."),
)
"""The kinds of difference that do not count as contradictions: a pattern, the day before which a recording must have
been made (empty: any), and the reason."""
_RECORDED = Path("../shared/fabric_traffic/all_conversations.jsonl.xz")


@dataclass
class Report:
    """Counts of exchanges by outcome, and of differences by kind, with one example of each kind."""

    own_times: bool = False
    outcomes: Counter[str] = field(default_factory=lambda: Counter[str]())
    kinds: dict[str, Counter[str]] = field(default_factory=lambda: dict[str, Counter[str]]())
    examples: dict[str, str] = field(default_factory=lambda: dict[str, str]())

    def add(self, conversation: Conversation) -> None:
        """Replay a conversation and count."""
        replay = Replay(conversation["exchanges"], own_times=self.own_times)
        for exchange in conversation["exchanges"]:
            differences = replay.play()
            if differences is None:
                self.outcomes["not replayed"] += 1
                continue
            outcomes = {"agree"}
            for difference in differences:
                kind = f"{route_of(exchange)} {exchange['status']}: {difference.kind}"
                outcome = outcome_of(kind, parsedate_to_datetime(exchange["headers"]["date"]).date().isoformat())
                outcomes.add(outcome)
                self.kinds.setdefault(outcome, Counter())[kind] += 1
                self.examples.setdefault(kind, _example(conversation, exchange, difference))
            worst = next(o for o in ("contradict", "tolerated", "cosmetic", "agree") if o in outcomes)
            self.outcomes[worst] += 1

    @property
    def replayed(self) -> int:
        """Return the number of exchanges that were replayed."""
        return self.outcomes.total() - self.outcomes["not replayed"]

    def share(self, outcome: str) -> float:
        """Return the share of the replayed exchanges with an outcome."""
        return self.outcomes[outcome] / max(1, self.replayed)

    def lines(self, *, tolerated: bool = True) -> Iterable[str]:
        """Yield the report, line by line; without the kinds that are tolerated if that is False."""
        for outcome in ("agree", "cosmetic", "tolerated", "contradict"):
            share = 100 * self.share(outcome)
            yield f"{outcome:12} {self.outcomes[outcome]:6} of {self.replayed} exchanges ({share:.2f} %)"
        yield f"{'not replayed':12} {self.outcomes['not replayed']:6}"
        for outcome, kinds in sorted(self.kinds.items()):
            if outcome != "contradict" and not tolerated:
                continue
            yield f"\n{outcome}: differences by kind"
            for pattern, reason in KNOWN if outcome == "contradict" else ():
                known = {kind: n for kind, n in kinds.items() if re.search(pattern, kind)}
                yield f"{sum(known.values()):6} in {len(known)} kinds {pattern}: {reason}"
                kinds -= Counter(known)
            for kind, count in kinds.most_common():
                yield f"{count:6} {kind}"
                if outcome == "contradict":
                    yield f"         {self.examples[kind]}"


def _example(conversation: Conversation, exchange: dict[str, Any], difference: Difference) -> str:
    values = f"recorded {difference.recorded!r:.150}, simulated {difference.simulated!r:.150}"
    return f"{conversation['name'].rpartition('/')[2]} #{exchange['n']}: {values}"


def outcome_of(kind: str, day: str) -> str:
    """Return how a kind of difference counts, in a recording of a day."""
    for outcome, kinds in (("cosmetic", COSMETIC), ("tolerated", TOLERATED)):
        if any(re.search(pattern, kind) and (not until or day < until) for pattern, until, _ in kinds):
            return outcome
    return "contradict"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make truth", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=[_RECORDED], help="recordings")
    parser.add_argument("--own-times", action="store_true", help="the simulator draws when it first shows a companion")
    options = parser.parse_args()
    report = Report(options.own_times)
    for file in options.files:
        for conversation in conversations(file):
            report.add(conversation)
    print("\n".join(report.lines()))


if __name__ == "__main__":
    main()
