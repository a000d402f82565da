"""The first source of a dataflow, found as fabric-cicd finds it, in linear time."""

import re

from hypothesis import given
from hypothesis import strategies as st

from shared.repository.special_parts import source_ids
from tests.growth import is_linear

THEIRS = re.compile(
    r'PowerPlatform\.Dataflows(?:\(\[\]\))?[\s\S]*?workspaceId\s*=\s*"(.*?)"[\s\S]*?dataflowId\s*=\s*"(.*?)"', re.DOTALL
)
"""The regular expression of microsoft/fabric-cicd 1.4.0. Its time grows with the fourth power of the text."""
PIECES = ["PowerPlatform.Dataflows", "([])", 'workspaceId = "', 'dataflowId="', '"', "a", "\n", " ", "workspaceId", "="]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_ids_are_those_that_fabric_cicd_finds(text: str) -> None:
    found = THEIRS.search(text)
    assert source_ids(text) == (found.groups() if found else None)


def test_ids_are_found_in_linear_time() -> None:
    """Sources that name no dataflow by its id, as many as a large file has."""
    assert source_ids('PowerPlatform.Dataflows workspaceId = "x" ' * 100_000) is None
    assert is_linear(lambda n: source_ids('PowerPlatform.Dataflows workspaceId = "x" ' * n), 50_000)
    assert is_linear(lambda n: source_ids('PowerPlatform.Dataflows workspaceId = "x dataflowId = "' * n), 50_000)
