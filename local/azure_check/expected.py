"""Reads from the files of infra/ what they create, so that the check follows every change there."""

import re
from dataclasses import dataclass

from local.paths import ROOT

INFRA = ROOT / "infra"

ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "0ad04412-c4d5-4796-b79c-f76d14c8d402": "Durable Task Data Contributor",
}
"""Azure's built-in roles that the app's identity may have, from Microsoft's published list."""
_STORAGE, _INSIGHTS = "Microsoft.Storage/storageAccounts", "Microsoft.Insights/components"
_VAULT, _SCHEDULER = "Microsoft.KeyVault/vaults", "Microsoft.DurableTask/schedulers"


@dataclass(frozen=True, order=True)
class Right:
    """A role of the app's identity at a resource of one type."""

    role: str
    kind: str


RIGHTS = frozenset(
    {
        Right("Storage Blob Data Owner", _STORAGE),
        Right("Storage Queue Data Contributor", _STORAGE),
        Right("Storage Table Data Contributor", _STORAGE),
        Right("Monitoring Metrics Publisher", _INSIGHTS),
        Right("Key Vault Secrets User", _VAULT),
    }
)
"""The rights of the app's identity, and no others (infra/README.md, "Who may do what")."""
OF_SCHEDULER = Right("Durable Task Data Contributor", _SCHEDULER)
CLOSED = (
    (_STORAGE, "2024-01-01", "allowSharedKeyAccess", False),
    (_STORAGE, "2024-01-01", "allowBlobPublicAccess", False),
    (_INSIGHTS, "2020-02-02", "DisableLocalAuth", True),
    (_VAULT, "2024-11-01", "enableRbacAuthorization", True),
    (_VAULT, "2024-11-01", "enablePurgeProtection", True),
)
"""Properties that keep storage, telemetry and vault closed: type, version, property, value."""


def alerts() -> list[str]:
    """Return the name of every log alert."""
    return re.findall(r"^    name: '([\w-]+)'$", (INFRA / "modules" / "alerts.bicep").read_text(), re.MULTILINE)


def event_query() -> str:
    """Return the query of the app's events, from which all alerts continue."""
    return (INFRA / "queries" / "events.kql").read_text().strip()
