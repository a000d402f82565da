"""Queries for Log Analytics: collected from the rules and the workbook, and bound against the tables that they read.

Microsoft's own language service does the binding (npm, run by node); the tables' columns are those of its published
reference ("Azure Monitor Logs tables").
"""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.infra.bicep import Infra

VERSION = "12.4.1"
_TOOLS = Path(__file__).resolve().parents[2] / ".local" / "kusto"
_SCRIPT = Path(__file__).with_name("kql_check.js")
_EVERY = {
    **dict.fromkeys(
        ("AppRoleInstance", "AppRoleName", "AppVersion", "ClientBrowser", "ClientCity", "ClientCountryOrRegion"),
        "string",
    ),
    **dict.fromkeys(("ClientIP", "ClientModel", "ClientOS", "ClientStateOrProvince", "ClientType", "IKey"), "string"),
    **dict.fromkeys(("OperationId", "OperationName", "ParentId", "ResourceGUID", "SDKVersion", "SessionId"), "string"),
    **dict.fromkeys(("SourceSystem", "SyntheticSource", "TenantId", "Type", "UserAccountId"), "string"),
    **dict.fromkeys(("UserAuthenticatedId", "UserId", "_IsBillable", "_ResourceId", "_SubscriptionId"), "string"),
    "_BilledSize": "real",
    "ItemCount": "int",
    "Measurements": "dynamic",
    "Properties": "dynamic",
    "TimeGenerated": "datetime",
}
"""Columns of every table of Application Insights."""
_REFERENCED = {"ReferencedItemId": "string", "ReferencedType": "string"}
_CALL = {"Id": "string", "Name": "string", "DurationMs": "real", "Success": "bool"}
TABLES: dict[str, dict[str, str]] = {
    "AppEvents": {**_EVERY, "Name": "string"},
    "AppTraces": {**_EVERY, **_REFERENCED, "Message": "string", "SeverityLevel": "int"},
    "AppMetrics": {**_EVERY, "Name": "string", "Max": "real", "Min": "real", "Sum": "real"},
    "AppRequests": {**_EVERY, **_REFERENCED, **_CALL, "ResultCode": "string", "Source": "string", "Url": "string"},
    "AppDependencies": {
        **_EVERY,
        **_REFERENCED,
        **_CALL,
        **dict.fromkeys(("Data", "DependencyType", "ResultCode", "Target"), "string"),
    },
    "AppAvailabilityResults": {**_EVERY, **_CALL, "Location": "string", "Message": "string"},
    "AppExceptions": {
        **_EVERY,
        **dict.fromkeys(("Assembly", "ExceptionType", "HandledAt", "Message", "Method", "ProblemId"), "string"),
        **{f"Innermost{part}": "string" for part in ("Assembly", "Message", "Method", "Type")},
        **{f"Outer{part}": "string" for part in ("Assembly", "Message", "Method", "Type")},
        "Details": "dynamic",
        "SeverityLevel": "int",
    },
}


def is_possible() -> bool:
    """Return True if node can run it and npm can install it."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def rules(files: Infra) -> dict[str, str]:
    """Return the query of each alert rule, as Bicep composes it: the events, then the rule's own part."""
    events = files["queries/events.kql"]
    named = re.findall(
        r"name: '([\w-]+)'[^{}]*?loadTextContent\('\.\./(queries/[\w-]+\.kql)'\)", files["modules/alerts.bicep"]
    )
    return {name: events + files[path] for name, path in named}


def workbook(files: Infra) -> dict[str, str]:
    """Return the query of each part of the workbook."""
    parts = json.loads(files["workbook.json"])["items"]
    return {f"workbook: {p['name']}": p["content"]["query"] for p in parts if "query" in p["content"]}


def event_names(query: str) -> set[str]:
    """Return the events that a query names: the values that it compares with `event` or with a table's `Name`."""
    compared = re.findall(r'\bevent (?:==|in) (\([^)]*\)|"[^"]*")', query)
    return {name for group in compared for name in re.findall(r'"([^"]*)"', group)}


def bound(queries: dict[str, str]) -> list[str]:
    """Return the errors of the language service as `name: message`."""
    request = {"library": str(_library()), "tables": TABLES, "queries": queries}
    done = subprocess.run(
        ["node", str(_SCRIPT)], input=json.dumps(request), capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return [f"{name}: {message}" for name, messages in found.items() for message in messages]


@cache
def _library() -> Path:
    """Install Microsoft's language service if it is absent. Its folder is not Azurite's, which npm would tidy."""
    folder = _TOOLS / "node_modules" / "@kusto" / "language-service-next"
    if not folder.exists():
        _TOOLS.mkdir(parents=True, exist_ok=True)
        package = f"@kusto/language-service-next@{VERSION}"
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(_TOOLS), package]
        subprocess.run(command, check=True, capture_output=True)
    return folder
