"""The filters of the lists, as Azure accepts them: Azurite accepts more."""

import itertools
import re

import pytest

from shared.adapters.storage.journal_lists import page_filter
from shared.domain.labels import MAX_LABELS
from shared.domain.states import DeploymentState
from tests.fakes import START

LABELS = {f"label-{i}": f"feature/{i}" for i in range(MAX_LABELS)}
STATES = list(DeploymentState)
AZURE_COMPARISONS = 15


def comparisons(query: str) -> int:
    return len(re.findall(r" (?:eq|ne|gt|ge|lt|le) ", query))


@pytest.mark.parametrize("is_next", [False, True])
@pytest.mark.parametrize("target", [None, "sales"])
@pytest.mark.parametrize("open_only", [False, True])
def test_no_filter_has_more_comparisons_than_azure_accepts(is_next: bool, target: str | None, open_only: bool) -> None:
    """Every number of states with every number of labels; all labels are filtered by Azure, whatever the states."""
    after = (START, "d") if is_next else None
    for states, labels in itertools.product(range(len(STATES) + 1), range(MAX_LABELS + 1)):
        wanted = dict(list(LABELS.items())[:labels])
        query = page_filter(after, target, STATES[:states], open_only, wanted)
        others = 1 + is_next + (target is not None) + open_only + labels
        assert comparisons(query) == (others + states if others + states <= AZURE_COMPARISONS else others)
