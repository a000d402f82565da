"""The verification of a caller's token."""

from typing import Protocol

from shared.domain.access import Caller


class Callers(Protocol):
    """Knows the callers of the HTTP API by their tokens."""

    def verify(self, token: str) -> Caller:
        """Return the caller whom a token proves.

        Raises SignInError if it proves nobody, SignInUnavailableError if no token can be verified now.
        """
        ...
