"""Everything in docs/ that is generated from the code is up to date."""

from local import cost_page, packages, settings_page, verbs_script
from shared.domain.variables import GROUPS, VARIABLES


def test_package_drawing_is_up_to_date() -> None:
    assert packages.FILE.read_text() == packages.document(), "run: make diagrams"


def test_package_drawing_distinguishes_first_use_from_import() -> None:
    """An import inside a function is a dotted arrow; an import at the top of any module of the package makes the arrow
    solid."""
    found = packages.arrows()
    assert found["bootstrap", "adapters"]
    assert not found["saga", "domain"]
    text = packages.drawing({("bootstrap", "adapters"): True, ("saga", "domain"): False})
    assert "bootstrap -.-> adapters" in text
    assert "saga --> domain" in text


def test_verbs_of_the_page_are_up_to_date() -> None:
    assert verbs_script.FILE.read_text() == verbs_script.document(), "run: make diagrams"


def test_cost_page_is_up_to_date() -> None:
    """docs/cost.md states the present numbers of host.json, infra/ and the prices."""
    assert cost_page.FILE.read_text() == cost_page.document(), "run: make diagrams"


def test_settings_page_is_up_to_date() -> None:
    """No variable is declared twice."""
    assert settings_page.FILE.read_text() == settings_page.document(), "run: make diagrams"
    assert settings_page.SAMPLE.read_text() == settings_page.sample(), "run: make diagrams"
    assert len(VARIABLES) == sum(len(group) for group in GROUPS.values())
