"""A repository with all item types: what is sent has the bytes that fabric-cicd 1.4.0 sends."""

from pathlib import Path

import pytest

from shared.repository.item_types import ITEM_TYPES
from tests.differential import all_types, compare


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("repository")
    all_types.build(directory)
    return directory


def test_every_part_of_every_type_has_the_bytes_of_fabric_cicd(root: Path) -> None:
    """No byte differs for any of the 31 types, with parameters, logical ids, shortcuts and folders."""
    found = compare.compared(root, all_types.ENVIRONMENT, all_types.ENV)
    assert found.differing == []
    assert found.parts > 70


def test_repository_has_all_types(root: Path) -> None:
    """The comparison above leaves no type out."""
    assert {item.type for item in compare.ours(root, "PROD", all_types.ENV).repository.items} == ITEM_TYPES


def test_another_environment_has_the_bytes_of_fabric_cicd_too(root: Path) -> None:
    """In DEV most entries do not apply, and JSON is written again all the same."""
    assert compare.compared(root, "TEST", all_types.ENV).differing == []
