"""What several commands read from their arguments."""

import argparse

from shared.cli.timeline import clean
from shared.domain.errors import NotFoundError, Problem
from shared.domain.fields import Fields
from shared.domain.manifest import DEPLOYMENT_ID


def known_id(text: str) -> str:
    """A deployment's id. Raises NotFoundError for what cannot be one."""
    if not DEPLOYMENT_ID.fullmatch(text):
        raise NotFoundError(f"'{clean(text, 80)}' is no deployment id")
    return text


def seconds(text: str) -> float:
    """A duration. Raises argparse.ArgumentTypeError."""
    problems: list[Problem] = []
    found = Fields({"timeout": text}, "$", problems).duration("timeout", default=-1, shortest=0, longest=30 * 86400)
    if problems:
        raise argparse.ArgumentTypeError(problems[0].message)
    return found


def count(text: str) -> int:
    """A number of at least 1. Raises argparse.ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or not int(text[:9]) > 0:
        raise argparse.ArgumentTypeError(f"'{clean(text, 40)}' is not a whole number from 1 on")
    return int(text[:9])
