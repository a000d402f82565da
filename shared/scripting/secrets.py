"""The secrets of this process, for operators and Python programs.

`get_secret_manager().get_secret("azure-client-secret")` returns a `Secret`, which prints as `***` and whose value only
`reveal()` returns; `refresh_cache()` reads all of them again; `get_cache_stats()` returns names and counts.
docs/secrets.md describes the sources and the life of a cached copy. Importing this module reads nothing.
"""

from shared import bootstrap
from shared.adapters.secrets.manager import SecretManager


def get_secret_manager() -> SecretManager:
    """Return the secret manager of the app. With FEATURE_USE_SECRET_MANAGER off it caches nothing. Raises
    settings.SettingsError."""
    return bootstrap.app().secrets
