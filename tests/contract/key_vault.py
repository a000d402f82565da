"""The local replacements for Key Vault and Entra, and an environment that directs the real SDKs to them."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.key_vault.entra import IDENTITY_PATH, Client
from local.key_vault.server import KeyVaultServer

CLIENT_ID = "5e1fc11e-0000-4000-8000-00000000c11e"
IDENTITY_HEADER = "the-header-that-the-platform-gives"


@contextmanager
def serving(folder: Path, patch: pytest.MonkeyPatch) -> Generator[KeyVaultServer]:
    """Start the replacements with one application that has no secret yet."""
    with KeyVaultServer(folder, identity_header=IDENTITY_HEADER) as server:
        server.entra.clients[CLIENT_ID] = Client()
        patch.setenv("REQUESTS_CA_BUNDLE", str(server.ca_file))
        patch.setenv("NO_PROXY", "127.0.0.1")
        # The variables that the platform sets for a function app that has an identity.
        patch.setenv("IDENTITY_ENDPOINT", server.url + IDENTITY_PATH)
        patch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        yield server


def environment(server: KeyVaultServer, **changes: str) -> dict[str, str]:
    """Return the settings of an app that uses the vault and signs in to Fabric as a service principal."""
    return {
        "FEATURE_USE_SECRET_MANAGER": "true",
        "FEATURE_USE_AZURE_KEYVAULT": "true",
        "KEY_VAULT_URL": server.url,
        "KEY_VAULT_CLIENT_ID": "the-identity-of-the-app",
        "FABRIC_CREDENTIAL": "service_principal",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": CLIENT_ID,
        "AZURE_AUTHORITY_HOST": server.url,
        **changes,
    }
