"""The version of this program, which the package has too (pyproject.toml)."""

VERSION = "0.1.0"
