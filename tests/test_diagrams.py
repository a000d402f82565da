"""What is drawn from the code is what stands in docs/."""

from local import rooms


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
