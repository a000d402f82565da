"""What several commands read from their arguments."""

from shared.cli.timeline import clean
from shared.domain.errors import NotFoundError
from shared.domain.manifest import DEPLOYMENT_ID


def known_id(text: str) -> str:
    """A deployment's id. Raises NotFoundError for what cannot be one."""
    if not DEPLOYMENT_ID.fullmatch(text):
        raise NotFoundError(f"'{clean(text, 80)}' is no deployment id")
    return text
