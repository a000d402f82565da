"""Write a file that is generated from the code. For each one, a test compares the file with the generator's output."""

from pathlib import Path

from local.paths import ROOT


def write(file: Path, text: str) -> None:
    """Write the file in UTF-8 and print its path."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(f"wrote {file.relative_to(ROOT)}")
