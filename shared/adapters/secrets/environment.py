"""Secrets from the environment or a `.env` file, for machines without a vault. Implements `SecretSource`."""

from collections.abc import Callable

from shared.domain.errors import SecretNotFoundError
from shared.domain.secrets import Secret, environment_name


class EnvironmentSecrets:
    """Calls `read` (settings.environment_secret) each time, so that a changed `.env` takes effect."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self._read = read

    def fetch(self, name: str) -> Secret:
        """Return the secret in the variable of that name. Raises SecretNotFoundError."""
        variable = environment_name(name)
        value = self._read(variable)
        if not value:
            raise SecretNotFoundError(f"secret '{name}': {variable} is not set, in the environment or in .env")
        return Secret(value)
