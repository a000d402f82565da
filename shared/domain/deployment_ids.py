"""Deployment ids: the rule, its message, and new ids."""

import re
from datetime import datetime
from typing import TypeGuard

DEPLOYMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A caller may choose the id, and it becomes a table key, an orchestration id and a word on a command line."""
ID_RULE = "must begin with a letter or digit and contain only letters, digits, '.', '_' and '-' (100 at most)"
"""The message of a problem with an id."""
_MAX_SLUG = 40


def is_deployment_id(value: object) -> TypeGuard[str]:
    """Return True if a value can be the id of a deployment."""
    return isinstance(value, str) and DEPLOYMENT_ID.fullmatch(value) is not None


def new_deployment_id(name: object, now: datetime, suffix: str, default: str) -> str:
    """Return an id from a deployment's name, the time in UTC and a random suffix; `default` replaces an unusable name.

    The name may be of any type, because an invalid manifest gets an id too.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_MAX_SLUG] if isinstance(name, str) else ""
    return f"{slug or default}-{now.strftime('%Y%m%d-%H%M%S')}-{suffix}"
