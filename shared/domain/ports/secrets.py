"""The source of secrets."""

from typing import Protocol

from shared.domain.secrets import Secret


class SecretSource(Protocol):
    """A vault, or the environment."""

    def fetch(self, name: str) -> Secret:
        """Read the secret of a normalised name from the source.

        Raises SecretNotFoundError if no usable secret has that name, VaultUnavailableError if the source does not
        respond, VaultAuthError if it denies access.
        """
        ...
