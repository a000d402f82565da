"""The order in which a run begins the files of tests."""

from local.paths import ROOT
from tests.conftest import LONGEST


def test_files_that_begin_first_exist() -> None:
    """A file that was renamed or parted would begin late, and its worker would run alone at the end."""
    assert [name for name in LONGEST if not (ROOT / name).exists()] == []
