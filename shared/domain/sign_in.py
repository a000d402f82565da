"""The settings of sign-in: the app registration of callers, and the targets that they may change."""

from dataclasses import dataclass

from shared.domain import address
from shared.domain.access import TargetRules, read_target_rules
from shared.domain.environment import Reader, SettingsError, addressed
from shared.domain.fields import GUID


@dataclass(frozen=True)
class SignInSettings:
    """The app registration that signs in callers of the HTTP API, if there is one, and the targets they may change."""

    client_id: str
    tenant_id: str
    authority: str
    targets: TargetRules


def read_sign_in(read: Reader) -> SignInSettings:
    """Return the settings. Raises SettingsError for half a registration, and for rules that the queue goes around."""
    # Tokens have both in lower case, and are compared with them.
    client_id, tenant_id = read.text("SIGN_IN_CLIENT_ID").lower(), read.text("SIGN_IN_TENANT_ID").lower()
    if client_id and not (GUID.fullmatch(client_id) and GUID.fullmatch(tenant_id)):
        raise SettingsError(
            "SIGN_IN_CLIENT_ID and SIGN_IN_TENANT_ID must be the ids (GUIDs) of an app registration and of its tenant"
        )
    if not client_id and read.flag("QUEUE_NEEDS_IDENTITY"):
        raise SettingsError("QUEUE_NEEDS_IDENTITY needs sign-in: set SIGN_IN_CLIENT_ID and SIGN_IN_TENANT_ID")
    try:
        targets = read_target_rules(read.raw("ALLOWED_TARGETS"))
    except ValueError as error:
        raise SettingsError(f"ALLOWED_TARGETS {error}") from None
    if targets.rules and not read.flag("QUEUE_NEEDS_IDENTITY"):
        raise SettingsError(
            "ALLOWED_TARGETS needs QUEUE_NEEDS_IDENTITY=true, because all who may write to the queue could change "
            "every target"
        )
    return SignInSettings(client_id, tenant_id, _authority(read), targets)


def _authority(read: Reader) -> str:
    """Return Entra's address with its scheme, which azure-identity adds if it is missing; '' for the public cloud."""
    text = read.text("AZURE_AUTHORITY_HOST")
    if not text:
        return ""
    whole = text if "://" in text else f"https://{text}"
    return addressed("AZURE_AUTHORITY_HOST", lambda: address.secure(whole, "a token")).url
