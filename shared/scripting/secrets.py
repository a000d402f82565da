"""The secrets of this process, for programs of one's own and operators.

`get_secret_manager().get_secret("azure-client-secret")` gives a `Secret`, which prints as `***` and tells its value
by `reveal()` only; `refresh_cache()` asks for all of them anew; `get_cache_stats()` tells names and counts. Where they
come from, and for how long a copy serves, is docs/secrets.md. Importing this module reads nothing.
"""

from shared import bootstrap
from shared.adapters.secrets.manager import SecretManager


def get_secret_manager() -> SecretManager:
    """The one that the app reads through. Raises settings.SettingsError. With FEATURE_USE_SECRET_MANAGER off it keeps
    nothing: every reading asks the source."""
    return bootstrap.app().secrets
