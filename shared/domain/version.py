"""The version of this program, as in pyproject.toml, which is not shipped."""

VERSION = "0.1.0"
