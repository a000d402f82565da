"""The folders of this repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".local"
"""The folder of installed tools, stacks and their data; `make clean` deletes it."""
