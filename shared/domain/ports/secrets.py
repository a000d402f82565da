"""Where secrets come from."""

from typing import Protocol

from shared.domain.secrets import Secret


class SecretSource(Protocol):
    """Where secrets are: a vault, or the environment."""

    def fetch(self, name: str) -> Secret:
        """The secret of a normalised name, asked for now. Raises SecretNotFoundError where the source says that there
        is none to use; VaultUnavailableError or VaultAuthError where it says nothing, or nothing to us."""
        ...
