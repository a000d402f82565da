"""What is drawn from the code is what stands in docs/."""

from local import rooms, settings_page
from shared.domain.variables import GROUPS, VARIABLES


def test_rooms_drawing_is_that_of_the_imports() -> None:
    """docs/architecture.md is what `make diagrams` would write."""
    assert rooms.FILE.read_text() == rooms.document(), "run: make diagrams"


def test_rooms_drawing_tells_first_use_from_import() -> None:
    """An import inside a function is dotted; one at the top of any module of the room makes the arrow whole."""
    found = rooms.arrows()
    assert found["bootstrap", "adapters"]
    assert not found["saga", "domain"]
    text = rooms.drawing({("bootstrap", "adapters"): True, ("saga", "domain"): False})
    assert "bootstrap -.-> adapters" in text
    assert "saga --> domain" in text


def test_settings_page_is_that_of_the_declarations() -> None:
    """docs/settings.md is what `make diagrams` would write, and no variable is declared twice."""
    assert settings_page.FILE.read_text() == settings_page.document(), "run: make diagrams"
    assert len(VARIABLES) == sum(len(group) for group in GROUPS.values())
